"""``python -m collector`` as it is run: a process, a real broker, the simulator's sockets, signals and restarts.

The file source writes the Deribit topic and the live source the Binance ones, so that the tests do not meet.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from contracts.partitioning import partition_for
from contracts.records import RawMessage
from contracts.wire import Codecs
from stack.embedded import Endpoints

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
LIVE_VENUES = ("binance-usdm", "binance-spot")


def environment(broker: Endpoints, **settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GAMMAFLOW")}
    own = {f"GAMMAFLOW_COLLECTOR_{name}": value for name, value in settings.items()}
    shared = {
        "GAMMAFLOW_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "GAMMAFLOW_REGISTRY_URL": broker.registry_url,
    }
    return clean | shared | own


def records(broker: Endpoints, topic: str) -> dict[int, list[RawMessage]]:
    """Every record of a raw topic, by partition in log order, checked against its Kafka timestamp."""
    codecs = Codecs.connect(broker.registry_url)
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "unused"})
    places = [TopicPartition(topic, number, 0) for number in range(4)]
    ends = {place.partition: consumer.get_watermark_offsets(place, timeout=10)[1] for place in places}
    consumer.assign(places)
    found: dict[int, list[RawMessage]] = {number: [] for number in ends}
    while any(len(found[number]) < end for number, end in ends.items()):
        for message in consumer.consume(5000, timeout=10):
            record = codecs.decode(topic, message.value() or b"")
            assert message.timestamp()[1] == record.received_ts // 1000
            found[message.partition() or 0].append(record)
    consumer.close()
    return found


def assert_time_never_runs_backwards(partitions: dict[int, list[RawMessage]]) -> None:
    for found in partitions.values():
        times = [record.received_ts for record in found]
        assert times == sorted(times)


@contextmanager
def simulator(directory: Path) -> Iterator[str]:
    port_file = directory / "port"
    command = [sys.executable, "-m", "stack.simulator", "--options", "20", "--underlyings", "BTC"]
    process = subprocess.Popen([*command, "--port-file", str(port_file)])
    try:
        wait(port_file.exists, "the simulator")
        yield port_file.read_text()
    finally:
        process.terminate()
        process.wait(20)


def wait(holds: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(0.1)


def live(broker: Endpoints, port: str, health: Path) -> subprocess.Popen[bytes]:
    settings = {
        "VENUES": ",".join(LIVE_VENUES),
        "UNDERLYINGS": "BTC",
        "BINANCE_USDM_WS_URL": f"ws://127.0.0.1:{port}/usdm",
        "BINANCE_USDM_REST_URL": f"http://127.0.0.1:{port}/usdm",
        "BINANCE_SPOT_WS_URL": f"ws://127.0.0.1:{port}/spot",
        "BINANCE_SPOT_REST_URL": f"http://127.0.0.1:{port}/spot",
    }
    given = environment(broker, **settings) | {"GAMMAFLOW_HEALTH_FILE": str(health)}
    return subprocess.Popen([sys.executable, "-m", "collector"], env=given)


def is_collecting(health: Path) -> bool:
    beat = json.loads(health.read_text()) if health.exists() else {}
    return beat.get("records", 0) > 200 and set(beat["connected"].values()) == {True}


def test_sigterm_ends_in_order_and_restarts_after_it_and_after_a_kill_go_on_in_time(
    broker: Endpoints, tmp_path: Path
) -> None:
    with simulator(tmp_path) as port:
        codes = []
        for number, end in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)):
            health = tmp_path / f"health{number}.json"
            process = live(broker, port, health)
            wait(lambda h=health: is_collecting(h), "records")
            process.send_signal(end)
            codes.append(process.wait(30))
    assert codes == [0, -signal.SIGKILL, 0]

    for venue in LIVE_VENUES:
        partitions = records(broker, f"raw.{venue}")
        assert_time_never_runs_backwards(partitions)
        own = [record for record in partitions[partition_for("BTC")] if record.kind != "heartbeat"]
        assert [r.kind for r in own if r.kind in {"connect", "disconnect"}] == [
            "connect", "disconnect", "connect", "connect", "disconnect",
        ]  # fmt: skip
        assert own[-1].payload == b"collector stopped"
        lives: defaultdict[str, list[list[int]]] = defaultdict(list)
        for record in own:
            if record.seq == 0:
                lives[record.conn_id].append([])
            lives[record.conn_id][-1].append(record.seq)
        for numbers in lives.values():
            assert len(numbers) == 3
            assert all(found == list(range(len(found))) for found in numbers), "a hole in seq is a loss"


def test_recordings_are_written_once_and_refused_the_second_time(
    broker: Endpoints, recording: Callable[..., Path]
) -> None:
    folder = recording("BTC_20261122_options_raw.csv.gz", "options.csv").parent
    recording("BTC_hourly_20261123.csv.gz", "hourly.csv")
    given = environment(broker, SOURCE="file", PATH=str(folder), VENUES="deribit")
    command = [sys.executable, "-m", "collector"]

    first = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)
    second = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)

    assert first.returncode == 0, first.stderr
    partitions = records(broker, "raw.deribit")
    assert_time_never_runs_backwards(partitions)
    assert Counter(record.kind for record in partitions[partition_for("BTC")]) == {
        "snapshot": 3, "message": 4, "connect": 3, "disconnect": 3, "heartbeat": 7,
    }  # fmt: skip
    assert json.loads(first.stdout.splitlines()[-1])["records"] == sum(map(len, partitions.values()))
    assert second.returncode == 2
    assert "already holds records" in second.stderr
    assert "write to empty topics" in second.stderr
