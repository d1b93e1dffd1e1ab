"""The live collector over real sockets, against a small venue that speaks Bybit's, OKX's or BitMEX's protocol.

Each fault must end in its record and a resync. The venue keeps every market frame it sent: the raw log must hold each
of them, once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
import pytest
from aiohttp import WSMsgType, web

from collector.live_log import LiveLog
from collector.live_source import run_live_source
from collector.okx import channel_of
from collector.raw_log import RawLog
from collector.receive_clock import ReceiveClock
from collector.settings import Settings
from contracts.records import RawMessage

pytestmark = pytest.mark.faults

PATIENCE_S = 30.0
FEED_EVERY_S = 0.05
OVERSIZE_BYTES = 100_000


class Tongue(Protocol):
    """A venue's protocol, as far as the test's venue speaks it. ``book`` is the channel that faults strike."""

    venue: str
    book: str
    instrument: str
    channels: frozenset[str]

    def settings(self, base: str) -> dict[str, str]: ...

    def listing(self, path: str, query: dict[str, str]) -> bytes: ...

    def call(self, text: str) -> tuple[str, list[str], list[str]]:
        """Return the change, the channels and the answers of a call."""
        ...

    def snapshot(self, channel: str) -> dict[str, Any] | None: ...

    def update(self, channel: str) -> dict[str, Any] | None: ...

    def lose(self, channel: str) -> None:
        """Let an update of the book pass without sending it."""
        ...


@dataclass
class BybitTongue:
    venue = "bybit"
    book = "orderbook.200.BTCUSDT"
    instrument = "BTCUSDT"
    option = "tickers.BTC-27NOV26-90000-C-USDT"
    channels = frozenset({book, "tickers.BTCUSDT", option})
    update_id: int = 1000

    def settings(self, base: str) -> dict[str, str]:
        return {"bybit_ws_url": f"ws{base}", "bybit_rest_url": f"http{base}", "bybit_option_connections": "1"}

    def listing(self, path: str, query: dict[str, str]) -> bytes:
        entry = {"status": "Trading", "baseCoin": "BTC"}
        linear = entry | {"symbol": "BTCUSDT", "contractType": "LinearPerpetual"}
        option = entry | {"symbol": self.option.partition(".")[2], "optionsType": "Call"}
        listed = {"linear": [linear], "option": [option]}.get(query.get("category", ""), [])
        return orjson.dumps({"retCode": 0, "result": {"category": query.get("category"), "list": listed}})

    def call(self, text: str) -> tuple[str, list[str], list[str]]:
        call = orjson.loads(text)
        answer = {"success": True, "ret_msg": "", "op": call["op"], "req_id": call.get("req_id", "")}
        return call["op"], call.get("args", []), [orjson.dumps(answer).decode()]

    def snapshot(self, channel: str) -> dict[str, Any] | None:
        return self._frame(channel, "snapshot") if channel in self.channels else None

    def update(self, channel: str) -> dict[str, Any] | None:
        self.lose(channel)
        return self._frame(channel, "delta")

    def lose(self, channel: str) -> None:
        self.update_id += channel == self.book

    def _frame(self, channel: str, kind: str) -> dict[str, Any]:
        data = {"u": self.update_id} if channel == self.book else {}
        return {"topic": channel, "type": kind, "ts": 1_795_000_000_123, "data": data}


@dataclass
class OkxTongue:
    venue = "okx"
    book = "books:BTC-USDT-SWAP"
    instrument = "BTC-USDT-SWAP"
    channels = frozenset(
        {book, "tickers:BTC-USDT-SWAP", "mark-price:BTC-USDT-SWAP", "open-interest:BTC-USDT-SWAP"}
        | {"tickers:BTC-USD-261127-90000-C", "funding-rate:BTC-USDT-SWAP", "opt-summary:BTC-USD"}
        | {"mark-price:BTC-USD-261127-90000-C", "index-tickers:BTC-USDT"}
    )
    sequence: int = 1000

    def settings(self, base: str) -> dict[str, str]:
        return {"okx_ws_url": f"ws{base}/public", "okx_rest_url": f"http{base}"}

    def listing(self, path: str, query: dict[str, str]) -> bytes:
        family = query.get("instFamily", "")
        name = {"BTC-USDT": self.instrument, "BTC-USD": "BTC-USD-261127-90000-C"}.get(family)
        mine = name is not None and (query.get("instType") == "OPTION") == (family == "BTC-USD")
        return orjson.dumps({"code": "0", "data": [{"instId": name, "state": "live"}] if mine else []})

    def call(self, text: str) -> tuple[str, list[str], list[str]]:
        if text == "ping":
            return "ping", [], ["pong"]
        call = orjson.loads(text)
        answers = [orjson.dumps({"event": call["op"], "arg": arg}).decode() for arg in call["args"]]
        return call["op"], [str(channel_of(arg)) for arg in call["args"]], answers

    def snapshot(self, channel: str) -> dict[str, Any] | None:
        return self._frame(channel, "snapshot", -1) if channel in self.channels else None

    def update(self, channel: str) -> dict[str, Any] | None:
        previous = self.sequence
        self.lose(channel)
        return self._frame(channel, "update", previous)

    def lose(self, channel: str) -> None:
        self.sequence += 7 * (channel == self.book)

    def _frame(self, channel: str, action: str, previous: int) -> dict[str, Any]:
        name, _, place = channel.partition(":")
        arg = {"channel": name, "instFamily" if name == "opt-summary" else "instId": place}
        row = {"seqId": self.sequence, "prevSeqId": previous} if channel == self.book else {}
        return {"arg": arg, "action": action, "data": [row | {"ts": "1795000000123"}]}


@dataclass
class BitmexTongue:
    venue = "bitmex"
    book = "orderBookL2:XBTUSD"
    instrument = "XBTUSD"
    channels = frozenset(f"{t}:XBTUSD" for t in ("instrument", "trade", "orderBookL2", "liquidation", "funding"))
    levels: int = 1

    def settings(self, base: str) -> dict[str, str]:
        return {"bitmex_ws_url": f"ws{base}/realtime", "bitmex_rest_url": f"http{base}/api/v1"}

    def listing(self, path: str, query: dict[str, str]) -> bytes:
        return orjson.dumps([{"symbol": "XBTUSD", "typ": "FFWCSX", "state": "Open"}])

    def call(self, text: str) -> tuple[str, list[str], list[str]]:
        if text == "ping":
            return "ping", [], ["pong"]
        call = orjson.loads(text)
        answers = [orjson.dumps({"success": True, call["op"]: topic}).decode() for topic in call["args"]]
        return call["op"], call["args"], answers

    def snapshot(self, channel: str) -> dict[str, Any] | None:
        return self._frame(channel, "partial", range(1, self.levels + 1)) if channel in self.channels else None

    def update(self, channel: str) -> dict[str, Any] | None:
        return self._frame(channel, "update", [self.levels]) if channel.startswith(("instr", "order")) else None

    def lose(self, channel: str) -> None:
        self.levels += 1

    def _frame(self, channel: str, action: str, ids: Any) -> dict[str, Any]:
        table, _, symbol = channel.partition(":")
        rows = [{"symbol": symbol, "id": number, "timestamp": "2026-11-18T10:00:00.123Z"} for number in ids]
        return {"table": table, "action": action, "filter": {"symbol": symbol}, "data": rows}


@dataclass
class SmallVenue:
    """Sockets and REST on loopback; feeds every subscribed channel until told otherwise."""

    tongue: Tongue
    sent: Counter[bytes] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    sockets: dict[web.WebSocketResponse, set[str]] = field(default_factory=dict)
    deaf: set[str] = field(default_factory=set)
    mute: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[socket] = set()
        feeding = asyncio.create_task(self._feed(socket))
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT and not self.mute:
                    await self._called(socket, message.data)
        finally:
            feeding.cancel()
            self.sockets.pop(socket, None)
        return socket

    async def rest(self, request: web.Request) -> web.Response:
        self.asked[request.path] += 1
        return web.Response(body=self.tongue.listing(request.path, dict(request.query)))

    async def _called(self, socket: web.WebSocketResponse, text: str) -> None:
        change, channels, answers = self.tongue.call(text)
        for answer in answers:
            await socket.send_str(answer)
        for channel in channels:
            if change == "subscribe":
                self.asked[channel] += 1
                if channel not in self.deaf:
                    self.sockets[socket].add(channel)
                    await self.send(socket, self.tongue.snapshot(channel))
            else:
                self.sockets[socket].discard(channel)
                self.deaf.discard(channel)

    async def _feed(self, socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            await asyncio.sleep(FEED_EVERY_S)
            for channel in () if self.mute else sorted(self.sockets[socket] & self.tongue.channels):
                await self.send(socket, self.tongue.update(channel))

    async def send(self, socket: web.WebSocketResponse, frame: dict[str, Any] | None) -> None:
        if frame is not None:
            body = orjson.dumps(frame | self.extra)
            try:
                await socket.send_str(body.decode())
            except ConnectionResetError:
                return
            self.sent[body] += 1

    def of_book(self) -> web.WebSocketResponse:
        return next(socket for socket, channels in self.sockets.items() if self.tongue.book in channels)


@dataclass
class Run:
    """The venue and a collector connected to it."""

    venue: SmallVenue
    kept: Any

    def records(self, kind: str, channel: str | None = None) -> list[RawMessage]:
        found = [e.record for e in self.kept.entries if e.record.kind == kind]
        return [record for record in found if channel is None or record.channel == channel]

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not holds():
            assert asyncio.get_running_loop().time() < deadline, f"waited {PATIENCE_S:g} s for {what}"
            await asyncio.sleep(0.02)

    async def in_step(self) -> None:
        wanted = self.venue.tongue.channels - self.venue.deaf
        await self.until(lambda: wanted <= {record.channel for record in self.records("message")}, "every channel")

    async def book_again(self, after: int) -> None:
        """Wait for a snapshot of the book in the log behind the first ``after`` entries."""
        tongue = self.venue.tongue

        def resynced() -> bool:
            later = [e.record for e in self.kept.entries[after:] if e.record.channel == tongue.book]
            return any(b'"snapshot"' in r.payload or b'"partial"' in r.payload for r in later)

        await self.until(resynced, "the resync")

    def missing(self) -> Counter[bytes]:
        """Market frames the venue sent that are not in the log."""
        kept = Counter(record.payload for record in self.records("message"))
        return self.venue.sent - kept


@asynccontextmanager
async def running(tongue: Tongue, kept: Any, deaf: frozenset[str], changed: dict[str, Any]) -> AsyncIterator[Run]:
    venue, stopped = SmallVenue(tongue, deaf=set(deaf)), asyncio.Event()
    app = web.Application()
    for path in ("/linear", "/inverse", "/option", "/public", "/realtime"):
        app.router.add_get(path, venue.socket)
    app.router.add_get("/{path:.*}", venue.rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"://127.0.0.1:{runner.addresses[0][1]}"
    collecting = asyncio.create_task(_collect(tongue.settings(base) | changed, tongue.venue, kept, stopped))
    try:
        yield Run(venue, kept)
    finally:
        stopped.set()
        await asyncio.wait_for(collecting, PATIENCE_S)
        await runner.cleanup()


async def _collect(changed: dict[str, Any], venue: str, kept: Any, stopped: asyncio.Event) -> None:
    settings = Settings.model_validate(
        {
            "GAMMAFLOW_BOOTSTRAP_SERVERS": "unused",
            "GAMMAFLOW_REGISTRY_URL": "http://unused",
            "venues": venue,
            "underlyings": "BTC",
            "reconnect_base_s": 0.05,
            **changed,
        }
    )
    clock = ReceiveClock()
    log = LiveLog(RawLog(settings.venues), kept, clock)
    await run_live_source(settings, log, clock=clock, stopped=stopped.is_set, report=lambda _: None)


@pytest.fixture(params=[BybitTongue, OkxTongue, BitmexTongue], ids=["bybit", "okx", "bitmex"])
def tongue(request: pytest.FixtureRequest) -> Tongue:
    made: Tongue = request.param()
    return made


@pytest.fixture
def play(tongue: Tongue, kept_entries: Callable[..., Any]) -> Callable[..., Run]:
    """Runs a scenario and returns what is left when all has been stopped."""

    def run(scenario: Callable[[Run], Awaitable[None]], *, deaf: frozenset[str] = frozenset(), **changed: Any) -> Run:
        async def played() -> Run:
            async with running(tongue, kept_entries(), deaf, changed) as run:
                await run.in_step()
                await scenario(run)
            return run

        return asyncio.run(played())

    return run


Play = Callable[..., Run]


async def a_while(run: Run) -> None:
    await asyncio.sleep(0.5)


def test_without_faults_every_frame_sent_is_in_the_log_and_nothing_else_happens(play: Play, tongue: Tongue) -> None:
    run = play(a_while)

    assert not run.missing()
    assert run.records("gap") == []
    assert {r.payload for r in run.records("disconnect")} == {b"collector stopped"}
    assert run.records("snapshot"), "listings are in the log"
    assert all(count == 1 for channel, count in run.venue.asked.items() if not channel.startswith("/"))


def test_a_dropped_connection_is_a_record_and_everything_is_subscribed_again(play: Play, tongue: Tongue) -> None:
    async def drop(run: Run) -> None:
        after = len(run.kept.entries)
        transport = run.venue.of_book()._req.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()
        await run.book_again(after)

    run = play(drop)

    lost = run.records("disconnect")[0]
    assert lost.payload.startswith(b"connection lost")
    again = [r for r in run.records("connect") if r.conn_id == lost.conn_id]
    assert len(again) == 2
    assert run.venue.asked[tongue.book] == 2


def test_a_hole_in_a_book_is_a_gap_and_that_book_alone_is_subscribed_anew(play: Play, tongue: Tongue) -> None:
    async def lose(run: Run) -> None:
        after = len(run.kept.entries)
        run.venue.tongue.lose(tongue.book)
        await run.book_again(after)

    run = play(lose)

    [gap] = run.records("gap")
    assert (gap.channel, gap.instrument, gap.underlying) == (tongue.book, tongue.instrument, "BTC")
    assert {r.payload for r in run.records("disconnect")} == {b"collector stopped"}
    assert {c: n for c, n in run.venue.asked.items() if n > 1 and not c.startswith("/")} == {tongue.book: 2}
    assert not run.missing()


def test_a_venue_that_falls_silent_is_left_and_joined_again(play: Play, tongue: Tongue) -> None:
    async def silence(run: Run) -> None:
        after = len(run.kept.entries)
        of_book = run.records("message", tongue.book)[0].conn_id
        run.venue.mute = True
        await run.until(lambda: of_book in {r.conn_id for r in run.records("disconnect")}, "the end")
        run.venue.mute = False
        await run.book_again(after)

    run = play(silence, stale_after_s=1.0)

    assert run.records("disconnect")[0].payload == b"stale: no frame for 1 s"
    assert not run.missing()


def test_a_subscription_that_is_granted_and_never_served_is_a_gap_and_renewed(play: Play, tongue: Tongue) -> None:
    async def wait(run: Run) -> None:
        await run.book_again(0)

    run = play(wait, deaf=frozenset({tongue.book}), silent_after_s=1.0)

    [gap] = run.records("gap")
    assert (gap.channel, gap.payload) == (tongue.book, b"silent: subscribed, sends nothing")
    assert run.venue.asked[tongue.book] == 2
    assert not run.missing()


def test_malformed_json_is_kept_as_it_came_and_costs_nothing_else(play: Play, tongue: Tongue) -> None:
    cut = b'{"topic":"orderbook.200.BT'

    async def malform(run: Run) -> None:
        await run.venue.of_book().send_str(cut.decode())
        await run.until(lambda: any(r.payload == cut for r in run.records("message")), "the frame")

    run = play(malform)

    [kept] = [record for record in run.records("message") if record.payload == cut]
    assert (kept.channel, kept.instrument) == ("", None)
    assert {r.payload for r in run.records("disconnect")} == {b"collector stopped"}
    assert not run.missing()


def test_a_book_frame_that_came_malformed_shows_as_a_gap_and_is_resynced(play: Play, tongue: Tongue) -> None:
    async def malform(run: Run) -> None:
        after = len(run.kept.entries)
        run.venue.tongue.lose(tongue.book)
        await run.venue.of_book().send_str('{"cut')
        await run.book_again(after)

    run = play(malform)

    kinds = [
        (r.kind, r.channel) for r in (e.record for e in run.kept.entries) if r.kind == "gap" or r.payload == b'{"cut'
    ]
    assert kinds == [("message", ""), ("gap", tongue.book)]


def test_unknown_fields_change_nothing(play: Play) -> None:
    async def extend(run: Run) -> None:
        run.venue.extra = {"zz_unknown": {"deep": [1, None]}, "zz": "x"}
        await run.until(lambda: any(b"zz_unknown" in r.payload for r in run.records("message")), "the field")
        await a_while(run)

    run = play(extend)

    assert run.records("gap") == []
    assert {r.payload for r in run.records("disconnect")} == {b"collector stopped"}
    assert not run.missing()


def test_an_oversize_frame_costs_the_connection_and_says_so(play: Play, tongue: Tongue) -> None:
    async def blow_up(run: Run) -> None:
        after = len(run.kept.entries)
        await run.venue.of_book().send_str("x" * (OVERSIZE_BYTES + 1))
        await run.book_again(after)

    run = play(blow_up, max_frame_bytes=OVERSIZE_BYTES)

    assert run.records("disconnect")[0].payload == f"oversize: a frame above {OVERSIZE_BYTES} bytes".encode()
    assert max(len(record.payload) for record in run.records("message")) <= OVERSIZE_BYTES
