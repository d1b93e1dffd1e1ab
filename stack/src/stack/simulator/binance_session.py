"""A Binance client's requests: combined streams and their control messages, and the REST answers."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from stack.simulator.binance_market import BinanceMarket, exchange_info
from stack.simulator.binance_streams import WELL_FORMED
from stack.simulator.deribit_channels import Frame
from stack.simulator.exchange import Exchange
from stack.simulator.hub import Connection

Json = dict[str, Any]
MAX_STREAMS = 1024
MAX_LIMIT = {"usdm": 1000, "spot": 5000}
DEFAULT_LIMIT = {"usdm": 500, "spot": 100}


def opened(exchange: Exchange, connection: Connection, streams: Iterable[str]) -> None:
    """Subscribe what a combined stream's URL names; malformed names are ignored, as unknown symbols are."""
    wanted = [s for s in streams if WELL_FORMED.match(s)]
    exchange.hub.subscribe(connection, wanted[:MAX_STREAMS], exchange.now_ms)


def request(exchange: Exchange, connection: Connection, text: str) -> None:
    """Handle SUBSCRIBE, UNSUBSCRIBE or LIST_SUBSCRIPTIONS."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        message = None
    answer = _answer(exchange, connection, message if isinstance(message, dict) else {})
    exchange.hub.send(connection, Frame("", orjson.dumps(answer), ""), exchange.now_ms)


def rest(exchange: Exchange, venue: str, method: str, params: Mapping[str, str]) -> tuple[int, Json]:
    """Return HTTP status and body of ``method``: depth, exchangeInfo, time or ping."""
    now_ms = exchange.now_ms
    markets = [u.binance[venue] for u in exchange.world.underlyings.values()]
    match method:
        case "exchangeInfo":
            return 200, exchange_info(markets, now_ms)
        case "time":
            return 200, {"serverTime": now_ms}
        case "ping":
            return 200, {}
        case "depth":
            return _depth(markets, params, now_ms)
    return 404, {"code": -1, "msg": "unknown path"}


def _depth(markets: list[BinanceMarket], params: Mapping[str, str], now_ms: int) -> tuple[int, Json]:
    market = next((m for m in markets if m.symbol == params.get("symbol")), None)
    if market is None:
        return 400, {"code": -1121, "msg": "Invalid symbol."}
    venue = market.spec.venue
    limit = params.get("limit", str(DEFAULT_LIMIT[venue]))
    if not limit.isdecimal() or not 1 <= int(limit) <= MAX_LIMIT[venue]:
        return 400, {"code": -4021, "msg": f"limit is {limit!r}, must be 1 to {MAX_LIMIT[venue]}."}
    return 200, market.snapshot(now_ms, int(limit))


def _answer(exchange: Exchange, connection: Connection, message: Json) -> Json:
    number, params = message.get("id"), message.get("params", [])
    well_formed = isinstance(params, list) and all(isinstance(p, str) and WELL_FORMED.match(p) for p in params)
    match message.get("method"):
        case "SUBSCRIBE" if well_formed and len(params) + len(connection.channels) <= MAX_STREAMS:
            exchange.hub.subscribe(connection, params, exchange.now_ms)
        case "UNSUBSCRIBE" if well_formed:
            exchange.hub.unsubscribe(connection, params)
        case "LIST_SUBSCRIPTIONS":
            return {"result": sorted(connection.channels | connection.deaf), "id": number}
        case _:
            return {"error": {"code": 2, "msg": "Invalid request: unknown method or malformed params"}, "id": number}
    return {"result": None, "id": number}
