"""Deribit: raw frames to events. One generator per kind of message, the venue's shapes at the bottom of the file.

What is Deribit's own, and handled here and nowhere else:

* ivs are percent; they become decimals. An iv of 0 means "none" (no bid, or a quote below intrinsic value).
* A best price of 0 means "no quote"; open interest of 0 is real.
* Amounts and open interest are base coin for options, linear futures and spot, USD for inverse futures and perpetuals.
  ``contract_size`` never enters: it is in the amounts already.
* ``direction`` is the taker's. ``liquidation`` names who was liquidated: T the taker, M the maker (whose order is on
  the other side), MT both.
* Combos print twice, as parent and as legs: whatever names a combo instrument is dropped, legs keep its ids.
* ``funding_8h`` is what a position paid over the last eight hours, ``current_funding`` the rate accruing now: funding
  is continuous, so there is no next settlement.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from contracts.records import RawMessage
from normalizer import json_fields as read
from normalizer.deribit_symbols import read_symbol
from normalizer.entries import each
from normalizer.events import (
    BadMessage,
    BookUpdate,
    Event,
    FundingPrint,
    Ignored,
    IndexPrint,
    InstrumentSpec,
    Levels,
    LiquidationRole,
    Listing,
    Part,
    Side,
    StateChange,
    TickerPatch,
    TradePrint,
    Value,
)
from normalizer.json_fields import Json

_SIDES: Final[dict[str, Side]] = {"buy": "buy", "sell": "sell"}
_OPPOSITE: Final[dict[Side, Side]] = {"buy": "sell", "sell": "buy"}
_ROLES: Final[dict[str | None, LiquidationRole]] = {
    None: "none",
    "M": "maker",
    "T": "taker",
    "MT": "both",
    "TM": "both",
}
_STATES: Final = {"started": "open"}
"""The venue has two words for tradeable: ``started`` in announcements, ``open`` in tickers."""


def book_instrument(raw: RawMessage) -> str | None:
    """Return the instrument whose book the frame belongs to, by its channel alone; None if it is no book's."""
    return raw.channel.split(".")[1] if raw.channel.startswith("book.") and raw.channel.count(".") > 1 else None


def parse(raw: RawMessage) -> Iterator[Event]:
    """Read one frame or REST answer. Raises BadMessage if the frame as a whole is impossible or unknown."""
    frame = read.parse(raw.payload)
    if raw.kind == "snapshot":
        yield from _rest(raw, frame)
        return
    frame = read.as_object(frame, "frame")
    if "error" in frame:
        raise BadMessage("venue_error", f"error: {frame['error']!r}"[:200])
    if frame.get("method") != "subscription":
        if "result" in frame or frame.get("method") == "heartbeat":
            yield Ignored("protocol")
            return
        raise BadMessage("unknown_channel", f"method: {frame.get('method')!r} is no subscription, result or heartbeat")
    params = read.as_object(frame.get("params"), "params")
    channel = read.text(params, "channel")
    yield from _reader(channel)(params.get("data"))


def _reader(channel: str) -> Callable[[Any], Iterator[Event]]:
    for prefix, reader in _CHANNELS.items():
        if channel.startswith(prefix):
            return reader
    raise BadMessage("unknown_channel", f"channel: {channel[:80]!r}; add it to the channel table of the venue file")


def _rest(raw: RawMessage, frame: Any) -> Iterator[Event]:
    if isinstance(frame, dict) and "error" in frame:
        raise BadMessage("venue_error", f"{raw.channel}: error {frame['error']!r}"[:200])
    result = frame.get("result") if isinstance(frame, dict) else frame
    reader = _REST.get(raw.channel)
    if reader is None:
        raise BadMessage("unknown_channel", f"channel: {raw.channel!r} is no REST answer that is read")
    if raw.channel == "rest:get_funding_rate_history":
        yield from _funding_history(result, raw.instrument)
    else:
        yield from reader(result)


# Tickers


def _ticker(data: Any) -> Iterator[Event]:
    fields = read.as_object(data, "data")
    symbol = read.text(fields, "instrument_name")
    spec = read_symbol(symbol)
    if spec is None:
        yield Ignored("combo")
        return
    yield TickerPatch(
        instrument=symbol,
        exchange_ts=read.micros(fields, "timestamp"),
        parts=_parts(fields, spec),
        state=read.text_or_none(fields, "state"),
    )


