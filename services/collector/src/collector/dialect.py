"""What differs between venues that speak in topics: their words for subscribing, listing, sequence and life.

A :class:`Dialect` is a venue's file; :class:`collector.topic_session.TopicSession` is the conversation they share.
Times are microseconds.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from collector.events import Request
from collector.subscriptions import Change


@dataclass(frozen=True, slots=True)
class Data:
    """A frame of market data. ``underlyings`` are the base assets it is about; ``relist`` says that listings change."""

    channel: str
    instrument: str | None
    underlyings: tuple[str, ...]
    exchange_ts: int | None
    relist: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """The venue takes the outstanding call: all of it, or the ``channels`` named."""

    channels: tuple[str, ...] | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue refuses something of the outstanding call: the ``channels`` named, or it does not say which.

    ``granted`` are those of the call that it takes nevertheless. With ``again_after_us`` the call is welcome later.
    Which call is meant, a venue tells by its ``number`` or by the channels it was ``of``, or not at all.
    """

    reason: str
    channels: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    number: int | None = None
    of: tuple[str, ...] | None = None
    again_after_us: int | None = None


@dataclass(frozen=True, slots=True)
class Farewell:
    """The venue announces that it will close the connection."""

    reason: str


@dataclass(frozen=True, slots=True)
class Chatter:
    """A frame of the protocol that asks for nothing: a pong, a welcome."""


Reading = Data | Granted | Refused | Farewell | Chatter


class Speech(Enum):
    """How much a subscribed channel says when all is well."""

    ALWAYS = "many times a minute"
    AT_ONCE = "once right after subscribing, then as it likes"
    SELDOM = "as it likes"


@dataclass(frozen=True, slots=True)
class Listing:
    """The channels that follow from a page of listings."""

    channels: tuple[str, ...]
    next_page: Request | None = None


@dataclass(frozen=True, slots=True)
class Poll:
    """A REST call to make at each connect and every ``every_us``; a listing decides what is subscribed."""

    request: Request
    every_us: int
    lists: bool = False


@dataclass(frozen=True, slots=True)
class Manners:
    """What the venue asks of a connection.

    ``channels_per_call`` and ``call_spacing_us`` bound subscribe calls, ``calls_per_hour`` their number,
    ``characters`` the length of all channels of a connection, ``connects_per_hour`` how often it may be opened (None:
    the venue sets no bound). A ``ping`` is sent every ``ping_every_us``, with ``ping_when_quiet`` only after so long
    without a frame.
    """

    channels_per_call: int
    call_spacing_us: int
    ping: str
    ping_every_us: int
    ping_when_quiet: bool
    calls_per_hour: int | None = None
    characters: int | None = None
    connects_per_hour: int | None = None


class BookCheck(Protocol):
    """Follows every book of a connection by the venue's own rule."""

    def breaks(self, channel: str, frame: dict[str, Any]) -> bool:
        """Follow the book of ``channel`` by one frame; True once when it breaks, then not until a snapshot mends it."""
        ...

    def forget(self, channel: str) -> None:
        """Wait for a snapshot of ``channel``: it is subscribed anew."""
        ...

    def clear(self) -> None:
        """Wait for a snapshot of every book: the connection is new."""
        ...


class Dialect(Protocol):
    """A venue's words on one connection; pure but for what its :attr:`books` follow."""

    url: str
    manners: Manners
    always: tuple[str, ...]
    polls: tuple[Poll, ...]
    books: BookCheck

    def call(self, number: int, change: Change, channels: tuple[str, ...]) -> str:
        """Return the text frame that subscribes or unsubscribes ``channels``."""
        ...

    def read(self, frame: dict[str, Any]) -> Reading | None:
        """Return what a JSON frame says, None if this version does not know it."""
        ...

    def listed(self, request: Request, body: bytes) -> Listing | None:
        """Return the channels that an answer to a listing poll leads to, None if it makes no sense."""
        ...

    def about(self, channel: str) -> tuple[str | None, str | None]:
        """Return the instrument and the base asset that ``channel`` names."""
        ...

    def speech(self, channel: str) -> Speech:
        """Return how much ``channel`` says."""
        ...


class SequenceCheck:
    """The chain rule for books whose updates carry an id and tell the one before; which fields, a venue says."""

    def __init__(self) -> None:
        self._last: dict[str, int | None] = {}

    def follow(self, channel: str, update_id: int, previous: int | None) -> bool:
        """Follow by one update or, with ``previous`` None, a snapshot; True once when ``previous`` is not the last."""
        if previous is None:
            self._last[channel] = update_id
            return False
        last = self._last.get(channel)
        self._last[channel] = update_id if previous == last else None
        return last is not None and previous != last

    def forget(self, channel: str) -> None:
        """See :class:`BookCheck`."""
        self._last.pop(channel, None)

    def clear(self) -> None:
        """See :class:`BookCheck`."""
        self._last.clear()
