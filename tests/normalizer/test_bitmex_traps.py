"""BitMEX's traps, each by name; on real messages where the recordings have them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from contracts.records import RawMessage
from normalizer.bitmex_symbols import read_symbol
from normalizer.events import BadMessage

Frame = Callable[..., RawMessage]
Play = Callable[[list[RawMessage]], Any]


@pytest.mark.shared_data
def test_real_xbtusd_contract_is_a_dollar(shape: Frame, bitmex: Frame, play: Play) -> None:
    """1,000 contracts at 8,544.5; the taker sold. The venue's own coin size is rounded, ours is not."""
    raw = shape("bitmex", "bitmex", '"trade"', sent=1559347220)
    trade = play([bitmex("instrument", 1_559_347_219 - 1_795_250_400), raw]).trades[0]
    assert (trade.taker_side, trade.notional_usd, trade.amount_base) == ("sell", 1000.0, 1000 / 8544.5)
    assert trade.exchange_ts == 1_559_347_219_163_000
    assert trade.trade_id == "f73b6f28-075a-3548-a81c-8c843afd2746"


@pytest.mark.shared_data
def test_real_trade_before_the_reference_is_sized_by_the_venues_own_figures(shape: Frame, play: Play) -> None:
    """homeNotional and foreignNotional."""
    trade = play([shape("bitmex", "bitmex", '"trade"', sent=1559347220)]).trades[0]
    assert (trade.amount_base, trade.notional_usd, trade.quality) == (0.11703, 1000.0, ("no_reference",))


def test_linear_contracts_are_millionths_of_a_coin(bitmex: Frame, play: Play) -> None:
    """Multiplier 1 of quoteToSettleMultiplier 1,000,000: 250,000 contracts of XBTUSDT are 0.25 BTC."""
    played = play([bitmex("rest:instruments"), bitmex("linear_trade")])
    trade, ticker = played.trades[0], played.ticker("XBTUSDT")
    assert (trade.amount_base, trade.notional_usd) == (0.25, 0.25 * 88000.5)
    assert (ticker.linear, ticker.contract_size, ticker.open_interest_base) == (True, 1e-6, 30.0)


def test_quantos_are_sized_by_their_prints(bitmex: Frame, play: Play) -> None:
    """ETHUSD pays XBT per dollar of price: 100 contracts were 8.8 ETH, so the next order of 50 is 4.4."""
    eth = {"underlying": "ETH"}
    order = {"symbol": "ETHUSD", "price": 2900, "leavesQty": 50, "orderID": "o-2"}
    frames = [bitmex("quanto_instrument", **eth), bitmex("liquidation", change={**order, "orderID": "o-1"}, **eth)]
    first = play(frames).records("market.liquidations")[0]
    assert (first.amount_base, "unknown_size" in first.quality) == (None, True)
    frames = [bitmex("quanto_trade", 1.0, **eth), bitmex("liquidation", 1.0, order, **eth)]
    played = play([*frames, bitmex("quanto_instrument", 1.0, **eth)])
    trade, liquidation, ticker = played.trades[0], played.records("market.liquidations")[0], played.ticker("ETHUSD")
    assert (trade.amount_base, trade.notional_usd) == (8.8, 26_400.0)
    assert (liquidation.amount_base, liquidation.notional_usd) == (pytest.approx(4.4), pytest.approx(4.4 * 2900))
    assert ticker.open_interest_base == pytest.approx(1_403_475 * 0.088)
    assert ticker.open_interest_usd is None


@pytest.mark.shared_data
def test_real_future_priced_in_xbt_has_no_dollars(shape: Frame, play: Play) -> None:
    """ETHM19: one ETH a contract (multiplier 10^8 of 10^8 satoshis), no USD size, index or open interest."""
    raw = shape("bitmex", "bitmex", "ETHM19", "partial", sent=1559347200, underlying="ETH")
    played = play([raw])
    (listed,) = played.instruments
    assert (listed.kind, listed.linear, listed.contract_size) == ("future", False, 1.0)
    assert (listed.quote_currency, listed.settlement_currency) == ("BTC", "BTC")
    assert listed.expiry_ts == 1_561_723_200_000_000
    ticker = played.ticker("ETHM19")
    assert (ticker.index_price, ticker.open_interest_usd) == (None, None)
    assert ticker.open_interest_base == float(orjson.loads(raw.payload)["data"][0]["openInterest"])


