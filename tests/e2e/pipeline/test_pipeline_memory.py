"""All services' cores in a row, in memory, over what a collector would have written: how it is fed does not matter."""

from collections import Counter, defaultdict
from dataclasses import replace

import pipeline_oracle as oracle
import pytest
from pipeline_input import VENUES, Collecting, Shape
from pipeline_oracle import differences
from pipeline_restarts import run_with_restarts

from collector.raw_log import Entry
from contracts.partitioning import PARTITIONS
from contracts.wire import Codecs
from streamkit.drive import decoded

pytestmark = pytest.mark.e2e

SHAPE = Shape(seconds=40, options=64, updates_per_option_s=1.0)


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return Collecting(SHAPE).run()


@pytest.fixture(scope="module")
def codecs() -> Codecs:
    return Codecs.offline()


@pytest.fixture(scope="module")
def raw(entries):
    return oracle.raw_logs(entries)


@pytest.fixture(scope="module")
def expected(raw, codecs):
    return oracle.summaries(raw, codecs)


def test_the_input_is_the_same_each_time_and_another_with_another_seed(entries):
    assert Collecting(SHAPE).run() == entries
    assert Collecting(replace(SHAPE, seed=2)).run() != entries


def test_the_input_has_a_record_in_every_raw_partition_and_second_but_those_the_collector_was_away(entries):
    seconds = defaultdict(set)
    for topic, partition, record in entries:
        seconds[topic, partition].add(record.received_ts // 1_000_000)
    assert set(seconds) == {(f"raw.{venue}", n) for venue in VENUES for n in range(PARTITIONS)}
    begin = min(min(found) for found in seconds.values())
    for found in seconds.values():
        missing = set(range(begin, begin + SHAPE.seconds)) - found
        assert missing == {begin + second for second in SHAPE.away}


def test_the_input_has_of_everything_that_makes_state(entries):
    kinds = Counter((record.venue, record.kind) for _, _, record in entries)
    for venue in VENUES:
        for kind in ("message", "snapshot", "heartbeat", "connect", "disconnect", "gap"):
            assert kinds[venue, kind] > 0, (venue, kind)
    received = defaultdict(list)
    for topic, partition, record in entries:
        received[topic, partition].append(record.received_ts)
    assert all(times == sorted(times) for times in received.values())


def test_every_service_has_something_to_say_about_every_partition(expected):
    for topic in ("market.trades", "market.books", "market.tickers", "market.instruments",
                  "options.greeks", "dealer.inventory", "dealer.exposure"):  # fmt: skip
        for partition in range(PARTITIONS):
            assert expected[topic, partition].records > 0, (topic, partition)
    assert sum(expected["normalizer.deadletter", partition].records for partition in range(PARTITIONS)) > 0
    for partition in range(PARTITIONS):
        closed = {expected[clock, partition].records for clock in ("market.clock", "options.clock", "dealer.clock")}
        assert len(closed) == 1, "each service closes every unit it was handed"


def test_the_expiry_and_the_absence_show_in_the_outputs(raw, codecs):
    outputs = oracle.run(raw[2], codecs, partition=2)
    assert any(record is None for record in decoded(codecs, outputs["market.instruments"])), "a tombstone"
    assert any(clock.skipped_seconds for clock in decoded(codecs, outputs["dealer.clock"]))
    assert {exposure.status for exposure in decoded(codecs, outputs["dealer.exposure"])} >= {"ok"}


@pytest.mark.parametrize("batch", [1, 100, 10_000])
def test_how_many_records_are_read_at_a_time_does_not_matter(raw, codecs, expected, batch):
    assert differences(oracle.summaries(raw, codecs, batch=batch), expected) == []


@pytest.mark.parametrize("every", [1, 7, 25])
def test_going_on_from_a_checkpoint_is_like_never_having_stopped(raw, codecs, expected, every):
    """Each service dies after every so many units, three of which no checkpoint holds and are computed again."""
    found = {}
    for partition in (0, 2):
        outputs, restarts = run_with_restarts(raw[partition], codecs, partition=partition, every=every)
        closed = expected["market.clock", partition].records
        assert restarts == closed // len(VENUES) // every + 2 * (closed // every), "the normalizer's unit is all venues"
        found |= {(topic, partition): oracle.summary(outputs.get(topic, ())) for topic in oracle.derived()}
    assert differences(found, {place: expected[place] for place in found}) == []


def test_one_changed_frame_is_caught(entries, codecs, expected):
    """The comparison's own control: one digit of one of the thousands of records."""
    number, entry = next(
        (i, e) for i, e in enumerate(entries) if e.record.channel == "trades.option.BTC.100ms" and i > 2_000
    )
    changed = entry.record.payload.replace(b'"trade_seq":', b'"trade_seq":9', 1)
    altered = [*entries]
    altered[number] = entry._replace(record=replace(entry.record, payload=changed))
    found = differences(oracle.summaries(oracle.raw_logs(altered), codecs), expected)
    assert found
    assert {line.partition(":")[0].partition("/")[2] for line in found} == {"2"}, "and in BTC's partition alone"


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda log: [*log[:-1], log[-1], log[-1]], id="doubled"),
        pytest.param(lambda log: log[:-1], id="lost"),
        pytest.param(lambda log: [log[1], log[0], *log[2:]], id="swapped"),
        pytest.param(lambda log: [log[0]._replace(timestamp_ms=1), *log[1:]], id="other time"),
    ],
)
def test_what_must_be_told_apart_is(raw, codecs, spoil):
    log = oracle.run(raw[1], codecs, partition=1)["dealer.exposure"]
    place = ("dealer.exposure", 1)
    assert differences({place: oracle.summary(spoil(log))}, {place: oracle.summary(log)}) != []
    assert differences({place: oracle.summary([*log])}, {place: oracle.summary(log)}) == []
