"""OKX v5: raw frames to events. One reader per channel; REST answers hold the same rows. Shapes at the bottom.

What is OKX's own, and handled here and nowhere else:

* Sizes are contracts (spot: base coin). What one is comes from the instrument: ``ctVal`` · ``ctMult`` base coin for
  linear contracts and options (0.01 BTC), USD for inverse ones ($100).
* Books: ``prevSeqId`` must be the last ``seqId``; it is -1 in a snapshot, and an unchanged book is told once a minute
  with both alike. Recordings of before 2022 have no numbers but a checksum; since 2026 the checksum is always 0, which
  says nothing. A message with neither cannot be checked, and is refused.
* ``side`` of a trade is the taker's. A liquidation is of ``posSide``; the feed shows at most one a second per contract.
* ``opt-summary``: ivs are decimals, a side without quote has an empty one. ``delta`` … are in coin; those of
  :mod:`contracts.records` are the ones named ``deltaBS`` ….
* ``fundingRate`` is paid at ``fundingTime``; ``settFundingRate`` is what was paid at the time before, once
  ``settState`` is "settled". An empty ``nextFundingRate`` means that the current one is the prediction.
* Some channels speak of a whole instrument type or family: what is of another underlying is passed over.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from contracts.records import RawMessage
from normalizer import json_fields as read
from normalizer.contract_value import USD_QUOTES
from normalizer.entries import each
from normalizer.events import (
    BadMessage,
    BookUpdate,
    Event,
    FundingPrint,
    Ignored,
    IndexPrint,
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
from normalizer.okx_symbols import read_symbol

Reader = Callable[[Json, InstrumentSpec, RawMessage], Iterator[Event]]

_SIDES: Final[dict[str, Side]] = {"buy": "buy", "sell": "sell"}
_CLOSING: Final[dict[str, Side]] = {"long": "sell", "short": "buy"}
_STATES: Final = {"live": "open"}
_HOUR_US: Final = 3_600_000_000
_MAX_CHECKSUM: Final = 2**31
_NO_SUCH_FAMILY: Final = "51"
"""Codes that begin so say that an instrument or a family does not exist."""
_INCREMENTAL_BOOKS: Final = ("books", "books-l2-tbt", "books50-l2-tbt")


def book_instrument(raw: RawMessage) -> str | None:
    """Return the instrument whose book the frame belongs to, by its channel alone; None if it is no book's."""
    channel, _, instrument = raw.channel.partition(":")
    return instrument or None if channel in _INCREMENTAL_BOOKS else None


def parse(raw: RawMessage) -> Iterator[Event]:
    """Read one frame or REST answer. Raises BadMessage if the frame as a whole is impossible or unknown."""
    if raw.kind == "message" and raw.payload == b"pong":
        yield Ignored("protocol")
        return
    frame = read.as_object(read.parse(raw.payload), "frame")
    if raw.kind == "snapshot":
        yield from _rest(frame, raw)
        return
    if "event" in frame:
        if frame["event"] == "error":
            raise BadMessage("venue_error", f"code {frame.get('code')!r}: {frame.get('msg')!r}"[:200])
        yield Ignored("protocol")
        return
    if "arg" not in frame:
        raise BadMessage("unknown_channel", "arg: missing in a frame that is no event either")
    argument = read.as_object(frame["arg"], "arg")
    channel = read.text(argument, "channel")
    if channel in _IGNORED:
        yield Ignored("no output needs it")
    elif channel in _INCREMENTAL_BOOKS:
        yield from _book(frame, read.text(argument, "instId"))
    else:
        yield from _rows(frame, _reader(channel), raw, argument.get("instId"))


def _reader(channel: str) -> Reader:
    reader = _ROWS.get(channel)
    if reader is None:
        raise BadMessage("unknown_channel", f"channel: {channel[:80]!r}; add it to the table of the venue file")
    return reader


def _rest(answer: Json, raw: RawMessage) -> Iterator[Event]:
    code, name = answer.get("code"), raw.channel.removeprefix("rest:")
    if name == "instruments" and isinstance(code, str) and code.startswith(_NO_SUCH_FAMILY):
        yield Ignored("the venue lists nothing of this underlying")
        return
    if code != "0":
        raise BadMessage("venue_error", f"{raw.channel}: {code!r} {answer.get('msg')!r}"[:200])
    if name == "long-short-ratio":
        yield Ignored("no record has a field for long/short ratios")
    elif name == "funding-history":
        yield from payments(answer.get("data"), "data", _payment)
    else:
        yield from _rows(answer, _reader(name), raw, None)


