"""Raw records as the collector would write them: its own sessions talk to the simulator's venues, without a socket.

Deterministic by seed. The simulator knows BTC and ETH; a second one, with its names changed on the way, is SOL and BNB,
so that every partition has an underlying. There is something of everything that makes state: snapshots and their
diffs, sequence gaps, lost connections, refused REST calls, frames cut in half, late and doubled trades, an expiry in
the middle, and a collector that is away for some seconds and comes back.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

import orjson

from collector.binance import SPOT, USDM, BinanceSession
from collector.deribit import DeribitSession
from collector.events import (
    Answered,
    Close,
    Connected,
    Disconnected,
    Event,
    Fetch,
    Frame,
    Publish,
    Send,
    Session,
    Tick,
    Unanswered,
)
from collector.observation import Observation
from collector.raw_log import Entry, RawLog
from stack.simulator import binance_session, deribit_session
from stack.simulator.exchange import Exchange
from stack.simulator.faults import Fault
from stack.simulator.hub import Connection
from stack.simulator.world import TICK_MS, MarketSettings, World

START_MS = int(datetime(2026, 3, 6, 7, 59, 40, tzinfo=UTC).timestamp() * 1000)  # 20 s before an expiry
VENUES = ("binance-spot", "binance-usdm", "deribit")
AWAY_S = 4
RECONNECT_US = 700_000
ANSWER_US = 150_000
STALE_US, SILENT_US = 20_000_000, 60_000_000
_SIMULATED = {"binance-spot": "spot", "binance-usdm": "usdm", "deribit": "deribit"}


@dataclass(frozen=True, slots=True)
class Shape:
    """How much input: about 600 records a second; ``options`` in all, spread evenly over the four underlyings."""

    seconds: int
    options: int = 160
    updates_per_option_s: float = 2.0
    seed: int = 1

    @property
    def away(self) -> range:
        """Return the seconds, from the start, in which the collector is not there."""
        begin = self.seconds * 3 // 5
        return range(begin, begin + AWAY_S)


@dataclass(slots=True)
class Line:
    """A collector's connection slot and the venue at its other end; ``names`` translates between the two."""

    venue: str
    number: int
    session: Session
    exchange: Exchange
    names: "Names"
    connection: Connection | None = None
    again_at: int = 0
    answers: deque[tuple[int, Event]] = field(default_factory=deque)


class Names:
    """Renames underlyings on the wire, from the simulator's to the collector's and back."""

    def __init__(self, simulated: Sequence[str], shown: Sequence[str]) -> None:
        self.shown = tuple(shown)
        pairs = [(a.encode(), b.encode()) for a, b in zip(simulated, shown, strict=True) if a != b]
        self._out = _renaming(pairs)
        self._back = _renaming([(b, a) for a, b in pairs])

    def out(self, body: bytes) -> bytes:
        return self._out(body)

    def back(self, text: str) -> str:
        return self._back(text.encode()).decode()


def _renaming(pairs: Sequence[tuple[bytes, bytes]]) -> Callable[[bytes], bytes]:
    """Return what replaces names in capitals, and the small ones of Binance's streams and Deribit's indices."""
    table = dict(pairs) | {a.lower(): b.lower() for a, b in pairs}
    if not table:
        return lambda body: body
    capital = b"|".join(a for a, _ in pairs)
    pattern = re.compile(
        rb"(?<![A-Za-z])(?:(?:%s)(?=USDT|[^A-Za-z]|$)|(?:%s)(?=usdt|_usd))" % (capital, capital.lower())
    )
    return lambda body: pattern.sub(lambda found: table[found[0]], body)


