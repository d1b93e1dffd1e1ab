"""Binance USDⓈ-M futures and spot: raw frames to events. One generator per event type, shapes at the bottom.

What is Binance's own, and handled here and nowhere else:

* ``m`` says that the *buyer* was the maker: the taker sold.
* Prints of ``trade`` with ``X`` other than MARKET (insurance fund, auto-deleveraging, none) met no order book: ignored.
* ``aggTrade`` and ``trade`` tell of the same prints under different ids: ``TradePrint.stream`` says which it is, and
  the core follows one of the two per instrument.
* ``forceOrder`` shows only the latest liquidation per symbol and second: every one is marked ``censored``. ``ap`` is
  the price it was filled at, ``p`` only the order's limit. An order that sells liquidates a long.
* ``markPrice``'s ``r`` is the rate of the running period, which is the venue's prediction of what will be paid at
  ``T``. Delivery contracts have neither (``T`` is 0).
* Depth: USDⓈ-M chains by ``pu``, spot by ``U`` = previous ``u`` + 1; both start from a REST answer (``lastUpdateId``).
* The spot ``bookTicker`` has neither event type nor time.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final, Literal

from contracts.records import RawMessage
from normalizer import depth_frame, trade_frame
from normalizer import json_fields as read
from normalizer.contract_value import USD_QUOTES
from normalizer.events import (
    BadMessage,
    BookUpdate,
    Event,
    Ignored,
    InstrumentSpec,
    Invalid,
    Kind,
    LiquidationPrint,
    Listing,
    Part,
    Side,
    TickerPatch,
    TradePrint,
    Value,
)
from normalizer.json_fields import Json

Market = Literal["usdm", "spot"]

_USDM_QUOTE: Final = re.compile(r"[A-Z]{1,20}(?:_(\d\d)(\d\d)(\d\d))?", re.ASCII)
_SPOT_QUOTE: Final = re.compile(r"[A-Z0-9]{1,20}")
_SIDES: Final[dict[str, Side]] = {"BUY": "buy", "SELL": "sell"}
_PERPETUALS: Final = frozenset({"PERPETUAL", "TRADIFI_PERPETUAL"})


@lru_cache(maxsize=65_536)
def read_symbol(market: Market, symbol: str, underlying: str) -> InstrumentSpec:
    """Read a symbol whose base asset is known (the raw record names it). BadMessage ``bad_symbol`` if they disagree."""
    quote = symbol.removeprefix(underlying) if underlying else symbol
    match = (_USDM_QUOTE if market == "usdm" else _SPOT_QUOTE).fullmatch(quote)
    if quote == symbol or match is None:
        raise BadMessage("bad_symbol", f"s: {symbol[:80]!r} is no {market} symbol of {underlying!r}")
    kind: Kind = "spot"
    expiry_ts = None
    if market == "usdm":
        kind, expiry_ts = ("future", _expiry(match)) if match[1] else ("perpetual", None)
    return InstrumentSpec(
        instrument=symbol,
        underlying=underlying,
        kind=kind,
        linear=True,
        index_name=f"{underlying}{quote.split('_')[0]}",
        expiry_ts=expiry_ts,
    )


def _expiry(match: re.Match[str]) -> int:
    try:
        day = datetime(2000 + int(match[1]), int(match[2]), int(match[3]), 8, tzinfo=UTC)
    except ValueError:
        raise BadMessage("bad_symbol", f"s: {match[0]!r} has no such day") from None
    return int(day.timestamp()) * 1_000_000


def book_instrument(raw: RawMessage) -> str | None:
    """Return the instrument whose book the frame belongs to, by its channel alone; None if it is no book's."""
    if raw.channel == "rest:depth":
        return raw.instrument
    symbol, _, stream = raw.channel.partition("@")
    return symbol.upper() if stream.startswith("depth") else None


