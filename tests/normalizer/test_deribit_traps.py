"""Deribit's traps, each by name: what the venue means by what it sends."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.records import RawMessage
from normalizer.deribit_symbols import read_symbol
from normalizer.events import BadMessage

OPTION = "BTC-4DEC26-90000-C"
Frame = Callable[..., RawMessage]
Play = Callable[[list[RawMessage]], Any]


@pytest.mark.parametrize("direction", ["buy", "sell"])
def test_direction_is_the_takers_side(deribit: Frame, play: Play, direction: str) -> None:
    """`direction` is passed on as the taker's side, not turned around."""
    assert play([deribit("option_trade", change={"direction": direction})]).trades[0].taker_side == direction


def test_ivs_are_percent_and_become_decimals(deribit: Frame, play: Play) -> None:
    """41.25 % becomes 0.4125, in tickers and in trades."""
    played = play([deribit("option_ticker"), deribit("option_trade")])
    ticker = played.ticker(OPTION)
    assert (ticker.mark_iv, ticker.bid_iv, ticker.ask_iv) == (0.4125, 0.405, 0.42)
    assert played.trades[0].iv == pytest.approx(0.411, rel=1e-15)


def test_option_amounts_are_base_coin_and_notional_is_at_the_index(deribit: Frame, play: Play) -> None:
    """2 contracts of an option are 2 BTC, at the index 176,000 USD."""
    trade = play([deribit("option_trade")]).trades[0]
    assert (trade.amount_base, trade.notional_usd) == (2.0, 176_000.0)


def test_inverse_perpetual_amounts_are_usd(deribit: Frame, play: Play) -> None:
    """An amount of 1,000 is 1,000 USD; the coin size follows from the price."""
    trade = play([deribit("perpetual_trade")]).trades[0]
    assert (trade.amount_base, trade.notional_usd) == (1000.0 / 88_000.0, 1000.0)


def test_contract_size_is_never_multiplied_in(deribit: Frame, play: Play) -> None:
    """Amounts and open interest are the same whatever the instrument's contract size is."""
    played = play([deribit("instruments", change={"contract_size": 10}), deribit("option_ticker")])
    played_trades = play([deribit("option_trade", 1.0)])
    assert played.ticker(OPTION).open_interest_base == 310.4
    assert played_trades.trades[0].amount_base == 2.0


def test_linear_altcoin_option_amounts_are_base_coin(deribit: Frame, play: Play) -> None:
    """SOL_USDC options have a multiplier of 10 in `contracts` only: the amount is SOL."""
    trade = play([deribit("linear_option_trade", underlying="SOL")]).trades[0]
    assert (trade.underlying, trade.amount_base, trade.notional_usd) == ("SOL", 40.0, 6000.0)


def test_open_interest_is_coin_for_options_and_usd_for_the_perpetual(deribit: Frame, play: Play) -> None:
    """Each is in the field of its own unit, the other is null."""
    played = play([deribit("option_ticker"), deribit("perpetual_ticker")])
    option, perpetual = played.ticker(OPTION), played.ticker("BTC-PERPETUAL")
    assert (option.open_interest_base, option.open_interest_usd) == (310.4, None)
    assert (perpetual.open_interest_base, perpetual.open_interest_usd) == (None, 900_000_000.0)


def test_combo_parents_are_dropped_and_legs_kept_with_their_combo(deribit: Frame, play: Play) -> None:
    """Of a combo that prints as parent and leg, only the leg comes out, with the ids that tie it."""
    leg = {"combo_id": "BTC-CS-4DEC26-90000_95000", "combo_trade_id": 500}
    trades = play([deribit("combo_parent_trade"), deribit("option_trade", change=leg)]).trades
    assert [(trade.instrument, trade.combo_trade_id) for trade in trades] == [(OPTION, "500")]
    assert trades[0].combo_id == "BTC-CS-4DEC26-90000_95000"


def test_combo_tickers_and_listings_are_dropped_without_reject(deribit: Frame, play: Play) -> None:
    """A combo's negative price is no error: combos are simply not instruments here."""
    played = play([deribit("combo_ticker"), deribit("instruments")])
    assert not played.rejects
    assert {record.instrument for record in played.records("market.tickers")} == {OPTION, "BTC-PERPETUAL"}