def test_instrument_updates_say_only_what_changed(bitmex: Frame, play: Play) -> None:
    """Mark and open interest move, the rest stands with its age."""
    played = play([bitmex("instrument"), bitmex("instrument_update", 1.0)])
    ticker = played.ticker("XBTUSD")
    assert (ticker.mark_price, ticker.open_interest_usd, ticker.open_interest_base) == (88003.75, 574264700.0, None)
    assert (ticker.bid_price, ticker.ask_price, ticker.bid_amount) == (88000.5, 88001.0, None)
    assert (ticker.index_price, ticker.volume_24h_base, ticker.state) == (87999.5, 7524.1, "open")
    assert (ticker.mark_age_ms, ticker.quote_age_ms) == (1000, 2000)
    (listed,) = played.instruments
    assert (listed.kind, listed.linear, listed.contract_size, listed.settlement_currency) == (
        "perpetual", False, 1.0, "BTC",
    )  # fmt: skip


def test_state_changes_republish_the_reference(bitmex: Frame, play: Play) -> None:
    """A partial row says `state` alone."""
    play([bitmex("instrument")])
    (listed,) = play([bitmex("instrument_update", 1.0, {"state": "Closed"})]).instruments
    assert listed.state == "closed"


def test_quotes_have_the_sizes_that_the_instrument_table_lacks(bitmex: Frame, play: Play) -> None:
    """The quote table."""
    ticker = play([bitmex("quote")]).ticker("XBTUSD")
    assert (ticker.bid_price, ticker.bid_amount, ticker.ask_amount) == (88000.5, 1500.0, 700.0)


# Books


def test_level_deletes_carry_only_an_id(bitmex: Frame, play: Play) -> None:
    """Price and, in older feeds, even side come from the level's insertion."""
    frames = [bitmex(f"book_{action}") for action in ("partial", "update", "insert")]
    book = play(frames).books[-1]
    assert (book.gap, book.best_bid, book.bid_qty_ints, book.n_asks) == (False, 88000.5, (900, 200), 2)
    assert book.last_update_id is None
    book = play([bitmex("book_delete", 1.0, {"side": None, "timestamp": None})]).books[-1]
    assert (book.gap, book.best_bid, book.n_bids, book.exchange_ts) == (False, 88000.0, 1, None)


@pytest.mark.shared_data
def test_real_update_and_delete_are_by_id(shape: Frame, play: Play) -> None:
    """Level 8799141400 at 8,586 is changed, then gone; EOSM19 in the same frame is of another underlying."""
    stream = {"channel": "orderBookL2", "sent": 1559347200.0}
    partial = shape("bitmex", "bitmex", "partial", "8791115350", "33199989899", **stream)
    update = shape("bitmex", "bitmex", '"update"', "8799141400", **stream)
    delete = shape("bitmex", "bitmex", '"delete"', "8799141400", **stream)
    book = play([partial, update]).books[-1]
    assert (book.instrument, book.n_asks, book.best_ask, book.ask_qty_ints[0]) == ("XBTUSD", 3, 8586.0, 91227)
    book = play([replace(delete, received_ts=delete.received_ts + 10**6)]).books[-1]
    assert (book.gap, book.n_asks, book.best_ask) == (False, 2, 9780.5)


@pytest.mark.shared_data
def test_real_empty_partial_is_an_empty_book(shape: Frame, play: Play) -> None:
    """Its symbol stands in the filter only: no quotes, which is no gap."""
    book = play([shape("bitmex", "bitmex", '"symbol":"XBTZ21"},"data":[]', sent=1634108821.0)]).books[-1]
    assert (book.instrument, book.gap, book.n_bids, book.n_asks) == ("XBTZ21", False, 0, 0)


