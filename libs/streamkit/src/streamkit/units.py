"""Aligners: several inputs that arrive in any interleaving become one order of units, the same each time.

An aligner is fed the records of one partition of each input as they come and hands out units in an order that follows
from the logs alone. What it cannot use yet it keeps; :meth:`Aligner.congested` names the topics of which that is too
much, so that the loop stops reading them. A topic that holds the next unit up is never congested.
"""

import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from contracts.records import Clock
from contracts.wire import WIRE_HEADER_BYTES
from streamkit.broker import Record

BUFFERED_RECORDS_HIGH = 50_000  # per topic; a book-heavy second of the raw topics stays below it
BUFFERED_BYTES_HIGH = 64 * 1024 * 1024  # per topic
RESUME_FRACTION = 0.5  # of either, so that pausing and resuming do not chase each other


class InvariantBroken(Exception):
    """The logs contradict what their writers promise: the service must stop, restarting will not help."""


class Aligned(NamedTuple):
    """One unit of undecoded records: ``head`` says which, ``ends`` the next offset of each topic that moved."""

    head: int | Clock | None  # second of raw_second, clock of clocked_second, None for a single record
    records: Mapping[str, Sequence[Record]]
    ends: Mapping[str, int]


class Aligner(Protocol):
    """Turns the records of one partition of all inputs into units."""

    def feed(self, topic: str, records: Sequence[Record]) -> None:
        """Take ``records``, which follow those fed before for ``topic``."""
        ...

    def next(self) -> Aligned | None:
        """Return the next unit, None while a record that decides it has not come."""
        ...

    def buffered(self) -> Mapping[str, int]:
        """Return how many records of each topic wait."""
        ...

    def congested(self) -> AbstractSet[str]:
        """Return the topics not to be read for now."""
        ...

    @property
    def skipped(self) -> int:
        """Records left out because the logs begin in the middle of their unit."""
        ...

    @property
    def floor_second(self) -> int | None:
        """Second before which everything is left out, for that reason; None if there is no such second."""
        ...


class RecordUnits:
    """Each record of the one topic is a unit."""

    skipped = 0
    floor_second = None

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._queue: deque[Record] = deque()
        self._full = False

    def feed(self, topic: str, records: Sequence[Record]) -> None:  # noqa: ARG002 - there is one topic
        """See :class:`Aligner`."""
        self._queue.extend(records)

    def next(self) -> Aligned | None:
        """See :class:`Aligner`."""
        if not self._queue:
            return None
        record = self._queue.popleft()
        return Aligned(None, {self._topic: (record,)}, {self._topic: record.offset + 1})

    def buffered(self) -> Mapping[str, int]:
        """See :class:`Aligner`."""
        return {self._topic: len(self._queue)}

    def congested(self) -> AbstractSet[str]:
        """See :class:`Aligner`."""
        waiting = len(self._queue)
        self._full = waiting >= BUFFERED_RECORDS_HIGH * (RESUME_FRACTION if self._full else 1)
        return {self._topic} if self._full else frozenset()


class _Backlog:
    """Counts what waits per topic, in records and bytes, and says which topics have too much of it."""

    def __init__(self, topics: Sequence[str], records_high: int, bytes_high: int) -> None:
        self.records = dict.fromkeys(topics, 0)
        self._bytes = dict.fromkeys(topics, 0)
        self._high = (records_high, bytes_high)
        self._full: set[str] = set()

    def add(self, topic: str, records: Sequence[Record], sign: int = 1) -> None:
        self.records[topic] += sign * len(records)
        self._bytes[topic] += sign * sum(len(record.value) for record in records if record.value is not None)

    def remove(self, topic: str, records: Sequence[Record]) -> None:
        self.add(topic, records, -1)

    def congested(self, blocking: AbstractSet[str]) -> AbstractSet[str]:
        self._full = {topic for topic in self.records if topic not in blocking and self._above(topic)}
        return self._full

    def _above(self, topic: str) -> bool:
        fraction = RESUME_FRACTION if topic in self._full else 1
        records_high, bytes_high = self._high
        return self.records[topic] >= records_high * fraction or self._bytes[topic] >= bytes_high * fraction