def test_block_legs_keep_their_provenance(deribit: Frame, play: Play) -> None:
    """Block, leg count and RFQ ids are passed on: whoever signs flow must know that leg prices are allocated."""
    block = {"block_trade_id": "BLOCK-77", "block_trade_leg_count": 3, "block_rfq_id": 1234}
    trade = play([deribit("option_trade", change=block)]).trades[0]
    assert (trade.block_trade_id, trade.block_leg_count, trade.block_rfq_id) == ("BLOCK-77", 3, "1234")


@pytest.mark.parametrize(
    ("tag", "direction", "role", "order_side", "positions"),
    [
        ("T", "sell", "taker", "sell", ["long"]),
        ("M", "sell", "maker", "buy", ["short"]),
        ("M", "buy", "maker", "sell", ["long"]),
        ("MT", "buy", "both", None, ["short", "long"]),
    ],
)
def test_liquidation_tag_names_the_liquidated_side(
    *, deribit: Frame, play: Play, tag: str, direction: str, role: str, order_side: str | None, positions: list[str]
) -> None:
    """For M the liquidated order is on the side opposite to `direction`; a sold-out position was long."""
    played = play([deribit("perpetual_trade", change={"liquidation": tag, "direction": direction})])
    trade = played.trades[0]
    assert (trade.liquidation, trade.liquidated_side) == (role, order_side)
    found = played.records("market.liquidations")
    assert [record.liquidated_side for record in found] == positions
    assert {record.source for record in found} == {"trade"}


def test_liquidation_of_a_coin_priced_option_is_priced_in_usd(deribit: Frame, play: Play) -> None:
    """The liquidation record's price is USD: coin price times index; without an index there is no record."""
    tagged = play([deribit("option_trade", change={"liquidation": "T"})])
    assert tagged.records("market.liquidations")[0].price == 0.0128 * 88_000.0
    unpriced = play([deribit("option_trade", 1.0, {"liquidation": "T", "trade_id": "402", "index_price": None})])
    assert unpriced.trades[0].liquidation == "taker"
    assert not unpriced.records("market.liquidations")


def test_zero_bid_with_zero_bid_iv_is_no_quote(deribit: Frame, play: Play) -> None:
    """Price, size and iv of a missing bid are null, never 0; the ask is untouched."""
    no_bid = {"best_bid_price": 0.0, "best_bid_amount": 0.0, "bid_iv": 0.0}
    ticker = play([deribit("option_ticker", change=no_bid)]).ticker(OPTION)
    assert (ticker.bid_price, ticker.bid_amount, ticker.bid_iv) == (None, None, None)
    assert (ticker.ask_price, ticker.ask_iv) == (0.0131, 0.42)
    assert ticker.quote_age_ms is not None


def test_absent_ask_has_no_iv_even_if_a_number_stands_there(deribit: Frame, play: Play) -> None:
    """The venue writes ask_iv 500 beside no ask at all: that is no iv."""
    no_ask = {"best_ask_price": 0, "best_ask_amount": 0, "ask_iv": 500}
    ticker = play([deribit("option_ticker", change=no_ask)]).ticker(OPTION)
    assert (ticker.ask_price, ticker.ask_iv) == (None, None)


def test_bid_below_intrinsic_value_keeps_its_price_and_has_no_iv(deribit: Frame, play: Play) -> None:
    """bid_iv 0 beside a real bid means that no vol gives that price."""
    ticker = play([deribit("option_ticker", change={"bid_iv": 0.0})]).ticker(OPTION)
    assert (ticker.bid_price, ticker.bid_iv) == (0.0125, None)


def test_zero_open_interest_is_real(deribit: Frame, play: Play) -> None:
    """0 stays 0: it is not missing."""
    ticker = play([deribit("option_ticker", change={"open_interest": 0})]).ticker(OPTION)
    assert (ticker.open_interest_base, ticker.open_interest_age_ms) == (0.0, 1000)