@pytest.mark.parametrize(
    ("name", "change"), [("book_update", {"id": 99}), ("book_delete", {"id": 99}), ("book_insert", {"id": 11})]
)
def test_an_id_that_cannot_be_gaps_that_instrument_only(
    *, bitmex: Frame, play: Play, name: str, change: dict[str, Any]
) -> None:
    """A level changed that was never inserted, or inserted twice: something is missing. XBTUSDT stands."""
    other = bitmex("book_partial")
    other = replace(other, payload=other.payload.replace(b"XBTUSD", b"XBTUSDT"), channel="orderBookL2:XBTUSDT")
    play([bitmex("book_partial"), other])
    played = play([bitmex(name, 1.0, change)])
    assert {book.instrument: book.gap for book in played.books} == {"XBTUSD": True, "XBTUSDT": False}
    assert not played.rejects
    assert play([bitmex("book_insert", 2.0)]).books[0].gap
    assert not play([bitmex("book_partial", 3.0)]).books[0].gap


def test_changes_before_the_partial_are_not_applied(bitmex: Frame, play: Play, core: Any) -> None:
    """The venue may send some between subscription and snapshot."""
    book = play([bitmex("book_insert"), bitmex("book_partial")]).books[-1]
    assert (book.gap, book.n_asks, core.counts()["bitmex", "BTC"]["book_buffered"]) == (False, 1, 1)


def test_one_id_may_stand_on_both_sides(bitmex: Frame, play: Play) -> None:
    """The table's key is symbol, id and side: while a level changes sides both are there."""
    book = play([bitmex("book_partial"), bitmex("book_insert", change={"id": 12, "price": 88000.5})]).books[-1]
    assert (book.gap, book.best_bid, book.best_ask) == (False, 88000.5, 88000.5)


# Liquidations, funding


@pytest.mark.shared_data
def test_real_liquidation_order_that_buys_closes_a_short(shape: Frame, bitmex: Frame, play: Play) -> None:
    """9,214 contracts are $9,214; it bears no time; its deletion is no second one."""
    at = 1_559_347_219.0
    frames = [bitmex("instrument", at - 1_795_250_400)]
    frames += [shape("bitmex", "bitmex", '"liquidation"', f'"{action}"', sent=at) for action in ("insert", "delete")]
    (found,) = play(frames).records("market.liquidations")
    assert (found.liquidated_side, found.price, found.notional_usd) == ("short", 10106.0, 9214.0)
    assert (found.amount_base, found.exchange_ts, found.censored) == (9214 / 10106, None, False)
    assert found.liquidation_id == "dd9cea25-207c-0dab-15b5-b88da776f500"


def test_liquidation_order_seen_again_after_a_reconnect_is_one(bitmex: Frame, play: Play) -> None:
    """The partial repeats open orders."""
    again = bitmex("liquidation", 1.0)
    again = replace(again, payload=again.payload.replace(b'"insert"', b'"partial"'))
    assert len(play([bitmex("liquidation"), again]).records("market.liquidations")) == 1


def test_funding_is_told_not_inferred(bitmex: Frame, play: Play) -> None:
    """`funding` says what was paid; a ticker whose time moves on adds nothing."""
    play([bitmex("instrument")])
    moved = {"fundingTimestamp": "2026-11-21T20:00:00.000Z", "fundingRate": 0.0003}
    played = play([bitmex("instrument_update", 1.0, moved), bitmex("funding", 1.0), bitmex("funding", 1.5)])
    assert [(one.settled_ts, one.rate, one.period_hours) for one in played.records("market.funding")] == [
        (1_795_233_600_000_000, 0.0001, 8.0)
    ]
    ticker = played.ticker("XBTUSD")
    assert (ticker.funding_rate, ticker.predicted_funding_rate) == (0.0003, 0.00005)
    assert ticker.next_funding_ts == 1_795_291_200_000_000


def test_funding_history_has_the_same_rows(bitmex: Frame, play: Play) -> None:
    """By REST."""
    found = play([bitmex("rest:funding-history")]).records("market.funding")
    assert [(one.settled_ts, one.rate) for one in found] == [(1_795_204_800_000_000, -0.0002)]


# Reference