class Collecting:
    """A collector on simulated venues, moved tick by tick; :attr:`entries` is what it wrote so far."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._now = START_MS * 1000
        self._exchanges = [_exchange(shape, shape.seed), _exchange(shape, shape.seed + 1)]
        names = (Names(("BTC", "ETH"), ("BTC", "ETH")), Names(("BTC", "ETH"), ("SOL", "BNB")))
        self._pairs = list(zip(self._exchanges, names, strict=True))
        self.entries: list[Entry] = []
        self._start()

    def run(self) -> list[Entry]:
        """Return every entry of all seconds, in the order in which they are written."""
        for tick in range(self._shape.seconds * 1000 // TICK_MS):
            present = (tick + 1) * TICK_MS // 1000 not in self._shape.away
            if self._lines and not present:
                self._stop()
            if not self._lines and present:
                self._start()
            for exchange in self._exchanges:
                exchange.step()
            self._now = max(self._now + 1, self._exchanges[0].now_ms * 1000)
            self._collect()
        return self.entries

    def _start(self) -> None:
        floors = {(entry.topic, entry.partition): entry.record.received_ts for entry in self.entries}
        self._log = RawLog(VENUES, floors)
        self._lines = [
            Line(venue, number, _session(venue, names.shown), exchange, names)
            for venue in VENUES
            for number, (exchange, names) in enumerate(self._pairs)
        ]

    def _stop(self) -> None:
        for line in self._lines:
            if line.connection is not None:
                self._lose(line, "collector stopped")
        self._lines = []

    def _collect(self) -> None:
        """Do what a collector does in a tenth of a second; the heartbeat comes first in every other second."""
        boundary = self._now // 1000 % 1000 < TICK_MS and bool(self._lines)
        early = self._now // 1_000_000 % 2 == 0
        if boundary and early:
            self._beat()
        for line in self._lines:
            self._advance(line)
        if boundary and not early:
            self._beat()

    def _beat(self) -> None:
        self._now += 1000
        self.entries.extend(self._log.heartbeats(self._now))

    def _advance(self, line: Line) -> None:
        if line.connection is None:
            if self._now >= line.again_at:
                self._connect(line)
            return
        for event in self._arrived(line, line.connection):
            self._feed(line, event)
            if line.connection is None:  # the session hung up
                return
        if line.connection.closing is not None:
            self._lose(line, f"connection lost: {line.connection.reason}")
        else:
            self._feed(line, Tick())

    def _arrived(self, line: Line, connection: Connection) -> Iterator[Event]:
        while line.answers and line.answers[0][0] <= self._now:
            yield line.answers.popleft()[1]
        while connection.outbox:
            body = connection.outbox.popleft()
            if body is None:
                connection.answered()
                continue
            connection.outbox_bytes -= len(body)
            yield Frame(line.names.out(body))

    def _connect(self, line: Line) -> None:
        connection = line.exchange.hub.open(_SIMULATED[line.venue], line.exchange.now_ms)
        assert connection is not None
        line.connection = connection
        if line.venue != "deribit":
            streams = line.names.back(line.session.url).partition("streams=")[2].split("/")
            binance_session.opened(line.exchange, connection, streams)
        self._feed(line, Connected())

    def _lose(self, line: Line, reason: str) -> None:
        line.exchange.hub.close(line.connection, line.exchange.now_ms)
        line.connection, line.again_at = None, self._now + RECONNECT_US
        line.answers.clear()
        self._feed(line, Disconnected(reason))

    def _feed(self, line: Line, event: Event) -> None:
        self._now += 7
        for action in line.session.handle(self._now, event):
            match action:
                case Publish():
                    self._publish(line, action)
                case Send(text):
                    _request(line, line.names.back(text))
                case Fetch():
                    line.answers.append((self._now + ANSWER_US, _answer(line, action)))
                case Close(reason):
                    self._lose(line, reason)
                    return
                case other:
                    raise AssertionError(f"{line.venue}: {other}")

    def _publish(self, line: Line, what: Publish) -> None:
        seen = Observation(
            self._now, line.venue, line.number, what.kind, what.channel, what.instrument, what.underlying,
            what.exchange_ts, what.payload,
        )  # fmt: skip
        self.entries.append(self._log.append(seen))


def _exchange(shape: Shape, seed: int) -> Exchange:
    market = MarketSettings(
        seed=seed,
        start_ms=START_MS,
        underlyings=("BTC", "ETH"),
        options=shape.options // 2,
        updates_per_option_s=shape.updates_per_option_s,
        option_orders_s=5.0,
    )
    return Exchange(World(market), list(_schedule(shape.seconds)))


def _schedule(seconds: int) -> Iterator[Fault]:
    """Yield what goes wrong at the venues, spread over the run."""
    at = count(5.05, seconds / 20)
    for venue, ticker, book in (
        ("deribit", "ticker.*", "book.*"),
        ("usdm", "*@bookTicker", "*@depth*"),
        ("spot", "*@bookTicker", "*@depth*"),
    ):
        yield Fault("malformed", venue=venue, channel=ticker, count=2, at=next(at))
        yield Fault("skip", venue=venue, at=next(at))
        yield Fault("malformed", venue=venue, channel=book, at=next(at))
        yield Fault("drop", venue=venue, at=next(at))
        yield Fault("duplicate_trade", venue=venue, count=3, at=next(at))
        yield Fault("late_trade", venue=venue, count=2, delay_s=3.0, at=next(at))
    yield Fault("refuse_rest", venue="usdm", duration_s=3.0, at=next(at))


def _session(venue: str, underlyings: tuple[str, ...]) -> Session:
    if venue == "deribit":
        return DeribitSession("", underlyings, stale_after_us=STALE_US, silent_after_us=SILENT_US)
    market = SPOT if venue == SPOT.venue else USDM
    streams = market.streams + market.routed
    return BinanceSession(market, "", streams, underlyings, stale_after_us=STALE_US, silent_after_us=SILENT_US)


def _request(line: Line, text: str) -> None:
    request = deribit_session.request if line.venue == "deribit" else binance_session.request
    request(line.exchange, line.connection, text)


def _answer(line: Line, fetch: Fetch) -> Answered | Unanswered:
    request, venue = fetch.request, _SIMULATED[line.venue]
    if line.exchange.hub.desk.refusal(venue, request.path, line.exchange.now_ms):
        return Unanswered(request, "HTTP 503")
    params = {name: line.names.back(value) for name, value in request.params}
    if venue == "deribit":
        status, body = deribit_session.rest(line.exchange, request.path.removeprefix("/"), params)
    else:
        status, body = binance_session.rest(line.exchange, venue, request.path.rpartition("/")[2], params)
    assert status == 200, body
    return Answered(request, line.names.out(orjson.dumps(body)))
