"""Bybit v5 derivatives (linear, inverse, options): raw frames to events. Shapes at the bottom.

What is Bybit's own, and handled here and nowhere else:

* Sizes and open interest are base coin for linear contracts and options, USD for inverse ones, whose base-coin volume
  is their ``turnover``.
* ``S`` of a trade is the taker's side. ``S`` of a liquidation is the *position's*: "Buy" means that a long was
  liquidated, by an order that sold. ``allLiquidation`` is complete (venue change log, 2025-02-26); the older
  ``liquidation`` showed one a second per symbol.
* Books: a delta's ``u`` is one more than the last; a message with ``u`` 1 is a full book, whatever its type says.
* Tickers of linear and inverse contracts come as deltas that say only what changed; options' come whole.
* Ivs are decimals, greeks those of :mod:`contracts.records` (vega USD per vol point, theta USD per day).
* ``fundingRate`` is the running period's, paid at ``nextFundingTime``; until then it moves. What was paid is told by
  the funding history.
* Numbers are text; an empty text, and 0 as a price or an iv, mean "none".
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from contracts.records import RawMessage
from normalizer import json_fields as read
from normalizer.bybit_symbols import read_symbol
from normalizer.entries import each
from normalizer.events import (
    BadMessage,
    BookUpdate,
    Event,
    Ignored,
    InstrumentSpec,
    LiquidationPrint,
    Listing,
    Part,
    Side,
    TickerPatch,
    TradePrint,
    Value,
)
from normalizer.funding_history import payments
from normalizer.json_fields import Json

_SIDES: Final[dict[str, Side]] = {"Buy": "buy", "Sell": "sell"}
_CLOSING: Final[dict[Side, Side]] = {"buy": "sell", "sell": "buy"}
_STATES: Final = {"Trading": "open"}


def book_instrument(raw: RawMessage) -> str | None:
    """Return the instrument whose book the frame belongs to, by its channel alone; None if it is no book's."""
    return raw.channel.split(".", 2)[2] if raw.channel.startswith("orderbook.") and raw.channel.count(".") > 1 else None


def parse(raw: RawMessage) -> Iterator[Event]:
    """Read one frame or REST answer. Raises BadMessage if the frame as a whole is impossible or unknown."""
    frame = read.as_object(read.parse(raw.payload), "frame")
    if raw.kind == "snapshot":
        yield from _rest(frame, raw)
        return
    if "topic" not in frame:
        yield from _protocol(frame)
        return
    topic = read.text(frame, "topic")
    reader = _TOPICS.get(topic.partition(".")[0])
    if reader is None:
        raise BadMessage("unknown_channel", f"topic: {topic[:80]!r}; add it to the table of the venue file")
    yield from reader(frame, raw)


def _protocol(frame: Json) -> Iterator[Event]:
    answer = frame.get("data")
    failed = answer.get("failTopics") if isinstance(answer, dict) else None
    if frame.get("success") is False or failed:
        raise BadMessage("venue_error", f"ret_msg: {frame.get('ret_msg')!r}, failTopics: {failed!r}"[:200])
    if "success" not in frame and "op" not in frame:
        raise BadMessage("unknown_channel", "topic: missing in a frame that is no answer either")
    yield Ignored("protocol")


def _rest(answer: Json, raw: RawMessage) -> Iterator[Event]:
    if answer.get("retCode") != 0:
        raise BadMessage("venue_error", f"{raw.channel}: {answer.get('retCode')!r} {answer.get('retMsg')!r}"[:200])
    reader = _REST.get(raw.channel)
    if reader is None:
        raise BadMessage("unknown_channel", f"channel: {raw.channel!r} is no REST answer that is read")
    yield from reader(read.as_object(answer.get("result"), "result"), raw)


def _sizes(
    spec: InstrumentSpec, price: float, size: float, index_price: float | None = None
) -> tuple[float, float | None]:
    """Return (base coin, USD): options at the index, as the contract says, all else at the trade's own price."""
    if spec.kind == "option":
        return size, None if index_price is None else size * index_price
    return (size, size * price) if spec.linear else (size / price, size)


# Trades and liquidations


