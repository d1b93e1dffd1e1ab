"""The records of one topic partition that wait to be stored: how long, how many, and where reading stands."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from sink.tables import Table
from streamkit.broker import Record, TopicPartition


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When records are inserted: after so many, so many bytes, or an age by the table's haste."""

    rows: int
    bytes: int
    age_s: float

    def patience_s(self, table: Table) -> float:
        """Return how long a record of ``table`` waits for others."""
        return self.age_s * {"prompt": 0.1, "normal": 1.0, "bulk": 4.0}[table.haste]


@dataclass(slots=True)
class Lane:
    """One topic partition. ``done`` is the last offset stored or refused, ``next_offset`` the next to be delivered."""

    place: TopicPartition
    table: Table
    limits: Limits
    done: int
    next_offset: int
    busy: bool = False
    waiting: deque[Record] = field(default_factory=deque)
    bytes: int = 0  # waiting or being stored
    paused: bool = False
    _since: float = 0.0
    _ahead_bytes: int = 0  # waiting only

    def add(self, records: Sequence[Record], now: float) -> None:
        """Take delivered records; ``now`` is any monotonic time, seconds."""
        if not self.waiting:
            self._since = now
        self.waiting.extend(records)
        size = sum(map(_size, records))
        self.bytes += size
        self._ahead_bytes += size
        self.next_offset = records[-1].offset + 1

    def ripe(self, now: float) -> bool:
        """Return whether it is time to store what waits."""
        if self.busy or not self.waiting:
            return False
        full = len(self.waiting) >= self.limits.rows or self._ahead_bytes >= self.limits.bytes
        return full or now - self._since >= self.limits.patience_s(self.table)

    def take(self, now: float) -> list[Record]:
        """Return the next records to store, at least one; the lane is busy until :meth:`release`."""
        taken: list[Record] = []
        size = 0
        while self.waiting and len(taken) < self.limits.rows:
            size += _size(self.waiting[0])
            if taken and size > self.limits.bytes:
                break
            taken.append(self.waiting.popleft())
        self._ahead_bytes -= sum(map(_size, taken))
        self._since = now
        self.busy = True
        return taken

    def release(self, records: Sequence[Record]) -> None:
        """Note that ``records`` are stored or refused."""
        self.bytes -= sum(map(_size, records))
        self.busy = False

    def wants_pause(self) -> bool:
        """Return whether reading ahead should stop, with slack so that it does not flutter."""
        limit = 2 * self.limits.bytes
        return self.bytes > (limit // 2 if self.paused else limit)

    def unstored(self) -> int:
        """Return how many offsets were delivered and are not stored yet."""
        return self.next_offset - 1 - self.done if self.bytes or self.waiting else 0


RECORD_OVERHEAD_BYTES = 100  # of a record in memory, beside its value


def _size(record: Record) -> int:
    return len(record.value or b"") + RECORD_OVERHEAD_BYTES
