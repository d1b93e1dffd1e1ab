"""OKX's traps, each by name; on real messages where the recordings have them."""

import math
import zlib
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import orjson
import pytest

from contracts.records import RawMessage
from normalizer.events import BadMessage
from normalizer.okx_symbols import read_symbol

SWAP, INVERSE, OPTION = "BTC-USDT-SWAP", "BTC-USD-SWAP", "BTC-USD-261204-90000-C"
Frame = Callable[..., RawMessage]
Play = Callable[[list[RawMessage]], Any]


def test_contract_value_comes_from_the_instrument(okx: Frame, play: Play) -> None:
    """25 contracts of 0.01 BTC, 11 of $100, 200 options of 0.01 BTC (ctVal 1 · ctMult 0.01) at the index."""
    frames = [okx("rest:instruments"), okx("trade"), okx("inverse_trade"), okx("option_trades")]
    linear, inverse, option = play(frames).trades
    assert (linear.amount_base, linear.notional_usd) == (0.25, 0.25 * 88000.1)
    assert (inverse.amount_base, inverse.notional_usd) == (1100 / 88_000, 1100.0)
    assert (option.amount_base, option.notional_usd, option.iv) == (2.0, 176_000.0, 0.405)
    assert (option.taker_side, option.mark_price, option.index_price) == ("buy", 0.01125, 88_000.0)


def test_size_in_contracts_of_unknown_value_is_null_and_says_so(okx: Frame, play: Play) -> None:
    """Before the reference data no size is guessed; the print itself is passed on."""
    trade = play([okx("trade")]).trades[0]
    assert (trade.amount_base, trade.notional_usd, trade.price) == (None, None, 88000.1)
    assert {"no_reference", "unknown_size"} <= set(trade.quality)


def test_spot_sizes_are_base_coin(okx: Frame, play: Play) -> None:
    """No contract, no reference needed."""
    trade = play([okx("spot_trade")]).trades[0]
    assert (trade.kind, trade.amount_base, trade.notional_usd) == ("spot", 0.5, 44_000.0)
    assert "unknown_size" not in trade.quality


@pytest.mark.shared_data
def test_real_trade_of_5_contracts(shape: Frame, okx: Frame, play: Play) -> None:
    """A print of 2021 with today's contract: `side` is the taker's."""
    trade = play(
        [
            okx("rest:instruments", 1_640_131_236 - 1_795_250_400),
            shape("okx", "okex-swap", SWAP, '"trades"', sent=1640131237),
        ]
    )
    assert [(one.trade_id, one.taker_side, one.amount_base) for one in trade.trades] == [("148266905", "buy", 0.05)]


def test_instruments_have_kind_contract_and_currency(okx: Frame, play: Play) -> None:
    """Linear, inverse and coin-settled option; ETH in the same list is passed over."""
    listed = {one.instrument: one for one in play([okx("rest:instruments")]).instruments}
    assert listed.keys() == {SWAP, INVERSE, OPTION}
    assert {name: (one.linear, one.contract_size, one.settlement_currency) for name, one in listed.items()} == {
        SWAP: (True, 0.01, "USDT"),
        INVERSE: (False, 100.0, "BTC"),
        OPTION: (False, 0.01, "BTC"),
    }
    option = listed[OPTION]
    assert (option.strike, option.option_type, option.expiry_ts) == (90_000.0, "call", 1_796_371_200_000_000)
    assert (option.quote_currency, option.price_tick, option.state) == ("BTC", 0.0001, "open")


@pytest.mark.parametrize(
    ("place", "change", "named"),
    [(0, {"ctType": "inverse"}, "ctType"), (2, {"stk": "1"}, "stk"), (2, {"expTime": "1796374800000"}, "expTime")],
)
def test_reference_that_contradicts_the_symbol_is_refused(
    *, okx: Frame, play: Play, place: int, change: dict[str, str], named: str
) -> None:
    """The others of the list stand."""
    record = okx("rest:instruments")
    answer = orjson.loads(record.payload)
    answer["data"][place].update(change)
    played = play([replace(record, payload=orjson.dumps(answer))])
    assert [(one.reason, one.detail.split(":")[0]) for one in played.rejects] == [("bad_value", named)]
    assert len(played.instruments) == 2


