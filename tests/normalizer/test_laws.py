"""Laws of the core: where a snapshot is taken and how records arrive must not show in what comes out."""

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.records import RawMessage
from normalizer.limits import Limits
from normalizer.seconds import Normalizer
from streamkit.core import Item, RawSecond

Frame = Callable[..., RawMessage]

fixtures_are_pure = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
STEPS = st.lists(st.tuples(st.integers(0, 41), st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=60)
"""(which frame, seconds to advance, a figure that varies it)"""


CHECKED = {"seqId": None, "prevSeqId": None, "bids": [["88000", "1", "0", "1"]], "asks": [["88000.10", "2", "0", "1"]]}
SUMS = (zlib.crc32(b"88000:1:88000.10:2") - 2**32 * (zlib.crc32(b"88000:1:88000.10:2") >> 31), 7)
"""The checksum of that book, and one that it does not have."""

Scripted = Callable[[list[tuple[int, int, int]]], list[RawSecond]]


@pytest.fixture
def script(
    *, deribit: Frame, binance: Frame, bybit: Frame, okx: Frame, bitmex: Frame, raw: Frame, seconds_of: Any
) -> Scripted:
    """Turn drawn steps into units: any frame in any order, sensible or not, duplicates and gaps included."""

    def frame(choice: int, at: float, figure: int, offset: int) -> RawMessage:
        makers: list[Callable[[], RawMessage]] = [
            lambda: deribit("option_ticker", at, {"mark_iv": 40.0 + figure}),
            lambda: deribit("perpetual_ticker", at, {"mark_price": 88_000.0 + 3000 * figure}),
            lambda: deribit("incremental_change", at, {"timestamp": 1795250400000 + 100 * offset}),
            lambda: deribit("option_trade", at, {"trade_id": str(figure), "trade_seq": figure}),
            lambda: deribit("perpetual_trade", at, {"trade_id": str(offset), "liquidation": "MT"}),
            lambda: deribit("instruments", at, {"tick_size": 0.5 + figure}),
            lambda: deribit("book_snapshot", at),
            lambda: deribit("book_change", at, {"prev_change_id": 100 + figure, "change_id": 101 + figure}),
            lambda: deribit("index", at, {"price": 88_000.0 + figure}),
            lambda: deribit("state_change", at, {"state": "closed" if figure else "started"}),
            lambda: binance("trade", at, {"t": figure}),
            lambda: binance("book_ticker_usdm", at, {"b": f"{88_000 + figure}.00"}),
            lambda: binance("mark_price", at, {"T": 1795276800000 + 28_800_000 * figure}),
            lambda: binance("depth_usdm", at, {"U": 100 + figure, "u": 105 + figure, "pu": 99 + figure}),
            lambda: binance("depth_answer", at, {"lastUpdateId": 100 + figure}),
            lambda: binance("force_order", at),
            lambda: raw("deribit", b"{", at, channel="book.BTC-PERPETUAL.100ms"),
            lambda: raw("deribit", b"lost", at, kind="disconnect", underlying=""),
            lambda: raw("binance-usdm", b"hole", at, kind="gap", instrument="BTCUSDT"),
            lambda: raw("deribit", b"", at, kind="heartbeat", underlying=""),
            lambda: raw("binance-usdm", b"}", at),
            lambda: bybit("rest:instruments", at),
            lambda: bybit("ticker_delta", at, {"nextFundingTime": f"{1795276800000 + 28_800_000 * figure}"}),
            lambda: bybit("trade", at, {"i": str(figure)}),
            lambda: bybit("book_snapshot", at, {"u": figure}),
            lambda: bybit("book_delta", at, {"u": 1 + figure}),
            lambda: okx("rest:instruments", at),
            lambda: okx("trade", at, {"tradeId": str(figure)}),
            lambda: okx("book_snapshot", at, {"seqId": 100 + figure}),
            lambda: okx("book_update", at, {"prevSeqId": 100 + figure}),
            lambda: okx("book_snapshot", at, {**CHECKED, "checksum": SUMS[figure % 2]}),
            lambda: okx("book_update", at, {**CHECKED, "checksum": SUMS[figure % 2]}),
            lambda: okx("liquidation", at),
            lambda: bitmex("quanto_instrument", at, underlying="ETH"),
            lambda: bitmex("quanto_trade", at, {"trdMatchID": str(figure), "size": 1 + figure}, underlying="ETH"),
            lambda: bitmex("liquidation", at, {"symbol": "ETHUSD", "orderID": str(figure)}, underlying="ETH"),
            lambda: bitmex("instrument_update", at, {"openInterest": figure}),
            lambda: bitmex("book_partial", at),
            lambda: bitmex("book_insert", at, {"id": 11 + figure}),
            lambda: bitmex("book_update", at, {"id": 11 + figure}),
            lambda: bitmex("book_delete", at, {"id": 11 + figure}),
            lambda: raw("okx", b"lost", at, kind="disconnect", underlying=""),
        ]
        return makers[choice]()

    def units(steps: list[tuple[int, int, int]]) -> list[RawSecond]:
        records, at = [], 0.0
        for offset, (choice, advance, figure) in enumerate(steps):
            at += advance or 0.125
            records.append(frame(choice, at, figure, offset))
        return seconds_of(records)

    return units


def run(core: Normalizer, units: list[RawSecond]) -> list[Item]:
    return [item for unit in units for item in core.step(unit)]


@fixtures_are_pure
@given(steps=STEPS, data=st.data())
def test_restoring_at_any_second_changes_nothing(
    script: Scripted, steps: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """restore(snapshot()) between any two units gives the same items from there on, and the same state at the end."""
    units = script(steps)
    cut = data.draw(st.integers(0, len(units)))
    whole = Normalizer(Limits(dedupe_window=4))
    first, resumed = Normalizer(Limits(dedupe_window=4)), Normalizer(Limits(dedupe_window=4))
    expected = run(whole, units)
    before = run(first, units[:cut])
    resumed.restore(first.snapshot())
    assert before + run(resumed, units[cut:]) == expected
    assert resumed.snapshot() == whole.snapshot()


@fixtures_are_pure
@given(steps=STEPS)
def test_the_order_in_which_topics_are_handed_over_does_not_matter(
    script: Scripted, steps: list[tuple[int, int, int]]
) -> None:
    """A unit is a set of logs: whichever topic comes first in it, the items are the same, in the same order."""
    units = script(steps)
    turned = [RawSecond(unit.second, dict(reversed(unit.records.items()))) for unit in units]
    assert run(Normalizer(Limits()), units) == run(Normalizer(Limits()), turned)


@fixtures_are_pure
@given(steps=STEPS)
def test_every_record_is_counted_once(script: Scripted, steps: list[tuple[int, int, int]]) -> None:
    """Over all closes: inputs are the frames and instrument events, rejects the dead letters."""
    units = script(steps)
    items = run(Normalizer(Limits()), units)
    named = [i for unit in units for log in unit.records.values() for i in log if i.value.underlying]
    whole = [i for unit in units for log in unit.records.values() for i in log if i.value.kind == "disconnect"]
    counted = sum(getattr(item, "input_records", 0) for item in items)
    assert len(named) <= counted <= len(named) + len(whole)
    rejects = [item for item in items if hasattr(item, "reason")]
    assert sum(getattr(item, "rejected_records", 0) for item in items) == len(rejects)