def _trades(frame: Json, raw: RawMessage) -> Iterator[Event]:
    def trade(fields: Json) -> Iterator[Event]:
        spec = read_symbol(read.text(fields, "s"), raw.underlying)
        price, size = read.positive(fields, "p"), read.positive(fields, "v")
        index_price = read.nonzero_or_none(fields, "iP")
        amount_base, notional_usd = _sizes(spec, price, size, index_price)
        trade_id = read.text(fields, "i")
        yield TradePrint(
            instrument=spec.instrument,
            exchange_ts=read.micros(fields, "T"),
            trade_id=trade_id,
            taker_side=read.one_of(fields, "S", _SIDES),
            price=price,
            amount_base=amount_base,
            notional_usd=notional_usd,
            iv=read.nonzero_or_none(fields, "iv"),
            mark_price=read.amount_or_none(fields, "mP"),
            index_price=index_price,
            # The venue says that it is a block, and gives the block no id: the print's own stands for it.
            block_trade_id=trade_id if fields.get("BT") is True else None,
        )

    yield from each(frame.get("data"), "data", trade)


def _all_liquidations(frame: Json, raw: RawMessage) -> Iterator[Event]:
    seen = Counter[str]()

    def liquidation(fields: Json) -> Iterator[Event]:
        exchange_ts = read.micros(fields, "T")
        name = f"{exchange_ts // 1000}-{fields.get('S')}-{fields.get('v')}-{fields.get('p')}"
        seen[name] += 1
        # Two alike in one frame are two; the frame sent twice is one.
        liquidation_id = name if seen[name] == 1 else f"{name}-{seen[name]}"
        yield _liquidation(
            {"symbol": fields.get("s"), "size": fields.get("v"), "price": fields.get("p")},
            raw,
            position=read.one_of(fields, "S", _SIDES),
            stamp=(exchange_ts, liquidation_id),
            censored=False,
        )

    yield from each(frame.get("data"), "data", liquidation)


def _throttled_liquidation(frame: Json, raw: RawMessage) -> Iterator[Event]:
    fields = read.as_object(frame.get("data"), "data")
    exchange_ts = read.micros(fields, "updatedTime")
    yield _liquidation(
        fields,
        raw,
        position=read.one_of(fields, "side", _SIDES),
        stamp=(exchange_ts, f"{exchange_ts // 1000}-{fields.get('side')}-{fields.get('size')}-{fields.get('price')}"),
        censored=True,
    )


def _liquidation(
    fields: Json, raw: RawMessage, *, position: Side, stamp: tuple[int, str], censored: bool
) -> LiquidationPrint:
    spec = read_symbol(read.text(fields, "symbol"), raw.underlying)
    price, size = read.positive(fields, "price"), read.positive(fields, "size")
    amount_base, notional_usd = _sizes(spec, price, size)
    return LiquidationPrint(
        instrument=spec.instrument,
        exchange_ts=stamp[0],
        liquidation_id=stamp[1],
        order_side=_CLOSING[position],
        price=price,
        amount_base=amount_base,
        notional_usd=notional_usd,
        censored=censored,
    )


# Books


def _book(frame: Json, raw: RawMessage) -> Iterator[Event]:
    data = read.as_object(frame.get("data"), "data")
    kind, last_id = read.text(frame, "type"), read.integer(data, "u")
    if kind not in {"snapshot", "delta"}:
        raise BadMessage("bad_value", f"type: expected snapshot or delta, got {kind[:40]!r}")
    yield BookUpdate(
        instrument=read_symbol(read.text(data, "s"), raw.underlying).instrument,
        exchange_ts=read.micros(frame, "ts"),
        snapshot=kind == "snapshot" or last_id == 1,
        last_id=last_id,
        bids=read.text_levels(data, "b"),
        asks=read.text_levels(data, "a"),
    )


# Tickers


def _ticker(frame: Json, raw: RawMessage) -> Iterator[Event]:
    fields = read.as_object(frame.get("data"), "data")
    yield _patch(fields, raw, read.micros(frame, "ts"))


def _tickers_answer(result: Json, raw: RawMessage) -> Iterator[Event]:
    yield from _own(result, raw, lambda fields: replace(_patch(fields, raw, None), polled=True))


