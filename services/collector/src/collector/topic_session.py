"""The conversation with a venue that is subscribed topic by topic, as a session without I/O.

Shared by all venues that have a :class:`collector.dialect.Dialect`: listings by REST decide the topics, calls are
chunked and acknowledged, pings keep the connection, a broken book is subscribed anew alone, silence is noticed. Every
frame is published untouched; one that speaks of several of our underlyings is published once for each, as each has a
partition of its own.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from collector.dialect import Chatter, Data, Dialect, Farewell, Granted, Listing, Poll, Refused, Speech
from collector.events import (
    Action,
    Answered,
    Close,
    Connected,
    Disconnected,
    Event,
    Fetch,
    Frame,
    Publish,
    Request,
    Send,
    Tick,
    Unanswered,
    connection_records,
)
from collector.frames import json_object
from collector.liveness import Liveness
from collector.subscriptions import Subscriptions

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
CALL_TIMEOUT_US = 10 * SECOND_US
LISTING_SOON_US = SECOND_US
LISTING_RETRY_US = 5 * SECOND_US
PROTOCOL_CHANNEL = "rpc"
SILENT = "silent: subscribed, sends nothing"
NO_ROOM = "no room on this connection: spread the venue's instruments over more"


class TopicSession:
    """One connection slot for ``underlyings`` in the words of ``dialect``; see :class:`collector.events.Session`."""

    def __init__(
        self, dialect: Dialect, underlyings: tuple[str, ...], *, stale_after_us: int, silent_after_us: int
    ) -> None:
        self.url = dialect.url
        self._dialect = dialect
        self._underlyings = underlyings
        self._stale_after_us = stale_after_us
        self._silent_after_us = silent_after_us
        manners = dialect.manners
        self._subscriptions = Subscriptions(chunk=manners.channels_per_call, spacing_us=manners.call_spacing_us)
        self._ping_every_us = min(manners.ping_every_us, stale_after_us // 2)
        self._liveness = Liveness(silent_after_us)
        self._first_words = Liveness(silent_after_us)
        self._listings = _Listings()
        self._polls: dict[Request, Poll] = {poll.request: poll for poll in dialect.polls}
        self._due: dict[Request, int] = {}
        self._calls: deque[int] = deque()
        self._pending: set[str] = set()
        self._last_id = 0
        self._last_frame = self._last_data = self._last_ping = self._next_check = 0

    def handle(self, now: int, event: Event) -> list[Action]:
        """See :class:`collector.events.Session`."""
        match event:
            case Frame(body):
                return list(self._frame(now, body))
            case Tick():
                return list(self._tick(now))
            case Connected():
                return self._connected(now)
            case Disconnected(reason):
                return connection_records("disconnect", reason, self._underlyings)
            case Answered(request, body):
                return list(self._answered(now, request, body))
            case Unanswered(request, _):
                self._poll_again(now, self._listings.first_page(request))
                return []

    # Connection

    def _connected(self, now: int) -> list[Action]:
        self._last_frame = self._last_data = self._last_ping = now
        self._next_check = now + SECOND_US
        self._dialect.books.clear()
        self._liveness.clear()
        self._first_words.clear()
        self._listings.clear()
        self._calls.clear()
        self._pending.clear()
        self._subscriptions.want(self._dialect.always)
        self._subscriptions.restart()
        self._due = dict.fromkeys(self._polls, now)
        return [*connection_records("connect", "connected", self._underlyings), *self._work(now)]

    def _tick(self, now: int) -> Iterator[Action]:
        if reason := self._fatal(now):
            yield Close(reason)
            return
        since = self._last_ping
        if self._dialect.manners.ping_when_quiet:
            since = max(since, self._last_frame)
        if now - since >= self._ping_every_us:
            self._last_ping = now
            yield Send(self._dialect.manners.ping)
        yield from self._work(now)
        if now >= self._next_check:
            self._next_check = now + SECOND_US
            yield from self._silent(now)

    def _fatal(self, now: int) -> str:
        """Return why the connection must be given up; empty if it is well."""
        if now - self._last_frame >= self._stale_after_us:
            return f"stale: no frame for {self._stale_after_us / SECOND_US:g} s"
        # Pongs alone keep a connection looking alive; where nothing must always speak, patience is longer.
        if now - self._liveness.latest(now) >= self._stale_after_us:
            return f"stale: no market data for {self._stale_after_us / SECOND_US:g} s"
        if self._subscriptions.some_stand and now - self._last_data >= self._silent_after_us:
            return f"stale: no market data for {self._silent_after_us / SECOND_US:g} s"
        call = self._subscriptions.outstanding
        if call is not None and now - call.made_at >= CALL_TIMEOUT_US:
            return f"{call.change} not answered for {CALL_TIMEOUT_US / SECOND_US:g} s"
        return ""

    def _work(self, now: int) -> Iterator[Action]:
        if self._may_call(now) and (call := self._subscriptions.next_call(now)):
            self._last_id += 1
            self._calls.append(now)
            self._pending = set(call.channels)
            for channel in call.channels:
                self._dialect.books.forget(channel)
                if call.change == "subscribe":
                    self._expect(now, channel)
            yield Send(self._dialect.call(self._last_id, call.change, call.channels))
        for request, due in self._due.items():
            if now >= due:
                self._due[request] = now + self._polls[request].every_us
                yield Fetch(request)

    def _may_call(self, now: int) -> bool:
        allowed = self._dialect.manners.calls_per_hour
        while self._calls and now - self._calls[0] >= HOUR_US:
            self._calls.popleft()
        return allowed is None or len(self._calls) < allowed

    def _silent(self, now: int) -> Iterator[Action]:
        silent = [*self._liveness.silent(now), *self._first_words.silent(now)]
        for channel in silent:
            yield self._gap(channel, SILENT)
        self._subscriptions.renew(silent)

    # Frames

    def _frame(self, now: int, body: bytes) -> Iterator[Action]:
        self._last_frame = now
        frame = json_object(body)
        reading = self._dialect.read(frame)
        if isinstance(reading, Data):
            self._last_data = now
            self._liveness.heard(reading.channel, now)
            self._first_words.forget(reading.channel)
            if self._dialect.books.breaks(reading.channel, frame):
                yield self._gap(reading.channel, "update ids do not continue")
                self._subscriptions.renew([reading.channel])
            for underlying in self._partitions_of(reading.underlyings):
                yield Publish("message", reading.channel, reading.instrument, underlying, body, reading.exchange_ts)
            if reading.relist:
                self._relist(now)
            return
        protocol = reading is not None or body in {b"pong", b"ping"}
        yield Publish("message", PROTOCOL_CHANNEL if protocol else "", None, self._underlyings[0], body)
        match reading:
            case Granted(channels, number):
                self._granted(channels, number)
            case Refused():
                yield from self._refused(now, reading)
            case Farewell(reason):
                yield Close(f"the venue takes its leave: {reason}")
            case Chatter() | None:
                pass

    def _expect(self, now: int, channel: str) -> None:
        """Expect ``channel`` to speak from its call on, not from the grant: some venues send data before it."""
        match self._dialect.speech(channel):
            case Speech.ALWAYS:
                self._liveness.expect(channel, now)
            case Speech.AT_ONCE:
                self._first_words.expect(channel, now)

    def _forget(self, channel: str) -> None:
        self._liveness.forget(channel)
        self._first_words.forget(channel)

    def _granted(self, channels: tuple[str, ...] | None, number: int | None) -> None:
        call = self._subscriptions.outstanding
        if call is None or number not in {None, self._last_id}:
            return
        self._pending -= set(call.channels if channels is None else channels)
        if not self._pending:
            self._subscriptions.answer(call.channels)

    def _refused(self, now: int, refusal: Refused) -> Iterator[Action]:
        call = self._subscriptions.outstanding
        if refusal.number not in {None, self._last_id}:
            return
        if call is not None and refusal.of is not None and set(refusal.of) != set(call.channels):
            return
        if call is None:
            yield Close(f"refused: {refusal.reason}"[:200])
        elif refusal.again_after_us is not None:
            self._subscriptions.postpone(now + refusal.again_after_us)
        elif call.change == "unsubscribe":
            self._subscriptions.answer(call.channels)
        else:
            self._pending -= set(refusal.granted)
            guilty = self._pending.intersection(refusal.channels)
            if len(self._pending) == 1:
                guilty = set(self._pending)
            for channel in sorted(guilty):
                self._forget(channel)
                yield self._gap(channel, f"subscription not granted: {refusal.reason}"[:200])
            # Where the venue does not say which channel it minds, halving the call finds it.
            self._subscriptions.narrow(again=self._pending - guilty, refused=guilty)
            self._pending.clear()

    # Listings

    def _answered(self, now: int, request: Request, body: bytes) -> Iterator[Action]:
        yield Publish("snapshot", request.channel, request.instrument, request.underlying, body)
        first = self._listings.first_page(request)
        if first not in self._polls or not self._polls[first].lists:
            return
        page = self._dialect.listed(request, body)
        if page is None:
            self._poll_again(now, first)
            return
        if page.next_page is None:
            yield from self._follow(first, self._listings.complete(first, page))
        else:
            self._listings.turn(first, page)
            yield Fetch(page.next_page)
        yield from self._work(now)

    def _follow(self, first: Request, listed: frozenset[str]) -> Iterator[Action]:
        gone = sorted(self._listings.replace(first, listed))
        for channel in gone:
            self._forget(channel)
        self._subscriptions.drop(gone)
        for channel in sorted(listed):
            if channel in self._subscriptions or self._has_room(channel):
                self._subscriptions.want([channel])
            else:
                yield self._gap(channel, NO_ROOM)

    def _has_room(self, channel: str) -> bool:
        bound = self._dialect.manners.characters
        return bound is None or self._subscriptions.characters + len(channel) + len('"",') <= bound

    def _relist(self, now: int) -> None:
        for request, poll in self._polls.items():
            if poll.lists:
                self._due[request] = min(self._due[request], now + LISTING_SOON_US)

    def _poll_again(self, now: int, request: Request) -> None:
        if request in self._polls and self._polls[request].lists:
            self._listings.begin(request)
            self._due[request] = now + LISTING_RETRY_US

    # Records

    def _partitions_of(self, underlyings: Iterable[str]) -> tuple[str, ...]:
        ours = tuple(dict.fromkeys(underlying for underlying in underlyings if underlying in self._underlyings))
        return ours or self._underlyings[:1]

    def _gap(self, channel: str, reason: str) -> Publish:
        instrument, underlying = self._dialect.about(channel)
        [partition] = self._partitions_of([underlying or ""])
        return Publish("gap", channel, instrument, partition, reason.encode())


class _Listings:
    """Which channels each listing led to, and the pages of those still being read."""

    def __init__(self) -> None:
        self._listed: dict[Request, frozenset[str]] = {}
        self._pages: dict[Request, list[str]] = {}
        self._first: dict[Request, Request] = {}

    def clear(self) -> None:
        """Forget the pages under way: their answers went with the connection."""
        self._pages.clear()
        self._first.clear()

    def first_page(self, request: Request) -> Request:
        """Return the request that began the listing ``request`` is a page of."""
        return self._first.get(request, request)

    def begin(self, first: Request) -> None:
        """Forget the pages read so far."""
        self._pages.pop(first, None)

    def turn(self, first: Request, page: Listing) -> None:
        """Keep a page that is followed by another."""
        self._pages.setdefault(first, []).extend(page.channels)
        if page.next_page is not None:
            self._first[page.next_page] = first

    def complete(self, first: Request, last: Listing) -> frozenset[str]:
        """Return the channels of all pages."""
        return frozenset((*self._pages.pop(first, ()), *last.channels))

    def replace(self, first: Request, listed: frozenset[str]) -> frozenset[str]:
        """Take the new listing; returns the channels that no listing has any more."""
        gone = self._listed.get(first, frozenset()) - listed
        self._listed[first] = listed
        return gone.difference(*self._listed.values())