def _parts(fields: Json, spec: InstrumentSpec) -> dict[Part, Mapping[str, Value]]:
    """Collect the parts that the frame has something to say about: with incremental_ticker some, else all."""
    parts: dict[Part, Mapping[str, Value]] = {
        "quote": _quote(fields),
        "last": read.given(last_price=read.amount_or_none(fields, "last_price")),
        "mark": read.given(mark_price=read.amount_or_none(fields, "mark_price")),
        "index": read.given(index_price=read.positive_or_none(fields, "index_price")),
        "open_interest": read.given(**_open_interest(fields, spec)),
        "volume": read.given(volume_24h_base=_volume(fields)),
    }
    if spec.kind == "option":
        parts["underlying"] = _underlying(fields)
        parts["iv"] = _ivs(fields, parts["quote"])
        parts["greeks"] = _greeks(fields)
    if spec.kind == "perpetual":
        parts["funding"] = read.given(
            funding_rate=read.number_or_none(fields, "funding_8h"),
            predicted_funding_rate=read.number_or_none(fields, "current_funding"),
        )
    return {part: said for part, said in parts.items() if said}


def _quote(fields: Json) -> dict[str, Value]:
    """Best bid and ask; a price of 0 or null means that there is none, so its size is none, too."""
    said: dict[str, Value] = {}
    for side in ("bid", "ask"):
        price_field, amount_field = f"best_{side}_price", f"best_{side}_amount"
        if amount_field in fields:
            said[f"{side}_amount"] = read.amount_or_none(fields, amount_field)
        if price_field in fields:
            said[f"{side}_price"] = price = read.nonzero_or_none(fields, price_field)
            if price is None:
                said[f"{side}_amount"] = None
    return said


def _ivs(fields: Json, quote: Mapping[str, Value]) -> dict[str, Value]:
    """Ivs as decimals; a side that the same frame says has no quote has no iv, whatever number stands there."""
    said: dict[str, Value] = {
        name: _percent(read.number_or_none(fields, name)) for name in ("mark_iv", "bid_iv", "ask_iv") if name in fields
    }
    for side in ("bid", "ask"):
        if said and quote.get(f"{side}_price", "not said") is None:
            said[f"{side}_iv"] = None
    return said


def _percent(value: float | None) -> float | None:
    return value / 100 if value else None


def _underlying(fields: Json) -> dict[str, Value]:
    said = read.given(
        underlying_price=read.positive_or_none(fields, "underlying_price"),
        underlying_index=read.text_or_none(fields, "underlying_index"),
        interest_rate=read.number_or_none(fields, "interest_rate"),
    )
    return said if "underlying_price" in said else {}


def _greeks(fields: Json) -> dict[str, Value]:
    greeks = fields.get("greeks")
    if greeks is None:
        return {}
    greeks = read.as_object(greeks, "greeks")
    names = ("delta", "gamma", "vega", "theta", "rho")
    return read.given(**{f"venue_{name}": read.number_or_none(greeks, name) for name in names})


def _open_interest(fields: Json, spec: InstrumentSpec) -> dict[str, Value]:
    name = "open_interest_usd" if _in_usd(spec) else "open_interest_base"
    return {name: read.amount_or_none(fields, "open_interest")}


def _in_usd(spec: InstrumentSpec) -> bool:
    """Tell whether the instrument's amounts and prices are in USD: inverse futures and perpetuals."""
    return spec.kind in {"future", "perpetual"} and not spec.linear


def _volume(fields: Json) -> float | None:
    stats = fields.get("stats")
    return None if stats is None else read.amount_or_none(read.as_object(stats, "stats"), "volume")


def _summary(fields: Json) -> Iterator[Event]:
    """Read an entry of get_book_summary_by_currency: a ticker under other names, without sizes."""
    renamed = dict(fields)
    for theirs, ours in (("bid_price", "best_bid_price"), ("ask_price", "best_ask_price"), ("last", "last_price")):
        if theirs in renamed:
            renamed[ours] = renamed.pop(theirs)
    renamed["timestamp"] = fields.get("creation_timestamp")
    renamed["stats"] = {"volume": fields.get("volume")}
    for event in _ticker(renamed):
        yield replace(event, polled=True) if isinstance(event, TickerPatch) else event


# Trades