# Books


def test_prev_seq_id_chains_the_book_and_a_hole_gaps_that_instrument_only(okx: Frame, play: Play) -> None:
    """prevSeqId 107 must be the last seqId; BTC-USD-SWAP on the same connection stands."""
    other = okx("book_snapshot")
    other = replace(other, payload=other.payload.replace(SWAP.encode(), INVERSE.encode()))
    live = play([okx("book_snapshot"), other, okx("book_update")])
    assert {book.instrument: book.gap for book in live.books} == {SWAP: False, INVERSE: False}
    assert (live.books[-1].best_bid, live.books[-1].n_asks, live.books[-1].last_update_id) == (87999.5, 2, 107)
    gapped = play([okx("book_update", 1.0, {"prevSeqId": 108, "seqId": 109})])
    assert {book.instrument: book.gap for book in gapped.books} == {SWAP: True, INVERSE: False}
    assert play([okx("book_update", 2.0, {"prevSeqId": 109, "seqId": 110})]).books[-1].gap
    assert not play([okx("book_snapshot", 3.0)]).books[-1].gap


def test_an_unchanged_book_told_once_a_minute_is_no_gap(okx: Frame, play: Play) -> None:
    """seqId = prevSeqId and no levels."""
    still = {"prevSeqId": 100, "seqId": 100, "asks": [], "bids": []}
    book = play([okx("book_snapshot"), okx("book_update", change=still), okx("book_update")]).books[-1]
    assert (book.gap, book.last_update_id) == (False, 107)


def test_numbers_that_start_again_are_no_gap(okx: Frame, play: Play) -> None:
    """After maintenance seqId is below prevSeqId once, and the chain goes on from there."""
    again = okx("book_update", change={"prevSeqId": 100, "seqId": 3})
    book = play([okx("book_snapshot"), again, okx("book_update", change={"prevSeqId": 3, "seqId": 4})]).books[-1]
    assert (book.gap, book.last_update_id) == (False, 4)


def test_the_same_update_twice_is_applied_once(okx: Frame, play: Play, core: Any) -> None:
    """Repeated, not missing."""
    book = play([okx("book_snapshot"), okx("book_update"), okx("book_update")]).books[-1]
    assert (book.gap, core.counts()["okx", "BTC"]["book_stale"]) == (False, 1)


@pytest.mark.shared_data
def test_real_snapshot_with_levels_missing_fails_its_checksum(shape: Frame, play: Play) -> None:
    """The message was shortened after it was recorded: -44519492 is not the checksum of the levels left."""
    raw = shape("okx", "okex-futures", "ADA-USDT-211224", "snapshot", sent=1640131207, underlying="ADA")
    book = play([raw]).books[-1]
    assert (book.gap, book.n_bids, book.n_asks) == (True, 0, 0)


def crc(text: str) -> int:
    return int.from_bytes(zlib.crc32(text.encode()).to_bytes(4), signed=True)


def test_checksum_is_over_the_venues_own_text_of_25_levels(okx: Frame, play: Play) -> None:
    """Bids and asks in turn, then what the longer side has more; trailing zeros count; a wrong one gaps the book."""
    bids = [[f"{100 - place}.50", f"{place + 1}.0", "0", "1"] for place in range(30)]
    asks = [["101.0", "7", "0", "1"]]
    texts = ["100.50:1.0", "101.0:7", *(f"{price}:{size}" for price, size, *_ in bids[1:25])]
    change = {"bids": bids, "asks": asks, "checksum": crc(":".join(texts)), "seqId": None}
    numbers: dict[str, Any] = {"seqId": None, "prevSeqId": None}
    assert not play([okx("book_snapshot", change={**change, **numbers})]).books[-1].gap
    texts[1] = "101.0:8"
    next_ = {"bids": [], "asks": [["101.0", "8", "0", "1"]], **numbers}
    good = okx("book_update", 1.0, {**next_, "checksum": crc(":".join(texts))})
    assert not play([good]).books[-1].gap
    wrong = play([okx("book_update", 2.0, {**next_, "checksum": crc("101:8")})])
    assert (wrong.books[-1].gap, wrong.books[-1].n_bids, len(wrong.rejects)) == (True, 0, 0)
    assert not play([okx("book_snapshot", 3.0)]).books[-1].gap


