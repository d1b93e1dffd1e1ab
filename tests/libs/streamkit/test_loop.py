"""The run loop over the broker in memory: what it commits, when it stops, how it comes back."""

import threading
from itertools import pairwise

import pytest

from contracts.wire import Codecs, RegistryUnavailable
from streamkit.broker import BrokerError, Fenced, Refused, TopicPartition
from streamkit.deadletter import BreakerOpen
from streamkit.drive import Fed, drive, output_digest
from streamkit.recovery import Unrecoverable
from streamkit.transactions import CheckpointPolicy
from streamkit.units import ClockedSeconds, InvariantBroken


class Crash(Exception):
    """Stands for the process's end: nothing after it runs."""


class CrashAt:
    """Raises at the n-th passage of a point, and counts them."""

    def __init__(self, point, nth):
        self.point, self.left = point, nth

    def at(self, point):
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                raise Crash(point)


def turns(loop, count):
    for _ in range(count):
        loop.turn()


def run(loop, count=60):
    loop.start()
    turns(loop, count)
    loop.stop()


def expected(counting, codecs, pipeline, inputs):
    outputs = drive(pipeline, inputs, codecs)
    return {topic: output_digest(records) for topic, records in outputs.items()}


def digests(kit, pipeline):
    names = [*pipeline.outputs, *([pipeline.clock_out] if pipeline.clock_out else [])]
    return {name: output_digest(kit.written(name)) for name in names if kit.written(name)}


@pytest.fixture(params=["record", "clocked"])
def case(request, counting, codecs):
    """A pipeline of each kind with its input."""
    if request.param == "record":
        return counting.record_pipeline, {"market.funding": counting.record_input(150)}
    return counting.clocked_pipeline, counting.clocked_input(codecs, 25)


def fill(kit, inputs):
    for topic, records in inputs.items():
        kit.write(topic, records)


def test_outputs_equal_those_of_the_pure_task(case, kit, counting, codecs):
    make, inputs = case
    fill(kit, inputs)
    run(kit.loop(make()))
    assert digests(kit, make()) == expected(counting, codecs, make(), inputs)


@pytest.mark.parametrize("poll_max_records", [1, 3, 100, 10_000])
def test_the_batch_size_makes_no_difference(case, kit, counting, codecs, poll_max_records):
    make, inputs = case
    fill(kit, inputs)
    run(kit.loop(make(), poll_max_records=poll_max_records, commit_max_records=17), 400)
    assert digests(kit, make()) == expected(counting, codecs, make(), inputs)


@pytest.mark.parametrize(
    "point", ["after-poll", "after-produce", "after-send-offsets", "before-commit", "after-commit"]
)
def test_crashes_at_every_point_leave_the_outputs_as_if_nothing_had_happened(case, kit, counting, codecs, point):
    make, inputs = case
    fill(kit, inputs)
    crashes = 0
    for nth in [3, 1, 2, 5, 4, 3, 2, 6] * 3:
        loop = kit.loop(make(), poll_max_records=10, commit_max_records=10, hooks=CrashAt(point, nth))
        loop.start()
        try:
            turns(loop, 30)
        except Crash:
            crashes += 1
    run(kit.loop(make()))
    assert crashes >= 3
    assert digests(kit, make()) == expected(counting, codecs, make(), inputs)


def test_a_service_that_forgets_its_state_is_caught_by_the_digest(case, kit, counting, codecs):
    """The negative control of the test above: counting records would not see it."""
    make, inputs = case
    fill(kit, inputs)
    for _ in range(2):
        loop = kit.loop(make(forgetful=True), poll_max_records=10, commit_max_records=10)
        loop.start()
        turns(loop, 8)
    run(kit.loop(make(forgetful=True)))
    assert len(kit.written("alerts.events")) == len(drive(make(), inputs, codecs)["alerts.events"])
    assert digests(kit, make()) != expected(counting, codecs, make(), inputs)


def test_the_first_transaction_carries_a_checkpoint(case, kit):
    make, inputs = case
    fill(kit, inputs)
    loop = kit.loop(make(), commit_max_records=5)
    loop.start()
    while not kit.written("alerts.events"):
        loop.turn()
    assert kit.written("greeks.checkpoint")


def test_a_life_that_commits_once_moves_the_checkpoint_on(case, kit):
    """Else a process that dies before its next regular checkpoint would replay more in every life."""
    make, inputs = case
    fill(kit, inputs)
    starts = []
    for _ in range(4):
        loop = kit.loop(make(), poll_max_records=20, commit_max_records=5, checkpoints=CheckpointPolicy(interval_s=1e9))
        loop.start()
        starts.append(kit.log.lines[-1][1]["checkpoint"])
        turns(loop, 6)
    assert starts == [0, 1, 2, 3]


def test_a_task_starts_when_the_last_of_its_inputs_is_assigned(kit, counting):
    loop = kit.loop(counting.clocked_pipeline(), partitions=None)
    places = [TopicPartition(topic, 1) for topic in loop._pipeline.reads]
    assert loop.on_assign([*places[:2], TopicPartition("market.clock", 3)]) == {}
    assert loop.on_assign(places[2:]) == dict.fromkeys(places, 0)
    assert kit.log.events() == ["task_started"]


