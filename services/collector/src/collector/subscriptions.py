"""Bookkeeping of subscribe and unsubscribe calls: chunks, one call at a time, each channel's acknowledgement."""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

Change = Literal["subscribe", "unsubscribe"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make: at most a chunk of channels."""

    change: Change
    channels: tuple[str, ...]
    made_at: int


class Subscriptions:
    """What is wanted, what is asked for, what stands. Times are microseconds.

    ``chunk`` bounds the channels of a call, ``spacing_us`` the time between calls; the next call waits for the answer
    to the one before, so a refusal is known to be of that chunk. :attr:`some_stand` says that a subscription stands.
    """

    def __init__(self, *, chunk: int, spacing_us: int) -> None:
        self._chunk = chunk
        self._spacing_us = spacing_us
        self._queue: deque[tuple[Change, str]] = deque()
        self._wanted: dict[str, None] = {}
        self._not_before = 0
        self._size = chunk
        self.outstanding: Call | None = None
        self.some_stand = False

    def __contains__(self, channel: str) -> bool:
        """Return whether ``channel`` is to be subscribed, whatever its state."""
        return channel in self._wanted

    @property
    def characters(self) -> int:
        """Return the length of all wanted channels as a JSON array has them."""
        return sum(map(len, self._wanted)) + len('"",') * len(self._wanted)

    def want(self, channels: Iterable[str]) -> None:
        """Subscribe those of ``channels`` that are not wanted yet."""
        for channel in channels:
            if channel not in self._wanted:
                self._wanted[channel] = None
                self._queue.append(("subscribe", channel))

    def drop(self, channels: Iterable[str]) -> None:
        """Unsubscribe those of ``channels`` that are wanted."""
        for channel in channels:
            if channel in self._wanted:
                del self._wanted[channel]
                self._queue.append(("unsubscribe", channel))

    def renew(self, channels: Iterable[str]) -> None:
        """Unsubscribe and subscribe ``channels`` again."""
        listed = list(channels)
        self._queue.extend(("unsubscribe", channel) for channel in listed)
        self._queue.extend(("subscribe", channel) for channel in listed)

    def restart(self) -> None:
        """Ask for everything wanted again: the connection is new."""
        self._queue = deque(("subscribe", channel) for channel in self._wanted)
        self.outstanding = None
        self.some_stand = False
        self._not_before = 0
        self._size = self._chunk

    def next_call(self, now: int) -> Call | None:
        """Return the call to make now, if any; it is outstanding until :meth:`answer` or :meth:`postpone`."""
        if not self._queue or self.outstanding is not None or now < self._not_before:
            return None
        change = self._queue[0][0]
        channels: dict[str, None] = {}
        while self._queue and self._queue[0][0] == change and len(channels) < self._size:
            channels[self._queue.popleft()[1]] = None
        self.outstanding = Call(change, tuple(channels), now)
        self._not_before = now + self._spacing_us
        return self.outstanding

    def answer(self, accepted: Iterable[str]) -> tuple[str, ...]:
        """Take the answer to the outstanding call; returns the channels refused, which are no longer wanted."""
        call, self.outstanding = self.outstanding, None
        if call is None or call.change == "unsubscribe":
            return ()
        self._size = min(self._chunk, 2 * self._size)
        self.some_stand = True
        granted = set(accepted)
        refused = tuple(channel for channel in call.channels if channel not in granted)
        for channel in refused:
            self._wanted.pop(channel, None)
        return refused

    def narrow(self, *, again: Collection[str], refused: Collection[str]) -> None:
        """Take a refusal of the outstanding call: ``refused`` are wanted no longer, ``again`` is asked for anew.

        Without ``refused`` the next call is half as large, so that the channel the venue minds is found.
        """
        call, self.outstanding = self.outstanding, None
        for channel in refused:
            self._wanted.pop(channel, None)
        if call is not None:
            self._queue.extendleft((call.change, channel) for channel in reversed(call.channels) if channel in again)
        if not refused:
            self._size = max(1, len(again) // 2)

    def postpone(self, until: int) -> None:
        """Make the outstanding call again, not before ``until``."""
        if self.outstanding is not None:
            change = self.outstanding.change
            self._queue.extendleft((change, channel) for channel in reversed(self.outstanding.channels))
            self.outstanding = None
        self._not_before = until