class RawSeconds:
    """One second of every raw topic is a unit, whole once every topic has shown a record of a later second.

    A record's second is that of its Kafka timestamp, but never before one already seen in its partition: what comes
    late joins the second the partition has reached. Seconds in which no topic has a record do not exist.
    """

    skipped = 0
    floor_second = None

    def __init__(
        self,
        topics: Sequence[str],
        *,
        records_high: int = BUFFERED_RECORDS_HIGH,
        bytes_high: int = BUFFERED_BYTES_HIGH,
    ) -> None:
        self._topics = sorted(topics)
        self._seconds: dict[str, deque[tuple[int, list[Record]]]] = {topic: deque() for topic in self._topics}
        self._watermarks: dict[str, int | None] = dict.fromkeys(self._topics)
        self._backlog = _Backlog(self._topics, records_high, bytes_high)

    def feed(self, topic: str, records: Sequence[Record]) -> None:
        """See :class:`Aligner`."""
        seconds, watermark = self._seconds[topic], self._watermarks[topic]
        for record in records:
            second = record.timestamp_ms // 1000
            if watermark is None or second > watermark:
                watermark = second
                seconds.append((second, [record]))
            elif seconds:
                seconds[-1][1].append(record)
            else:  # cannot be: a second is handed out only after a record of a later one came
                raise InvariantBroken(f"{topic}: record at offset {record.offset} belongs to a second already closed")
        self._watermarks[topic] = watermark
        self._backlog.add(topic, records)

    def next(self) -> Aligned | None:
        """See :class:`Aligner`."""
        second = self._candidate()
        if second is None or self._blocking(second):
            return None
        records: dict[str, Sequence[Record]] = {}
        ends: dict[str, int] = {}
        for topic, seconds in self._seconds.items():
            taken = seconds.popleft()[1] if seconds and seconds[0][0] == second else []
            records[topic] = taken
            if taken:
                ends[topic] = taken[-1].offset + 1
                self._backlog.remove(topic, taken)
        return Aligned(second, records, ends)

    def buffered(self) -> Mapping[str, int]:
        """See :class:`Aligner`."""
        return dict(self._backlog.records)

    def congested(self) -> AbstractSet[str]:
        """See :class:`Aligner`."""
        second = self._candidate()
        return self._backlog.congested(self._blocking(second) if second is not None else frozenset(self._topics))

    def _candidate(self) -> int | None:
        return min((seconds[0][0] for seconds in self._seconds.values() if seconds), default=None)

    def _blocking(self, second: int) -> AbstractSet[str]:
        return {topic for topic, mark in self._watermarks.items() if mark is None or mark <= second}