def test_a_clean_stop_leaves_nothing_to_replay(case, kit):
    make, inputs = case
    fill(kit, inputs)
    run(kit.loop(make()))
    kit.log.lines.clear()
    loop = kit.loop(make())
    loop.start()
    assert kit.log.lines[0][0] == "task_started"
    assert kit.log.lines[0][1]["replaying"] is False


def test_a_predecessor_that_still_runs_is_fenced(case, kit, counting, codecs):
    make, inputs = case
    fill(kit, inputs)
    zombie = kit.loop(make(), poll_max_records=5, commit_max_records=5)
    zombie.start()
    turns(zombie, 3)
    run(kit.loop(make()))
    with pytest.raises(Fenced):
        turns(zombie, 20)
    assert digests(kit, make()) == expected(counting, codecs, make(), inputs)


def test_members_share_the_partitions_and_hand_them_over_with_nothing_lost(kit, counting, codecs):
    make = counting.clocked_pipeline
    inputs = {partition: counting.clocked_input(codecs, 20, seed=partition) for partition in range(4)}
    for partition, topics in inputs.items():
        for topic, records in topics.items():
            kit.write(topic, records, partition)
    loops = [kit.loop(make(), partitions=None, poll_max_records=8, commit_max_records=10) for _ in range(3)]
    loops[0].start()
    turns(loops[0], 6)
    loops[1].start()
    for _ in range(6):
        turns(loops[0], 1)
        turns(loops[1], 1)
    loops[2].start()
    for _ in range(6):
        for loop in loops:
            loop.turn()
    loops[0].stop()
    for _ in range(200):
        loops[1].turn()
        loops[2].turn()
    for partition, topics in inputs.items():
        outputs = drive(make(), topics, codecs)["alerts.events"]
        assert output_digest(kit.written("alerts.events", partition)) == output_digest(outputs)
    assert kit.log.events().count("task_started") > 4


def test_a_member_that_lost_its_partitions_ends_without_committing(kit, counting):
    kit.write("market.funding", counting.record_input(50))
    loop = kit.loop(counting.record_pipeline(), partitions=None)
    loop.start()
    loop.turn()
    loop._consumer.expel()
    with pytest.raises(BrokerError, match="partitions"):
        loop.turn()


def test_what_cannot_be_decoded_goes_to_the_dead_letters_and_the_rest_goes_on(kit, counting, codecs):
    good = counting.record_input(40)
    kit.write("market.funding", [*good[:20], Fed("BTC", b"\x01nonsense", 77), *good[20:]])
    run(kit.loop(counting.record_pipeline()))
    assert len(kit.written("alerts.events")) == 40
    (letter,) = kit.broker.visible("greeks.deadletter", 0)
    note = codecs.decode("greeks.deadletter", letter.record.value)
    assert (note.reason, note.source_value, note.source_topic) == ("bad_magic", b"\x01nonsense", "market.funding")
    headers = dict(letter.headers)
    assert headers["x-dlq-reason"] == b"bad_magic"
    assert headers["x-dlq-source-topic"] == b"market.funding"
    assert headers["x-dlq-source-partition"] == b"0"
    assert headers["x-dlq-source-offset"] == str(note.source_offset).encode()
    assert headers["x-dlq-service"] == b"greeks"
    assert letter.record.timestamp_ms == 77


def test_what_the_core_refuses_goes_to_the_dead_letters_with_its_bytes(kit, counting, codecs):
    bad = Fed("BTC", counting.funding(1, -1.0), 5)
    kit.write("market.funding", [bad, *counting.record_input(20)])
    run(kit.loop(counting.record_pipeline()))
    (letter,) = kit.broker.visible("greeks.deadletter", 0)
    note = codecs.decode("greeks.deadletter", letter.record.value)
    assert (note.reason, note.underlying) == ("negative_rate", "BTC")
    assert codecs.decode("market.funding", note.source_value) == bad.record


def test_too_many_dead_letters_stop_the_service_uncommitted(kit, counting):
    kit.write("market.funding", [Fed("BTC", b"", i) for i in range(200)])
    loop = kit.loop(counting.record_pipeline())
    with pytest.raises(BreakerOpen, match="100 in a row"):
        run(loop)
    assert kit.written("greeks.deadletter") == []


class Outage:
    """Codecs whose registry is away for the first decodings of a schema id."""

    def __init__(self, codecs: Codecs, failures: int) -> None:
        self._codecs, self.failures = codecs, failures
        self.encode = codecs.encode

    def decode(self, topic, value):
        if topic == "market.funding" and self.failures:
            self.failures -= 1
            raise RegistryUnavailable("registry away")
        return self._codecs.decode(topic, value)