def test_a_checksum_of_0_says_nothing(okx: Frame, play: Play) -> None:
    """Since 2026 the venue sends 0 always: taken at its word, every book would be gapped for good."""
    assert not play([okx("book_snapshot"), okx("book_update")]).books[-1].gap


def test_neither_number_nor_checksum_is_refused(okx: Frame, play: Play) -> None:
    """A gap would not show: the book is not believed."""
    played = play([okx("book_snapshot", change={"seqId": None, "prevSeqId": None})])
    assert [(one.reason, one.detail.split(":")[0]) for one in played.rejects] == [("missing_field", "seqId")]


# Tickers, funding, liquidations


def test_a_ticker_is_joined_from_channels_each_with_its_age(okx: Frame, play: Play) -> None:
    """tickers, mark-price, index-tickers, open-interest, funding-rate."""
    names = ("ticker", "mark_price", "index", "open_interest", "funding")
    ticker = play([okx(name, place / 10) for place, name in enumerate(names)]).ticker(SWAP)
    assert (ticker.bid_price, ticker.bid_amount, ticker.last_price) == (88_000.0, 150.0, 88000.1)
    assert (ticker.mark_price, ticker.index_price, ticker.volume_24h_base) == (88005.1, 87999.5, 80394.5)
    assert (ticker.open_interest_base, ticker.open_interest_usd) == (30_000.0, 2.64e9)
    assert (ticker.quote_age_ms, ticker.mark_age_ms, ticker.index_age_ms) == (1000, 900, 800)
    assert (ticker.open_interest_age_ms, ticker.funding_age_ms) == (700, 600)


@pytest.mark.shared_data
def test_real_option_summary_is_decimal_ivs_and_the_dollar_greeks(shape: Frame, play: Play) -> None:
    """`vegaBS` 0.7647 is USD per vol point (F 3,814, 43 h, 78 %); `vega` 0.0002 is coin. No bid: empty, null."""
    played = play([shape("okx", "okex-options", "deltaBS", sent=1640001660, underlying="ETH")])
    ticker = played.ticker("ETH-USD-211222-4000-C")
    assert (ticker.mark_iv, ticker.bid_iv, ticker.ask_iv) == (0.7794507758, 0.7421960156, 0.8203208593)
    assert (ticker.venue_delta, ticker.venue_gamma) == (0.2038286081, 0.0013437829)
    assert (ticker.venue_vega, ticker.venue_theta) == (0.7647227087, -16.4798150221)
    far = played.ticker("ETH-USD-211231-9600-C")
    assert (far.bid_iv, far.ask_iv) == (None, 1.9531310937)


@pytest.mark.shared_data
def test_real_dollar_greeks_imply_the_index_of_the_moment(shape: Frame, play: Play) -> None:
    """F = vega · 100 / (φ(d1)·√τ), d1 from deltaBS: 3,814.05 ± 1 % stood in the index channel. Theta is per day."""
    index = shape("okx", "okex-options", "index-tickers", sent=1640001660, underlying="ETH")
    summary = shape("okx", "okex-options", "deltaBS", sent=1640001660, underlying="ETH")
    ticker = play([summary, index]).ticker("ETH-USD-211222-4000-C")
    years = (ticker.expiry_ts - ticker.exchange_ts) / 1e6 / 86_400 / 365
    density = NormalDist().pdf(NormalDist().inv_cdf(ticker.venue_delta))
    forward = ticker.venue_vega * 100 / (density * math.sqrt(years))
    assert forward == pytest.approx(3814.05, rel=0.01)
    daily = -forward * density * ticker.mark_iv / (2 * math.sqrt(years)) / 365
    assert ticker.venue_theta == pytest.approx(daily, rel=0.02)


