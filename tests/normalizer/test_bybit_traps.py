"""Bybit's traps, each by name; on real messages where the recordings have them."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from contracts.records import RawMessage
from normalizer.bybit_symbols import read_symbol
from normalizer.events import BadMessage

OPTION = "BTC-4DEC26-90000-C-USDT"
Frame = Callable[..., RawMessage]
Play = Callable[[list[RawMessage]], Any]


def test_side_of_a_trade_is_the_takers(bybit: Frame, play: Play) -> None:
    """`S` of publicTrade is passed on."""
    trade = play([bybit("trade")]).trades[0]
    assert (trade.taker_side, trade.price, trade.amount_base) == ("sell", 88000.10, 0.25)
    assert trade.notional_usd == 88000.10 * 0.25


@pytest.mark.shared_data
def test_real_inverse_trades_are_in_usd(shape: Frame, play: Play) -> None:
    """5,823 contracts of BTCUSD are 5,823 USD; every print of the frame is one."""
    trades = play([shape("bybit", "bybit", "publicTrade.BTCUSD", sent=1680673824)]).trades
    assert [trade.notional_usd for trade in trades] == [5823.0, 3.0, 5593.0]
    assert trades[0].amount_base == 5823 / 28560.5
    assert {trade.kind for trade in trades} == {"perpetual"}


@pytest.mark.shared_data
def test_real_option_trade_is_in_base_coin_without_a_notional_it_does_not_say(shape: Frame, play: Play) -> None:
    """0.01 BTC; messages of 2023 have no index price, so USD at the index is not known."""
    trade = play([shape("bybit", "bybit-options", "publicTrade.BTC", sent=1680652922.2)]).trades[0]
    assert (trade.instrument, trade.taker_side, trade.amount_base) == ("BTC-28APR23-29500-C", "sell", 0.01)
    assert (trade.notional_usd, trade.index_price, trade.kind) == (None, None, "option")


def test_option_trade_carries_mark_index_and_a_decimal_iv(bybit: Frame, play: Play) -> None:
    """USD size at the index; the block flag has no id of its own, the print's stands for it."""
    trade = play([bybit("option_trade")]).trades[0]
    assert (trade.amount_base, trade.notional_usd, trade.iv) == (2.0, 176_000.0, 0.405)
    assert (trade.mark_price, trade.index_price, trade.block_trade_id) == (990.5, 88_000.0, "7201")


@pytest.mark.shared_data
def test_real_sell_liquidation_is_a_short(shape: Frame, play: Play) -> None:
    """`allLiquidation` names the position's side, and is complete: not censored."""
    raw = shape("bybit", "bybit", "allLiquidation.PIPPINUSDT", sent=1740480208, underlying="PIPPIN")
    found = play([raw]).records("market.liquidations")
    assert [(one.liquidated_side, one.price, one.amount_base, one.censored) for one in found] == [
        ("short", 0.02456, 2846.0, False)
    ]
    assert found[0].notional_usd == 0.02456 * 2846


def test_buy_liquidation_is_a_long_and_twins_in_one_frame_are_two(bybit: Frame, play: Play, core: Any) -> None:
    """The feed has no ids: two alike in a frame are two liquidations, the same frame again is none."""
    found = play([bybit("all_liquidation"), bybit("all_liquidation", 0.5)]).records("market.liquidations")
    assert [(one.liquidated_side, one.amount_base, one.notional_usd) for one in found] == [("long", 0.4, 35_000.0)] * 2
    assert core.counts()["bybit", "BTC"]["liquidations_duplicate"] == 2


@pytest.mark.shared_data
def test_real_message_of_the_older_feed_is_censored(shape: Frame, play: Play) -> None:
    """`liquidation` (until 2025) showed one a second; its side is the position's too, inverse sizes are USD."""
    raw = shape("bybit", "bybit", '"liquidation.XRPUSD"', sent=1680673945, underlying="XRP")
    found = play([raw]).records("market.liquidations")[0]
    assert (found.liquidated_side, found.notional_usd, found.censored) == ("short", 6949.0, True)
    assert found.amount_base == 6949 / 0.5149


