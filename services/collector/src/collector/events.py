"""What a venue session is told and what it answers: the whole vocabulary between protocol and I/O.

Times are microseconds since the epoch.
"""

from dataclasses import dataclass
from typing import Protocol

from contracts.records import RawKind


@dataclass(frozen=True, slots=True)
class Request:
    """A REST call; ``path`` follows the venue's base URL. The rest says what its answer is, for the record."""

    path: str
    params: tuple[tuple[str, str], ...]
    channel: str
    underlying: str
    instrument: str | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is open."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame came in."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A REST call succeeded."""

    request: Request
    body: bytes


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A REST call failed for good: its retries are used up."""

    request: Request
    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; comes about ten times a second while connected."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The socket is gone."""

    reason: str


Event = Connected | Frame | Answered | Unanswered | Tick | Disconnected


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make a REST call and report Answered or Unanswered."""

    request: Request


@dataclass(frozen=True, slots=True)
class Publish:
    """Append a record to the raw log."""

    kind: RawKind
    channel: str
    instrument: str | None
    underlying: str
    payload: bytes
    exchange_ts: int | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Hang up; the shell connects again."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Connecting again cannot help: the process must end and say ``problem``, which names the remedy."""

    problem: str


Action = Send | Fetch | Publish | Close | GiveUp


class Session(Protocol):
    """A venue's protocol on one connection slot, over any number of connections: no I/O, no clock."""

    url: str

    def handle(self, now: int, event: Event) -> list[Action]:
        """Take ``event`` at ``now`` (µs) and return what to do, in order."""
        ...


def connection_records(kind: RawKind, reason: str, underlyings: tuple[str, ...]) -> list[Action]:
    """Return a connection event for the partition of each underlying the connection serves."""
    return [Publish(kind, "", None, underlying, reason.encode()) for underlying in underlyings]
