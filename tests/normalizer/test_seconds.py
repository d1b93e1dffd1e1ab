"""A second of raw records comes to a closed second of market records: what, in which order, counted how."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.records import RawMessage
from normalizer.limits import Limits
from normalizer.seconds import Normalizer, StateVersionError
from streamkit.core import CloseSecond, Input, Output, RawSecond, Reject

Frame = Callable[..., RawMessage]
Play = Callable[[list[RawMessage]], Any]
OPTION = "BTC-4DEC26-90000-C"
EXPIRY = 1_796_371_200 - 1_795_250_400
"""Seconds from START to the option's expiry."""


def test_outputs_of_a_market_come_grouped_and_then_its_close(deribit: Frame, binance: Frame, play: Play) -> None:
    """Markets by (venue, underlying); in each: prints, instruments, books, tickers, close; nothing after its close."""
    frames = [
        binance("trade"), binance("depth_usdm"), binance("book_ticker_spot", venue="binance-spot"),
        deribit("option_ticker"), deribit("instruments"), deribit("option_trade"), deribit("book_snapshot"),
        deribit("linear_option_trade", underlying="SOL"),
    ]  # fmt: skip
    shown = [
        (item.venue, item.underlying) if isinstance(item, CloseSecond) else item.topic for item in play(frames).items
    ]
    assert shown == [
        "market.tickers", ("binance-spot", "BTC"),
        "market.trades", "market.books", "market.tickers", ("binance-usdm", "BTC"),
        "market.trades", "market.instruments", "market.instruments", "market.books", "market.tickers",
        "market.tickers", ("deribit", "BTC"),
        "market.trades", "market.tickers", ("deribit", "SOL"),
    ]  # fmt: skip


def test_outputs_are_keyed_by_instrument_and_stamped_with_their_second(deribit: Frame, play: Play) -> None:
    """Key: instrument; Kafka time: the second, in ms, whatever the receive time within it."""
    played = play([deribit("option_ticker", 3.7), deribit("option_trade", 3.9)])
    outputs = [item for item in played.items if isinstance(item, Output)]
    assert {output.key for output in outputs} == {OPTION}
    assert {output.timestamp_ms for output in outputs} == {1_795_250_403_000}


def test_idle_seconds_are_emitted(deribit: Frame, heartbeat: Callable[..., RawMessage], play: Play) -> None:
    """A second with a heartbeat only has its books, tickers and close, older by a second, with no received_ts."""
    played = play([deribit("option_ticker", 0.5), deribit("book_snapshot", 0.5), heartbeat("deribit", 1.0)])
    assert [(book.age_ms, book.n_updates) for book in played.books] == [(500, 1), (1500, 0)]
    assert [record.quote_age_ms for record in played.records("market.tickers") if record.instrument == OPTION] == [
        500,
        1500,
    ]
    idle = played.closes[-1]
    assert (idle.received_ts, idle.input_records, idle.skipped_seconds) == (None, 0, 0)


def test_seconds_that_do_not_exist_are_counted_as_skipped(deribit: Frame, play: Play) -> None:
    """Nothing is emitted for them; the next close says how many there were."""
    closes = play([deribit("option_ticker", 0.5), deribit("option_ticker", 5.5)]).closes
    assert [(close.second - 1_795_250_400, close.skipped_seconds) for close in closes] == [(0, 0), (5, 4)]


def test_every_input_is_accounted_for(deribit: Frame, raw: Frame, play: Play) -> None:
    """Frames, good or refused, and connection events count; heartbeats do not; the time is that of the last."""
    records = [
        deribit("option_ticker", 0.1),
        raw("deribit", b"{", 0.2),
        raw("deribit", b"lost", 0.3, kind="disconnect", underlying=""),
        raw("deribit", at=0.9, kind="heartbeat", underlying=""),
    ]
    played = play(records)
    close = played.closes[0]
    assert (close.input_records, close.rejected_records, len(played.rejects)) == (3, 1, 1)
    assert close.received_ts == 1_795_250_400_300_000


def test_a_frame_without_an_underlying_is_refused(deribit: Frame, play: Play) -> None:
    """Without it nobody knows whose second it belongs to."""
    played = play([deribit("option_ticker", underlying="")])
    assert [reject.reason for reject in played.rejects] == ["missing_underlying"]
    assert not played.closes


@pytest.mark.parametrize("kind", ["disconnect", "gap"])
@pytest.mark.parametrize("underlying", ["", "BTC"])
def test_a_lost_connection_gaps_the_books_it_fed(
    deribit: Frame, raw: Frame, play: Play, kind: str, underlying: str
) -> None:
    """Those of the connection, and only those, until the next snapshot; levels are empty meanwhile."""
    other = {"instrument_name": "BTC-25DEC26"}
    frames = [deribit("book_snapshot"), deribit("book_snapshot", change=other, conn_id="deribit-1")]
    lost = raw("deribit", b"closed", 1.0, kind=kind, underlying=underlying, conn_id="deribit-0")
    played = play([*frames, lost, deribit("book_snapshot", 2.0)])
    perpetual = [book for book in played.books if book.instrument == "BTC-PERPETUAL"]
    assert [(book.gap, book.n_bids) for book in perpetual] == [(False, 2), (True, 0), (False, 2)]
    assert not any(book.gap for book in played.books if book.instrument == "BTC-25DEC26")