def _rows(frame: Json, reader: Reader, raw: RawMessage, instrument: Any) -> Iterator[Event]:
    """Read the rows of a frame; one whose channel names no instrument may speak of other underlyings, too."""

    def entry(fields: Json) -> Iterator[Event]:
        symbol = read.text({"instId": instrument, **fields}, "instId")
        if instrument is None and not symbol.startswith(f"{raw.underlying}-"):
            yield Ignored("another underlying")
        else:
            yield from reader(fields, read_symbol(symbol), raw)

    yield from each(frame.get("data"), "data", entry)


# Trades and liquidations


def _trade(fields: Json, spec: InstrumentSpec, _raw: RawMessage, *, stream: str) -> Iterator[Event]:
    price, size = read.positive(fields, "px"), read.positive(fields, "sz")
    spot = spec.kind == "spot"
    in_usd = spec.index_name.rpartition("-")[2] in USD_QUOTES
    yield TradePrint(
        instrument=spec.instrument,
        exchange_ts=read.text_micros(fields, "ts"),
        trade_id=read.text(fields, "tradeId"),
        taker_side=read.one_of(fields, "side", _SIDES),
        price=price,
        amount_base=size if spot else None,
        notional_usd=size * price if spot and in_usd else None,
        contracts=None if spot else size,
        iv=read.nonzero_or_none(fields, "fillVol"),
        mark_price=read.amount_or_none(fields, "markPx"),
        index_price=read.nonzero_or_none(fields, "idxPx"),
        stream=stream,
    )


def _liquidations(fields: Json, spec: InstrumentSpec, _raw: RawMessage) -> Iterator[Event]:
    def liquidation(detail: Json) -> Iterator[Event]:
        exchange_ts = read.text_micros(detail, "ts")
        named = detail.get("posSide") in ("long", "short")
        yield LiquidationPrint(
            instrument=spec.instrument,
            exchange_ts=exchange_ts,
            liquidation_id=f"{exchange_ts // 1000}-{detail.get('side')}-{detail.get('sz')}-{detail.get('bkPx')}",
            # In net mode the position has no side of its own: the order's tells it.
            order_side=read.one_of(detail, "posSide", _CLOSING) if named else read.one_of(detail, "side", _SIDES),
            price=read.positive(detail, "bkPx"),
            amount_base=None,
            notional_usd=None,
            contracts=read.positive(detail, "sz"),
            censored=True,
        )

    yield from each(fields.get("details"), "details", liquidation)


# Books


def _book(frame: Json, instrument: str) -> Iterator[Event]:
    action = read.text(frame, "action")
    if action not in {"snapshot", "update"}:
        raise BadMessage("bad_value", f"action: expected snapshot or update, got {action[:40]!r}")
    for entry in read.as_list(frame.get("data"), "data"):
        fields = read.as_object(entry, "data[]")
        last_id, checksum = read.integer_or_none(fields, "seqId"), _checksum(fields)
        if last_id is None and checksum is None:
            raise BadMessage("missing_field", "seqId: missing, and no checksum in its place: a gap would not show")
        numbered = last_id is not None and action == "update"
        yield BookUpdate(
            instrument=read_symbol(instrument).instrument,
            exchange_ts=read.text_micros(fields, "ts"),
            snapshot=action == "snapshot",
            last_id=last_id,
            prev_id=read.integer(fields, "prevSeqId") if numbered else None,
            bids=read.text_levels(fields, "bids"),
            asks=read.text_levels(fields, "asks"),
            checksum=checksum,
        )


def _checksum(fields: Json) -> int | None:
    """Return the checksum, None for 0: the venue no longer makes one."""
    value = fields.get("checksum")
    if value is None:
        return None
    if type(value) is not int or not -_MAX_CHECKSUM <= value < _MAX_CHECKSUM:
        raise BadMessage("bad_value", f"checksum: expected a signed 32-bit integer, got {value!r}"[:200])
    return value or None


def _best_level(fields: Json, spec: InstrumentSpec, raw: RawMessage) -> Iterator[Event]:
    said: dict[str, Value] = {}
    for side in ("bid", "ask"):
        best = [*read.text_levels(fields, f"{side}s")[:1], ("", "")][0]
        levels = {"price": best[0], "size": best[1]}
        said[f"{side}_price"] = read.nonzero_or_none(levels, "price")
        said[f"{side}_amount"] = read.nonzero_or_none(levels, "size")
    yield _patch(fields, spec, raw, {"quote": said})