def test_an_outage_of_the_registry_is_waited_out_and_costs_no_record(case, kit, counting, codecs):
    make, inputs = case
    fill(kit, inputs)
    loop = kit.loop(make(), codecs=Outage(codecs, 3))
    loop.start()
    loop.turn()
    assert "waiting" in kit.log.events()
    assert kit.written("greeks.deadletter") == []
    while "resumed" not in kit.log.events():
        loop.turn()
    turns(loop, 60)
    loop.stop()
    assert digests(kit, make()) == expected(counting, codecs, make(), inputs)


def test_a_backlog_of_one_topic_is_not_read_while_another_holds_it_up(kit, counting, codecs, monkeypatch):
    monkeypatch.setitem(ClockedSeconds.__init__.__kwdefaults__, "records_high", 1_000)
    inputs = counting.clocked_input(codecs, 40, most=60)
    fill(kit, {topic: records for topic, records in inputs.items() if topic != "market.clock"})
    loop = kit.loop(counting.clocked_pipeline(), poll_max_records=100)
    loop.start()
    turns(loop, 100)
    assert len(inputs["market.funding"]) > 2_000
    assert 1_000 <= loop._writers[0].task.buffered()["market.funding"] < 1_100
    assert kit.written("alerts.events") == []
    kit.write("market.clock", inputs["market.clock"])
    turns(loop, 200)
    loop.stop()
    assert digests(kit, counting.clocked_pipeline()) == expected(counting, codecs, counting.clocked_pipeline(), inputs)


def test_a_clock_that_does_not_fit_its_data_stops_the_service(kit, counting, codecs):
    inputs = counting.clocked_input(codecs, 10)
    inputs["market.funding"][3] = Fed("BTC", counting.funding(999, 0.5), inputs["market.funding"][3].timestamp_ms)
    fill(kit, inputs)
    with pytest.raises(InvariantBroken, match=r"market\.funding, second 17.* digest"):
        run(kit.loop(counting.clocked_pipeline()))


def test_input_deleted_before_it_was_used_stops_the_service_with_the_remedy(case, kit):
    make, inputs = case
    fill(kit, inputs)
    loop = kit.loop(make(), commit_max_records=20, poll_max_records=20)
    loop.start()
    turns(loop, 3)
    kit.broker.delete_before(TopicPartition("market.funding", 0), 60)
    with pytest.raises(Unrecoverable, match="retention"):
        kit.loop(make()).start()


def test_a_missing_topic_is_named_at_the_start(kit, counting):
    loop = kit.loop(counting.record_pipeline(), run_id="other")
    with pytest.raises(Refused, match=r"run-other\.market\.funding"):
        loop.start()


class Meeting:
    """Holds every task at a point of its commit until all of them are there; ``fails`` then ends the first to leave."""

    def __init__(self, point, parties, *, fails=False):
        self.point = point
        self.barrier = threading.Barrier(parties, timeout=30)
        self.fails = fails

    def at(self, point):
        if point == self.point and self.barrier.wait() == 0 and self.fails:
            raise Crash(point)


def spread(kit, counting):
    """Five records on each of the four partitions."""
    for partition in range(4):
        kit.write("market.funding", counting.record_input(5), partition)


def test_the_tasks_of_a_process_wait_for_their_commits_at_the_same_time(kit, counting):
    """One after the other would break the barrier: the first would wait for ever for the second."""
    spread(kit, counting)
    meeting = Meeting("before-commit", 4)
    loop = kit.loop(counting.record_pipeline(), partitions=(0, 1, 2, 3), hooks=meeting)
    loop.start()
    while not kit.written("alerts.events"):
        loop.turn()
    assert not meeting.barrier.broken
    assert all(kit.written("alerts.events", partition) for partition in range(4))


def test_a_commit_that_fails_ends_the_loop_when_the_others_are_through(kit, counting):
    spread(kit, counting)
    hooks = Meeting("before-commit", 4, fails=True)
    loop = kit.loop(counting.record_pipeline(), partitions=(0, 1, 2, 3), hooks=hooks)
    loop.start()
    with pytest.raises(Crash):
        turns(loop, 60)
    assert sum(bool(kit.written("alerts.events", partition)) for partition in range(4)) == 3


@pytest.mark.parametrize(
    ("commit_s", "apart_s"),
    [(0.0, 0.1), (0.04, 0.1), (0.5, 0.55)],
    ids=["quick commits", "commits within the interval", "slow commits leave half the interval to compute"],
)
def test_commits_begin_an_interval_apart(kit, counting, commit_s, apart_s):
    began = []

    class Slow:
        def at(self, point):
            if point == "after-send-offsets":
                began.append(kit.now)
                kit.now += commit_s

    loop = kit.loop(counting.record_pipeline(), commit_interval_s=0.1, poll_max_records=1, hooks=Slow())
    kit.write("market.funding", counting.record_input(900))
    loop.start()
    turns(loop, 600)
    gaps = [later - earlier for earlier, later in pairwise(began[1:])]  # the first pays for the start
    assert gaps
    assert gaps == pytest.approx([apart_s] * len(gaps), abs=0.02)