def test_fields_the_frame_does_not_have_stay_null_with_null_age(deribit: Frame, play: Play, absent: object) -> None:
    """A recorded chain without forward, index and mark gives nulls and a flag, not zeros."""
    gone = dict.fromkeys(["underlying_price", "underlying_index", "index_price", "mark_price", "interest_rate"], absent)
    ticker = play([deribit("option_ticker", change=gone)]).ticker(OPTION)
    assert (ticker.underlying_price, ticker.index_price, ticker.mark_price) == (None, None, None)
    assert (ticker.underlying_age_ms, ticker.index_age_ms, ticker.mark_age_ms) == (None, None, None)
    assert "no_underlying" in ticker.quality


@pytest.mark.parametrize(
    ("symbol", "kind", "underlying", "linear", "strike", "expiry"),
    [
        ("BTC-4DEC26-90000-C", "option", "BTC", False, 90_000.0, 1_796_371_200_000_000),
        ("BTC-25DEC26-90000-P", "option", "BTC", False, 90_000.0, 1_798_185_600_000_000),
        ("SOL_USDC-4DEC26-0d128-P", "option", "SOL", True, 0.128, 1_796_371_200_000_000),
        ("XRP_USDC-4DEC26-2d35-C", "option", "XRP", True, 2.35, 1_796_371_200_000_000),
        ("BTC-25DEC26", "future", "BTC", False, None, 1_798_185_600_000_000),
        ("ETH-PERPETUAL", "perpetual", "ETH", False, None, None),
        ("ETH_USDC-PERPETUAL", "perpetual", "ETH", True, None, None),
        ("BTC_USDC", "spot", "BTC", True, None, None),
    ],
)
def test_symbols_say_kind_strike_and_expiry_at_0800_utc(
    *, symbol: str, kind: str, underlying: str, linear: bool, strike: float | None, expiry: int | None
) -> None:
    """Days without leading zero, `d` as decimal point, a quote currency makes it linear, settlement is at 08:00 UTC."""
    spec = read_symbol(symbol)
    assert spec is not None
    assert (spec.kind, spec.underlying, spec.linear) == (kind, underlying, linear)
    assert (spec.strike, spec.expiry_ts) == (strike, expiry)


@pytest.mark.parametrize("symbol", ["BTC-STRD-30SEP26-20000", "BTC-FS-30SEP26_PERP", "BTC-CSR12-16SEP26-21000_23000"])
def test_combo_symbols_are_known_as_combos(symbol: str) -> None:
    """Strategies of several legs are no instruments."""
    assert read_symbol(symbol) is None


@pytest.mark.parametrize(
    "symbol", ["BTC", "BTC-04DEC26-90000-C", "BTC-31NOV26-90000-C", "BTC-4DEC26-90000-X", "", "B" * 99]
)
def test_impossible_symbols_are_refused_by_name(symbol: str) -> None:
    """A leading zero, a 31st of November or an unknown right is an error that shows the symbol."""
    with pytest.raises(BadMessage, match="instrument_name") as refused:
        read_symbol(symbol)
    assert refused.value.reason == "bad_symbol"


def test_venue_gamma_is_passed_on_as_a_cross_check(deribit: Frame, play: Play) -> None:
    """The five-decimal gamma goes into venue_gamma as it came: greeks are recomputed elsewhere."""
    ticker = play([deribit("option_ticker")]).ticker(OPTION)
    assert (ticker.venue_gamma, ticker.venue_vega, ticker.venue_theta) == (0.00004, 39.5, -95.1)


def test_delta_decay_before_expiry_is_flagged(deribit: Frame, play: Play) -> None:
    """In the last half hour the venue's delta is not its gamma's: flagged at 07:30:00, not at 07:29:58."""
    before = 1_796_371_200 - 1800 - 1_795_250_400
    early = play([deribit("option_ticker", before - 2)]).ticker(OPTION)
    late = play([deribit("option_ticker", before + 0.5)]).ticker(OPTION)
    assert "delta_decay" not in early.quality
    assert "delta_decay" in late.quality


def test_venue_error_such_as_raw_without_authentication_is_a_dead_letter(raw: Frame, play: Play) -> None:
    """Error 13778 in a frame is not data: it is refused with the venue's words."""
    frame = b'{"jsonrpc":"2.0","id":3,"error":{"code":13778,"message":"raw_subscriptions_not_available"}}'
    rejects = play([raw("deribit", frame)]).rejects
    assert [reject.reason for reject in rejects] == ["venue_error"]
    assert "13778" in rejects[0].detail