@pytest.mark.shared_data
def test_real_inverse_ticker_counts_in_usd_and_its_delta_changes_only_what_it_names(shape: Frame, play: Play) -> None:
    """Open interest is USD, base-coin volume the turnover; a delta leaves the last price and the mark as they were."""
    whole = shape("bybit", "bybit", '"tickers.BTCUSD","type":"snapshot"', sent=1680673823)
    change = shape("bybit", "bybit", '"tickers.BTCUSD","type":"delta"', sent=1680673825)
    ticker = play([whole, change]).ticker("BTCUSD")
    assert (ticker.open_interest_usd, ticker.open_interest_base) == (449736674.0, None)
    assert (ticker.volume_24h_base, ticker.last_price, ticker.mark_price) == (23389.1894, 28560.0, 28560.0)
    assert (ticker.bid_price, ticker.ask_amount, ticker.linear) == (28560.0, 70817.0, False)
    assert (ticker.funding_rate, ticker.next_funding_ts) == (0.0001, 1_680_681_600_000_000)
    assert ticker.mark_age_ms == ticker.quote_age_ms + 2000


@pytest.mark.shared_data
def test_real_delivery_contract_has_no_funding(shape: Frame, play: Play) -> None:
    """An empty rate and time are "none"; kind and expiry (last Friday of September 2023, 08:00) are the symbol's."""
    ticker = play([shape("bybit", "bybit", '"tickers.BTCUSDU23","type":"snapshot"', sent=1680673823)]).ticker(
        "BTCUSDU23"
    )
    assert (ticker.kind, ticker.expiry_ts, ticker.mark_price) == ("future", 1_695_974_400_000_000, 29023.6)
    assert (ticker.funding_rate, ticker.next_funding_ts, ticker.funding_age_ms) == (None, None, None)


@pytest.mark.shared_data
def test_real_option_ticker_has_decimal_ivs_and_greeks_of_the_contract(shape: Frame, play: Play) -> None:
    """Vega is USD per vol point, theta USD per day (checked against Black-76 in conventions); ask 0 is no ask."""
    raw = shape("bybit", "bybit-options", "tickers.ETH-30JUN23-200-P", sent=1680652860, underlying="ETH")
    ticker = play([raw]).ticker("ETH-30JUN23-200-P")
    assert (ticker.option_type, ticker.strike, ticker.expiry_ts) == ("put", 200.0, 1_688_112_000_000_000)
    assert (ticker.bid_iv, ticker.mark_iv, ticker.ask_iv, ticker.ask_price) == (1.4744, 1.5991, None, None)
    assert (ticker.venue_delta, ticker.venue_vega) == (-0.00052953, 0.01719155)
    assert (ticker.underlying_price, ticker.index_price, ticker.open_interest_base) == (1886.16, 1871.27, 231.5)


@pytest.mark.shared_data
def test_real_greeks_are_per_vol_point_and_per_day_in_dollars(shape: Frame, play: Play) -> None:
    """Black-76 from the same message's forward, strike and mark iv, to the seconds: vega/100, theta/365."""
    raw = shape("bybit", "bybit-options", "tickers.SOL-28APR23-24-C", sent=1680652811, underlying="SOL")
    ticker = play([raw]).ticker("SOL-28APR23-24-C")
    years = (ticker.expiry_ts - ticker.exchange_ts) / 1e6 / 86_400 / 365
    spread = ticker.mark_iv * math.sqrt(years)
    d1 = math.log(ticker.underlying_price / ticker.strike) / spread + spread / 2
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    vega = ticker.underlying_price * density * math.sqrt(years)
    assert ticker.venue_vega == pytest.approx(vega / 100, rel=0.002)
    assert ticker.venue_theta == pytest.approx(-vega * ticker.mark_iv / (2 * years) / 365, rel=0.002)
    assert ticker.venue_gamma == pytest.approx(density / (ticker.underlying_price * spread), rel=0.002)


@pytest.mark.shared_data
def test_real_empty_option_book_is_a_book(shape: Frame, play: Play) -> None:
    """A snapshot with u 0 and no levels says that there are no quotes, which is not a gap."""
    book = play([shape("bybit", "bybit-options", "orderbook.25.BTC-30JUN23-45000-P", sent=1680652791)]).books[-1]
    assert (book.gap, book.n_bids, book.n_asks, book.last_update_id) == (False, 0, 0, 0)


