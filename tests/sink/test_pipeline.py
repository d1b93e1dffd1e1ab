"""The loop over a broker and tables in memory: nothing lost or doubled, refusals passed once, reading held back."""

import dataclasses
import threading
import time

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from contracts.wire import Codecs
from sink.clickhouse import StoreRefused
from sink.lane import Limits
from streamkit.broker import TopicPartition

TRADES, TICKERS = "market.trades", "market.tickers"
DECEMBER, JANUARY = 1_767_225_599, 1_767_225_600


@pytest.fixture
def trades(codecs: Codecs, examples):
    def make(n, second=JANUARY):
        example = examples[TRADES][0]
        return [
            codecs.encode(TRADES, dataclasses.replace(example, trade_id=str(i), received_ts=second * 10**6 + i))
            for i in range(n)
        ]

    return make


def raising(error):
    def obstacle(insert):
        raise error

    return obstacle


def passing(insert):
    pass


def letters(kit):
    return kit.broker.visible("sink.deadletter", 1)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_every_record_is_stored_once_in_order_whatever_the_batch(kit, trades, rows) -> None:
    for _ in range(3):
        kit.write(TRADES, trades(40))
    expected = [stored.record.offset for stored in kit.broker.visible(TRADES, 1)]
    limits = Limits(rows=rows, bytes=2**20, age_s=0.001)
    kit.run(kit.pipeline([TRADES], limits=limits), lambda: len(kit.tables.offsets(TRADES)) >= 120)
    assert kit.tables.offsets(TRADES) == expected


def test_a_new_process_goes_on_behind_the_last_row(kit, trades) -> None:
    for total in (30, 60):
        kit.write(TRADES, trades(30))
        kit.run(kit.pipeline([TRADES]), lambda total=total: len(kit.tables.offsets(TRADES)) >= total)
    assert kit.tables.offsets(TRADES) == [stored.record.offset for stored in kit.broker.visible(TRADES, 1)]


def test_an_insert_touches_one_table_partition_and_says_what_it_holds(kit, trades) -> None:
    kit.write(TRADES, trades(10, DECEMBER) + trades(10, JANUARY))
    kit.run(kit.pipeline([TRADES]), lambda: len(kit.tables.offsets(TRADES)) >= 20)
    version = kit.tables.inserts[0].token.rpartition("-")[2]
    tokens = [f"{TRADES}-1-0-9-{version}", f"{TRADES}-1-10-19-{version}"]
    assert [insert.token for insert in kit.tables.inserts] == tokens


@pytest.mark.parametrize("bad", [[0], [3], [19], [3, 4, 5], [18, 19], list(range(20))])
def test_a_refused_record_is_a_dead_letter_and_is_passed_once(kit, trades, bad) -> None:
    """Also at the end of the log, where no row shows how far the sink has come, and after a restart."""
    values = trades(20)
    for offset in bad:
        values[offset] = b"not a record"
    kit.write(TRADES, values)
    good = [offset for offset in range(20) if offset not in bad]
    for _ in range(2):
        kit.run(
            kit.pipeline([TRADES]),
            lambda: len(kit.tables.offsets(TRADES)) >= len(good) and len(kit.tables.after) >= len(bad),
        )
    assert kit.tables.offsets(TRADES) == good
    assert [refused.offset for refused in kit.tables.after] == bad
    headers = [dict(stored.headers) for stored in letters(kit)]
    assert [int(h["x-dlq-source-offset"]) for h in headers] == bad
    assert {h["x-dlq-reason"] for h in headers} == {b"bad_magic"}


def test_the_letter_is_in_the_log_before_the_position_passes_the_record(kit, trades) -> None:
    kit.write(TRADES, [*trades(2), b"not a record"])

    def dies(insert):
        if insert.table == "sink_deadletter":
            assert len(letters(kit)) == 1
            raise StoreRefused("the process ends here")

    kit.tables.obstacle = dies
    with pytest.raises(StoreRefused):
        kit.run(kit.pipeline([TRADES]), lambda: False)
    assert kit.tables.after == []


def test_a_failed_insert_ends_the_process_and_the_next_one_repeats_it(kit, trades) -> None:
    kit.write(TRADES, trades(10))
    kit.tables.obstacle = raising(StoreRefused("code: 60"))
    with pytest.raises(StoreRefused):
        kit.run(kit.pipeline([TRADES]), lambda: False)
    kit.tables.obstacle = passing
    kit.run(kit.pipeline([TRADES]), lambda: len(kit.tables.offsets(TRADES)) >= 10)
    assert kit.tables.offsets(TRADES) == list(range(10))


def test_a_table_that_does_not_answer_holds_back_its_topic_and_no_other(kit, trades, codecs, examples) -> None:
    """Memory stays bounded by what a lane may hold; the other topic goes on; then everything arrives."""
    kit.write(TRADES, trades(400))
    answering = threading.Event()
    kit.tables.obstacle = lambda insert: insert.table != "market_trades" or answering.wait(20)
    ticker = dataclasses.replace(examples[TICKERS][0], second=JANUARY)
    pipeline = kit.pipeline([TRADES, TICKERS], limits=Limits(rows=20, bytes=2_000, age_s=0.001))
    lane = pipeline._lanes[TopicPartition(TRADES, 1)]
    pipeline._consumer.consume = bounded(pipeline._consumer.consume)
    kit.write(TICKERS, [codecs.encode(TICKERS, ticker)] * 300)
    held = []

    def halfway() -> bool:
        held.append(lane.bytes)
        if len(kit.tables.offsets(TICKERS)) >= 300 and not answering.is_set():
            assert lane.paused
            answering.set()
        return len(kit.tables.offsets(TRADES)) >= 400

    kit.run(pipeline, halfway)
    assert max(held) < 2_000 * 2 + 30 * 400, "limit plus one delivery"
    assert kit.tables.offsets(TRADES) == list(range(400))


def bounded(consume):
    """A broker delivers in portions, not all at once as the one in memory does."""

    def few(max_records, timeout_s):
        time.sleep(0.001)
        return consume(20, timeout_s)

    return few


def test_a_stop_stores_what_is_held(kit, trades) -> None:
    kit.write(TRADES, trades(50))
    pipeline = kit.pipeline([TRADES], limits=Limits(rows=1000, bytes=2**20, age_s=3600))
    lane = pipeline._lanes[TopicPartition(TRADES, 1)]
    kit.run(pipeline, lambda: lane.next_offset == 50)
    assert kit.tables.offsets(TRADES) == list(range(50))


def test_offsets_are_committed_as_a_hint_behind_what_is_stored(kit, trades) -> None:
    kit.write(TRADES, trades(50))
    kit.run(kit.pipeline([TRADES]), lambda: len(kit.tables.offsets(TRADES)) >= 50)
    place = TopicPartition(TRADES, 1)
    assert kit.broker.consumer("sink").committed([place]) == {place: 50}


def test_an_error_nobody_foresaw_ends_the_process(kit, trades) -> None:
    """What a worker raises ends the loop, whatever it is."""
    kit.write(TRADES, trades(1))
    kit.tables.obstacle = raising(OperationalError("unexpected here"))
    with pytest.raises(OperationalError):
        kit.run(kit.pipeline([TRADES]), lambda: False)
