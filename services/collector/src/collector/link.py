"""One connection slot: connects, tells the session what happens, does what it answers, connects again."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

from collector.backoff import Allowance, full_jitter
from collector.events import (
    Action,
    Answered,
    Close,
    Connected,
    Disconnected,
    Event,
    Fetch,
    Frame,
    GiveUp,
    Publish,
    Request,
    Send,
    Session,
    Tick,
    Unanswered,
)
from collector.live_log import LiveLog
from collector.observation import Observation
from collector.rest import RestClient

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
TICK_S = 0.1
STABLE_AFTER_S = 30.0
OVERSIZE_CODE = 1009
_log = structlog.get_logger("collector")


class VenueRefused(Exception):
    """The venue refuses what we ask for and connecting again cannot help; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """``max_frame_bytes`` closes the connection; back-off is full jitter of ``base_s`` doubled up to ``cap_s``."""

    max_frame_bytes: int
    base_s: float
    cap_s: float
    share: Callable[[], float] = random.random


class Link:
    """Runs ``session`` on connection ``<venue>-<number>`` until cancelled; :attr:`connected` says how it is now.

    ``connects`` is how often the venue lets it be opened; None if it sets no bound.
    """

    def __init__(
        self,
        session: Session,
        *,
        venue: str,
        number: int,
        rest: RestClient,
        log: LiveLog,
        clock: Callable[[], int],
        settings: LinkSettings,
        connects: Allowance | None = None,
    ) -> None:
        self.name = f"{venue}-{number}"
        self.connected = False
        self._session = session
        self._venue = venue
        self._number = number
        self._rest = rest
        self._log = log
        self._clock = clock
        self._settings = settings
        self._connects = connects
        self._closing = ""
        self._calls: set[asyncio.Task[Answered | Unanswered]] = set()
        self._turn = asyncio.Lock()

    async def run(self, stopping: asyncio.Event) -> None:
        """Stay connected until ``stopping``; raises VenueRefused, PublishError."""
        failures = 0
        while not stopping.is_set():
            if self._connects is not None:
                await _sleep_until(stopping, self._connects.take(self._clock()))
                if stopping.is_set():
                    return
            began = self._clock()
            reason = await self._connect_once(stopping)
            lived_s = (self._clock() - began) / 1e6
            failures = 0 if lived_s >= STABLE_AFTER_S else failures + 1
            if stopping.is_set():
                return
            settings = self._settings
            wait_s = full_jitter(failures, base_s=settings.base_s, cap_s=settings.cap_s, share=settings.share())
            _log.warning("disconnected", connection=self.name, reason=reason, again_in_s=round(wait_s, 3))
            await _sleep_until(stopping, wait_s)

    async def _connect_once(self, stopping: asyncio.Event) -> str:
        """Live through one connection, or an attempt at one; returns why it ended."""
        try:
            socket = await connect(
                self._session.url,
                max_size=self._settings.max_frame_bytes,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
            )
        except InvalidURI as error:
            raise VenueRefused(f"{self._session.url!r} is not a WebSocket URL; correct the *_WS_URL setting") from error
        except (OSError, WebSocketException) as error:  # TimeoutError is an OSError
            return f"cannot connect: {type(error).__name__}: {error}"
        self.connected, self._closing = True, ""
        try:
            return await self._live(socket, stopping)
        finally:
            self.connected = False
            await socket.close()

    async def _live(self, socket: ClientConnection, stopping: asyncio.Event) -> str:
        async with asyncio.TaskGroup() as calls:
            ticks = calls.create_task(self._tick(socket, calls))
            hanging_up = calls.create_task(_hang_up(socket, stopping))
            reason = await self._receive(socket, calls)
            hanging_up.cancel()
            for call in self._calls:
                call.cancel()
            # Not cancelled: a record it has begun to write must get into the log.
            self.connected = False
            await ticks
            await self._feed(Disconnected("collector stopped" if stopping.is_set() else reason), socket, calls)
        return reason

    async def _receive(self, socket: ClientConnection, calls: asyncio.TaskGroup) -> str:
        """Hand every frame to the session until the connection ends; returns why it did."""
        await self._feed(Connected(), socket, calls)
        try:
            while True:
                await self._feed(Frame(await socket.recv(decode=False)), socket, calls)
        except ConnectionClosed as closed:
            return self._closing or _reason(closed, self._settings.max_frame_bytes)

    async def _tick(self, socket: ClientConnection, calls: asyncio.TaskGroup) -> None:
        while self.connected:
            await self._feed(Tick(), socket, calls)
            await asyncio.sleep(TICK_S)

    async def _feed(self, event: Event, socket: ClientConnection, calls: asyncio.TaskGroup) -> None:
        now = self._clock()
        async with self._turn:
            for action in self._session.handle(now, event):
                await self._do(now, action, socket, calls)

    async def _do(self, now: int, action: Action, socket: ClientConnection, calls: asyncio.TaskGroup) -> None:
        match action:
            case Publish():
                await self._log.append(self._observed(now, action))
            case Send(text):
                await _send(socket, text)
            case Fetch(request):
                calls.create_task(self._fetch(request, socket, calls))
            case Close(reason):
                self._closing = reason
                await socket.close()
            case GiveUp(problem):
                raise VenueRefused(problem)

    async def _fetch(self, request: Request, socket: ClientConnection, calls: asyncio.TaskGroup) -> None:
        call = asyncio.create_task(self._rest.call(request))
        self._calls.add(call)
        try:
            outcome = await call
        except asyncio.CancelledError:
            call.cancel()
            return
        finally:
            self._calls.discard(call)
        if isinstance(outcome, Unanswered):
            _log.warning("rest_failed", connection=self.name, path=request.path, reason=outcome.reason)
        await self._feed(outcome, socket, calls)

    def _observed(self, now: int, what: Publish) -> Observation:
        return Observation(
            now, self._venue, self._number, what.kind, what.channel, what.instrument, what.underlying,
            what.exchange_ts, what.payload,
        )  # fmt: skip


def _reason(closed: ConnectionClosed, max_frame_bytes: int) -> str:
    if closed.sent is not None and closed.sent.code == OVERSIZE_CODE and not closed.rcvd_then_sent:
        return f"oversize: a frame above {max_frame_bytes} bytes"
    return f"connection lost: {closed}"


async def _send(socket: ClientConnection, text: str) -> None:
    try:
        await socket.send(text)
    except ConnectionClosed:
        return  # the receiving side ends the connection and says why


async def _hang_up(socket: ClientConnection, stopping: asyncio.Event) -> None:
    await stopping.wait()
    await socket.close()


async def _sleep_until(stopping: asyncio.Event, wait_s: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), wait_s)
    except TimeoutError:
        return
