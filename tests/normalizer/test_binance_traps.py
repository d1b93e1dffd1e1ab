"""Binance's traps, each by name, for USDⓈ-M futures and spot."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.records import RawMessage
from normalizer import binance as venue_file
from normalizer.events import BadMessage

Frame = Callable[..., RawMessage]
Play = Callable[[list[RawMessage]], Any]


@pytest.mark.parametrize("name", ["trade", "agg_trade"])
@pytest.mark.parametrize(("buyer_is_maker", "taker"), [(True, "sell"), (False, "buy")])
def test_buyer_as_maker_means_that_the_taker_sold(
    binance: Frame, play: Play, name: str, buyer_is_maker: bool, taker: str
) -> None:
    """`m` speaks of the buyer, the record of the taker."""
    trade = play([binance(name, change={"m": buyer_is_maker})]).trades[0]
    assert (trade.taker_side, trade.price, trade.amount_base) == (taker, 88000.10, 0.25)
    assert trade.notional_usd == 88000.10 * 0.25


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA"])
def test_prints_that_met_no_order_book_are_not_trades(binance: Frame, play: Play, kind: str) -> None:
    """Insurance-fund, deleveraging and empty prints are passed over, also with price 0."""
    played = play([binance("trade", change={"X": kind, "p": "0", "q": "0"})])
    assert not played.trades
    assert not played.rejects


def test_trades_and_their_aggregates_are_not_both_counted(binance: Frame, play: Play, core: Any) -> None:
    """Subscribed to both streams, an instrument follows the one it saw first."""
    played = play([binance("trade"), binance("agg_trade"), binance("trade", change={"t": 7002})])
    assert [trade.trade_id for trade in played.trades] == ["7001", "7002"]
    assert core.counts()["binance-usdm", "BTC"]["trades_of_second_stream"] == 1


def test_ivs_and_sizes_need_no_conversion_but_quote_must_be_dollars(binance: Frame, play: Play) -> None:
    """A print against another coin has no USD notional: null, not the other coin's figure."""
    record = binance("trade", change={"s": "BNBBTC"}, venue="binance-spot", underlying="BNB")
    assert play([record]).trades[0].notional_usd is None


def test_force_order_is_censored_and_priced_at_its_average(binance: Frame, play: Play) -> None:
    """A selling order liquidates a long; price `ap`, size filled `z`; the feed shows only some events and says so."""
    found = play([binance("force_order")]).records("market.liquidations")[0]
    assert (found.liquidated_side, found.price, found.amount_base) == ("long", 87_500.0, 0.4)
    assert (found.censored, found.source, found.notional_usd) == (True, "feed", 35_000.0)


def test_force_order_without_a_fill_falls_back_to_the_order(binance: Frame, play: Play) -> None:
    """Before any fill `ap` and `z` are 0: the order's own price and size are all that is known."""
    order = {"s": "BTCUSDT", "S": "BUY", "q": "0.500", "p": "87000.00", "ap": "0", "z": "0", "T": 1795250399950}
    found = play([binance("force_order", change={"o": order})]).records("market.liquidations")[0]
    assert (found.liquidated_side, found.price, found.amount_base) == ("short", 87_000.0, 0.5)


def test_repeated_force_order_is_counted_once(binance: Frame, play: Play, core: Any) -> None:
    """Its id is made of its fields, so that the same event seen twice is one."""
    played = play([binance("force_order"), binance("force_order", 0.5)])
    assert len(played.records("market.liquidations")) == 1
    assert core.counts()["binance-usdm", "BTC"]["liquidations_duplicate"] == 1


def test_mark_price_frame_gives_mark_index_and_predicted_funding(binance: Frame, play: Play) -> None:
    """`r` is the running period's rate, paid at `T`; ages are those of the frame."""
    ticker = play([binance("mark_price", 0.25)]).ticker("BTCUSDT")
    assert (ticker.mark_price, ticker.index_price) == (88005.12345678, 87999.5)
    assert (ticker.funding_rate, ticker.predicted_funding_rate) == (0.0001, 0.0001)
    assert (ticker.next_funding_ts, ticker.funding_age_ms) == (1_795_276_800_000_000, 750)


def test_delivery_contracts_have_no_funding(binance: Frame, play: Play) -> None:
    """T 0 and an empty rate are "none": null, and the kind and expiry are the symbol's."""
    ticker = play([binance("mark_price_delivery")]).ticker("BTCUSDT_261225")
    assert (ticker.kind, ticker.expiry_ts) == ("future", 1_798_185_600_000_000)
    assert (ticker.funding_rate, ticker.next_funding_ts, ticker.funding_age_ms) == (None, None, None)


def test_settled_funding_is_the_last_rate_before_the_next_time_moved_on(binance: Frame, play: Play) -> None:
    """Settle times jitter by milliseconds: the payment is stamped with the hour, and says that it is inferred."""
    at = 1_795_276_800 - 1_795_250_400
    before = binance("mark_price", at - 1, {"r": "0.00012", "T": 1795276800000, "E": 1795276799000})
    after = binance("mark_price", at + 1, {"r": "0.00001", "T": 1795305600004, "E": 1795276801000})
    played = play([before, after])
    assert [(p.settled_ts, p.rate, p.period_hours) for p in played.records("market.funding")] == [
        (1_795_276_800_000_000, 0.00012, 8.0)
    ]
    assert "inferred_rate" in played.records("market.funding")[0].quality
    assert played.ticker("BTCUSDT").predicted_funding_rate == 0.00001


