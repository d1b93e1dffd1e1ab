"""A small market, a client without a socket, and a served exchange."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from stack.simulator import binance_session, deribit_session
from stack.simulator.exchange import Exchange
from stack.simulator.hub import Connection
from stack.simulator.server import Server
from stack.simulator.world import MarketSettings, World

Json = dict[str, Any]
START_MS = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1000)


def settings_of(**changes: Any) -> MarketSettings:
    """Settings of a quick market; ``changes`` replace fields."""
    fields: Json = {"seed": 7, "start_ms": START_MS, "underlyings": ("BTC",), "options": 60, "option_orders_s": 20.0}
    return MarketSettings(**(fields | changes))


@pytest.fixture
def small() -> Callable[..., MarketSettings]:
    return settings_of


@pytest.fixture
def world() -> World:
    return World(settings_of())


@pytest.fixture
def exchange(world: World) -> Exchange:
    return Exchange(world)


class Client:
    """A venue's client without a socket: its texts go in, what the outbox holds comes out."""

    def __init__(self, exchange: Exchange, venue: str) -> None:
        connection = exchange.hub.open(venue, exchange.now_ms)
        assert connection is not None
        self.exchange = exchange
        self.connection: Connection = connection

    def raw(self) -> list[bytes]:
        """Take what was sent (pings left out)."""
        frames = [frame for frame in self.connection.outbox if frame is not None]
        self.connection.outbox.clear()
        return frames

    def take(self) -> list[Json]:
        return [json.loads(frame) for frame in self.raw()]

    def call(self, method: str, **params: Any) -> list[Json]:
        """Send a Deribit request; returns what came right away, the answer first."""
        text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        deribit_session.request(self.exchange, self.connection, text)
        return self.take()

    def subscribe(self, *channels: str) -> list[Json]:
        if self.connection.venue == "deribit":
            return self.call("public/subscribe", channels=list(channels))
        text = json.dumps({"method": "SUBSCRIBE", "params": list(channels), "id": 1})
        binance_session.request(self.exchange, self.connection, text)
        return self.take()

    def run(self, seconds: float) -> list[Json]:
        """Let the market run and return what was sent meanwhile."""
        for _ in range(round(10 * seconds)):
            self.exchange.step()
        return self.take()


@pytest.fixture
def client(exchange: Exchange) -> Callable[[str], Client]:
    return lambda venue: Client(exchange, venue)


@contextlib.asynccontextmanager
async def _served(exchange: Exchange, speed: float = 10.0) -> AsyncIterator[int]:
    """Serve ``exchange`` on a free port, faster than real time."""
    server, stop = Server(exchange, speed), asyncio.Event()
    port = await server.listen(0)
    market = asyncio.create_task(server.run(stop))
    try:
        yield port
    finally:
        stop.set()
        await market
        await server.close()


@pytest.fixture
def served() -> Callable[..., contextlib.AbstractAsyncContextManager[int]]:
    return _served


class Everything:
    """A container that holds every channel."""

    def __contains__(self, channel: object) -> bool:
        return True


@pytest.fixture
def everything() -> Everything:
    return Everything()


@pytest.fixture
def data() -> Callable[[list[Json], str], list[Any]]:
    return lambda messages, channel: list(payloads(messages, channel))


def payloads(messages: list[Json], channel: str) -> Iterator[Any]:
    """Yield the payloads of Deribit notifications or Binance streams on ``channel``."""
    for message in messages:
        if message.get("params", {}).get("channel") == channel:
            yield message["params"]["data"]
        elif message.get("stream") == channel:
            yield message["data"]
