"""BitMEX: raw frames to events. One reader per table; REST answers hold the same rows. Shapes at the bottom.

What is BitMEX's own, and handled here and nowhere else:

* Sizes and open interest are contracts: $1 for XBTUSD; for others what the instrument's ``multiplier`` makes of price
  times quantity, in hundred-millionths of a coin ("satoshis") or millionths of a dollar coin.
* Quantos (ETHUSD: priced in USD, settled in XBT) have no fixed size in base coin: a print's ``homeNotional`` is the
  venue's own figure at the XBT price of the moment.
* Books know levels by id; see :mod:`normalizer.level_ids`. Nothing is numbered.
* The instrument table is both reference and ticker. After its ``partial``, updates say only what changed.
* ``side`` of a trade is the taker's, of a liquidation that of the order which the venue placed: "Sell" closes a long.
  The table tells of the order, not of its fills: price is its limit, size what it began with; it bears no time.
* ``fundingRate`` is what will be paid at ``fundingTimestamp``, ``indicativeFundingRate`` the prediction for the time
  after it. The funding table tells what was paid.
* Prices in XBT are no USD: no index and no USD size come from them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from contracts.records import RawMessage
from normalizer import json_fields as read
from normalizer.bitmex_symbols import read_symbol
from normalizer.contract_value import USD_QUOTES, finite
from normalizer.entries import each
from normalizer.events import (
    Action,
    BadMessage,
    Event,
    FundingPrint,
    Ignored,
    InstrumentSpec,
    LevelRow,
    LevelsById,
    LiquidationPrint,
    Listing,
    Part,
    Side,
    TickerPatch,
    TradePrint,
    Value,
)
from normalizer.json_fields import Json

Reader = Callable[[Json, InstrumentSpec, str], Iterator[Event]]
"""Row, its instrument and the action of its frame ("rest" for an answer) to events."""

_SIDES: Final[dict[str, Side]] = {"Buy": "buy", "Sell": "sell"}
_ACTIONS: Final = frozenset({"partial", "insert", "update", "delete"})
_KINDS: Final = {"FFWCSX": "perpetual", "FFCCSX": "future", "IFXXXP": "spot"}
_COINS: Final = {"XBT": "BTC", "XBt": "BTC", "USDt": "USDT", "Gwei": "ETH", "LAMp": "SOL"}
"""Currencies, and the units that accounts are kept in, as the rest of the system writes them."""
_SATOSHI: Final = 1e-8
_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000


def book_instrument(raw: RawMessage) -> str | None:
    """Return the instrument whose book the frame belongs to, by its channel alone; None if it is no book's."""
    table, _, instrument = raw.channel.partition(":")
    return instrument or None if table in _BOOKS else None


def parse(raw: RawMessage) -> Iterator[Event]:
    """Read one frame or REST answer. Raises BadMessage if the frame as a whole is impossible or unknown."""
    if raw.kind == "message" and raw.payload == b"pong":
        yield Ignored("protocol")
        return
    frame = read.parse(raw.payload)
    if raw.kind == "snapshot":
        yield from _rest(frame, raw)
        return
    frame = read.as_object(frame, "frame")
    if "error" in frame:
        raise BadMessage("venue_error", f"error: {frame['error']!r}"[:200])
    if "table" not in frame:
        if not {"success", "info", "subscribe", "unsubscribe"} & frame.keys():
            raise BadMessage("unknown_channel", "table: missing in a frame that is no answer either")
        yield Ignored("protocol")
        return
    yield from _table(frame, raw)


def _table(frame: Json, raw: RawMessage) -> Iterator[Event]:
    table, action = read.text(frame, "table"), read.text(frame, "action")
    if action not in _ACTIONS:
        raise BadMessage("bad_value", f"action: expected one of {', '.join(sorted(_ACTIONS))}, got {action[:40]!r}")
    if table in _IGNORED:
        yield Ignored("no output needs it")
    elif table in _BOOKS:
        yield from _books(frame, cast("Action", action), raw)
    else:
        yield from _rows(frame.get("data"), _reader(table), action, raw)


def _rest(answer: Any, raw: RawMessage) -> Iterator[Event]:
    if isinstance(answer, dict) and "error" in answer:
        raise BadMessage("venue_error", f"{raw.channel}: {answer['error']!r}"[:200])
    table = _REST.get(raw.channel)
    if table is None:
        raise BadMessage("unknown_channel", f"channel: {raw.channel!r} is no REST answer that is read")
    yield from _rows(answer, _reader(table), "rest", raw)


def _reader(table: str) -> Reader:
    reader = _TABLES.get(table)
    if reader is None:
        raise BadMessage("unknown_channel", f"table: {table[:80]!r}; add it to the table of the venue file")
    return reader


