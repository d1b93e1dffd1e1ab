"""``./run record`` against a real broker: stopped, killed and resumed, the archive is the topic, byte for byte."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from collector.archive.playback import archived_entries, archived_files
from collector.archive.store import Store
from collector.file_source import run_file_source
from collector.observation import Observation
from collector.raw_log import RawLog, topic_of
from collector.raw_writer import KafkaRawWriter
from contracts.wire import Codecs
from stack.embedded import Endpoints

pytestmark = pytest.mark.integration

VENUE, OTHER_VENUE = "okx", "bitmex"  # so that the tests do not meet in a topic
HOUR_US = 3_600_000_000
START = 1_795_000_000_000_000 // HOUR_US * HOUR_US + HOUR_US - 2_000_000
UNDERLYINGS = ("BTC", "ETH", "SOL", "XRP")
PATIENCE_S = 60.0


class Market:
    """Writes the raw topic, a millisecond a record, over an hour's end."""

    def __init__(self, broker: Endpoints, venue: str) -> None:
        self._venue = venue
        self._log = RawLog([venue])
        self._writer = KafkaRawWriter(broker.bootstrap_servers, Codecs.connect(broker.registry_url))
        self._written = 0

    def write(self, count: int) -> None:
        for number in range(self._written, self._written + count):
            at, base = START + number * 1000, UNDERLYINGS[number % len(UNDERLYINGS)]
            payload = f'{{"n": {number} }}'.encode()
            seen = Observation(at, self._venue, 0, "message", f"tickers:{base}", base, base, None, payload)
            assert self._writer.offer(self._log.append(seen))
        self._written += count
        self._writer.flush(30)


def values(broker: Endpoints, venue: str) -> dict[int, list[bytes]]:
    """The topic's values by partition, in the order of their offsets."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "unused"})
    places = [TopicPartition(topic_of(venue), number, 0) for number in range(4)]
    ends = {place.partition: consumer.get_watermark_offsets(place, timeout=10)[1] for place in places}
    consumer.assign(places)
    found: dict[int, list[bytes]] = {number: [] for number in ends}
    while any(len(found[number]) < end for number, end in ends.items()):
        for message in consumer.consume(5000, timeout=10):
            found[message.partition() or 0].append(message.value() or b"")
    consumer.close()
    return found


def recorder(broker: Endpoints, archive: Path, *options: str, venue: str = VENUE) -> subprocess.Popen[str]:
    given = {
        "GAMMAFLOW_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "GAMMAFLOW_REGISTRY_URL": broker.registry_url,
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-m", "gammaflow", "record", str(archive), "--topic", topic_of(venue), *options]
    return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, told
    return told


def test_stopped_killed_and_resumed_the_archive_is_the_topic_byte_for_byte(
    broker: Endpoints, tmp_path: Path, kept_entries: Callable[..., Any]
) -> None:
    archive, market = tmp_path / "archive", Market(broker, VENUE)
    store = Store(str(archive))
    market.write(1_000)
    assert "1,000 records" in finished(recorder(broker, archive, "--until-end"))
    assert "0 records" in finished(recorder(broker, archive, "--until-end")), "nothing is recorded twice"

    running = recorder(broker, archive)
    before = len(store.files())
    market.write(4_000)  # goes over the hour: files of the hour before are finished, those of the new one are not
    deadline = time.monotonic() + PATIENCE_S
    while len(store.files()) == before:
        assert time.monotonic() < deadline, "waited for a file of the hour that is over"
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=PATIENCE_S)
    held = sum(file.last - file.first + 1 for file in store.files())
    assert 1_000 < held < 5_000

    again = recorder(broker, archive)
    assert again.stderr is not None
    assert "Ctrl-C ends it in good order" in again.stderr.readline()
    market.write(500)
    again.send_signal(signal.SIGTERM)
    assert "records added" in finished(again)
    finished(recorder(broker, archive, "--until-end"))

    writer, codecs = kept_entries(), Codecs.connect(broker.registry_url)
    entries = archived_entries(store, archived_files(store, [VENUE]))
    run_file_source(entries, writer, begins=START, floors={}, speed=0.0, stopped=lambda: False)
    played: dict[int, list[bytes]] = {number: [] for number in range(4)}
    for entry in writer.entries:
        played[entry.partition].append(codecs.encode(entry.topic, entry.record))
    assert sum(map(len, played.values())) == 5_500
    assert played == values(broker, VENUE)
    times = [entry.record.received_ts for entry in writer.entries]
    assert times == sorted(times)


def test_what_the_file_source_plays_into_another_broker_is_the_topic_that_was_recorded(
    broker: Endpoints, other_broker: Endpoints, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    Market(broker, OTHER_VENUE).write(1_000)
    finished(recorder(broker, archive, "--until-end", venue=OTHER_VENUE))
    given = {
        "GAMMAFLOW_BOOTSTRAP_SERVERS": other_broker.bootstrap_servers,
        "GAMMAFLOW_REGISTRY_URL": other_broker.registry_url,
        "GAMMAFLOW_COLLECTOR_SOURCE": "file",
        "GAMMAFLOW_COLLECTOR_KINDS": "archive",
        "GAMMAFLOW_COLLECTOR_PATH": f"file://{archive}",
        "GAMMAFLOW_COLLECTOR_VENUES": OTHER_VENUE,
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-m", "collector"]

    first = subprocess.run(command, env=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    second = subprocess.run(command, env=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert first.returncode == 0, first.stderr
    assert values(other_broker, OTHER_VENUE) == values(broker, OTHER_VENUE)
    assert second.returncode == 2
    assert "already holds records" in second.stderr


def test_an_archive_of_another_broker_is_refused(broker: Endpoints, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    place = archive / topic_of(VENUE) / "0" / "2026-11-18T10"
    place.mkdir(parents=True)
    (place / f"{0:020}-{10**9:020}.avro").write_bytes(b"")

    process = recorder(broker, archive, "--until-end")
    _, told = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 2
    assert "it is of another broker; record into another place" in told