def _patch(fields: Json, raw: RawMessage, exchange_ts: int | None) -> TickerPatch:
    spec = read_symbol(read.text(fields, "symbol"), raw.underlying)
    parts: dict[Part, Mapping[str, Value]] = {
        "quote": _quote(fields),
        "last": read.given(last_price=read.nonzero_or_none(fields, "lastPrice")),
        "mark": read.given(mark_price=read.amount_or_none(fields, "markPrice")),
        "index": read.given(index_price=read.nonzero_or_none(fields, "indexPrice")),
        "open_interest": _open_interest(fields, spec),
        "volume": read.given(
            volume_24h_base=read.amount_or_none(fields, "volume24h" if spec.linear else "turnover24h")
        ),
    }
    if spec.kind == "option":
        parts["underlying"] = read.given(underlying_price=read.nonzero_or_none(fields, "underlyingPrice"))
        parts["iv"] = _ivs(fields)
        parts["greeks"] = read.given(
            **{f"venue_{name}": read.number_or_none(fields, name) for name in ("delta", "gamma", "vega", "theta")}
        )
    if spec.kind == "perpetual":
        rate = read.number_or_none(fields, "fundingRate")
        next_ts = read.text_micros_or_none(fields, "nextFundingTime")
        parts["funding"] = read.given(funding_rate=rate, predicted_funding_rate=rate, next_funding_ts=next_ts)
    said = {part: values for part, values in parts.items() if values}
    return TickerPatch(instrument=spec.instrument, exchange_ts=exchange_ts, parts=said)


def _quote(fields: Json) -> dict[str, Value]:
    """Best bid and ask as far as the frame says; futures write bid1Price, options' pushes bidPrice."""
    said: dict[str, Value] = {}
    for side in ("bid", "ask"):
        for stem in (f"{side}1", side):
            if f"{stem}Size" in fields:
                said[f"{side}_amount"] = read.amount_or_none(fields, f"{stem}Size")
            if f"{stem}Price" in fields:
                said[f"{side}_price"] = price = read.nonzero_or_none(fields, f"{stem}Price")
                if price is None:
                    said[f"{side}_amount"] = None
    return said


def _ivs(fields: Json) -> dict[str, Value]:
    """Ivs, 0 being none; pushes and the REST answer name them differently."""
    names = {
        "mark_iv": ("markPriceIv", "markIv"),
        "bid_iv": ("bidIv", "bid1Iv"),
        "ask_iv": ("askIv", "ask1Iv"),
    }
    return {
        ours: read.nonzero_or_none(fields, name) for ours, theirs in names.items() for name in theirs if name in fields
    }


def _open_interest(fields: Json, spec: InstrumentSpec) -> dict[str, Value]:
    return read.given(
        **{
            "open_interest_base" if spec.linear else "open_interest_usd": read.amount_or_none(fields, "openInterest"),
        }
    )


def _open_interest_answer(result: Json, raw: RawMessage) -> Iterator[Event]:
    spec = read_symbol(read.text(result, "symbol"), raw.underlying)

    def interval(fields: Json) -> Iterator[Event]:
        parts: dict[Part, Mapping[str, Value]] = {"open_interest": _open_interest(fields, spec)}
        exchange_ts = read.text_micros(fields, "timestamp")
        yield TickerPatch(instrument=spec.instrument, exchange_ts=exchange_ts, parts=parts, polled=True)

    # Newest first; joined oldest first, so that the newest stands.
    yield from each(read.as_list(result.get("list"), "list")[::-1], "list", interval)


# Reference and funding history


def _own(result: Json, raw: RawMessage, reader: Callable[[Json], Event]) -> Iterator[Event]:
    """Read a list of a whole category; entries whose symbol is no name of this underlying are passed over."""

    def entry(fields: Json) -> Iterator[Event]:
        try:
            read_symbol(read.text(fields, "symbol"), raw.underlying)
        except BadMessage as error:
            if error.reason != "bad_symbol":
                raise
            yield Ignored("another underlying")
        else:
            yield reader(fields)

    yield from each(result.get("list"), "list", entry)


