"""Deribit's public methods that only read: the same over JSON-RPC and REST."""

from collections.abc import Callable, Mapping
from typing import Any

from stack.simulator import deribit_objects as objects
from stack.simulator.deribit_channels import book, find, ticker
from stack.simulator.world import Underlying, World

Json = dict[str, Any]
Params = Mapping[str, Any]
KINDS = ("option", "future", "option_combo", "any")
MAX_TRADES = 1000
MAX_DEPTH = 10_000


class RpcError(Exception):
    """An error answer; codes and messages are the venue's."""

    def __init__(self, code: int, message: str, **data: str) -> None:
        super().__init__(message)
        self.body: Json = {"code": code, "message": message} | ({"data": data} if data else {})


def invalid(param: str, reason: str) -> RpcError:
    """Return the venue's answer to a bad parameter."""
    return RpcError(-32602, "Invalid params", param=param, reason=reason)


def call(world: World, method: str, params: Params) -> Any:
    """Return the result of ``method`` or raise :class:`RpcError`."""
    function = METHODS.get(method)
    if function is None:
        raise RpcError(-32601, "Method not found")
    return function(world, params)


def _test(_world: World, _params: Params) -> Any:
    return {"version": "1.2.26"}


def _get_time(world: World, _params: Params) -> Any:
    return world.now_ms


def _status(_world: World, _params: Params) -> Any:
    return {"locked": "false", "locked_indices": []}


def _get_instruments(world: World, params: Params) -> Any:
    kind = _kind(params)
    found = [i for u in _currencies(world, params) for i in objects.instruments(u, world.now_ms)]
    return [i for i in found if kind in ("any", i["kind"])]


def _get_instrument(world: World, params: Params) -> Any:
    u, name = _instrument(world, params)
    return next(i for i in objects.instruments(u, world.now_ms) if i["instrument_name"] == name)


def _get_book_summary_by_currency(world: World, params: Params) -> Any:
    kind = _kind(params)
    result = []
    for u in _currencies(world, params):
        futures = [u.perpetual.name, *u.futures.quotes] if kind in ("any", "future") else []
        options = list(u.board.row) if kind in ("any", "option") else []
        result += [objects.summary(ticker(u, name, world.now_ms), u) for name in (*options, *futures)]
    return result


def _get_index_price(world: World, params: Params) -> Any:
    name = str(params.get("index_name", ""))
    u = world.underlyings.get(name.removesuffix("_usd").upper())
    if u is None or not name.endswith("_usd"):
        raise invalid("index_name", "unknown index")
    price = round(u.path.price, 2)
    return {"index_price": price, "estimated_delivery_price": price}


def _get_last_trades_by_currency(world: World, params: Params) -> Any:
    """Return the latest trades; with start_timestamp the earliest from there on, else newest first."""
    kind, count = _kind(params), _whole(params, "count", 10, 1, MAX_TRADES)
    start, end = _whole(params, "start_timestamp", 0, 0, 2**53), _whole(params, "end_timestamp", 2**53, 0, 2**53)
    found = [
        trade
        for u in _currencies(world, params)
        for tape, trades in u.tape.recent.items()
        if kind in ("any", tape)
        for trade in trades
        if start <= trade["timestamp"] <= end
    ]
    oldest_first = bool(start) if params.get("sorting", "default") == "default" else params["sorting"] == "asc"
    found.sort(key=lambda t: (t["timestamp"], t["trade_id"]), reverse=not oldest_first)
    return {"trades": found[:count], "has_more": len(found) > count}


def _get_order_book(world: World, params: Params) -> Any:
    u, name = _instrument(world, params)
    depth = _whole(params, "depth", 20, 1, MAX_DEPTH)
    change_id, (bids, asks) = book(u, name)
    levels = {
        "bids": [list(level) for level in sorted(bids.items(), reverse=True)[:depth]],
        "asks": [list(level) for level in sorted(asks.items())[:depth]],
        "change_id": change_id,
    }
    return ticker(u, name, world.now_ms) | levels


def _ticker(world: World, params: Params) -> Any:
    u, name = _instrument(world, params)
    return ticker(u, name, world.now_ms)


METHODS: Mapping[str, Callable[[World, Params], Any]] = {
    "public/test": _test,
    "public/hello": _test,
    "public/status": _status,
    "public/get_time": _get_time,
    "public/get_instruments": _get_instruments,
    "public/get_instrument": _get_instrument,
    "public/get_book_summary_by_currency": _get_book_summary_by_currency,
    "public/get_index_price": _get_index_price,
    "public/get_last_trades_by_currency": _get_last_trades_by_currency,
    "public/get_order_book": _get_order_book,
    "public/ticker": _ticker,
}


def _currencies(world: World, params: Params) -> list[Underlying]:
    currency = params.get("currency")
    if currency == "any":
        return list(world.underlyings.values())
    u = world.underlyings.get(str(currency))
    if u is None:
        raise invalid("currency", "value is not in the enum" if currency else "value required")
    return [u]


def _kind(params: Params) -> str:
    kind = params.get("kind", "any")
    if kind not in KINDS:
        raise invalid("kind", "value is not in the enum")
    return str(kind)


def _instrument(world: World, params: Params) -> tuple[Underlying, str]:
    name = str(params.get("instrument_name", ""))
    u = find(world, name)
    if u is None:
        raise invalid("instrument_name", "instrument not found")
    return u, name


def _whole(params: Params, name: str, default: int, low: int, high: int) -> int:
    try:
        value = int(params.get(name, default))
    except (TypeError, ValueError):
        raise invalid(name, "must be an integer") from None
    if not low <= value <= high:
        raise invalid(name, f"must be between {low} and {high}")
    return value