def test_a_gap_record_gaps_its_instrument_only(deribit: Frame, raw: Frame, play: Play) -> None:
    """The other books of the connection go on."""
    other = deribit("book_snapshot", change={"instrument_name": "BTC-25DEC26"})
    gap = raw("deribit", b"hole", 1.0, kind="gap", instrument="BTC-PERPETUAL")
    books = play([deribit("book_snapshot"), other, gap]).books[-2:]
    assert [(book.instrument, book.gap) for book in books] == [("BTC-25DEC26", False), ("BTC-PERPETUAL", True)]


def test_connect_changes_nothing(deribit: Frame, raw: Frame, play: Play) -> None:
    """It only counts."""
    connect = raw("deribit", b"", 1.0, kind="connect")
    assert not play([deribit("book_snapshot"), connect]).books[-1].gap


def test_duplicate_trades_are_dropped_and_counted(deribit: Frame, play: Play, core: Normalizer) -> None:
    """By instrument and trade id, also seconds apart; the same id on another instrument is another trade."""
    other = {"instrument_name": "BTC-4DEC26-95000-C"}
    played = play([deribit("option_trade"), deribit("option_trade", 3.0), deribit("option_trade", 3.0, other)])
    assert [trade.instrument for trade in played.trades] == [OPTION, "BTC-4DEC26-95000-C"]
    assert core.counts()["deribit", "BTC"]["trades_duplicate"] == 1


def test_the_memory_of_trade_ids_is_bounded(deribit: Frame) -> None:
    """What fell out of the window is taken for new: the window must span what the venue may repeat."""
    core = Normalizer(Limits(dedupe_window=2))
    ids = ["1", "2", "3", "1", "3"]
    frames = [deribit("option_trade", change={"trade_id": i}) for i in ids]
    unit = RawSecond(1_795_250_400, {"raw.deribit": [_input(frame) for frame in frames]})
    trades = [item for item in core.step(unit) if isinstance(item, Output) and item.topic == "market.trades"]
    assert [output.record.trade_id for output in trades] == ["1", "2", "3", "1"]


def _input(record: RawMessage) -> Any:
    return Input("raw.deribit", 2, 0, b"", 0, record)


def test_trades_out_of_order_are_flagged_and_leave_the_last_price(deribit: Frame, play: Play) -> None:
    """By the venue's sequence number; the older print still comes out."""
    late = {"trade_seq": 40, "trade_id": "400", "price": 0.02}
    played = play([deribit("option_trade"), deribit("option_trade", 0.5, late)])
    assert ["out_of_order" in trade.quality for trade in played.trades] == [False, True]
    assert played.ticker(OPTION).last_price == 0.0128


def test_last_price_ages_from_the_trade_not_from_its_repetition(deribit: Frame, play: Play) -> None:
    """Every ticker frame repeats the last price: its age goes on until it changes."""
    repeat = {"timestamp": 1795250402000}
    changed = {"timestamp": 1795250404000, "last_price": 0.0126}
    first = play([deribit("option_ticker"), deribit("option_ticker", 2.0, repeat)]).ticker(OPTION)
    second = play([deribit("option_ticker", 4.0, changed)]).ticker(OPTION)
    assert (first.last_age_ms, first.mark_age_ms) == (3000, 1000)
    assert (second.last_price, second.last_age_ms) == (0.0126, 1000)


def test_an_expired_instrument_gets_a_tombstone_and_is_gone(
    deribit: Frame, heartbeat: Callable[..., RawMessage], play: Play
) -> None:
    """The second before expiry still has its ticker; the expiry second has the tombstone and nothing else of it."""
    play([deribit("instruments"), deribit("option_ticker")])
    before = play([heartbeat("deribit", EXPIRY - 1)])
    at = play([heartbeat("deribit", EXPIRY)])
    assert before.ticker(OPTION).expiry_ts == 1_796_371_200_000_000
    assert not before.outputs("market.instruments")
    assert [(output.key, output.record) for output in at.outputs("market.instruments")] == [(OPTION, None)]
    assert {record.instrument for record in at.records("market.tickers")} == {"BTC-PERPETUAL"}


def test_what_comes_after_expiry_does_not_bring_the_instrument_back(
    deribit: Frame, play: Play, core: Normalizer
) -> None:
    """A late ticker is passed over; a late print is real, comes out flagged, and leaves no state."""
    stamp = {"timestamp": 1796371200500}
    play([deribit("instruments"), deribit("option_ticker")])
    late = play([deribit("option_ticker", EXPIRY + 1, stamp), deribit("option_trade", EXPIRY + 1)])
    assert late.trades[0].quality == ("after_expiry",)
    assert {record.instrument for record in late.records("market.tickers")} == {"BTC-PERPETUAL"}
    assert core.counts()["deribit", "BTC"]["after_expiry"] == 2