def parse(market: Market, raw: RawMessage) -> Iterator[Event]:
    """Read one frame or REST answer. Raises BadMessage if the frame as a whole is impossible or unknown."""
    if "@depth" in raw.channel:
        update = depth_frame.read_update(raw.payload, chained_by_pu=market == "usdm")
        if update is not None:
            read_symbol(market, update.instrument, raw.underlying)
            yield update
            return
    elif raw.channel.endswith("@trade"):
        print_ = trade_frame.read_print(raw.payload)
        if print_ is not None:
            yield _valued(print_, read_symbol(market, print_.instrument, raw.underlying))
            return
    frame = read.parse(raw.payload)
    if raw.kind == "snapshot":
        yield from _rest(market, raw, frame)
        return
    frame = read.as_object(frame, "frame")
    if "stream" not in frame:
        if "error" in frame or "code" in frame:
            raise BadMessage("venue_error", f"error: {frame!r}"[:200])
        if "result" in frame:
            yield Ignored("protocol")
            return
        raise BadMessage("unknown_channel", "stream: missing, expected a combined-stream frame")
    data = read.as_object(frame.get("data"), "data")
    yield from _reader(read.text(frame, "stream"), data)(market, data, raw)


def _reader(stream: str, data: Json) -> Callable[[Market, Json, RawMessage], Iterator[Event]]:
    event = data.get("e") or stream.partition("@")[2]
    reader = _EVENTS.get(event) if isinstance(event, str) else None
    if reader is None:
        raise BadMessage("unknown_channel", f"stream: {stream[:80]!r}; add its event to the table of the venue file")
    return reader


def _rest(market: Market, raw: RawMessage, frame: Any) -> Iterator[Event]:
    answer = read.as_object(frame, "answer")
    if "code" in answer:
        raise BadMessage("venue_error", f"{raw.channel}: {answer!r}"[:200])
    reader = _REST.get(raw.channel)
    if reader is None:
        raise BadMessage("unknown_channel", f"channel: {raw.channel!r} is no REST answer that is read")
    yield from reader(market, answer, raw)


# Trades and liquidations


def _trade(market: Market, data: Json, raw: RawMessage, *, stream: str) -> Iterator[Event]:
    if data.get("X", "MARKET") != "MARKET":
        yield Ignored("no market print")
        return
    spec = read_symbol(market, read.text(data, "s"), raw.underlying)
    price, amount = read.positive(data, "p"), read.positive(data, "q")
    buyer_is_maker = data.get("m")
    if not isinstance(buyer_is_maker, bool):
        raise BadMessage("bad_value", f"m: expected true or false, got {buyer_is_maker!r}"[:200])
    yield TradePrint(
        instrument=spec.instrument,
        exchange_ts=read.micros(data, "T"),
        trade_id=_trade_id(data, stream),
        taker_side="sell" if buyer_is_maker else "buy",
        price=price,
        amount_base=amount,
        notional_usd=_usd(spec, price * amount),
        stream=stream,
    )


def _valued(print_: TradePrint, spec: InstrumentSpec) -> TradePrint:
    """Return a print whose USD are those of its quote currency: none if that is not a dollar."""
    return print_ if _usd(spec, 1.0) is not None else print_._replace(notional_usd=None)


def _trade_id(data: Json, stream: str) -> str:
    if stream == "trade":
        return str(read.integer(data, "t"))
    # Before 2020 an aggregate had no id of its own; the range of its prints is as unique.
    return str(read.integer(data, "a")) if "a" in data else f"{read.integer(data, 'f')}-{read.integer(data, 'l')}"


def _usd(spec: InstrumentSpec, value: float) -> float | None:
    return value if spec.index_name.removeprefix(spec.underlying) in USD_QUOTES else None