def _rows(entries: Any, reader: Reader, action: str, raw: RawMessage) -> Iterator[Event]:
    def entry(fields: Json) -> Iterator[Event]:
        spec = _spec(read.text(fields, "symbol"), raw)
        if spec is None:
            yield Ignored("another underlying")
        else:
            yield from reader(fields, spec, action)

    yield from each(entries, "data", entry)


def _spec(symbol: str, raw: RawMessage) -> InstrumentSpec | None:
    """Read a symbol; None for what is not of this underlying where the channel names no symbol but speaks of many."""
    try:
        return read_symbol(symbol, raw.underlying)
    except BadMessage:
        if ":" in raw.channel and raw.kind == "message":
            raise
        return None


def _quote(spec: InstrumentSpec) -> str:
    return spec.index_name.removeprefix(spec.underlying)


# Books


def _books(frame: Json, action: Action, raw: RawMessage) -> Iterator[Event]:
    """Read a book frame, per symbol; an empty partial names its symbol in the filter."""
    rows: dict[str, list[LevelRow]] = {}
    times: dict[str, int | None] = {}
    named = frame.get("filter")
    if action == "partial" and isinstance(named, dict) and "symbol" in named:
        rows[read.text(named, "symbol")] = []
    for entry in read.as_list(frame.get("data"), "data"):
        fields = read.as_object(entry, "data[]")
        symbol = read.text(fields, "symbol")
        rows.setdefault(symbol, []).append(_level(fields))
        times[symbol] = read.iso_micros_or_none(fields, "timestamp")
    for symbol, levels in rows.items():
        spec = _spec(symbol, raw)
        if spec is None:
            yield Ignored("another underlying")
        else:
            yield LevelsById(instrument=symbol, exchange_ts=times.get(symbol), action=action, rows=levels)


def _level(fields: Json) -> LevelRow:
    price, size = fields.get("price"), fields.get("size")
    return (
        read.integer(fields, "id"),
        None if fields.get("side") is None else read.one_of(fields, "side", _SIDES),
        None if price is None else read.decimal_text(price, "price"),
        None if size is None else read.decimal_text(size, "size"),
    )


# Trades, liquidations, funding


def _trade(fields: Json, spec: InstrumentSpec, _action: str) -> Iterator[Event]:
    in_usd = _quote(spec) in USD_QUOTES
    yield TradePrint(
        instrument=spec.instrument,
        exchange_ts=read.iso_micros(fields, "timestamp"),
        trade_id=read.text(fields, "trdMatchID"),
        taker_side=read.one_of(fields, "side", _SIDES),
        price=read.positive(fields, "price"),
        amount_base=read.positive_or_none(fields, "homeNotional"),
        notional_usd=read.positive_or_none(fields, "foreignNotional") if in_usd else None,
        contracts=read.positive(fields, "size"),
    )


def _liquidation(fields: Json, spec: InstrumentSpec, action: str) -> Iterator[Event]:
    if action in {"update", "delete"}:
        yield Ignored("progress of a liquidation order")
        return
    yield LiquidationPrint(
        instrument=spec.instrument,
        exchange_ts=None,
        liquidation_id=read.text(fields, "orderID"),
        order_side=read.one_of(fields, "side", _SIDES),
        price=read.positive(fields, "price"),
        amount_base=None,
        notional_usd=None,
        contracts=read.positive(fields, "leavesQty"),
        censored=False,
    )


def _funding(fields: Json, spec: InstrumentSpec, _action: str) -> Iterator[Event]:
    settled_ts = read.iso_micros(fields, "timestamp")
    # The interval is written as a time of the first day of 2000.
    period_us = read.iso_micros(fields, "fundingInterval") % _DAY_US or _DAY_US
    yield FundingPrint(
        instrument=spec.instrument,
        exchange_ts=settled_ts,
        settled_ts=settled_ts,
        rate=read.number(fields, "fundingRate"),
        period_hours=period_us / _HOUR_US,
    )


# Reference and tickers


def _instrument(fields: Json, spec: InstrumentSpec, action: str) -> Iterator[Event]:
    if action == "delete":
        yield Ignored("delisted")
        return
    if "typ" in fields and "multiplier" in fields:
        if read.text(fields, "typ") not in _KINDS:
            yield Ignored("no perpetual, future or spot")
            return
        yield _listing(fields, spec)
    yield _ticker(fields, spec, action)


def _listing(fields: Json, spec: InstrumentSpec) -> Listing:
    kind, expiry_ts = _KINDS[read.text(fields, "typ")], read.iso_micros_or_none(fields, "expiry")
    if (kind, expiry_ts) != (spec.kind, spec.expiry_ts):
        raise BadMessage("bad_value", f"typ, expiry: {kind}, {fields.get('expiry')!r} is not that of {spec.instrument}")
    settlement = _currency(fields, "settlCurrency") or _currency(fields, "quoteCurrency")
    return Listing(
        spec=replace(spec, linear=settlement in USD_QUOTES),
        exchange_ts=None,
        state=read.text(fields, "state").lower(),
        quote_currency=_currency(fields, "quoteCurrency"),
        settlement_currency=settlement,
        contract_size=_contract_size(fields),
        price_tick=read.nonzero_or_none(fields, "tickSize"),
        amount_step=read.nonzero_or_none(fields, "lotSize"),
        listed_ts=read.iso_micros_or_none(fields, "listing"),
    )