def test_reference_data_is_emitted_when_it_changes_only(deribit: Frame, play: Play) -> None:
    """The same list again is no news; a changed tick size and an announced state are."""
    first = play([deribit("instruments"), deribit("instruments", 0.5)])
    again = play([deribit("instruments", 1.0)])
    changed = play([deribit("instruments", 2.0, {"tick_size": 0.0005})])
    closed = play([deribit("state_change", 3.0)])
    assert [record.instrument for record in first.instruments] == [OPTION, "BTC-PERPETUAL"]
    assert not again.instruments
    assert {record.price_tick for record in changed.instruments} == {0.0005}
    assert [(record.instrument, record.state) for record in closed.instruments] == [(OPTION, "closed")]
    assert closed.ticker(OPTION).state == "closed"


def test_reference_data_says_what_the_contract_needs(deribit: Frame, play: Play) -> None:
    """Kind, strike, expiry, currencies, steps; a perpetual's expiry in the year 3000 is none."""
    option, perpetual = play([deribit("instruments")]).instruments
    assert (option.kind, option.strike, option.option_type, option.expiry_ts) == (
        "option", 90_000.0, "call", 1_796_371_200_000_000,
    )  # fmt: skip
    assert (option.quote_currency, option.settlement_currency, option.contract_size) == ("BTC", "BTC", 1.0)
    assert (perpetual.kind, perpetual.expiry_ts, perpetual.quote_currency) == ("perpetual", None, "USD")
    assert (perpetual.price_tick, perpetual.amount_step, perpetual.linear) == (0.5, 10.0, False)


def test_a_listing_without_contract_size_lists_but_is_no_reference(deribit: Frame, play: Play, absent: object) -> None:
    """A poorer recording is no reason to invent a size: no Instrument record, and the ticker says so."""
    played = play([deribit("instruments", change={"contract_size": absent}), deribit("option_ticker")])
    assert not played.instruments
    assert not played.rejects
    assert played.ticker(OPTION).quality == ("no_reference",)


def test_instruments_held_are_bounded(deribit: Frame) -> None:
    """A venue (or somebody) that invents symbols without end is refused, not obeyed."""
    core = Normalizer(Limits(max_instruments=2))
    frames = [deribit("option_ticker", change={"instrument_name": f"BTC-4DEC26-{strike}-C"}) for strike in (1, 2, 3)]
    items = list(core.step(RawSecond(1_795_250_400, {"raw.deribit": [_input(frame) for frame in frames]})))
    assert [item.reason for item in items if not isinstance(item, Output | CloseSecond)] == ["too_many_instruments"]


def test_a_ticker_shows_nothing_it_does_not_know(deribit: Frame, play: Play) -> None:
    """An instrument that is only listed has a ticker of nulls, with its reference and null ages."""
    ticker = play([deribit("instruments")]).ticker(OPTION)
    assert (ticker.strike, ticker.contract_size, ticker.state) == (90_000.0, 1.0, "open")
    ages = [getattr(ticker, name) for name in ticker.__slots__ if name.endswith("_age_ms")]
    assert len(ages) == 9
    assert set(ages) == {None}


def test_a_snapshot_of_another_version_is_refused_with_a_remedy() -> None:
    """It is not guessed at."""
    with pytest.raises(StateVersionError, match="new run id"):
        Normalizer(Limits()).restore(b'{"version":0,"markets":[]}')


def test_frames_of_one_second_may_be_of_several_venues_and_do_not_mix(
    deribit: Frame, binance: Frame, play: Play
) -> None:
    """The same underlying at two venues is two markets, each with its own count."""
    closes = play([deribit("option_ticker"), binance("trade"), binance("trade", change={"t": 9})]).closes
    assert [(close.venue, close.input_records) for close in closes] == [("binance-usdm", 2), ("deribit", 1)]


def test_dead_letters_come_by_topic_name_not_by_arrival(raw: Frame) -> None:
    """Whichever topic the unit names first."""
    logs = {f"raw.{venue}": [_input(raw(venue, b"{"))] for venue in ("deribit", "binance-usdm")}
    turned = [RawSecond(1_795_250_400, logs), RawSecond(1_795_250_400, dict(reversed(logs.items())))]
    shown = [
        [item.source.value.venue for item in Normalizer(Limits()).step(unit) if isinstance(item, Reject)]
        for unit in turned
    ]
    assert shown == [["binance-usdm", "deribit"]] * 2


def test_a_torn_frame_on_a_channel_that_is_no_book_gaps_nothing(deribit: Frame, play: Play) -> None:
    """Only book channels lose a book by it."""
    ticker = deribit("perpetual_ticker", 1.0)
    played = play([deribit("book_snapshot"), replace(ticker, payload=ticker.payload[:-5])])
    assert len(played.rejects) == 1
    assert not played.books[-1].gap
