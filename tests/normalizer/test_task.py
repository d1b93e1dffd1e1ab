"""The normalizer on the run loop's task: its records encode, and batches do not show in a byte of what is written."""

from collections.abc import Callable

import pytest

from contracts.records import RawMessage
from contracts.topics import TOPICS
from contracts.wire import Codecs
from normalizer.limits import Limits
from normalizer.pipeline import pipeline
from streamkit.drive import Fed, decoded, drive

Frame = Callable[..., RawMessage]


@pytest.fixture
def logs(deribit: Frame, binance: Frame, raw: Frame) -> dict[str, list[Fed]]:
    """Three raw topics, three seconds, something of everything, and the heartbeats that close them."""
    records = [
        deribit("instruments"), deribit("option_ticker", 0.1), deribit("perpetual_ticker", 0.2),
        deribit("book_snapshot", 0.3), deribit("option_trade", 0.4), deribit("option_trade", 0.5),
        deribit("index", 0.6),
        deribit("perpetual_trade", 1.0, {"liquidation": "MT"}), deribit("book_change", 1.1), raw("deribit", b"{", 1.2),
        deribit("funding_history", 1.5, channel="rest:get_funding_rate_history", instrument="BTC-PERPETUAL"),
        deribit("state_change", 2.0), raw("deribit", b"lost", 2.5, kind="disconnect", underlying=""),
        binance("depth_usdm", 0.1), binance("depth_answer", 0.2), binance("trade", 0.3), binance("force_order", 1.0),
        binance("mark_price", 1.1), binance("book_ticker_spot", 0.2, venue="binance-spot"),
        *(raw(venue, at=3.0, kind="heartbeat", underlying="") for venue in ("deribit", "binance-usdm", "binance-spot")),
    ]  # fmt: skip
    fed: dict[str, list[Fed]] = {}
    for record in records:
        fed.setdefault(f"raw.{record.venue}", []).append(Fed("", record, record.received_ts // 1000))
    return fed


def test_every_kind_of_output_is_written_and_read_back(logs: dict[str, list[Fed]]) -> None:
    """All six market topics, the clock and the dead letters, in the codec of the contract."""
    codecs = Codecs.offline()
    outputs = drive(pipeline(("binance-spot", "binance-usdm", "deribit"), Limits()), logs, codecs)
    assert outputs.keys() == {name for name, topic in TOPICS.items() if "normalizer" in topic.producers} - {
        "normalizer.checkpoint"
    }
    for topic, written in outputs.items():
        assert all(type(record) is TOPICS[topic].record for record in decoded(codecs, written)), topic


def test_the_clock_counts_what_was_written(logs: dict[str, list[Fed]]) -> None:
    """Per (venue, underlying): seconds 0 to 2, and as many records in all as each topic has."""
    codecs = Codecs.offline()
    outputs = drive(pipeline(("binance-spot", "binance-usdm", "deribit"), Limits()), logs, codecs)
    clocks = decoded(codecs, outputs["market.clock"])
    assert len(clocks) == 9
    for topic in ("market.trades", "market.books", "market.tickers", "market.instruments"):
        counted = sum(entry.records for clock in clocks for entry in clock.topics if entry.topic == topic)
        assert counted == len(outputs[topic])


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_batches_do_not_show(logs: dict[str, list[Fed]], batch: int) -> None:
    """Fed one by one, by twos or by sevens, every topic is the same bytes in the same order."""
    codecs, wired = Codecs.offline(), pipeline(("binance-spot", "binance-usdm", "deribit"), Limits())
    assert drive(wired, logs, codecs, batch=batch) == drive(wired, logs, codecs)