# Tickers


def _patch(
    fields: Json, spec: InstrumentSpec, raw: RawMessage, parts: Mapping[Part, Mapping[str, Value]]
) -> TickerPatch:
    return TickerPatch(
        instrument=spec.instrument,
        exchange_ts=read.text_micros_or_none(fields, "ts"),
        parts={part: said for part, said in parts.items() if said},
        polled=raw.kind == "snapshot",
    )


def _ticker(fields: Json, spec: InstrumentSpec, raw: RawMessage) -> Iterator[Event]:
    quote: dict[str, Value] = {}
    for side in ("bid", "ask"):
        quote[f"{side}_price"] = price = read.nonzero_or_none(fields, f"{side}Px")
        quote[f"{side}_amount"] = None if price is None else read.amount_or_none(fields, f"{side}Sz")
    # Of contracts the base-coin volume is volCcy24h; of spot that is the quote currency's.
    volume = read.amount_or_none(fields, "vol24h" if spec.kind == "spot" else "volCcy24h")
    last = read.given(last_price=read.nonzero_or_none(fields, "last"))
    yield _patch(fields, spec, raw, {"quote": quote, "last": last, "volume": read.given(volume_24h_base=volume)})


def _mark_price(fields: Json, spec: InstrumentSpec, raw: RawMessage) -> Iterator[Event]:
    yield _patch(fields, spec, raw, {"mark": read.given(mark_price=read.amount_or_none(fields, "markPx"))})


def _index(fields: Json, spec: InstrumentSpec, _raw: RawMessage) -> Iterator[Event]:
    yield IndexPrint(
        index_name=spec.instrument, exchange_ts=read.text_micros(fields, "ts"), price=read.positive(fields, "idxPx")
    )


def _open_interest(fields: Json, spec: InstrumentSpec, raw: RawMessage) -> Iterator[Event]:
    said = read.given(
        open_interest_base=read.amount_or_none(fields, "oiCcy"), open_interest_usd=read.amount_or_none(fields, "oiUsd")
    )
    yield _patch(fields, spec, raw, {"open_interest": said})


def _option_summary(fields: Json, spec: InstrumentSpec, raw: RawMessage) -> Iterator[Event]:
    ivs: dict[str, Value] = {
        f"{side}_iv": read.nonzero_or_none(fields, f"{side}Vol")
        for side in ("mark", "bid", "ask")
        if f"{side}Vol" in fields
    }
    greeks = read.given(
        **{f"venue_{name}": read.number_or_none(fields, f"{name}BS") for name in ("delta", "gamma", "vega", "theta")}
    )
    forward = read.given(underlying_price=read.nonzero_or_none(fields, "fwdPx"))
    yield _patch(fields, spec, raw, {"iv": ivs, "greeks": greeks, "underlying": forward})


def _funding(fields: Json, spec: InstrumentSpec, raw: RawMessage) -> Iterator[Event]:
    rate, following = read.number_or_none(fields, "fundingRate"), read.number_or_none(fields, "nextFundingRate")
    paid_ts = read.text_micros(fields, "fundingTime")
    said = read.given(
        funding_rate=rate, predicted_funding_rate=rate if following is None else following, next_funding_ts=paid_ts
    )
    yield _patch(fields, spec, raw, {"funding": said})
    settled = read.number_or_none(fields, "settFundingRate")
    before_ts = _settled_before(fields, paid_ts)
    if settled is not None and fields.get("settState") == "settled" and before_ts is not None:
        yield FundingPrint(
            instrument=spec.instrument,
            exchange_ts=read.text_micros_or_none(fields, "ts"),
            settled_ts=before_ts,
            rate=settled,
            period_hours=(paid_ts - before_ts) / _HOUR_US,
        )


def _settled_before(fields: Json, paid_ts: int) -> int | None:
    """Return when the payment before the next one was settled: as told, else as long ago as the one after it is off."""
    before_ts = read.text_micros_or_none(fields, "prevFundingTime")
    if before_ts is None:
        after_ts = read.text_micros_or_none(fields, "nextFundingTime")
        before_ts = None if after_ts is None else 2 * paid_ts - after_ts
    return before_ts if before_ts is not None and 0 < before_ts < paid_ts else None