def _instruments(result: Json, raw: RawMessage) -> Iterator[Event]:
    def entry(fields: Json) -> Iterator[Event]:
        if read.text(fields, "baseCoin") == raw.underlying:
            yield _listing(fields, raw)
        else:
            yield Ignored("another underlying")

    yield from each(result.get("list"), "list", entry)


def _listing(fields: Json, raw: RawMessage) -> Listing:
    spec = read_symbol(read.text(fields, "symbol"), raw.underlying)
    expiry_ts = read.text_micros_or_none(fields, "deliveryTime")
    if spec.expiry_ts is not None and expiry_ts != spec.expiry_ts:
        raise BadMessage("bad_value", f"deliveryTime: {fields.get('deliveryTime')!r} is not that of {spec.instrument}")
    state = read.text(fields, "status")
    return Listing(
        spec=spec,
        exchange_ts=None,
        state=_STATES.get(state, state.lower()),
        quote_currency=read.text(fields, "quoteCoin"),
        settlement_currency=read.text(fields, "settleCoin"),
        contract_size=1.0,
        price_tick=_filter(fields, "priceFilter", "tickSize"),
        amount_step=_filter(fields, "lotSizeFilter", "qtyStep"),
        listed_ts=read.text_micros_or_none(fields, "launchTime"),
    )


def _filter(fields: Json, name: str, step: str) -> float | None:
    return read.nonzero_or_none(read.as_object(fields.get(name, {}), name), step)


def _funding_history(result: Json, raw: RawMessage) -> Iterator[Event]:
    def payment(fields: Json) -> tuple[str, int, float]:
        spec = read_symbol(read.text(fields, "symbol"), raw.underlying)
        return spec.instrument, read.text_micros(fields, "fundingRateTimestamp"), read.number(fields, "fundingRate")

    yield from payments(result.get("list"), "list", payment)


def _ignored(_frame: Json, _raw: RawMessage, why: str = "no output needs it") -> Iterator[Event]:
    yield Ignored(why)


_TOPICS: Final[Mapping[str, Callable[[Json, RawMessage], Iterator[Event]]]] = {
    "orderbook": _book,
    "publicTrade": _trades,
    "tickers": _ticker,
    "allLiquidation": _all_liquidations,
    "liquidation": _throttled_liquidation,
    "kline": _ignored,
    "priceLimit": _ignored,
    "adlAlert": _ignored,
    "insurance": _ignored,
}
_REST: Final[Mapping[str, Callable[[Any, RawMessage], Iterator[Event]]]] = {
    "rest:instruments": _instruments,
    "rest:tickers": _tickers_answer,
    "rest:open-interest": _open_interest_answer,
    "rest:funding-history": _funding_history,
    "rest:long-short-ratio": partial(_ignored, why="no record has a field for long/short ratios"),
}

# Shapes (bybit-exchange.github.io/docs/v5): push {topic, type snapshot|delta, ts ms, data}; REST {retCode, retMsg,
# result}; numbers are text.
#   orderbook.<depth>.<symbol>   data {s, b: [[price, size]], a: [...], u, seq?}
#   publicTrade.<symbol|base>    data [{T ms, s, S, v, p, i, BT}] + options {mP, iP, mIv, iv}
#   tickers.<symbol>             data {symbol, lastPrice, markPrice, indexPrice, openInterest, volume24h, turnover24h}
#     linear and inverse also {bid1Price, bid1Size, ask1Price, ask1Size, fundingRate, nextFundingTime}, partial deltas
#     options also {bidPrice, bidSize, bidIv, askPrice, askSize, askIv, markPriceIv, underlyingPrice, delta, ...}
#   allLiquidation.<symbol>      data [{T ms, s, S, v, p}]
#   liquidation.<symbol>         data {updatedTime ms, symbol, side, size, price}
#   rest:instruments             list [{symbol, status, baseCoin, quoteCoin, settleCoin, launchTime, deliveryTime,
#                                priceFilter {tickSize}, lotSizeFilter {qtyStep}}]
#   rest:tickers                 list of tickers; options write markIv, bid1Iv, ask1Iv
#   rest:open-interest           {symbol, list [{openInterest, timestamp}]}, newest first
#   rest:funding-history         list [{symbol, fundingRate, fundingRateTimestamp}], newest first
