"""One task without a broker: suppression of what is committed, totals, and what a core may not do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamkit.barrier import Ledger
from streamkit.broker import Record
from streamkit.core import CloseSecond, Output, Reject
from streamkit.drive import Fed, decoded, drive, output_digest, refeed
from streamkit.pipeline import Pipeline
from streamkit.task import Start, Task
from streamkit.units import InvariantBroken, value_digest

FOREVER = 10**9


def never():
    return False


def task_of(pipeline, codecs, **start):
    zeros = dict.fromkeys(pipeline.reads, 0)
    return Task(pipeline=pipeline, partition=0, codecs=codecs, start=Start(**{"positions": zeros, **start}))


def feed_all(task, inputs):
    for topic, fed in inputs.items():
        records = [Record(i, b"BTC", item.timestamp_ms, item.record) for i, item in enumerate(fed)]
        left = [record for record in records if record.offset >= task.positions[topic]]
        if left:
            task.feed(topic, left)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_restart_between_any_two_units_writes_what_was_left_and_nothing_else(counting, codecs, data):
    """Checkpoint after unit i, crash after unit j committed: the new task replays i..j silently and goes on."""
    pipeline, inputs = counting.clocked_pipeline(), counting.clocked_input(codecs, 8)
    whole = task_of(pipeline, codecs)
    feed_all(whole, inputs)
    whole.advance(FOREVER, never)
    everything = whole.take()

    first = task_of(pipeline, codecs)
    feed_all(first, inputs)
    at = data.draw(st.integers(0, 16))
    for _ in range(at):
        first.advance(1, never)
    snapshot = first.snapshot()
    for _ in range(data.draw(st.integers(0, 16 - at))):
        first.advance(1, never)
    committed = first.take()

    second = task_of(pipeline, codecs, positions=snapshot.positions, committed=first.positions, snapshot=snapshot)
    feed_all(second, inputs)
    second.advance(FOREVER, never)
    assert committed + second.take() == everything
    assert not second.replaying


def test_a_unit_that_is_committed_in_part_stops_the_task(counting, codecs):
    pipeline, inputs = counting.clocked_pipeline(), counting.clocked_input(codecs, 8)
    whole = task_of(pipeline, codecs)
    feed_all(whole, inputs)
    for _ in range(5):
        whole.advance(1, never)
    torn = {**whole.positions, "market.clock": whole.positions["market.clock"] + 1}
    task = task_of(pipeline, codecs, committed=torn)
    feed_all(task, inputs)
    with pytest.raises(InvariantBroken, match="in the middle of what was committed"):
        task.advance(FOREVER, never)


def test_time_over_ends_an_advance_after_the_second_at_hand(counting, codecs):
    task = task_of(counting.clocked_pipeline(), codecs)
    feed_all(task, counting.clocked_input(codecs, 8))
    task.advance(FOREVER, lambda: True)
    assert task.counters.units == 1


def test_records_fed_twice_are_taken_once(counting, codecs):
    task = task_of(counting.record_pipeline(), codecs)
    value = codecs.encode("market.funding", counting.funding(1, 0.5))
    records = [Record(i, b"BTC", 0, value) for i in range(10)]
    task.feed("market.funding", records[:6])
    task.feed("market.funding", records[3:])
    task.advance(FOREVER, never)
    assert task.counters.records == 10


def test_the_clock_counts_every_output_of_its_unit_and_chains_the_totals(counting, codecs):
    outputs = drive(counting.clocked_pipeline(), counting.clocked_input(codecs, 6), codecs)
    events = iter(outputs["alerts.events"])
    total, chained = {}, {}
    for clock in decoded(codecs, outputs["options.clock"]):
        (entry,) = clock.topics
        values = [next(events).value for _ in range(entry.records)]
        total[clock.venue] = total.get(clock.venue, 0) + len(values)
        chained[clock.venue] = value_digest(values, chained.get(clock.venue, 0))
        assert (entry.topic, entry.digest) == ("alerts.events", value_digest(values))
        assert (entry.total_records, entry.running_digest) == (total[clock.venue], chained[clock.venue])
    assert next(events, None) is None


def test_what_one_stage_writes_the_next_one_reads(counting, codecs):
    """The barrier of a raw-second stage satisfies a clocked stage: counts, digests, order."""
    heartbeat = counting.raw
    raw = {topic: [Fed(None, heartbeat(topic, s), s * 1000) for s in range(100, 110)] for topic in counting.RAW_TOPICS}
    first = drive(counting.raw_pipeline(), raw, codecs)
    assert len(first["market.clock"]) == 9
    second = Pipeline(
        service="greeks",
        inputs=("alerts.events",),
        clocks=("market.clock",),
        unit="clocked_second",
        outputs=("market.funding",),
        new_core=Silent,
    )
    assert drive(second, {topic: refeed(records) for topic, records in first.items()}, codecs) == {}


def test_batches_make_no_difference_to_a_drive(counting, codecs):
    inputs = counting.clocked_input(codecs, 10)
    whole = drive(counting.clocked_pipeline(), inputs, codecs)
    assert drive(counting.clocked_pipeline(), inputs, codecs, batch=3) == whole


def test_the_digest_of_outputs_tells_order_and_borders_but_not_schema_ids():
    one = [Record(0, b"k", 1, b"\0\0\0\0\1ab"), Record(1, b"k", 1, b"\0\0\0\0\1c")]
    assert output_digest(one) == output_digest(
        [record._replace(value=b"\0\0\0\0\2" + record.value[5:]) for record in one]
    )
    others = [
        one[::-1],
        [one[0]],
        [one[0]._replace(value=b"\0\0\0\0\1a"), one[1]._replace(value=b"\0\0\0\0\1bc")],
        [one[0]._replace(value=None), one[1]],
        [one[0]._replace(timestamp_ms=2), one[1]],
    ]
    digests = {output_digest(records) for records in [one, *others]}
    assert len(digests) == 6


class Silent:
    def __init__(self, _partition):
        self.units = 0

    def step(self, unit):
        self.units += len(unit.records)
        return ()

    def snapshot(self):
        return b""

    def restore(self, state):
        pass


class Says(Silent):
    """A core that yields what it was given, in every unit."""

    def __init__(self, *items):
        super().__init__(0)
        self._items = items

    def step(self, unit):
        return [item(unit) if callable(item) else item for item in self._items]


def refused(item, counting, codecs, **wiring):
    pipeline = Pipeline(
        service="greeks",
        inputs=("market.funding",),
        unit="record",
        new_core=lambda _: Says(item),
        **{"outputs": ("alerts.events",), **wiring},
    )
    drive(pipeline, {"market.funding": counting.record_input(3)}, codecs)


def test_a_core_may_write_only_to_the_outputs_it_declares(counting, codecs):
    with pytest.raises(InvariantBroken, match=r"wrote to market\.trades: name it in the pipeline's outputs"):
        refused(Output("market.trades", "k", None, 0), counting, codecs)


def test_a_core_may_not_close_seconds_without_a_clock(counting, codecs):
    with pytest.raises(InvariantBroken, match="names no clock_out"):
        refused(CloseSecond("v", "BTC", 1, None), counting, codecs)


def test_outputs_behind_the_last_close_are_an_error(counting, codecs):
    with pytest.raises(InvariantBroken, match="after its last CloseSecond"):
        refused(Output("alerts.events", "k", None, 0), counting, codecs, clock_out="options.clock")


def test_a_core_may_refuse_only_inputs_of_its_unit(counting, codecs):
    with pytest.raises(InvariantBroken, match="no input of this unit"):
        refused(lambda unit: Reject(unit._replace(offset=99), "r", "d"), counting, codecs)


def test_anything_else_a_core_yields_is_an_error(counting, codecs):
    with pytest.raises(InvariantBroken, match="an Output, a CloseSecond or a Reject is expected"):
        refused("nonsense", counting, codecs)


@given(st.lists(st.lists(st.binary(min_size=5, max_size=9), max_size=4), max_size=6))
def test_the_ledgers_totals_survive_a_restart_after_any_unit(units):
    def close(ledger, values):
        for value in values:
            ledger.count("t", value)
        return ledger.close(CloseSecond("v", "BTC", 1, None))

    whole, broken = Ledger(["t"]), Ledger(["t"])
    for values in units:
        restored = Ledger(["t"])
        restored.restore(broken.totals())
        broken = restored
        assert close(broken, values) == close(whole, values)