@pytest.mark.shared_data
def test_real_option_without_a_bid(shape: Frame, play: Play) -> None:
    """Empty text is "none": null with an age; 36 contracts are 3.6 ETH by the venue's own count."""
    option = "ETH-USD-211231-9600-C"
    records = [
        shape("okx", "okex-options", option, f'"{channel}"', sent=1640183728, underlying="ETH")
        for channel in ("tickers", "open-interest", "mark-price")
    ]
    ticker = play(records).ticker(option)
    assert (ticker.bid_price, ticker.bid_amount, ticker.ask_price, ticker.ask_amount) == (None, None, 0.0005, 111.0)
    assert ticker.quote_age_ms is not None
    assert (ticker.open_interest_base, ticker.mark_price) == (3.6, 3.8005764218904408)


@pytest.mark.shared_data
def test_real_funding_rate_and_prediction(shape: Frame, play: Play) -> None:
    """0.048105 % is paid at 00:00 UTC, 0.114 % predicted after it; nothing is inferred from the time's moving on."""
    raw = shape("okx", "okex-swap", "funding-rate", "WNCG", sent=1640131200, underlying="WNCG")
    ticker = play([raw]).ticker("WNCG-USDT-SWAP")
    assert (ticker.funding_rate, ticker.predicted_funding_rate) == (0.00048105, 0.00114)
    assert ticker.next_funding_ts == 1_640_131_200_000_000
    later = raw.payload.replace(b"1640131200000", b"1640160000000")
    assert not play([replace(raw, payload=later, received_ts=raw.received_ts + 10**6)]).records("market.funding")


@pytest.mark.shared_data
def test_real_funding_frame_without_a_current_rate(shape: Frame, play: Play) -> None:
    """A contract listed today has only a prediction: null, not 0."""
    raw = shape("okx", "okex-swap", "funding-rate", "SOS", sent=1640840000, underlying="SOS")
    ticker = play([raw]).ticker("SOS-USDT-SWAP")
    assert (ticker.funding_rate, ticker.predicted_funding_rate) == (None, 0.0003)


def test_settled_funding_is_what_the_venue_says_was_paid(okx: Frame, play: Play) -> None:
    """settFundingRate at the time before, once per settlement; while "processing" it is not yet settled."""
    frames = [okx("funding", change={"settState": "processing"}), okx("funding"), okx("funding", 0.5)]
    found = play(frames).records("market.funding")
    assert [(one.settled_ts, one.rate, one.period_hours) for one in found] == [(1_795_248_000_000_000, 0.00009, 8.0)]
    assert "inferred_rate" not in found[0].quality


def test_predicted_funding_is_the_current_rate_where_no_next_one_is_told(okx: Frame, play: Play) -> None:
    """method current_period: nextFundingRate is empty."""
    ticker = play([okx("funding")]).ticker(SWAP)
    assert (ticker.funding_rate, ticker.predicted_funding_rate) == (0.00012, 0.00012)


def test_funding_history_is_the_realized_rate(okx: Frame, play: Play) -> None:
    """fundingRate there is only what had been predicted."""
    found = play([okx("rest:funding-history", instrument=SWAP)]).records("market.funding")
    assert [(one.rate, one.period_hours) for one in found] == [(0.00009, 8.0), (-0.0002, 8.0)]


@pytest.mark.shared_data
def test_real_liquidation_is_of_the_positions_side(shape: Frame, play: Play) -> None:
    """posSide short was bought back; the feed is throttled, so censored; contracts of unknown value are null."""
    raw = shape("okx", "okex-futures", "liquidation-orders", sent=1680173248, underlying="XRP")
    found = play([raw]).records("market.liquidations")
    assert [(one.liquidated_side, one.price, one.censored) for one in found] == [("short", 0.55205, True)]
    assert (found[0].amount_base, "unknown_size" in found[0].quality) == (None, True)