@pytest.mark.shared_data
def test_real_delta_follows_its_snapshot_by_one(shape: Frame, play: Play) -> None:
    """u 24641 then 24642: an ask moves from 1.74 to 1.75."""
    stream = "orderbook.25.SOL-28APR23-30-C"
    records = [
        shape("bybit", "bybit-options", stream, f'"type":"{kind}"', sent=1680652800 + at, underlying="SOL")
        for at, kind in enumerate(("snapshot", "delta"))
    ]
    book = play(records).books[-1]
    assert (book.gap, book.best_bid, book.best_ask, book.last_update_id) == (False, 0.01, 1.75, 24642)


def test_a_hole_in_u_gaps_that_instrument_only(bybit: Frame, play: Play) -> None:
    """u 103 after 100 is a gap of BTCUSDT until its next snapshot; BTCUSD, on the same connection, stands."""
    inverse = {"s": "BTCUSD", "u": 7}
    play([bybit("book_snapshot"), bybit("book_snapshot", change=inverse)])
    books = {book.instrument: book for book in play([bybit("book_delta", 1.0, {"u": 103})]).books}
    assert (books["BTCUSDT"].gap, books["BTCUSDT"].n_bids, books["BTCUSD"].gap) == (True, 0, False)
    assert play([bybit("book_delta", 2.0, {"u": 104})]).books[-1].gap
    assert not play([bybit("book_snapshot", 3.0, {"u": 105})]).books[-1].gap


def test_u_of_1_is_a_full_book_whatever_its_type(bybit: Frame, play: Play) -> None:
    """After a restart the venue counts from 1 and the message holds the whole book; smaller is not older."""
    play([bybit("book_snapshot")])
    book = play([bybit("book_delta", 1.0, {"u": 1})]).books[-1]
    assert (book.gap, book.n_bids, book.best_ask, book.last_update_id) == (False, 0, 88000.20, 1)
    assert not play([bybit("book_delta", 2.0, {"u": 2})]).books[-1].gap


def test_the_same_delta_twice_is_applied_once(bybit: Frame, play: Play, core: Any) -> None:
    """Repeated, not missing."""
    book = play([bybit("book_snapshot"), bybit("book_delta"), bybit("book_delta")]).books[-1]
    assert (book.gap, core.counts()["bybit", "BTC"]["book_stale"]) == (False, 1)


def test_a_number_below_the_last_is_a_gap_not_a_repetition(bybit: Frame, play: Play) -> None:
    """The venue restarted and its snapshot was lost: treating deltas as old would freeze the book for good."""
    play([bybit("book_snapshot")])
    assert play([bybit("book_delta", 1.0, {"u": 40})]).books[-1].gap


def test_nothing_is_inferred_when_the_next_funding_time_moves_on(bybit: Frame, play: Play) -> None:
    """The rate moves until it is paid, and a delta need not repeat it: what was paid is told by the history."""
    at = 1_795_276_800 - 1_795_250_400
    moved = {"fundingRate": "0.00005", "nextFundingTime": "1795305600000"}
    played = play([bybit("ticker", at - 1), bybit("ticker_delta", at + 1, moved)])
    assert not played.records("market.funding")
    ticker = played.ticker("BTCUSDT")
    assert (ticker.predicted_funding_rate, ticker.next_funding_ts) == (0.00005, 1_795_305_600_000_000)


def test_funding_history_gives_settled_payments_with_their_period(bybit: Frame, play: Play) -> None:
    """Newest first; 8 hours apart."""
    found = play([bybit("rest:funding-history")]).records("market.funding")
    assert [(one.settled_ts, one.rate, one.period_hours) for one in found] == [
        (1_795_248_000_000_000, 0.0001, 8.0),
        (1_795_219_200_000_000, -0.0002, 8.0),
    ]
    assert "inferred_rate" not in found[0].quality


def test_instruments_are_this_underlyings_with_their_contract(bybit: Frame, play: Play) -> None:
    """Linear and option sizes are coins, so a contract is one; another base coin of the same list is passed over."""
    listed = {one.instrument: one for one in play([bybit("rest:instruments")]).instruments}
    assert listed.keys() == {"BTCUSDT", OPTION}
    perpetual, option = listed["BTCUSDT"], listed[OPTION]
    assert (perpetual.kind, perpetual.linear, perpetual.contract_size) == ("perpetual", True, 1.0)
    assert (perpetual.price_tick, perpetual.amount_step, perpetual.state) == (0.1, 0.001, "open")
    assert (option.strike, option.option_type, option.expiry_ts) == (90_000.0, "call", 1_796_371_200_000_000)
    assert (option.quote_currency, option.settlement_currency) == ("USDT", "USDT")