def test_incremental_ticker_is_partial_after_its_snapshot(deribit: Frame, play: Play) -> None:
    """A change frame moves what it names; everything else stays, with its own older age."""
    ticker = play([deribit("incremental_snapshot"), deribit("incremental_change", 2.0)]).ticker(OPTION)
    assert (ticker.bid_price, ticker.ask_price, ticker.mark_price) == (0.0125, 0.0132, 0.0129)
    assert (ticker.mark_iv, ticker.open_interest_base) == (0.4125, 310.4)
    assert (ticker.mark_age_ms, ticker.iv_age_ms) == (1000, 3000)


def test_incremental_change_to_no_bid_takes_size_and_iv_with_it(deribit: Frame, play: Play) -> None:
    """When the bid goes away its size and iv do, too, although the frame does not say so."""
    gone = {"best_bid_price": 0}
    ticker = play([deribit("incremental_snapshot"), deribit("incremental_change", 2.0, gone)]).ticker(OPTION)
    assert (ticker.bid_price, ticker.bid_amount, ticker.bid_iv) == (None, None, None)
    assert ticker.mark_iv == 0.4125


def test_index_is_the_newer_of_own_frame_and_index_channel(deribit: Frame, play: Play) -> None:
    """The index print that came after the ticker replaces its index, and a later ticker replaces the print."""
    first = play([deribit("option_ticker", 0.1), deribit("index", 0.2)]).ticker(OPTION)
    later = play([deribit("option_ticker", 1.5, {"timestamp": 1795250401400, "index_price": 88111.0})]).ticker(OPTION)
    assert (first.index_price, first.index_age_ms) == (88_002.75, 800)
    assert (later.index_price, later.index_age_ms) == (88_111.0, 500)


def test_an_older_index_print_does_not_replace_a_newer_one(deribit: Frame, play: Play) -> None:
    """By the venue's time of the print."""
    old = deribit("index", 0.5, {"price": 80_000.0, "timestamp": 1795250399000})
    assert play([deribit("option_ticker"), deribit("index", 0.2), old]).ticker(OPTION).index_price == 88_002.75


def test_trades_and_tickers_race_for_the_last_price(deribit: Frame, play: Play) -> None:
    """A ticker stamped before the last print does not set the price back, and that is no disorder."""
    behind = {"timestamp": 1795250399700, "last_price": 0.0119}
    frames = [deribit("instruments"), deribit("option_trade"), deribit("option_ticker", 0.1, behind)]
    ticker = play(frames).ticker(OPTION)
    assert (ticker.last_price, ticker.mark_price, ticker.quality) == (0.0128, 0.01283, ())


def test_perpetual_funding_is_paid_rate_and_accruing_rate(deribit: Frame, play: Play) -> None:
    """funding_8h was paid over the last period, current_funding accrues now; continuous funding has no next time."""
    ticker = play([deribit("perpetual_ticker")]).ticker("BTC-PERPETUAL")
    assert (ticker.funding_rate, ticker.predicted_funding_rate) == (0.00008, 0.00001)
    assert ticker.next_funding_ts is None


def test_funding_history_is_rounded_to_its_schedule(deribit: Frame, play: Play) -> None:
    """A settlement stamped 7 ms late belongs to the full hour, and comes out once."""
    history = deribit("funding_history", channel="rest:get_funding_rate_history", instrument="BTC-PERPETUAL")
    payments = play([history, history]).records("market.funding")
    assert [(p.settled_ts, p.rate, p.period_hours) for p in payments] == [(1_795_248_000_000_000, 0.0000125, 1.0)]


def test_unknown_fields_never_break(deribit: Frame, play: Play) -> None:
    """Fields that the venue adds tomorrow are passed over."""
    new = {"starbase_match_id": 5, "starbase_timestamp": 17, "nested": {"a": [1]}}
    names = ["option_ticker", "option_trade", "book_snapshot", "index", "instruments", "state_change"]
    played = play([deribit(name, change=new) for name in names])
    assert not played.rejects
    assert len(played.trades) == 1