def test_liquidations_of_other_underlyings_in_the_same_frame_are_passed_over(okx: Frame, play: Play, core: Any) -> None:
    """The channel speaks of all swaps; each underlying's record keeps its own, sized by the instrument."""
    played = play([okx("rest:instruments"), okx("liquidation")])
    found = played.records("market.liquidations")
    assert [(one.instrument, one.liquidated_side, one.amount_base) for one in found] == [(SWAP, "long", 0.4)]
    assert (found[0].notional_usd, played.rejects) == (35_000.0, [])


def test_liquidation_in_net_mode_is_told_by_the_orders_side(okx: Frame, play: Play) -> None:
    """posSide net: the order that buys closes a short."""
    detail = {"bkPx": "87500", "posSide": "net", "side": "buy", "sz": "40", "ts": "1795250399955"}
    found = play([okx("liquidation", change={"details": [detail]})]).records("market.liquidations")
    assert found[0].liquidated_side == "short"


def test_protocol_answers_are_passed_over_and_errors_are_loud(okx: Frame, play: Play, core: Any) -> None:
    """pong is no JSON; an error event and a REST code other than 0 are the venue's."""
    pong = replace(okx("subscribed"), payload=b"pong")
    answer = replace(okx("rest:tickers"), payload=b'{"code":"50011","msg":"Too Many Requests","data":[]}')
    rejects = play([pong, okx("subscribed"), okx("refused"), answer]).rejects
    assert [reject.reason for reject in rejects] == ["venue_error", "venue_error"]


def test_a_family_that_does_not_exist_is_an_answer_not_an_error(okx: Frame, play: Play) -> None:
    """Asked for options on a coin that has none, the venue says 51001."""
    answer = replace(
        okx("rest:instruments"), payload=b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}'
    )
    assert not play([answer]).rejects
    assert play([replace(answer, channel="rest:tickers")]).rejects


@pytest.mark.parametrize(
    ("symbol", "kind", "linear", "expiry_ts"),
    [
        ("BTC-USDT", "spot", True, None),
        ("BTC-USD-SWAP", "perpetual", False, None),
        ("BTC-USD_UM-SWAP", "perpetual", True, None),
        ("BTC-USDC-261225", "future", True, 1_798_185_600_000_000),
        ("ETH-USD-261225-3000-P", "option", False, 1_798_185_600_000_000),
    ],
)
def test_symbols_say_what_they_are(symbol: str, kind: str, linear: bool, expiry_ts: int | None) -> None:
    """Kind, margin and 08:00 UTC expiry."""
    spec = read_symbol(symbol)
    assert (spec.kind, spec.linear, spec.expiry_ts) == (kind, linear, expiry_ts)


@pytest.mark.parametrize("symbol", ["BTC", "BTC-USD-260231", "BTC-USD-261225-1-X", "btc-usdt", "BTC-USDT-SWAP-1"])
def test_what_is_no_instrument_id_is_refused(symbol: str) -> None:
    """Also a day that does not exist."""
    with pytest.raises(BadMessage, match="bad_symbol"):
        read_symbol(symbol)


@pytest.mark.parametrize(
    ("name", "change", "reason", "named"),
    [
        ("trade", {"side": "both"}, "bad_value", "side"),
        ("trade", {"sz": "0"}, "bad_value", "sz"),
        ("trade", {"ts": "now"}, "bad_value", "ts"),
        ("trade", {"instId": "ETH-USDT-SWAP"}, "wrong_underlying", "instrument"),
        ("book_update", {"prevSeqId": None}, "missing_field", "prevSeqId"),
        ("book_update", {"checksum": 2**31}, "bad_value", "checksum"),
        ("book_update", {"bids": [["88000", "-1", "0", "0"]]}, "bad_value", "level"),
        ("mark_price", {"markPx": "∞"}, "bad_value", "markPx"),
        ("funding", {"fundingTime": ""}, "bad_value", "fundingTime"),
    ],
)
def test_impossible_values_are_refused_by_field(
    *, okx: Frame, play: Play, name: str, change: dict[str, Any], reason: str, named: str
) -> None:
    """Each is a dead letter that names the field."""
    rejects = play([okx(name, change=change)]).rejects
    assert [reject.reason for reject in rejects] == [reason]
    assert rejects[0].detail.startswith(named)
