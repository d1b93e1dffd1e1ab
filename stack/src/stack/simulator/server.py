"""The sockets: HTTP and WebSockets on 127.0.0.1, the clock that moves the market, and control and truth endpoints."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from stack.simulator import binance_session, deribit_session
from stack.simulator.exchange import Exchange
from stack.simulator.faults import FaultError, parse
from stack.simulator.hub import Closing, Connection
from stack.simulator.world import TICK_MS

HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 1_000_000
SHUTDOWN_S = 2.0
REFUSED = {"deribit": {"error": {"code": 10028, "message": "too_many_requests"}}}
REFUSED_BINANCE = {"code": -1003, "msg": "Too many requests."}


class Server:
    """Serves an exchange; ``speed`` is market seconds per second."""

    def __init__(self, exchange: Exchange, speed: float = 1.0) -> None:
        self._exchange = exchange
        self._speed = speed
        self._wakers: dict[str, asyncio.Event] = {}
        self._runner: web.AppRunner | None = None

    async def listen(self, port: int) -> int:
        """Listen on loopback and return the port. Raises OSError when it is taken."""
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def run(self, stop: asyncio.Event) -> None:
        """Move the market with the wall clock until ``stop``; ticks that were missed are made up for."""
        began, ticks = time.monotonic(), 0
        while not stop.is_set():
            ticks += 1
            wait = began + ticks * TICK_MS / 1000 / self._speed - time.monotonic()
            await asyncio.sleep(max(0.0, wait))
            self._exchange.step()
            self._wake()

    async def close(self) -> None:
        """Close every connection with a close frame, then stop listening."""
        self._exchange.hang_up("simulator stopped")
        self._wake()
        if self._runner:
            await self._runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.add_routes(
            [
                web.get("/deribit/ws/api/v2", self._deribit_socket),
                web.get("/deribit/api/v2/public/{method}", self._deribit_rest),
                web.get("/{venue:usdm|spot}/stream", self._binance_socket),
                # The venue splits its futures streams by kind over these two; all streams work on both here.
                web.get("/{venue:usdm}/{part:public|market}/stream", self._binance_socket),
                web.get("/{venue:usdm}/fapi/v1/{method}", self._binance_rest),
                web.get("/{venue:spot}/api/v3/{method}", self._binance_rest),
                web.post("/_control", self._control),
                web.get("/_truth/inventory", self._inventory),
                web.get("/_truth/ledger", self._ledger),
                web.get("/_health", self._health),
            ]
        )
        return app

    def _wake(self) -> None:
        for name, waker in self._wakers.items():
            connection = self._exchange.hub.connections[name]
            if connection.outbox or connection.closing:
                waker.set()

    async def _deribit_socket(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "deribit")

    async def _binance_socket(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, request.match_info["venue"])

    async def _serve(self, request: web.Request, venue: str) -> web.StreamResponse:
        exchange = self._exchange
        connection = exchange.hub.open(venue, exchange.now_ms)
        if connection is None:
            return _json(429, {"error": "too many connections"})
        self._wakers[connection.name] = asyncio.Event()
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MAX_REQUEST_BYTES)
        writer: asyncio.Task[None] | None = None
        try:
            await socket.prepare(request)
            if venue != "deribit":
                streams = request.query.get("streams", "")
                binance_session.opened(exchange, connection, streams.split("/") if streams else ())
            writer = asyncio.create_task(self._write(request, socket, connection))
            await self._read(socket, connection)
        finally:
            del self._wakers[connection.name]
            exchange.hub.close(connection, exchange.now_ms)
            if writer:
                writer.cancel()
        return socket

    async def _read(self, socket: web.WebSocketResponse, connection: Connection) -> None:
        handle = deribit_session.request if connection.venue == "deribit" else binance_session.request
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                handle(self._exchange, connection, message.data)
                self._wakers[connection.name].set()
            elif message.type is WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                connection.answered()

    async def _write(self, request: web.Request, socket: web.WebSocketResponse, connection: Connection) -> None:
        waker = self._wakers[connection.name]
        try:
            while True:
                await waker.wait()
                waker.clear()
                if connection.closing is not Closing.ABORT:
                    await _flush(socket, connection)
                if connection.closing is not None:
                    break
        except ConnectionError:
            connection.end(Closing.ABORT, "connection lost")
        if connection.closing is Closing.ABORT:
            if request.transport is not None:
                request.transport.abort()
        else:
            await socket.close(message=connection.reason.encode())

    async def _deribit_rest(self, request: web.Request) -> web.Response:
        if refused := self._refused("deribit", request):
            return refused
        method = f"public/{request.match_info['method']}"
        return _json(*deribit_session.rest(self._exchange, method, request.query))

    async def _binance_rest(self, request: web.Request) -> web.Response:
        venue = request.match_info["venue"]
        if refused := self._refused(venue, request):
            return refused
        return _json(*binance_session.rest(self._exchange, venue, request.match_info["method"], request.query))

    def _refused(self, venue: str, request: web.Request) -> web.Response | None:
        status = self._exchange.hub.desk.refusal(venue, request.path, self._exchange.now_ms)
        if status is None:
            return None
        return _json(status, REFUSED.get(venue, REFUSED_BINANCE), headers={"Retry-After": "1"})

    async def _control(self, request: web.Request) -> web.Response:
        try:
            numbers = self._exchange.inject(parse(orjson.loads(await request.read())))
        except orjson.JSONDecodeError as error:
            return _json(400, {"error": f"the body is not JSON ({error}); send a fault or a list of them"})
        except FaultError as error:
            return _json(400, {"error": str(error)})
        self._wake()
        return _json(200, {"started": numbers, "now_ms": self._exchange.now_ms})

    async def _inventory(self, _request: web.Request) -> web.Response:
        return _json(200, truth_inventory(self._exchange))

    async def _ledger(self, _request: web.Request) -> web.Response:
        return _json(200, {"now_ms": self._exchange.now_ms} | self._exchange.hub.ledger())

    async def _health(self, _request: web.Request) -> web.Response:
        return _json(200, {"now_ms": self._exchange.now_ms})


def truth_inventory(exchange: Exchange) -> dict[str, Any]:
    """Return the true dealer inventory: coin, q > 0 where dealers are long."""
    return {"now_ms": exchange.now_ms, "unit": "coin", "instruments": exchange.world.inventory()}


async def _flush(socket: web.WebSocketResponse, connection: Connection) -> None:
    outbox = connection.outbox
    while outbox and connection.closing is not Closing.ABORT:
        frame = outbox.popleft()
        if frame is None:
            await socket.ping()
        else:
            connection.outbox_bytes -= len(frame)
            await socket.send_frame(frame, WSMsgType.TEXT)


def _json(status: int, body: object, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json", headers=headers)