def _payment(fields: Json) -> tuple[str, int, float]:
    rate = read.number_or_none(fields, "realizedRate")
    if rate is None:
        rate = read.number(fields, "fundingRate")
    return read_symbol(read.text(fields, "instId")).instrument, read.text_micros(fields, "fundingTime"), rate


# Reference


def _listing(fields: Json, spec: InstrumentSpec, _raw: RawMessage) -> Iterator[Event]:
    _check(fields, spec)
    quote = spec.index_name.rpartition("-")[2]
    settlement = read.text_or_none(fields, "settleCcy") or quote
    state = read.text(fields, "state")
    yield Listing(
        spec=spec,
        exchange_ts=None,
        state=_STATES.get(state, state),
        # Coin-settled options are priced in the coin, whatever currency their name shows.
        quote_currency=settlement if spec.kind == "option" and not spec.linear else quote,
        settlement_currency=settlement,
        contract_size=_contract_size(fields, spec),
        price_tick=read.nonzero_or_none(fields, "tickSz"),
        amount_step=read.nonzero_or_none(fields, "lotSz"),
        listed_ts=read.text_micros_or_none(fields, "listTime"),
    )


def _contract_size(fields: Json, spec: InstrumentSpec) -> float:
    if spec.kind == "spot":
        return 1.0
    # As decimals, so that 1 · 0.01 is 0.01 and not its neighbour.
    return read.decimal_product(fields, "ctVal", "ctMult")


def _check(fields: Json, spec: InstrumentSpec) -> None:
    """Check that the reference says what the symbol says: if not, the symbol was misread. Raises BadMessage."""
    if spec.kind == "option" and read.positive(fields, "stk") != spec.strike:
        raise BadMessage("bad_value", f"stk: {fields['stk']!r} is not that of {spec.instrument}"[:200])
    if spec.expiry_ts is not None and read.text_micros(fields, "expTime") != spec.expiry_ts:
        raise BadMessage("bad_value", f"expTime: {fields['expTime']!r} is not that of {spec.instrument}"[:200])
    said = read.text_or_none(fields, "ctType")
    if spec.kind in {"perpetual", "future"} and said != ("linear" if spec.linear else "inverse"):
        raise BadMessage("bad_value", f"ctType: {said!r} is not that of {spec.instrument}"[:200])


_ROWS: Final[Mapping[str, Reader]] = {
    "trades": partial(_trade, stream="trades"),
    "trades-all": partial(_trade, stream="trades-all"),
    "option-trades": partial(_trade, stream="option-trades"),
    "liquidation-orders": _liquidations,
    "bbo-tbt": _best_level,
    "tickers": _ticker,
    "mark-price": _mark_price,
    "index-tickers": _index,
    "open-interest": _open_interest,
    "opt-summary": _option_summary,
    "funding-rate": _funding,
    "instruments": _listing,
}
_IGNORED: Final = frozenset(
    {"status", "price-limit", "estimated-price", "books5", "adl-warning", "economic-calendar", "opt-family-trades"}
)

# Shapes (okx.com/docs-v5): push {arg {channel, instId | instFamily | instType}, action?, data [row]}; REST {code "0",
# msg, data [row]}; numbers and times (ms) are text.
#   books               {asks: [[price, size, "0", orders]], bids, ts, checksum, seqId, prevSeqId}
#   trades              {instId, tradeId, px, sz, side, ts}   option-trades also {fillVol, markPx, idxPx}
#   tickers             {instId, last, bidPx, bidSz, askPx, askSz, vol24h, volCcy24h, ts}
#   mark-price          {instId, markPx, ts}                  index-tickers {instId, idxPx, ts}
#   open-interest       {instId, oi, oiCcy, oiUsd?, ts}
#   opt-summary         {instId, markVol, bidVol, askVol, deltaBS, gammaBS, vegaBS, thetaBS, fwdPx?, ts}
#   funding-rate        {instId, fundingRate, fundingTime, nextFundingRate, nextFundingTime?, prevFundingTime?,
#                       settFundingRate?, settState?, ts?}
#   liquidation-orders  {instId, details [{side, posSide, bkPx, sz, ts}]}
#   instruments         {instId, state, ctVal, ctMult, ctType, settleCcy, stk, expTime, listTime, tickSz, lotSz}
#   rest:funding-history  {instId, fundingTime, realizedRate, fundingRate}, newest first