class ClockedSeconds:
    """One clock record is a unit: it takes the records it counts from the head of each topic, first in, first out.

    Several clocks are zipped: they carry the same units in the same order. Counts and digests are checked, and what
    does not fit raises InvariantBroken.

    ``truncated`` names the topics of a first start whose oldest records are already deleted. Then seconds are left out
    up to the first one that every log holds whole, which is the one after the newest of the seconds the truncated logs
    begin in: a log is ordered by second, so a record of an earlier second proves that the next one lacks nothing.
    That second, ``floor_second``, belongs into the checkpoint, for older records may still come after a restart.
    """

    def __init__(
        self,
        topics: Sequence[str],
        clocks: Sequence[str],
        decode_clock: Callable[[str, bytes], Clock],
        *,
        truncated: AbstractSet[str] = frozenset(),
        floor_second: int | None = None,
        records_high: int = BUFFERED_RECORDS_HIGH,
        bytes_high: int = BUFFERED_BYTES_HIGH,
    ) -> None:
        self._topics = sorted(topics)
        self._clocks = tuple(clocks)
        self._decode_clock = decode_clock
        self._queues: dict[str, deque[Record]] = {topic: deque() for topic in (*self._topics, *self._clocks)}
        self._heads: dict[str, Clock] = {}
        self._counts: dict[str, tuple[int, int]] | None = None  # of the next unit: records and digest by topic
        self._first_seconds: dict[str, int | None] = dict.fromkeys(sorted(truncated))
        self.floor_second = floor_second
        self._backlog = _Backlog(list(self._queues), records_high, bytes_high)
        self.skipped = 0

    def feed(self, topic: str, records: Sequence[Record]) -> None:
        """See :class:`Aligner`."""
        if records and topic in self._first_seconds and self._first_seconds[topic] is None:
            self._first_seconds[topic] = records[0].timestamp_ms // 1000
        self._queues[topic].extend(records)
        self._backlog.add(topic, records)

    def next(self) -> Aligned | None:
        """See :class:`Aligner`."""
        if not self._synchronised() or not self._know_counts():
            return None
        counts = self._counts
        assert counts is not None  # noqa: S101 - _know_counts has just said so; for the type checker
        if any(len(self._queues[topic]) < counts[topic][0] for topic in self._topics):
            return None
        clock = self._heads[self._clocks[0]]
        records = {topic: self._take(topic, counts[topic][0]) for topic in self._topics}
        for topic in self._topics:
            self._check_digest(clock, topic, records[topic], counts[topic][1])
        ends = {topic: taken[-1].offset + 1 for topic, taken in records.items() if taken}
        ends.update({topic: self._take(topic, 1)[0].offset + 1 for topic in self._clocks})
        self._heads, self._counts = {}, None
        return Aligned(clock, records, ends)

    def buffered(self) -> Mapping[str, int]:
        """See :class:`Aligner`."""
        return dict(self._backlog.records)

    def congested(self) -> AbstractSet[str]:
        """See :class:`Aligner`."""
        return self._backlog.congested(self._blocking())

    def _blocking(self) -> AbstractSet[str]:
        if self._counts is not None:
            return {topic for topic, (records, _) in self._counts.items() if len(self._queues[topic]) < records}
        unseen = {topic for topic, first in self._first_seconds.items() if first is None}
        return unseen | {topic for topic in self._clocks if not self._queues[topic]}

    def _take(self, topic: str, count: int) -> list[Record]:
        queue = self._queues[topic]
        taken = [queue.popleft() for _ in range(count)]
        self._backlog.remove(topic, taken)
        return taken

    def _synchronised(self) -> bool:
        """Drop what lies before the first whole second; False while that second is not known."""
        if self.floor_second is None:
            if not self._first_seconds:
                return True
            firsts = [first for first in self._first_seconds.values() if first is not None]
            if len(firsts) < len(self._first_seconds):
                return False
            self.floor_second = max(firsts) + 1
        for topic, queue in self._queues.items():
            while queue and queue[0].timestamp_ms < self.floor_second * 1000:
                self.skipped += 1
                self._take(topic, 1)
        return True

    def _know_counts(self) -> bool:
        """Read what the next unit takes of each topic; False while a clock record is missing."""
        if self._counts is not None:
            return True
        for topic in self._clocks:
            queue = self._queues[topic]
            if not queue:
                return False
            if topic not in self._heads:
                self._heads[topic] = self._decode_clock(topic, queue[0].value or b"")
        self._check_same_unit()
        counted = {
            entry.topic: (entry.records, entry.digest) for clock in self._heads.values() for entry in clock.topics
        }
        missing = [topic for topic in self._topics if topic not in counted]
        if missing:
            raise InvariantBroken(f"{', '.join(missing)} not counted by {', '.join(self._clocks)}: wrong clock topic?")
        self._counts = {topic: counted[topic] for topic in self._topics}
        return True

    def _check_same_unit(self) -> None:
        units = {topic: (clock.venue, clock.underlying, clock.second) for topic, clock in self._heads.items()}
        if len(set(units.values())) > 1:
            told = "; ".join(
                f"{topic} at offset {self._queues[topic][0].offset} says {unit}" for topic, unit in units.items()
            )
            raise InvariantBroken(f"clocks disagree on the next (venue, underlying, second): {told}")

    def _check_digest(self, clock: Clock, topic: str, records: Sequence[Record], expected: int) -> None:
        got = value_digest([record.value for record in records])
        if got != expected:
            first = records[0].offset if records else "none"
            raise InvariantBroken(
                f"{topic}, second {clock.second} of {clock.venue} {clock.underlying}: digest {expected} expected by the"
                f" clock, got {got} of its {len(records)} records from offset {first}"
            )


def value_digest(values: Sequence[bytes | None], start: int = 0) -> int:
    """Return the CRC-32 over ``values`` without their wire headers, in order; a tombstone adds nothing."""
    digest = start
    for value in values:
        if value is not None:
            digest = zlib.crc32(memoryview(value)[WIRE_HEADER_BYTES:], digest)
    return digest
