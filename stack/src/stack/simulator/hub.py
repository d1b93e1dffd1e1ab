"""Connections and what was sent on each: subscriptions, heartbeats, outgoing frames and the ledger. No sockets here.

A shell reads ``Connection.outbox`` and writes it to a socket; ``Connection.closing`` asks it to hang up.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from stack.simulator.deribit_channels import Frame
from stack.simulator.faults import Fault, FaultDesk

Json = dict[str, Any]
MAX_CONNECTIONS = 32
MAX_OUTBOX_BYTES = 128_000_000
MAX_CLOSED_KEPT = 1000
BEAT = b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}'
TEST_REQUEST = b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}'
# Market seconds between pings and until a missing pong costs the connection.
PINGS = {"usdm": (180, 600), "spot": (20, 60)}


class Closing(Enum):
    """How a connection ends."""

    ABORT = "cut without a close frame"
    CLOSE = "closed with a close frame"


@dataclass(slots=True)
class Sent:
    """What went out on one channel."""

    frames: int = 0
    size: int = 0
    last_id: str = ""


@dataclass(slots=True)
class Connection:
    """One client; ``outbox`` holds frames to write, None standing for a ping. Times are the market's, ms."""

    name: str
    venue: str
    opened_ms: int
    channels: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    outbox: deque[bytes | None] = field(default_factory=deque)
    outbox_bytes: int = 0
    sent: dict[str, Sent] = field(default_factory=dict)
    closing: Closing | None = None
    reason: str = ""
    closed_ms: int | None = None
    beat_every_ms: int = 0
    next_beat_ms: int = 0
    unanswered_since_ms: int | None = None

    def end(self, how: Closing, reason: str) -> None:
        """Ask the shell to hang up; the first reason stays."""
        if self.closing is None:
            self.closing, self.reason = how, reason

    def put(self, body: bytes, channel: str, last_id: str) -> None:
        """Queue a frame and count it; a client that does not read is dropped, as the venues do."""
        self.outbox.append(body)
        self.outbox_bytes += len(body)
        count = self.sent.setdefault(channel, Sent())
        count.frames += 1
        count.size += len(body)
        count.last_id = last_id or count.last_id
        if self.outbox_bytes > MAX_OUTBOX_BYTES:
            self.end(Closing.ABORT, "connection_too_slow")

    def beat_every(self, seconds: float, now_ms: int) -> None:
        """Start Deribit's heartbeats; 0 stops them."""
        self.beat_every_ms = round(1000 * seconds)
        self.next_beat_ms = now_ms + self.beat_every_ms
        self.unanswered_since_ms = None

    def answered(self) -> None:
        """Note the client's public/test or pong."""
        self.unanswered_since_ms = None

    def record(self) -> Json:
        """Return the ledger's entry."""
        return {
            "connection": self.name,
            "venue": self.venue,
            "opened_ms": self.opened_ms,
            "closed_ms": self.closed_ms,
            "reason": self.reason,
            "deaf": sorted(self.deaf),
            "channels": {
                name: {"frames": s.frames, "bytes": s.size, "last_id": s.last_id}
                for name, s in sorted(self.sent.items())
            },
        }


