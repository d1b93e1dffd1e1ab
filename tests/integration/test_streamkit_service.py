"""A service on the run loop as a process, on the real broker and registry: stopping, dead letters, refusals."""

import importlib.util
import json
import signal
import sys
from pathlib import Path

import pytest

from contracts.topics import physical
from streamkit.broker import Outgoing, TopicPartition

HARNESS = Path(__file__).resolve().parents[1] / "faults" / "runloop_kills.py"
pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def kills():
    spec = importlib.util.spec_from_file_location("runloop_kills_for_services", HARNESS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def lines(scene, life):
    return [json.loads(line) for line in (scene.logs / f"life-{life}.log").read_text().splitlines()]


def test_sigterm_under_load_ends_with_everything_committed_and_nothing_to_replay(kills, stack):
    scene = kills.Scene(stack, "clocked", 8_000, seed=11)
    for life in (1, 2, 3):
        process = scene.start(pace_ms=60)
        scene.wait_for_event("checkpoint", life)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, scene.told()
        started = [line for line in lines(scene, life) if line["event"] == "task_started"]
        assert [line["replaying"] for line in started] == [False] * 4
    scene.drain([scene.start()])
    assert scene.written() == scene.expected()
    assert scene.aborted() == 0


def test_what_cannot_be_decoded_is_in_the_dead_letters_with_its_headers(kills, stack):
    scene = kills.Scene(stack, "record", 500, seed=12)
    writer = scene.broker.producer(f"bad-{scene.run_id}")
    writer.init(30)
    writer.begin()
    writer.produce(1, [Outgoing(physical("market.funding", scene.run_id), b"BTC", b"nonsense", 5)])
    writer.commit(30)
    process = scene.start()
    (letter,) = scene.wait_for_records("greeks.deadletter", 1, count=1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    headers = dict(letter.headers())
    assert headers["x-dlq-reason"] == b"bad_magic"
    assert headers["x-dlq-source-topic"] == b"market.funding"
    assert headers["x-dlq-source-partition"] == b"1"
    assert scene.codecs.decode("greeks.deadletter", letter.value()).source_value == b"nonsense"


def test_topics_that_do_not_exist_are_refused_in_one_line_with_the_remedy(kills, stack):
    scene = kills.Scene(stack, "record", 10, seed=13)
    process = scene.start(RUN_ID="never-made")
    assert process.wait(60) == 2
    last = lines(scene, 1)[-1]
    assert last["event"] == "refused"
    assert "contracts.provision" in last["detail"]


def test_a_log_truncated_below_the_checkpoint_is_refused_not_skipped(kills, stack):
    scene = kills.Scene(stack, "record", 2_000, seed=14)
    scene.drain([scene.start()])
    process = scene.start()
    scene.wait_for_event("task_started", 2)
    process.kill()
    process.wait()
    place = TopicPartition(physical("market.funding", scene.run_id), 2)
    scene.append(place, 50)
    scene.delete_before(place)
    process = scene.start()
    assert process.wait(60) == 2
    assert "retention" in lines(scene, 3)[-1]["detail"]