def _trade(fields: Json) -> Iterator[Event]:
    symbol = read.text(fields, "instrument_name")
    spec = read_symbol(symbol)
    if spec is None:
        yield Ignored("combo")
        return
    taker_side = _side(fields)
    price, amount = read.positive(fields, "price"), read.positive(fields, "amount")
    index_price = read.positive_or_none(fields, "index_price")
    amount_base, notional_usd = _sizes(spec, price, amount, index_price)
    role = _role(fields)
    yield TradePrint(
        instrument=symbol,
        exchange_ts=read.micros(fields, "timestamp"),
        trade_id=_required_id(fields, "trade_id"),
        trade_seq=read.integer_or_none(fields, "trade_seq"),
        taker_side=taker_side,
        price=price,
        amount_base=amount_base,
        notional_usd=notional_usd,
        iv=_percent(read.amount_or_none(fields, "iv")),
        mark_price=read.amount_or_none(fields, "mark_price"),
        index_price=index_price,
        liquidation=role,
        liquidated_side={"taker": taker_side, "maker": _OPPOSITE[taker_side]}.get(role),
        block_trade_id=read.text_or_none(fields, "block_trade_id"),
        block_leg_count=read.integer_or_none(fields, "block_trade_leg_count", read.MAX_INT),
        combo_id=read.text_or_none(fields, "combo_id"),
        combo_trade_id=read.text_or_none(fields, "combo_trade_id"),
        block_rfq_id=read.text_or_none(fields, "block_rfq_id"),
    )


def _side(fields: Json) -> Side:
    side = _SIDES.get(read.text(fields, "direction"))
    if side is None:
        raise BadMessage("bad_value", f"direction: expected buy or sell, got {fields['direction']!r}")
    return side


def _role(fields: Json) -> LiquidationRole:
    tag = read.text_or_none(fields, "liquidation")
    role = _ROLES.get(tag)
    if role is None:
        raise BadMessage("bad_value", f"liquidation: expected M, T or MT, got {tag!r}")
    return role


def _sizes(
    spec: InstrumentSpec, price: float, amount: float, index_price: float | None
) -> tuple[float | None, float | None]:
    """Return (base coin, USD): options at the index, as the contract says, all else at the trade's own price."""
    if spec.kind == "option":
        return amount, None if index_price is None else amount * index_price
    return (amount / price, amount) if _in_usd(spec) else (amount, amount * price)


def _required_id(fields: Json, name: str) -> str:
    value = read.text_or_none(fields, name)
    if value is None:
        raise BadMessage("missing_field", f"{name}: missing, expected the venue's id")
    return value


def _last_trades(result: Any) -> Iterator[Event]:
    yield from each(read.as_object(result, "result").get("trades"), "trades", _trade)


# Books


def _book(data: Any) -> Iterator[Event]:
    fields = read.as_object(data, "data")
    symbol = read.text(fields, "instrument_name")
    if read_symbol(symbol) is None:
        yield Ignored("combo")
        return
    # Frames of before 2021 carry no type: the first one is the one without a predecessor.
    kind = fields.get("type", "change" if "prev_change_id" in fields else "snapshot")
    if kind not in ("snapshot", "change"):
        raise BadMessage("bad_value", f"type: expected snapshot or change, got {kind!r}"[:200])
    yield BookUpdate(
        instrument=symbol,
        exchange_ts=read.micros(fields, "timestamp"),
        snapshot=kind == "snapshot",
        last_id=read.integer(fields, "change_id"),
        prev_id=read.integer(fields, "prev_change_id") if kind == "change" else None,
        bids=_levels(fields, "bids"),
        asks=_levels(fields, "asks"),
    )


def _levels(fields: Json, name: str) -> Levels:
    levels = []
    for entry in read.as_list(fields.get(name), name):
        match entry:
            case ["delete", price, _]:
                levels.append((read.decimal_text(price, name), "0"))
            case ["new" | "change", price, amount]:
                levels.append((read.decimal_text(price, name), read.decimal_text(amount, name)))
            case _:
                raise BadMessage("bad_value", f"{name}: expected [action, price, amount], got {entry!r}"[:200])
    return levels


# Reference, index, state, funding


def _index(data: Any) -> Iterator[Event]:
    fields = read.as_object(data, "data")
    yield IndexPrint(
        index_name=read.text(fields, "index_name"),
        exchange_ts=read.micros(fields, "timestamp"),
        price=read.positive(fields, "price"),
    )


def _state(data: Any) -> Iterator[Event]:
    fields = read.as_object(data, "data")
    symbol, state = read.text(fields, "instrument_name"), read.text(fields, "state")
    if read_symbol(symbol) is None:
        yield Ignored("combo")
        return
    yield StateChange(instrument=symbol, exchange_ts=read.micros(fields, "timestamp"), state=_STATES.get(state, state))


