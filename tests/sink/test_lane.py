"""When a lane's records are due, how many go at once, and when reading ahead stops."""

import pytest

from sink.lane import RECORD_OVERHEAD_BYTES, Lane, Limits
from sink.position import NOTHING
from sink.tables import TABLES
from streamkit.broker import TopicPartition

LIMITS = Limits(rows=10, bytes=10_000, age_s=0.25)


@pytest.fixture
def lane(record):
    def make(topic="market.trades", limits=LIMITS):
        return Lane(TopicPartition(topic, 0), TABLES[topic], limits, NOTHING, 0)

    return make


def records(record, n, size=0, first=0):
    return [record(first + i, bytes(size)) for i in range(n)]


@pytest.mark.parametrize(
    ("topic", "patience_s"), [("dealer.exposure", 0.025), ("market.trades", 0.25), ("raw.okx", 1.0)]
)
def test_a_record_waits_as_long_as_its_topic_may(lane, record, topic, patience_s) -> None:
    one = lane(topic)
    one.add(records(record, 1), 100.0)
    assert not one.ripe(100.0 + patience_s * 0.9)
    assert one.ripe(100.0 + patience_s * 1.01)


def test_enough_rows_or_bytes_do_not_wait(lane, record) -> None:
    rows, size = lane(), lane()
    rows.add(records(record, 10), 0.0)
    size.add(records(record, 2, 5_000), 0.0)
    assert rows.ripe(0.0)
    assert size.ripe(0.0)


def test_what_is_taken_is_bounded_in_order_and_leaves_nothing_out(lane, record) -> None:
    one = lane()
    one.add(records(record, 25), 0.0)
    taken = []
    while one.waiting:
        batch = one.take(0.0)
        assert len(batch) <= LIMITS.rows
        one.release(batch)
        taken += [r.offset for r in batch]
    assert taken == list(range(25))
    assert one.bytes == 0


def test_a_record_larger_than_the_limit_goes_alone(lane, record) -> None:
    one = lane()
    one.add([record(0, bytes(50_000)), record(1, b"")], 0.0)
    assert [r.offset for r in one.take(0.0)] == [0]


def test_a_lane_at_work_is_not_due_again(lane, record) -> None:
    one = lane()
    one.add(records(record, 20), 0.0)
    batch = one.take(0.0)
    assert not one.ripe(99.0)
    one.release(batch)
    assert one.ripe(99.0)


def test_reading_pauses_when_much_is_held_and_goes_on_with_slack(lane, record) -> None:
    one = lane()
    one.add(records(record, 5, 5_000 - RECORD_OVERHEAD_BYTES), 0.0)
    assert one.wants_pause()
    one.paused = True
    one.release(one.take(0.0))
    assert one.wants_pause(), "15 of 20 kB are held: above half"
    one.release(one.take(0.0))
    assert not one.wants_pause()
