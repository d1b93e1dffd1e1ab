"""Deribit's subscription channels: which exist, their first message, and what each tick sends on them."""

import re
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

import orjson

from stack.simulator import deribit_objects as objects
from stack.simulator.board import BOOK, ladder
from stack.simulator.tape import Trade
from stack.simulator.world import Tick, Underlying, UnderlyingTick, World

Json = dict[str, Any]
TRADE_KINDS = ("option", "future", "option_combo")
STATE_KINDS = ("any", "option", "future")
RAW = re.compile(r"\.raw$")
_INSTRUMENT = re.compile(r"^(ticker|book|trades)\.([A-Z0-9_d-]+)\.100ms$|^(incremental_ticker)\.([A-Z0-9_d-]+)$")
_TRADES = re.compile(r"^trades\.(option|future|option_combo)\.([A-Z]+|any)\.100ms$")
_STATE = re.compile(r"^instrument\.state\.(any|option|future)\.([A-Z]+|any)$")
_INDEX = re.compile(r"^deribit_(price|volatility)_index\.([a-z]+)_usd$")


class Frame(NamedTuple):
    """One message on a channel; ``last_id`` is the channel's sequence mark: change id, trade id or timestamp."""

    channel: str
    body: bytes
    last_id: str


def exists(world: World, channel: str) -> bool:
    """Tell whether the venue offers ``channel`` now."""
    if match := _TRADES.match(channel) or _STATE.match(channel):
        return match[2] == "any" or match[2] in world.underlyings
    if match := _INDEX.match(channel):
        return match[2].upper() in world.underlyings
    if match := _INSTRUMENT.match(channel):
        return find(world, match[2] or match[4]) is not None
    return False


def find(world: World, name: str) -> Underlying | None:
    """Return the underlying that lists instrument ``name``, if any."""
    u = world.underlyings.get(name.split("-", maxsplit=1)[0])
    listed = u is not None and (name in u.board.row or name in u.futures.quotes or name == u.perpetual.name)
    return u if listed else None


def first_message(world: World, channel: str) -> Frame | None:
    """Return what the venue sends right after subscribing: the ticker or the book as it is, else nothing."""
    match = _INSTRUMENT.match(channel)
    if match is None or match[1] == "trades":
        return None
    name = match[2] or match[4]
    u = find(world, name)
    if u is None:
        return None
    if match[1] == "book":
        change_id, (bids, asks) = book(u, name)
        return _frame(channel, objects.snapshot(name, change_id, bids, asks, world.now_ms), str(change_id))
    data = ticker(u, name, world.now_ms)
    return _frame(channel, {"type": "snapshot"} | data if match[3] else data, str(world.now_ms))


def ticker(u: Underlying, name: str, now_ms: int) -> Json:
    """Return the current ticker of a listed instrument."""
    if name == u.perpetual.name:
        return objects.perpetual_ticker(u, now_ms)
    if name in u.futures.quotes:
        return objects.dated_ticker(u, u.futures.quotes[name], now_ms)
    row = u.board.row[name]
    return objects.option_ticker(u, row, u.board.table[:, row].tolist(), now_ms)


def book(u: Underlying, name: str) -> tuple[int, tuple[objects.Levels, objects.Levels]]:
    """Return change id and levels of a listed instrument's book."""
    if name == u.perpetual.name:
        return u.perpetual.ladder.published_id, objects.perpetual_levels(u.perpetual)
    if name in u.futures.quotes:
        future = u.futures.quotes[name]
        return future.change_id, future.book()
    row = u.board.row[name]
    return int(u.board.change_id[row]), objects.option_levels(u.board, row)


def messages(world: World, tick: Tick, wanted: Container[str], sent: dict[str, Json]) -> Iterator[Frame]:
    """Yield the tick's messages on the channels in ``wanted``; others are not even made.

    ``sent`` keeps the last full state of each incremental ticker between calls; start with an empty one.
    """
    for name, part in tick.underlyings.items():
        u = world.underlyings[name]
        yield from _states(name, part, tick.now_ms, wanted)
        yield from _trades(name, part, wanted)
        yield from _options(u, part, tick.now_ms, wanted, sent)
        yield from _perpetual(u, part, tick.now_ms, wanted)
        if part.futures_requoted:
            yield from _dated(u, tick.now_ms, wanted)
            yield from _indices(u, tick.now_ms, wanted)


