"""The raw log: partitions, sequence numbers, time that never runs backwards, heartbeats that close seconds."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from collector.observation import Observation, connection_event
from collector.raw_log import RawLog
from contracts.partitioning import partition_for

VENUES = ("deribit", "binance-spot")
SECOND = 1_000_000
BASE = 1_795_000_000 * SECOND

moments = st.lists(
    st.tuples(st.integers(-3 * SECOND, 10 * SECOND), st.sampled_from(VENUES), st.sampled_from(("BTC", "ETH"))),
    max_size=60,
)


def seen(at: int, venue: str = "deribit", underlying: str = "BTC", connection: int = 0) -> Observation:
    return Observation(at, venue, connection, "message", "c", "i", underlying, None, b"x")


def test_a_record_goes_to_the_partition_of_its_underlying() -> None:
    entry = RawLog(VENUES).append(seen(BASE, underlying="ETH"))

    assert (entry.topic, entry.partition) == ("raw.deribit", partition_for("ETH"))


def test_every_field_of_the_observation_is_in_the_record() -> None:
    made = Observation(BASE, "deribit", 3, "snapshot", "rest:depth", "BTCUSDT", "BTC", BASE - 5, b"body")

    record = RawLog(VENUES).append(made).record

    assert (record.venue, record.channel, record.instrument, record.underlying) == (
        "deribit", "rest:depth", "BTCUSDT", "BTC",
    )  # fmt: skip
    assert (record.kind, record.conn_id, record.seq) == ("snapshot", "deribit-3", 0)
    assert (record.exchange_ts, record.received_ts, record.payload) == (BASE - 5, BASE, b"body")


@given(moments)
def test_time_never_runs_backwards_in_a_partition(steps: list[tuple[int, str, str]]) -> None:
    log = RawLog(VENUES, {("raw.deribit", partition_for("BTC")): BASE + SECOND})
    latest: dict[tuple[str, int], int] = {("raw.deribit", partition_for("BTC")): BASE + SECOND}
    for offset, venue, underlying in steps:
        entry = log.append(seen(BASE + offset, venue, underlying))
        place = (entry.topic, entry.partition)
        assert entry.record.received_ts >= max(latest.get(place, 0), BASE + offset)
        latest[place] = entry.record.received_ts


@given(moments)
def test_sequence_numbers_of_a_connection_have_no_hole(steps: list[tuple[int, str, str]]) -> None:
    log = RawLog(VENUES)
    numbers = defaultdict(list)
    for offset, venue, underlying in steps:
        for entry in (log.append(seen(BASE + offset, venue, underlying)), *log.heartbeats(BASE + offset)):
            numbers[entry.record.conn_id].append(entry.record.seq)
    assert all(found == list(range(len(found))) for found in numbers.values())


def test_heartbeats_open_the_new_second_in_each_partition_that_has_nothing_in_it() -> None:
    log = RawLog(VENUES)
    log.append(seen(BASE + 200))

    beats = list(log.heartbeats(BASE + 300))

    places = {(beat.topic, beat.partition) for beat in beats}
    assert len(beats) == 7
    assert ("raw.deribit", partition_for("BTC")) not in places
    assert {beat.record.kind for beat in beats} == {"heartbeat"}
    assert {beat.record.underlying for beat in beats} == {""}
    assert {beat.record.received_ts for beat in beats} == {BASE + 300}


def test_a_second_gets_one_heartbeat_per_partition() -> None:
    log = RawLog(VENUES)
    list(log.heartbeats(BASE))

    assert list(log.heartbeats(BASE + SECOND - 1)) == []
    assert len(list(log.heartbeats(BASE + SECOND))) == 8


def test_a_connection_event_carries_its_reason() -> None:
    event = connection_event("disconnect", "why", received_ts=BASE, venue="deribit", connection=1, underlying="BTC")

    record = RawLog(VENUES).append(event).record

    assert (record.kind, record.channel, record.payload, record.conn_id) == ("disconnect", "", b"why", "deribit-1")
