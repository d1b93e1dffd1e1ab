"""A Deribit client's requests: JSON-RPC text in, answers and first messages into the connection's outbox."""

from collections.abc import Mapping
from typing import Any

import orjson

from stack.simulator import deribit_api, deribit_channels
from stack.simulator.deribit_api import RpcError, invalid
from stack.simulator.deribit_channels import Frame
from stack.simulator.exchange import Exchange
from stack.simulator.hub import Connection

Json = dict[str, Any]
MAX_CHANNELS_A_CALL = 500
MAX_CHANNELS = 20_000
MIN_HEARTBEAT_S = 10
MAX_HEARTBEAT_S = 3600


def request(exchange: Exchange, connection: Connection, text: str) -> None:
    """Handle one JSON-RPC request."""
    number: object = None
    first: list[Frame] = []
    try:
        number, method, params = _parsed(text)
        outcome: Json = {"result": _result(exchange, connection, method, params, first)}
    except RpcError as error:
        outcome = {"error": error.body}
    answer = Frame("", orjson.dumps(_envelope(exchange, outcome, number)), "")
    for frame in (answer, *first):
        exchange.hub.send(connection, frame, exchange.now_ms)


def rest(exchange: Exchange, method: str, params: Mapping[str, str]) -> tuple[int, Json]:
    """Return HTTP status and body of a REST call of ``method``, such as ``public/get_instruments``."""
    try:
        return 200, _envelope(exchange, {"result": deribit_api.call(exchange.world, method, params)}, None)
    except RpcError as error:
        return 400, _envelope(exchange, {"error": error.body}, None)


def _parsed(text: str) -> tuple[object, str, Json]:
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise RpcError(-32700, "Parse error") from None
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        raise RpcError(-32600, "Invalid Request")
    params = request.get("params") or {}
    if not isinstance(params, dict):
        raise invalid("params", "must be an object")
    return request.get("id"), request["method"], params


def _envelope(exchange: Exchange, outcome: Json, number: object) -> Json:
    """Return a JSON-RPC answer with the venue's timing fields (microseconds)."""
    now_us = exchange.now_ms * 1000
    head: Json = {"jsonrpc": "2.0"} | ({} if number is None else {"id": number})
    return head | outcome | {"usIn": now_us, "usOut": now_us, "usDiff": 0, "testnet": True}


def _result(exchange: Exchange, connection: Connection, method: str, params: Json, first: list[Frame]) -> Any:
    match method:
        case "public/subscribe":
            return _subscribe(exchange, connection, _channels(params), first)
        case "public/unsubscribe":
            return exchange.hub.unsubscribe(connection, _channels(params))
        case "public/unsubscribe_all":
            exchange.hub.unsubscribe(connection, [*connection.channels, *connection.deaf])
            return "ok"
        case "public/set_heartbeat":
            connection.beat_every(_heartbeat(params), exchange.now_ms)
            return "ok"
        case "public/disable_heartbeat":
            connection.beat_every(0, exchange.now_ms)
            return "ok"
        case "public/auth":
            raise RpcError(13004, "invalid_credentials")
        case "public/test":
            connection.answered()
    return deribit_api.call(exchange.world, method, params)


def _subscribe(exchange: Exchange, connection: Connection, channels: list[str], first: list[Frame]) -> list[str]:
    """Subscribe; unknown channels are left out of the answer, raw ones refuse the whole call."""
    if any(deribit_channels.RAW.search(channel) for channel in channels):
        raise RpcError(13778, "raw_subscriptions_not_available_for_unauthorized")
    if len(connection.channels) + len(channels) > MAX_CHANNELS:
        raise invalid("channels", f"more than {MAX_CHANNELS} on one connection")
    world = exchange.world
    known = [channel for channel in dict.fromkeys(channels) if deribit_channels.exists(world, channel)]
    new = exchange.hub.subscribe(connection, known, exchange.now_ms)
    first += [frame for channel in new if (frame := deribit_channels.first_message(world, channel))]
    return known


def _channels(params: Json) -> list[str]:
    channels = params.get("channels")
    if not isinstance(channels, list) or not all(isinstance(c, str) for c in channels):
        raise invalid("channels", "must be a list of strings")
    if len(channels) > MAX_CHANNELS_A_CALL:
        raise invalid("channels", f"more than {MAX_CHANNELS_A_CALL} in one call")
    return channels


def _heartbeat(params: Json) -> float:
    seconds = params.get("interval")
    if not isinstance(seconds, int | float) or not MIN_HEARTBEAT_S <= seconds <= MAX_HEARTBEAT_S:
        raise invalid("interval", f"must be between {MIN_HEARTBEAT_S} and {MAX_HEARTBEAT_S} seconds")
    return float(seconds)