def test_book_summary_fills_in_without_overruling_newer_frames(deribit: Frame, play: Play) -> None:
    """A polled summary older than the stream changes nothing and raises no flag; a newer one is joined."""
    stale = play([deribit("option_ticker"), deribit("book_summary", 0.5, {"creation_timestamp": 1795250300000},
                  channel="rest:get_book_summary_by_currency")]).ticker(OPTION)  # fmt: skip
    fresh = play([deribit("book_summary", 1.0, channel="rest:get_book_summary_by_currency")]).ticker(OPTION)
    assert (stale.bid_price, stale.ask_price) == (0.0125, 0.0131)
    assert "out_of_order" not in stale.quality
    assert (fresh.bid_price, fresh.bid_amount, fresh.ask_price, fresh.ask_iv) == (0.0126, None, None, None)
    assert fresh.underlying_price == 88_130.0


def test_subscription_answers_and_venue_heartbeats_are_no_data(raw: Frame, play: Play) -> None:
    """Acknowledgements and heartbeats of the protocol are neither data nor dead letters."""
    frames = [b'{"jsonrpc":"2.0","id":1,"result":["ticker.X"]}', b'{"jsonrpc":"2.0","method":"heartbeat","params":{}}']
    played = play([raw("deribit", frame) for frame in frames])
    assert not played.rejects
    assert played.closes[0].input_records == 2


def test_volatility_index_is_understood_and_unused(deribit: Frame, play: Play) -> None:
    """Channels without an output are passed over, not refused."""
    assert not play([deribit("volatility_index")]).rejects


def test_unknown_channel_is_a_dead_letter(deribit: Frame, raw: Frame, play: Play) -> None:
    """What nobody has thought of is not dropped silently."""
    frame = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"brand.new","data":{}}}'
    assert [reject.reason for reject in play([raw("deribit", frame)]).rejects] == ["unknown_channel"]


@pytest.mark.parametrize(
    ("change", "reason", "named"),
    [
        ({"direction": "up"}, "bad_value", "direction"),
        ({"price": 0}, "bad_value", "price"),
        ({"price": "x"}, "bad_value", "price"),
        ({"amount": -1}, "bad_value", "amount"),
        ({"trade_id": None}, "missing_field", "trade_id"),
        ({"amount": "1_0"}, "bad_value", "amount"),
        ({"timestamp": 1.5}, "bad_value", "timestamp"),
        ({"trade_seq": 2**63}, "bad_value", "trade_seq"),
        ({"block_trade_leg_count": 2**31}, "bad_value", "block_trade_leg_count"),
        ({"liquidation": "Q"}, "bad_value", "liquidation"),
        ({"instrument_name": "BTC"}, "bad_symbol", "instrument_name"),
        ({"instrument_name": "ETH-PERPETUAL"}, "wrong_underlying", "ETH-PERPETUAL"),
    ],
)
def test_impossible_trades_are_refused_by_field(
    deribit: Frame, play: Play, change: dict[str, Any], reason: str, named: str
) -> None:
    """Each names the field, and is counted as one rejected input."""
    played = play([deribit("option_trade", change=change)])
    assert [reject.reason for reject in played.rejects] == [reason]
    assert named in played.rejects[0].detail
    assert (played.closes[0].input_records, played.closes[0].rejected_records) == (1, 1)
    assert not played.trades


def test_one_bad_entry_does_not_take_the_list_with_it(deribit: Frame, play: Play) -> None:
    """Of a reference list with one impossible entry the others are listed, and the record is refused once."""
    record = deribit("instruments")
    broken = record.payload.replace(b'"strike":90000.0', b'"strike":91000.0')
    played = play([replace(record, payload=broken)])
    assert [record.instrument for record in played.instruments] == ["BTC-PERPETUAL"]
    assert [reject.reason for reject in played.rejects] == ["bad_value"]
    assert "strike" in played.rejects[0].detail


def test_a_frame_is_refused_once_for_the_first_of_its_faults(deribit: Frame, play: Play) -> None:
    """Two impossible entries are one dead letter, which tells of the first."""
    record = deribit("instruments")
    broken = record.payload.replace(b'"strike":90000.0', b'"strike":-1').replace(
        b'"contract_size":10', b'"contract_size":0'
    )
    rejects = play([replace(record, payload=broken)]).rejects
    assert len(rejects) == 1
    assert rejects[0].detail.startswith("strike")