def _force_order(market: Market, data: Json, raw: RawMessage) -> Iterator[Event]:
    order = read.as_object(data.get("o"), "o")
    spec = read_symbol(market, read.text(order, "s"), raw.underlying)
    side = _SIDES.get(read.text(order, "S"))
    if side is None:
        raise BadMessage("bad_value", f"S: expected BUY or SELL, got {order['S']!r}")
    price = read.nonzero_or_none(order, "ap") or read.positive(order, "p")
    amount = read.nonzero_or_none(order, "z") or read.positive(order, "q")
    exchange_ts = read.micros(order, "T")
    yield LiquidationPrint(
        instrument=spec.instrument,
        exchange_ts=exchange_ts,
        liquidation_id=f"{exchange_ts // 1000}-{order['S']}-{order.get('q')}-{order.get('p')}",
        order_side=side,
        price=price,
        amount_base=amount,
        notional_usd=_usd(spec, price * amount),
        censored=True,
    )


# Books


def _depth(market: Market, data: Json, raw: RawMessage) -> Iterator[Event]:
    spec = read_symbol(market, read.text(data, "s"), raw.underlying)
    yield BookUpdate(
        instrument=spec.instrument,
        exchange_ts=read.micros(data, "T" if market == "usdm" else "E"),
        snapshot=False,
        first_id=read.integer(data, "U"),
        last_id=read.integer(data, "u"),
        prev_id=read.integer(data, "pu") if market == "usdm" else None,
        bids=read.text_levels(data, "b"),
        asks=read.text_levels(data, "a"),
    )


def _depth_answer(market: Market, answer: Json, raw: RawMessage) -> Iterator[Event]:
    if raw.instrument is None:
        raise BadMessage("missing_field", "instrument: the raw record of a depth answer must name it")
    spec = read_symbol(market, raw.instrument, raw.underlying)
    yield BookUpdate(
        instrument=spec.instrument,
        exchange_ts=read.micros_or_none(answer, "T"),
        snapshot=True,
        last_id=read.integer(answer, "lastUpdateId"),
        bids=read.text_levels(answer, "bids"),
        asks=read.text_levels(answer, "asks"),
    )


# Tickers


def _book_ticker(market: Market, data: Json, raw: RawMessage) -> Iterator[Event]:
    quote: dict[str, Value] = {}
    for side, price_field, size_field in (("bid", "b", "B"), ("ask", "a", "A")):
        price = read.nonzero_or_none(data, price_field)
        quote[f"{side}_price"] = price
        quote[f"{side}_amount"] = None if price is None else read.amount_or_none(data, size_field)
    yield _patch(market, data, raw, {"quote": quote})


def _mark_price(market: Market, data: Json, raw: RawMessage) -> Iterator[Event]:
    parts: dict[Part, Mapping[str, Value]] = {"mark": {"mark_price": read.positive(data, "p")}}
    if (index_price := read.nonzero_or_none(data, "i")) is not None:
        parts["index"] = {"index_price": index_price}
    rate, next_funding_ts = read.number_or_none(data, "r"), read.micros_or_none(data, "T")
    if rate is not None and next_funding_ts is not None:
        parts["funding"] = {
            "funding_rate": rate,
            "predicted_funding_rate": rate,
            "next_funding_ts": next_funding_ts,
        }
    yield _patch(market, data, raw, parts)


def _day_ticker(market: Market, data: Json, raw: RawMessage) -> Iterator[Event]:
    parts: dict[Part, Mapping[str, Value]] = {
        "last": {"last_price": read.positive(data, "c")},
        "volume": {"volume_24h_base": read.amount_or_none(data, "v")},
    }
    yield _patch(market, data, raw, parts)


def _open_interest(market: Market, data: Json, raw: RawMessage) -> Iterator[Event]:
    spec = read_symbol(market, read.text(data, "symbol"), raw.underlying)
    open_interest = read.amount_or_none(data, "openInterest")
    yield TickerPatch(
        instrument=spec.instrument,
        exchange_ts=read.micros_or_none(data, "time"),
        parts={"open_interest": {"open_interest_base": open_interest}},
        polled=True,
    )


