"""What becomes of a record on its way into a table: decoded, checked, cut into chunks that are inserted whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from typing import Any

from contracts.errors import WireError
from contracts.wire import Codecs
from sink.tables import Period, Table
from streamkit.broker import Record

_LAST_SECOND = 2**32 - 1  # DateTime's range ends 2106
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that can be stored: ``value`` None is a tombstone. ``period`` is the table partition of its rows."""

    record: Record
    value: Any
    period: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot be stored, and why."""

    record: Record
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring entries of one topic partition and one table partition: what one insert holds."""

    entries: tuple[Entry, ...]

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return self.entries[0].record.offset

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return self.entries[-1].record.offset


def read(codecs: Codecs, table: Table, topic: str, record: Record) -> Entry | Refusal:
    """Decode one record and find its table partition. Raises RegistryUnavailable: the record is not to blame."""
    if record.value is None:
        return _tombstone(table, record)
    try:
        value = codecs.decode(topic, record.value)
        return Entry(record, value, period_of(table, getattr(value, table.time)))
    except WireError as error:
        return Refusal(record, error.reason, error.detail)
    except OutOfRange as error:
        return Refusal(record, "time_out_of_range", f"{topic}: {error}")


def _tombstone(table: Table, record: Record) -> Entry | Refusal:
    if not table.keyed:
        return Refusal(record, "no_value", f"{table.topic} is not compacted: a record without value means nothing")
    try:
        return Entry(record, None, period_of(table, record.timestamp_ms * table.time_unit // 1_000))
    except OutOfRange as error:
        return Refusal(record, "time_out_of_range", f"{table.topic}: timestamp of a tombstone: {error}")


class OutOfRange(ValueError):
    """A time that ClickHouse's DateTime cannot hold."""


def period_of(table: Table, time: int) -> int:
    """Return the number of the table partition a row belongs to, by its time in the table's unit.

    Raises OutOfRange before 1970 and after 2106.
    """
    second = time // table.time_unit
    if not 0 <= second <= _LAST_SECOND:
        raise OutOfRange(f"{table.time} {time} is not between 1970 and 2106; is it in the right unit?")
    return _period(table.period, second // DAY)


@lru_cache(maxsize=4096)
def _period(period: Period, day: int) -> int:
    date = datetime.fromtimestamp(day * DAY, UTC)
    month = date.year * 100 + date.month
    return month if period == "month" else month * 100 + date.day


def cut(entries: Sequence[Entry | Refusal]) -> Iterator[Chunk | Refusal]:
    """Yield chunks and refusals in the order of their offsets; a chunk ends where the table partition changes,

    and before a refusal, so that everything in front of a refused record is stored when it is refused.
    """
    for period, group in groupby(entries, key=lambda entry: entry.period if isinstance(entry, Entry) else None):
        if period is None:
            yield from (entry for entry in group if isinstance(entry, Refusal))
        else:
            yield Chunk(tuple(entry for entry in group if isinstance(entry, Entry)))