def _options(
    u: Underlying, part: UnderlyingTick, now_ms: int, wanted: Container[str], sent: dict[str, Json]
) -> Iterator[Frame]:
    board = u.board
    columns = board.table[:, part.option_rows].T.tolist()
    for row, values in zip(part.option_rows.tolist(), columns, strict=True):
        name = board.contracts[row].name
        channel, incremental, book_channel = f"ticker.{name}.100ms", f"incremental_ticker.{name}", f"book.{name}.100ms"
        if channel in wanted:
            yield _frame(channel, objects.option_ticker(u, row, values, now_ms), str(now_ms))
        if incremental in wanted:
            new = objects.option_ticker(u, row, values, now_ms)
            yield _frame(incremental, _changed(sent.get(incremental, {}), new), str(now_ms))
            sent[incremental] = new
        if book_channel in wanted and (board.table[BOOK, row] != board.previous[BOOK, row]).any():
            before, now = (ladder(t, row, board.lot) for t in (board.previous, board.table))
            change_id = int(board.change_id[row])
            data = objects.change(name, (change_id - 1, change_id), before, now, now_ms)
            yield _frame(book_channel, data, str(change_id))


def _changed(old: Json, new: Json) -> Json:
    always = ("timestamp", "instrument_name")
    return {"type": "change"} | {k: v for k, v in new.items() if k in always or old.get(k) != v}


def _perpetual(u: Underlying, part: UnderlyingTick, now_ms: int, wanted: Container[str]) -> Iterator[Frame]:
    name = u.perpetual.name
    if f"ticker.{name}.100ms" in wanted:
        yield _frame(f"ticker.{name}.100ms", objects.perpetual_ticker(u, now_ms), str(now_ms))
    diff = part.perpetual_diff
    if diff and f"book.{name}.100ms" in wanted:
        yield _frame(f"book.{name}.100ms", objects.perpetual_change(u.perpetual, diff, now_ms), str(diff.last_id))


def _dated(u: Underlying, now_ms: int, wanted: Container[str]) -> Iterator[Frame]:
    for name, future in u.futures.quotes.items():
        if f"ticker.{name}.100ms" in wanted:
            yield _frame(f"ticker.{name}.100ms", objects.dated_ticker(u, future, now_ms), str(now_ms))
        before = u.futures.previous.get(name)
        if before and before.change_id != future.change_id and f"book.{name}.100ms" in wanted:
            ids = (before.change_id, future.change_id)
            data = objects.change(name, ids, before.book(), future.book(), now_ms)
            yield _frame(f"book.{name}.100ms", data, str(future.change_id))


def _indices(u: Underlying, now_ms: int, wanted: Container[str]) -> Iterator[Frame]:
    index = f"{u.name.lower()}_usd"
    data = {"timestamp": now_ms, "index_name": index}
    if f"deribit_price_index.{index}" in wanted:
        yield _frame(f"deribit_price_index.{index}", data | {"price": round(u.path.price, 2)}, str(now_ms))
    if f"deribit_volatility_index.{index}" in wanted:
        yield _frame(f"deribit_volatility_index.{index}", data | {"volatility": u.dvol}, str(now_ms))


def _trades(underlying: str, part: UnderlyingTick, wanted: Container[str]) -> Iterator[Frame]:
    tapes = zip(TRADE_KINDS, (part.option_trades, part.future_trades, part.combo_trades), strict=True)
    for kind, trades in tapes:
        if not trades:
            continue
        for currency in (underlying, "any"):
            if f"trades.{kind}.{currency}.100ms" in wanted:
                yield _frame(f"trades.{kind}.{currency}.100ms", trades, trades[-1]["trade_id"])
        yield from _trades_by_instrument(trades, wanted)


def _trades_by_instrument(trades: list[Trade], wanted: Container[str]) -> Iterator[Frame]:
    for name in dict.fromkeys(trade["instrument_name"] for trade in trades):
        if f"trades.{name}.100ms" in wanted:
            own = [trade for trade in trades if trade["instrument_name"] == name]
            yield _frame(f"trades.{name}.100ms", own, own[-1]["trade_id"])


def _states(underlying: str, part: UnderlyingTick, now_ms: int, wanted: Container[str]) -> Iterator[Frame]:
    for name, state in part.states:
        kind = "option" if name.endswith(("-C", "-P")) else "future"
        data = {"timestamp": now_ms, "state": state, "instrument_name": name}
        for channel in (f"instrument.state.{k}.{c}" for k in ("any", kind) for c in ("any", underlying)):
            if channel in wanted:
                yield _frame(channel, data, str(now_ms))


def _frame(channel: str, data: Json | list[Trade], last_id: str) -> Frame:
    message = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    return Frame(channel, orjson.dumps(message), last_id)