def _listing(fields: Json) -> Iterator[Event]:
    symbol = read.text(fields, "instrument_name")
    spec = read_symbol(symbol)
    if spec is None or str(fields.get("kind", "")).endswith("combo"):
        yield Ignored("combo")
        return
    coin = spec.index_name.rpartition("_")[2].upper() if spec.linear else spec.underlying
    quote = read.text_or_none(fields, "quote_currency") or ("USD" if _in_usd(spec) else coin)
    state = read.text_or_none(fields, "state") or ("open" if fields.get("is_active", True) else "closed")
    yield Listing(
        spec=_checked(fields, spec),
        exchange_ts=None,
        state=_STATES.get(state, state),
        quote_currency=quote,
        settlement_currency=read.text_or_none(fields, "settlement_currency") or coin,
        contract_size=read.positive_or_none(fields, "contract_size"),
        price_tick=read.positive_or_none(fields, "tick_size"),
        amount_step=read.positive_or_none(fields, "min_trade_amount"),
        listed_ts=read.micros_or_none(fields, "creation_timestamp"),
    )


def _checked(fields: Json, spec: InstrumentSpec) -> InstrumentSpec:
    """Check that the reference says of strike and expiry what the symbol says: if not, the symbol was misread."""
    if spec.kind == "option" and read.positive(fields, "strike") != spec.strike:
        raise BadMessage("bad_value", f"strike: {fields['strike']!r} is not that of {spec.instrument}")
    if spec.expiry_ts is not None and read.micros(fields, "expiration_timestamp") != spec.expiry_ts:
        raise BadMessage(
            "bad_value", f"expiration_timestamp: {fields['expiration_timestamp']!r} is not that of {spec.instrument}"
        )
    return spec


def _funding_history(result: Any, instrument: str | None) -> Iterator[Event]:
    if instrument is None:
        raise BadMessage("missing_field", "instrument: the raw record of a funding history must name it")

    def payment(fields: Json) -> Iterator[Event]:
        settled_ts = read.micros(fields, "timestamp")
        yield FundingPrint(
            instrument=instrument,
            exchange_ts=settled_ts,
            settled_ts=settled_ts,
            rate=read.number(fields, "interest_1h"),
            period_hours=1.0,
        )

    yield from each(result, "result", payment)


def _ignored(_data: Any) -> Iterator[Event]:
    yield Ignored("no output needs it")


_CHANNELS: Final[Mapping[str, Callable[[Any], Iterator[Event]]]] = {
    "ticker.": _ticker,
    "incremental_ticker.": _ticker,
    "quote.": _ticker,
    "trades.": lambda data: each(data, "data", _trade),
    "book.": _book,
    "deribit_price_index.": _index,
    "instrument.state.": _state,
    "instrument.creation.": _ignored,
    "deribit_volatility_index.": _ignored,
    "estimated_expiration_price.": _ignored,
    "markprice.options.": _ignored,
    "perpetual.": _ignored,
    "platform_state": _ignored,
    "block_rfq.trades.": _ignored,
    "block_trade_confirmations": _ignored,
}
_REST: Final[Mapping[str, Callable[[Any], Iterator[Event]]]] = {
    "rest:get_instruments": lambda result: each(result, "result", _listing),
    "rest:get_book_summary_by_currency": lambda result: each(result, "result", _summary),
    "rest:get_last_trades_by_currency": _last_trades,
    "rest:get_funding_rate_history": _ignored,
    "rest:get_delivery_prices": _ignored,
}

# Shapes (docs.deribit.com, JSON-RPC over WebSocket):
#   frame      {"jsonrpc", "method": "subscription", "params": {"channel", "data"}}
#   REST       {"jsonrpc", "result" | "error"}
#   ticker     {instrument_name, timestamp ms, state, best_bid_price, best_bid_amount, best_ask_price, best_ask_amount,
#               last_price, mark_price, index_price, open_interest, stats {volume, ...}}
#     option also has {underlying_price, underlying_index, interest_rate, mark_iv, bid_iv, ask_iv in %, greeks}
#     perpetual also has {current_funding, funding_8h}
#   trades     [{trade_id, trade_seq, timestamp ms, instrument_name, direction, price, amount, iv?, mark_price,
#               index_price, liquidation? M|T|MT, block_trade_id?, block_trade_leg_count?, block_rfq_id?, combo_id?,
#               combo_trade_id?}]
#   book       {type snapshot|change, timestamp ms, instrument_name, change_id, prev_change_id?, bids, asks:
#               [["new"|"change"|"delete", price, amount]]}
#   index      {index_name, price, timestamp ms}          state {instrument_name, state, timestamp ms}
#   instrument {instrument_name, kind, quote_currency, settlement_currency?, strike?, expiration_timestamp ms,
#               creation_timestamp ms, contract_size, tick_size, min_trade_amount, is_active, state?}