def test_a_list_of_all_instruments_gives_this_underlyings(bitmex: Frame, play: Play, core: Any) -> None:
    """XBT is BTC; ADAZ26 is passed over; expiry is the last Friday of the month at 12:00 UTC."""
    listed = {one.instrument: one for one in play([bitmex("rest:instruments")]).instruments}
    assert listed.keys() == {"XBTUSDT", "XBTZ26"}
    assert {one.underlying for one in listed.values()} == {"BTC"}
    assert listed["XBTZ26"].expiry_ts == 1_798_200_000_000_000
    assert core.counts()["bitmex", "BTC"]["ignored"] == 1


def test_an_expiry_that_is_not_the_symbols_is_refused(bitmex: Frame, play: Play) -> None:
    """Symbol or reference was misread: neither is believed, the others of the list stand."""
    record = bitmex("rest:instruments")
    played = play([replace(record, payload=record.payload.replace(b"2026-12-25T12", b"2026-12-24T12"))])
    assert [(one.reason, one.detail.split(":")[0]) for one in played.rejects] == [("bad_value", "typ, expiry")]
    assert [one.instrument for one in played.instruments] == ["XBTUSDT"]


def test_protocol_answers_are_passed_over_and_errors_are_loud(bitmex: Frame, play: Play) -> None:
    """pong is no JSON; an error names the table."""
    pong = replace(bitmex("subscribed"), payload=b"pong")
    rejects = play([pong, bitmex("subscribed"), bitmex("announcement"), bitmex("refused")]).rejects
    assert [reject.reason for reject in rejects] == ["venue_error"]


@pytest.mark.parametrize(
    ("symbol", "underlying", "kind", "linear", "index_name"),
    [
        ("XBTUSD", "BTC", "perpetual", False, "BTCUSD"),
        ("XBTEUR", "BTC", "perpetual", False, "BTCEUR"),
        ("XBT_USDT", "BTC", "spot", True, "BTCUSDT"),
        ("XBTZ26", "BTC", "future", False, "BTCUSD"),
        ("ETHUSDZ26", "ETH", "future", False, "ETHUSD"),
        ("ETHZ26", "ETH", "future", False, "ETHBTC"),
        ("LINKUSDT", "LINK", "perpetual", True, "LINKUSDT"),
    ],
)
def test_symbols_say_what_they_are(*, symbol: str, underlying: str, kind: str, linear: bool, index_name: str) -> None:
    """Of the base asset that the raw record names."""
    spec = read_symbol(symbol, underlying)
    assert (spec.kind, spec.linear, spec.index_name) == (kind, linear, index_name)


@pytest.mark.parametrize("symbol", ["ETHUSD", "XBT", "XBT_", "XBT_USDTZ26", "BTCUSD", ".BXBT", "XBTUSDA26"])
def test_what_is_no_symbol_of_the_underlying_is_refused(symbol: str) -> None:
    """Another base asset, an index, no such month."""
    with pytest.raises(BadMessage, match="bad_symbol"):
        read_symbol(symbol, "BTC")


@pytest.mark.parametrize(
    ("name", "change", "reason", "named"),
    [
        ("trade", {"side": "Both"}, "bad_value", "side"),
        ("trade", {"size": 0}, "bad_value", "size"),
        ("trade", {"timestamp": "yesterday"}, "bad_value", "timestamp"),
        ("trade", {"timestamp": "2026-11-21T08:39:59.955"}, "bad_value", "timestamp"),
        ("trade", {"symbol": "ETHUSD"}, "bad_symbol", "symbol"),
        ("book_partial", {"price": None}, "missing_field", "price"),
        ("book_partial", {"size": -5}, "bad_value", "level"),
        ("book_partial", {"id": "x"}, "bad_value", "id"),
        ("instrument", {"multiplier": None}, "missing_field", "multiplier"),
        ("liquidation", {"price": 0}, "bad_value", "price"),
        ("funding", {"fundingInterval": 8}, "bad_value", "fundingInterval"),
    ],
)
def test_impossible_values_are_refused_by_field(
    *, bitmex: Frame, play: Play, name: str, change: dict[str, Any], reason: str, named: str
) -> None:
    """Each is a dead letter that names the field."""
    record = bitmex(name, change=change)
    channel = f"{record.channel.partition(':')[0]}:XBTUSD"
    rejects = play([replace(record, channel=channel)]).rejects
    assert [reject.reason for reject in rejects] == [reason]
    assert rejects[0].detail.startswith(named)