def test_no_funding_is_inferred_over_a_hole(binance: Frame, play: Play) -> None:
    """If the last rate is over a minute old when the time moves on, what was paid is not known."""
    after = binance("mark_price", 100.0, {"T": 1795305600000, "E": 1795250499000})
    assert not play([binance("mark_price"), after]).records("market.funding")


def test_spot_book_ticker_has_neither_type_nor_time(binance: Frame, play: Play) -> None:
    """It is known by its stream name; its venue time is null."""
    ticker = play([binance("book_ticker_spot", venue="binance-spot")]).ticker("BTCUSDT")
    assert (ticker.kind, ticker.bid_price, ticker.ask_amount) == ("spot", 87990.01, 2.0)
    assert ticker.exchange_ts is None


def test_clock_skew_is_accepted_and_flagged_never_corrected(binance: Frame, play: Play) -> None:
    """A venue time after the receive time stays as it came, with a flag, on trade, ticker, book and liquidation."""
    names = ["trade", "book_ticker_usdm", "force_order", "depth_usdm", "depth_answer"]
    played = play([binance(name, -1.27) for name in names])
    records = [*played.trades, *played.records("market.liquidations"), *played.books, played.ticker("BTCUSDT")]
    assert len(records) == 4
    assert all("clock_skew" in record.quality for record in records)
    assert played.trades[0].exchange_ts > played.trades[0].received_ts


def test_a_clock_that_agrees_is_not_flagged(binance: Frame, play: Play) -> None:
    """The same frames received after the venue's time carry no such flag."""
    played = play([binance(name) for name in ["trade", "book_ticker_usdm", "force_order", "depth_usdm"]])
    assert not any("clock_skew" in record.quality for topic in
                   ("market.trades", "market.tickers", "market.books", "market.liquidations")
                   for record in played.records(topic))  # fmt: skip


def test_exchange_info_lists_the_instruments_of_its_underlying(binance: Frame, play: Play) -> None:
    """Tick and step come from the filters; other underlyings in the answer are not this partition's."""
    played = play([binance("exchange_info", instrument=None)])
    assert [(i.instrument, i.state, i.price_tick, i.amount_step) for i in played.instruments] == [
        ("BTCUSDT", "open", 0.1, 0.001)
    ]
    assert played.ticker("BTCUSDT").quality == ()


def test_day_ticker_and_open_interest_are_joined(binance: Frame, play: Play) -> None:
    """Volume, last price and open interest are in base coin and quote as they come."""
    ticker = play([binance("day_ticker"), binance("open_interest")]).ticker("BTCUSDT")
    assert (ticker.last_price, ticker.volume_24h_base, ticker.open_interest_base) == (88000.1, 120345.678, 90123.456)


@pytest.mark.parametrize(
    ("name", "change", "reason", "named"),
    [
        ("trade", {"p": "-1"}, "bad_value", "p"),
        ("trade", {"q": "nan"}, "bad_value", "q"),
        ("trade", {"m": 1}, "bad_value", "m"),
        ("trade", {"s": "ETHUSDT"}, "bad_symbol", "s"),
        ("trade", {"t": None}, "missing_field", "t"),
        ("trade", {"e": "somethingNew"}, "unknown_channel", "stream"),
        ("depth_usdm", {"pu": None}, "missing_field", "pu"),
        ("depth_usdm", {"b": [["1"]]}, "bad_value", "b"),
        ("depth_usdm", {"b": [["1e3", "2"]]}, "bad_value", "level"),
        ("depth_usdm", {"b": [["88000.1", "-2"]]}, "bad_value", "level"),
        ("force_order", {"o": []}, "bad_value", "o"),
        ("mark_price", {"p": "0"}, "bad_value", "p"),
        ("depth_answer", {"lastUpdateId": "7"}, "bad_value", "lastUpdateId"),
        ("depth_answer", {"code": -1121}, "venue_error", "rest:depth"),
    ],
)
def test_impossible_values_are_refused_by_field(
    *, binance: Frame, play: Play, name: str, change: dict[str, Any], reason: str, named: str
) -> None:
    """Each is a dead letter that names the field."""
    rejects = play([binance(name, change=change)]).rejects
    assert [reject.reason for reject in rejects] == [reason]
    assert rejects[0].detail.startswith(named)


def test_malformed_json_is_a_dead_letter_and_gaps_the_book_of_its_channel(binance: Frame, play: Play) -> None:
    """Half a depth frame may have been a delta: the book is not to be believed until the next snapshot."""
    live = play([binance("depth_answer"), binance("depth_usdm")]).books[-1]
    broken = binance("depth_usdm", 1.0)
    played = play([replace(broken, payload=broken.payload[:-10])])
    assert not live.gap
    assert [reject.reason for reject in played.rejects] == ["malformed_json"]
    assert (played.books[-1].gap, played.books[-1].n_bids) == (True, 0)


def test_a_symbol_must_begin_with_its_underlying() -> None:
    """The raw record decides the base asset; a symbol that is not its own is refused."""
    assert venue_file.read_symbol("usdm", "1000PEPEUSDT", "1000PEPE").kind == "perpetual"
    for market, symbol, underlying in (("usdm", "BTCUSDT", ""), ("spot", "BTC", "BTC"), ("spot", "BTC<b>", "BTC")):
        with pytest.raises(BadMessage, match="bad_symbol"):
            venue_file.read_symbol(market, symbol, underlying)
    with pytest.raises(BadMessage, match="no such day"):
        venue_file.read_symbol("usdm", "BTCUSDT_260231", "BTC")
