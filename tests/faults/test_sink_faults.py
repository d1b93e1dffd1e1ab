"""Exactly once under kill -9, lost answers and an absent ClickHouse: count() is the ledger's, without FINAL.

A clean result counts only if the fault was seen to take effect; the negative control must show duplicates.
"""

import dataclasses
import importlib.util
import os
import random
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from contracts.examples import load_examples
from contracts.topics import physical
from stack import embedded
from streamkit.broker import TopicPartition
from streamkit.kafka import KafkaBroker

ROOT = Path(__file__).resolve().parents[2]
SERVICE = str(Path(__file__).with_name("sink_service.py"))
TOPICS = ("market.trades", "market.tickers", "options.greeks", "dealer.exposure")
SMALL = {"GAMMAFLOW_SINK_FLUSH_ROWS": "50", "GAMMAFLOW_SINK_FLUSH_AGE_MS": "20"}
pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def scenes() -> ModuleType:
    name = "sink_scene"
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "sink" / "scene.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scene(scenes, stack, run_id, tmp_path):
    scene = scenes.Scene(stack, run_id, tmp_path, topics=TOPICS)
    scene.keep_doubles()
    yield scene
    scene.drop()


def values(scene, topic: str, n: int) -> list[bytes]:
    """Make ``n`` records of a topic, over two months so that chunks are cut."""
    example = next(record for _, record in load_examples(ROOT / "schemas" / "examples", topic))
    field, unit = ("received_ts", 10**6) if topic == "market.trades" else ("second", 1)
    start = (1_767_225_600 - n // 2) * unit
    return [scene.codecs.encode(topic, dataclasses.replace(example, **{field: start + i * unit})) for i in range(n)]


def write_everywhere(scene, n: int) -> None:
    for topic in TOPICS:
        for partition in range(4):
            scene.write(topic, values(scene, topic, n), partition=partition)


def test_kills_at_random_moments_lose_and_double_nothing(scene) -> None:
    """Records keep coming while one process after the other dies, some at work, some before they got to it."""
    dice, progress = random.Random(3), [0]
    for _ in range(8):
        write_everywhere(scene, 100)
        process = scene.start(**SMALL)
        scene.wait_until_up(process)
        time.sleep(dice.random() * 1.5)
        write_everywhere(scene, 5)
        process.kill()
        assert process.wait() == -signal.SIGKILL, scene.told()
        progress.append(sum(len(scene.stored(topic)) for topic in TOPICS))
    assert len(set(progress)) > 4, f"the kills came too early to prove anything: {progress}"
    with scene.sink(**SMALL) as process:
        scene.wait_until_stored(process)
    scene.assert_exact()


@pytest.mark.parametrize("point", ["before-insert", "after-insert"])
def test_a_kill_in_the_window_around_an_insert_loses_and_doubles_nothing(scene, point) -> None:
    write_everywhere(scene, 200)
    for _ in range(3):
        process = scene.start(SERVICE, "--kill-at", f"{point}:7", **SMALL)
        assert process.wait(60) == -signal.SIGKILL, scene.told()
    with scene.sink(**SMALL) as process:
        scene.wait_until_stored(process)
    scene.assert_exact()


@pytest.mark.parametrize(("point", "letters"), [("before-letter", 1), ("after-letter", 2)])
def test_a_kill_around_a_dead_letter_repeats_at_most_the_letter(scene, point, letters) -> None:
    """The last record of the log is refused: no row of the topic shows that it is done with."""
    topic = "market.trades"
    scene.write(topic, values(scene, topic, 20))
    scene.write(topic, [b"not a record"], good=False)
    process = scene.start(SERVICE, "--kill-at", f"{point}:1", **SMALL)
    assert process.wait(60) == -signal.SIGKILL, scene.told()
    for _ in range(2):
        with scene.sink(**SMALL) as process:
            scene.wait_until_stored(process)
            refused(scene)
    scene.assert_exact()
    assert refused(scene) == scene.refused[topic, 1], "one row, however often it started"
    ends = records_in(scene, "sink.deadletter")
    assert ends == letters


def refused(scene) -> list[int]:
    """Return the offsets refused, as soon as there are any."""
    deadline = time.monotonic() + 30
    with scene.client() as client:
        while time.monotonic() < deadline:
            rows = client.query("SELECT _offset FROM sink_deadletter ORDER BY _offset").result_rows
            if rows:
                return [row[0] for row in rows]
            time.sleep(0.1)
    raise AssertionError(scene.told())


def records_in(scene, topic: str) -> int:
    """Return how many records a topic of the run holds."""
    reader = KafkaBroker(scene.endpoints.bootstrap_servers).reader()
    try:
        return sum(1 for p in range(4) for _ in reader.read(TopicPartition(physical(topic, scene.run_id), p), 0))
    finally:
        reader.close()


class LossyProxy:
    """Passes TCP on to ``port``; of requests that insert, lets the first ``losses`` be done and keeps their answers."""

    def __init__(self, port: int, losses: int) -> None:
        self._target, self.left, self.lost = port, losses, 0
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        state = {"insert": False}
        back = threading.Thread(target=self._answers, args=(server, client, state), daemon=True)
        back.start()
        with suppress(OSError):
            while piece := client.recv(1 << 16):
                if b"insert_deduplication_token=" in piece.partition(b"\r\n")[0]:
                    state["insert"] = True
                server.sendall(piece)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answers(self, server: socket.socket, client: socket.socket, state: dict[str, bool]) -> None:
        with suppress(OSError):
            while piece := server.recv(1 << 16):
                if state["insert"] and b" 200 OK" in piece[:20] and self._keeps():
                    break
                state["insert"] = False
                client.sendall(piece)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _keeps(self) -> bool:
        with self._lock:
            if self.left == 0:
                return False
            self.left -= 1
            self.lost += 1
            return True


@pytest.fixture
def lossy(scenes, stack, run_id, tmp_path):
    proxy = LossyProxy(int(stack.clickhouse_url.rpartition(":")[2]), 10)
    scene = scenes.Scene(stack, run_id, tmp_path, f"http://127.0.0.1:{proxy.port}", topics=("market.trades",))
    scene.keep_doubles()
    yield scene, proxy
    scene.clickhouse_url = stack.clickhouse_url
    scene.drop()
    proxy.close()


def run_with_losses(scene, proxy, *command: str) -> dict[str, int]:
    """Store 2,000 trades while ten answers are lost; return the sink's own counts."""
    for _ in range(4):
        scene.write("market.trades", values(scene, "market.trades", 500))
    with scene.sink(*command, **SMALL) as process:
        scene.wait_until_stored(process)
    assert (proxy.left, proxy.lost) == (0, 10), "the fault took no effect"
    return {name: scene.health()[name] for name in ("retries", "found_stored")}


def test_ten_lost_answers_double_nothing_and_each_is_found_in_the_table(lossy) -> None:
    scene, proxy = lossy
    counts = run_with_losses(scene, proxy)
    scene.assert_exact()
    assert counts == {"retries": 10, "found_stored": 10}


def test_a_sink_that_neither_asks_nor_sends_tokens_doubles(lossy) -> None:
    """The negative control: were nothing doubled here, the test above would prove nothing."""
    scene, proxy = lossy
    run_with_losses(scene, proxy, SERVICE, "--blind", "--tokenless")
    expected, stored = scene.ledger["market.trades", 1], scene.stored("market.trades")
    assert len(stored) > len(expected)
    assert sorted(set(stored)) == expected


def test_the_token_alone_stops_a_double(lossy) -> None:
    """The table is asked, and if that were wrong, it recognises the token: each defence holds by itself."""
    scene, proxy = lossy
    run_with_losses(scene, proxy, SERVICE, "--blind")
    scene.assert_exact()


def test_clickhouse_away_for_ten_seconds_is_caught_up_with(scenes, stack, run_id, tmp_path) -> None:
    """Killed and started again: the sink stays, says that it waits, holds a bounded part, and loses nothing."""
    home = tmp_path / "engine"
    engine = embedded.start(home, print, components=("clickhouse",), die_with_starter=True)
    scene = scenes.Scene(stack, run_id, tmp_path, engine.clickhouse_url, topics=TOPICS)
    scene.keep_doubles()
    limits = {"GAMMAFLOW_SINK_FLUSH_AGE_MS": "20", "GAMMAFLOW_SINK_FLUSH_BYTES": "16384"}
    try:
        write_everywhere(scene, 50)
        with scene.sink(**limits) as process:
            scene.wait_until_stored(process)
            (component,) = embedded.status(home)
            os.kill(component.pid, signal.SIGKILL)
            away = time.monotonic() + 10
            write_everywhere(scene, 300)
            full = scene.wait_until_health(lambda health: health["paused_partitions"] == 16)
            write_everywhere(scene, 300)
            time.sleep(max(0.0, away - time.monotonic()))
            health = scene.health()
            assert process.poll() is None, scene.told()
            assert health["state"] == "waiting"
            assert health["buffered_bytes"] == full["buffered_bytes"], "it went on reading with nowhere to put it"
            embedded.start(home, print, components=("clickhouse",), die_with_starter=True)
            scene.wait_until_stored(process)
        scene.assert_exact()
    finally:
        embedded.stop(home)