def _patch(market: Market, data: Json, raw: RawMessage, parts: Mapping[Part, Mapping[str, Value]]) -> TickerPatch:
    spec = read_symbol(market, read.text(data, "s"), raw.underlying)
    exchange_ts = read.micros_or_none(data, "E")
    return TickerPatch(instrument=spec.instrument, exchange_ts=exchange_ts, parts=parts)


# Reference


def _exchange_info(market: Market, answer: Json, raw: RawMessage) -> Iterator[Event]:
    for entry in read.as_list(answer.get("symbols"), "symbols"):
        try:
            yield _listing(market, read.as_object(entry, "symbols[]"), raw)
        except BadMessage as error:
            yield Invalid(error.reason, error.detail)


def _listing(market: Market, fields: Json, raw: RawMessage) -> Event:
    underlying = read.text(fields, "baseAsset")
    if underlying != raw.underlying:
        return Ignored("another underlying")
    contract = read.text_or_none(fields, "contractType") or ""
    if market == "usdm" and contract not in _PERPETUALS and not contract.endswith("QUARTER"):
        return Ignored("no perpetual or quarterly")
    quote = read.text(fields, "quoteAsset")
    return Listing(
        spec=read_symbol(market, read.text(fields, "symbol"), underlying),
        exchange_ts=None,
        state={"TRADING": "open"}.get(status := read.text(fields, "status"), status.lower()),
        quote_currency=quote,
        settlement_currency=read.text_or_none(fields, "marginAsset") or quote,
        contract_size=1.0,
        price_tick=_filter(fields, "PRICE_FILTER", "tickSize"),
        amount_step=_filter(fields, "LOT_SIZE", "stepSize"),
        listed_ts=read.micros_or_none(fields, "onboardDate"),
    )


def _filter(fields: Json, kind: str, name: str) -> float | None:
    for entry in read.as_list(fields.get("filters", []), "filters"):
        if read.as_object(entry, "filters[]").get("filterType") == kind:
            return read.nonzero_or_none(entry, name)
    return None


def _ignored(_market: Market, _data: Json, _raw: RawMessage) -> Iterator[Event]:
    yield Ignored("no output needs it")


_EVENTS: Final[Mapping[str, Callable[[Market, Json, RawMessage], Iterator[Event]]]] = {
    "trade": partial(_trade, stream="trade"),
    "aggTrade": partial(_trade, stream="aggTrade"),
    "depthUpdate": _depth,
    "bookTicker": _book_ticker,
    "markPriceUpdate": _mark_price,
    "forceOrder": _force_order,
    "24hrTicker": _day_ticker,
    "24hrMiniTicker": _ignored,
    "kline": _ignored,
    "contractInfo": _ignored,
}
_REST: Final[Mapping[str, Callable[[Market, Json, RawMessage], Iterator[Event]]]] = {
    "rest:depth": _depth_answer,
    "rest:openInterest": _open_interest,
    "rest:exchangeInfo": _exchange_info,
}

# Shapes (developers.binance.com, combined streams): {"stream": "btcusdt@trade", "data": {...}}; numbers are text.
#   trade       {e, E ms, T ms, s, t, p, q, m, X?}         aggTrade {e, E ms, T ms, s, a, f, l, p, q, m}
#   depthUpdate {e, E ms, T ms (usdm), s, U, u, pu (usdm), b: [[price, size]], a: [...]}
#   bookTicker  {u, s, b, B, a, A} + usdm {e, E ms, T ms}
#   markPriceUpdate {e, E ms, s, p mark, i index?, r rate, T next funding ms or 0}
#   forceOrder  {e, E ms, o: {s, S, p limit, ap average, q ordered, z filled, T ms}}
#   rest:depth  {lastUpdateId, bids, asks} + usdm {E ms, T ms}     rest:openInterest {symbol, openInterest, time ms}
#   rest:exchangeInfo {symbols: [{symbol, status, baseAsset, quoteAsset, marginAsset?, contractType?, onboardDate?,
#                     filters: [{filterType, tickSize | stepSize}]}]}