class Hub:
    """All connections, and the faults between them and the market."""

    def __init__(self) -> None:
        self.desk = FaultDesk()
        self.connections: dict[str, Connection] = {}
        self._subscribers: dict[str, dict[str, list[Connection]]] = {v: {} for v in ("deribit", "usdm", "spot")}
        self._closed: deque[Connection] = deque(maxlen=MAX_CLOSED_KEPT)
        self._opened = dict.fromkeys(self._subscribers, 0)

    def open(self, venue: str, now_ms: int) -> Connection | None:
        """Return a new connection named ``<venue>-<n>``, or None when the venue's limit is reached."""
        if sum(c.venue == venue for c in self.connections.values()) >= MAX_CONNECTIONS:
            return None
        connection = Connection(f"{venue}-{self._opened[venue]}", venue, now_ms)
        self._opened[venue] += 1
        if venue in PINGS:
            connection.beat_every(PINGS[venue][0], now_ms)
        self.connections[connection.name] = connection
        return connection

    def close(self, connection: Connection, now_ms: int) -> None:
        """Forget a connection; its ledger entry stays."""
        self.unsubscribe(connection, list(connection.channels))
        connection.closed_ms = now_ms
        connection.reason = connection.reason or "closed by the client"
        del self.connections[connection.name]
        self._closed.append(connection)

    def subscribe(self, connection: Connection, channels: Iterable[str], now_ms: int) -> list[str]:
        """Subscribe and return the channels that were new and will be served."""
        new = []
        for channel in channels:
            if channel in connection.channels or channel in connection.deaf:
                continue
            if self.desk.deafens(connection.venue, connection.name, channel, now_ms):
                connection.deaf.add(channel)
                continue
            connection.channels.add(channel)
            self._subscribers[connection.venue].setdefault(channel, []).append(connection)
            new.append(channel)
        return new

    def unsubscribe(self, connection: Connection, channels: Iterable[str]) -> list[str]:
        """Unsubscribe and return the channels that were subscribed."""
        gone = [c for c in channels if c in connection.channels or c in connection.deaf]
        for channel in gone:
            connection.deaf.discard(channel)
            if channel in connection.channels:
                connection.channels.discard(channel)
                served = self._subscribers[connection.venue][channel]
                served.remove(connection)
                if not served:
                    del self._subscribers[connection.venue][channel]
        return gone

    def wanted(self, venue: str) -> dict[str, list[Connection]]:
        """Return the channels anyone listens to, with their listeners; live, do not change it."""
        return self._subscribers[venue]

    def publish(self, venue: str, frames: Iterable[Frame], now_ms: int) -> None:
        """Send each frame to its channel's subscribers."""
        subscribers = self._subscribers[venue]
        for frame in frames:
            for connection in subscribers.get(frame.channel, ()):
                self.send(connection, frame, now_ms)

    def send(self, connection: Connection, frame: Frame, now_ms: int) -> None:
        """Send one frame, or what the active faults make of it."""
        for body in self.desk.pass_on(connection.venue, connection.name, frame, now_ms):
            connection.put(body, frame.channel or "rpc", frame.last_id)

    def beat(self, now_ms: int) -> None:
        """Do what time demands: end faults, release held frames, send heartbeats and pings, drop the silent."""
        self.desk.expire(now_ms)
        for held in self.desk.due(now_ms):
            if connection := self.connections.get(held.connection):
                connection.put(held.frame.body, held.frame.channel, held.frame.last_id)
        for connection in self.connections.values():
            if connection.beat_every_ms and now_ms >= connection.next_beat_ms:
                connection.next_beat_ms += connection.beat_every_ms
                self._beat_one(connection, now_ms)

    def _beat_one(self, connection: Connection, now_ms: int) -> None:
        since = connection.unanswered_since_ms
        patience_ms = 1000 * PINGS[connection.venue][1] if connection.venue in PINGS else connection.beat_every_ms
        if since is not None and now_ms - since >= patience_ms:
            connection.end(Closing.CLOSE, "heartbeat unanswered")
            return
        connection.unanswered_since_ms = now_ms if since is None else since
        if connection.venue in PINGS:
            if self.desk.pass_on(connection.venue, connection.name, Frame("", b"", ""), now_ms):
                connection.outbox.append(None)
            return
        for body in (BEAT, TEST_REQUEST):
            self.send(connection, Frame("", body, ""), now_ms)

    def drop(self, spec: Fault) -> list[str]:
        """Cut the connections a ``drop`` fault names and return their names."""
        met = [c for c in self.connections.values() if spec.meets(c.venue, c.name, "")]
        for connection in met:
            connection.end(Closing.ABORT, "dropped by a fault")
        return [c.name for c in met]

    def ledger(self) -> Json:
        """Return every connection with what was sent on it, and every fault with what it did."""
        everyone = [*self._closed, *self.connections.values()]
        return {
            "connections": [c.record() for c in everyone],
            "faults": [running.record() for running in self.desk.history],
        }