def test_a_delivery_time_that_is_not_the_symbols_is_refused(bybit: Frame, play: Play) -> None:
    """Symbol or reference was misread: neither is believed."""
    answer = orjson.loads(bybit("rest:instruments").payload)
    answer["result"]["list"][2]["deliveryTime"] = "1796374800000"
    record = bybit("rest:instruments")
    (reject,) = play([replace(record, payload=orjson.dumps(answer))]).rejects
    assert (reject.reason, reject.detail.split(":")[0]) == ("bad_value", "deliveryTime")


def test_polled_open_interest_ends_with_the_newest(bybit: Frame, play: Play) -> None:
    """The answer lists newest first."""
    assert play([bybit("rest:open-interest")]).ticker("BTCUSDT").open_interest_base == 52_800.5


def test_long_short_ratios_are_understood_and_have_no_record(bybit: Frame, play: Play, core: Any) -> None:
    """They are counted as passed over, not refused."""
    assert not play([bybit("rest:long-short-ratio")]).rejects
    assert core.counts()["bybit", "BTC"] == {"ignored": 1}


def test_refused_subscription_is_a_venue_error(bybit: Frame, play: Play) -> None:
    """Both forms of refusal are loud; acknowledgements are not."""
    options = orjson.dumps({"success": True, "conn_id": "c", "data": {"failTopics": ["x"], "successTopics": []}})
    record = bybit("subscribed")
    rejects = play([record, bybit("refused"), replace(record, payload=options)]).rejects
    assert [reject.reason for reject in rejects] == ["venue_error", "venue_error"]


@pytest.mark.parametrize(
    ("symbol", "underlying", "kind", "linear", "expiry_ts"),
    [
        ("BTCUSDT", "BTC", "perpetual", True, None),
        ("BTCPERP", "BTC", "perpetual", True, None),
        ("BTCUSD", "BTC", "perpetual", False, None),
        ("1000PEPEUSDT", "1000PEPE", "perpetual", True, None),
        ("BTCUSDZ26", "BTC", "future", False, 1_798_185_600_000_000),
        ("BTC-25DEC26", "BTC", "future", True, 1_798_185_600_000_000),
        ("BTCUSDT-25DEC26", "BTC", "future", True, 1_798_185_600_000_000),
        ("XRP-25DEC26-0.55-P", "XRP", "option", True, 1_798_185_600_000_000),
    ],
)
def test_symbols_say_what_they_are(
    *, symbol: str, underlying: str, kind: str, linear: bool, expiry_ts: int | None
) -> None:
    """Of the base asset that the raw record names."""
    spec = read_symbol(symbol, underlying)
    assert (spec.kind, spec.linear, spec.expiry_ts) == (kind, linear, expiry_ts)


@pytest.mark.parametrize("symbol", ["ETHUSDT", "BTC", "BTCUSDT-25DEC26-1-C", "BTC-31FEB26", "BTC-1XXX26", "BTCDOMUSDT"])
def test_what_is_no_symbol_of_the_underlying_is_refused(symbol: str) -> None:
    """Another base asset, no contract, no such day."""
    with pytest.raises(BadMessage, match="bad_symbol"):
        read_symbol(symbol, "BTC")


@pytest.mark.parametrize(
    ("name", "change", "reason", "named"),
    [
        ("trade", {"S": "Both"}, "bad_value", "S"),
        ("trade", {"v": "0"}, "bad_value", "v"),
        ("trade", {"i": None}, "missing_field", "i"),
        ("trade", {"s": "ETHUSDT"}, "bad_symbol", "symbol"),
        ("book_delta", {"u": None}, "missing_field", "u"),
        ("book_delta", {"b": [["x", "1"]]}, "bad_value", "level"),
        ("ticker", {"markPrice": "-1"}, "bad_value", "markPrice"),
        ("ticker", {"nextFundingTime": "soon"}, "bad_value", "nextFundingTime"),
        ("all_liquidation", {"p": "0"}, "bad_value", "price"),
    ],
)
def test_impossible_values_are_refused_by_field(
    *, bybit: Frame, play: Play, name: str, change: dict[str, Any], reason: str, named: str
) -> None:
    """Each is a dead letter that names the field."""
    rejects = play([bybit(name, change=change)]).rejects
    assert [reject.reason for reject in rejects] == [reason]
    assert rejects[0].detail.startswith(named)