def _currency(fields: Json, name: str) -> str:
    currency = read.text_or_none(fields, name) or ""
    return _COINS.get(currency, currency.upper())


def _contract_size(fields: Json) -> float | None:
    """Return quote units (inverse), settlement coin per unit of price (quanto) or base coin (else) per contract."""
    multiplier = abs(read.number(fields, "multiplier"))
    if fields.get("isQuanto") is True:
        return multiplier * _SATOSHI or None
    name = "underlyingToSettleMultiplier" if fields.get("isInverse") is True else "quoteToSettleMultiplier"
    per_unit = read.number_or_none(fields, name)
    return finite(multiplier / abs(per_unit)) or None if per_unit else None


def _ticker(fields: Json, spec: InstrumentSpec, action: str) -> TickerPatch:
    index = read.nonzero_or_none(fields, "indicativeSettlePrice") if _quote(spec) in USD_QUOTES else None
    state = read.text_or_none(fields, "state")
    parts: dict[Part, Mapping[str, Value]] = {
        "quote": _best(fields),
        "last": read.given(last_price=read.nonzero_or_none(fields, "lastPrice")),
        "mark": read.given(mark_price=read.nonzero_or_none(fields, "markPrice")),
        "index": read.given(index_price=index),
        "volume": read.given(volume_24h_base=read.amount_or_none(fields, "homeNotional24h")),
        "funding": read.given(
            funding_rate=read.number_or_none(fields, "fundingRate"),
            predicted_funding_rate=read.number_or_none(fields, "indicativeFundingRate"),
            next_funding_ts=read.iso_micros_or_none(fields, "fundingTimestamp"),
        ),
    }
    return TickerPatch(
        instrument=spec.instrument,
        exchange_ts=read.iso_micros_or_none(fields, "timestamp"),
        parts={part: said for part, said in parts.items() if said},
        state=None if state is None else state.lower(),
        polled=action == "rest",
        open_interest_contracts=read.amount_or_none(fields, "openInterest"),
    )


def _best(fields: Json) -> dict[str, Value]:
    """Best bid and ask as far as the row says; the instrument table has no sizes, the quote table has."""
    said: dict[str, Value] = {}
    for side in ("bid", "ask"):
        if f"{side}Size" in fields:
            said[f"{side}_amount"] = read.amount_or_none(fields, f"{side}Size")
        if f"{side}Price" in fields:
            said[f"{side}_price"] = price = read.nonzero_or_none(fields, f"{side}Price")
            if price is None:
                said[f"{side}_amount"] = None
    return said


_BOOKS: Final = frozenset({"orderBookL2", "orderBookL2_25"})
_TABLES: Final[Mapping[str, Reader]] = {
    "trade": _trade,
    "quote": lambda fields, spec, action: iter([_ticker(fields, spec, action)]),
    "instrument": _instrument,
    "liquidation": _liquidation,
    "funding": _funding,
}
_REST: Final[Mapping[str, str]] = {
    "rest:instruments": "instrument",
    "rest:tickers": "instrument",
    "rest:funding-history": "funding",
    "rest:trades": "trade",
}
_IGNORED: Final = frozenset(
    {"announcement", "chat", "connected", "insurance", "orderBook10", "publicNotifications", "settlement"}
    | {f"{table}Bin{size}" for table in ("trade", "quote") for size in ("1m", "5m", "1h", "1d")}
)

# Shapes (bitmex.com/app/wsAPI): push {table, action partial|insert|update|delete, data [row], filter?}; REST [row].
# Times are ISO 8601, numbers JSON numbers.
#   orderBookL2  {symbol, id, side, size?, price?, timestamp?}
#   trade        {timestamp, symbol, side, size contracts, price, trdMatchID, homeNotional, foreignNotional}
#   quote        {timestamp, symbol, bidSize, bidPrice, askPrice, askSize}
#   liquidation  {orderID, symbol, side, price, leavesQty}
#   funding      {timestamp, symbol, fundingInterval 2000-01-01T08:00:00.000Z, fundingRate, fundingRateDaily}
#   instrument   {symbol, typ, state, expiry, listing, quoteCurrency, settlCurrency, multiplier, isInverse, isQuanto,
#                quoteToSettleMultiplier, underlyingToSettleMultiplier, tickSize, lotSize, lastPrice, bidPrice,
#                askPrice, markPrice, indicativeSettlePrice, openInterest, homeNotional24h, fundingRate,
#                indicativeFundingRate, fundingTimestamp, timestamp}
