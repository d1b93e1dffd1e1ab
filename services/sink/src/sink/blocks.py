"""A chunk's entries as one Native block of their table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import numpy as np

from sink import native
from sink.columns import Column
from sink.entries import Entry
from sink.native import Unencodable
from sink.tables import Table

Part = tuple[str, str, bytes]


class Blocks:
    """Builds blocks for one partition of one topic of one run."""

    def __init__(self, table: Table, *, topic: str, partition: int, run_id: str) -> None:
        self._table = table
        self._constants = {"_topic": topic, "_partition": partition, "run_id": run_id}
        self._fields = tuple(dict.fromkeys(c.field for c in table.columns if not _of_sink(c)))
        self._get = attrgetter(*self._fields)

    def build(self, entries: Sequence[Entry], **extra: Sequence[Any]) -> tuple[bytes, int]:
        """Return the block of ``entries`` and its rows; ``extra`` fills columns that no record has.

        Raises Unencodable naming column and reason if a record does not fit its table.
        """
        if self._table.exploded:
            return self._exploded(entries)
        parts = list(self._plain(entries, extra))
        return native.block(parts, len(entries)), len(entries)

    def _plain(self, entries: Sequence[Entry], extra: Mapping[str, Sequence[Any]]) -> Iterator[Part]:
        values = [self._blank(e) if e.value is None else e.value for e in entries]
        fields = dict(zip(self._fields, zip(*map(self._get, values), strict=True), strict=True))
        flat = {name: list(chain.from_iterable(fields[name])) for name in self._nested()}
        for column in self._table.columns:
            if column.role == "nested":
                data = _ends(fields[column.field]) + _inner(column, flat[column.field])
            elif column.name in extra:
                data = _encoded(column, extra[column.name])
            elif column.field in fields:
                data = _encoded(column, fields[column.field])
            else:
                data = self._origin(column, entries)
            yield column.name, column.wire, data

    def _nested(self) -> set[str]:
        return {column.field for column in self._table.columns if column.role == "nested"}

    def _blank(self, entry: Entry) -> SimpleNamespace:
        """Return what stands for the record of a tombstone: its time, and nothing."""
        arrays = {c.field for c in self._table.columns if c.wire.startswith("Array")}
        fields: dict[str, Any] = {name: () if name in arrays else None for name in self._fields}
        fields[self._table.time] = entry.record.timestamp_ms * self._table.time_unit // 1_000
        return SimpleNamespace(**fields)

    def _origin(self, column: Column, entries: Sequence[Entry]) -> bytes:
        if column.name in self._constants:
            return native.repeated(column.wire, self._constants[column.name], len(entries))
        return _encoded(column, [_ORIGIN[column.name](entry) for entry in entries])

    def _exploded(self, entries: Sequence[Entry]) -> tuple[bytes, int]:
        """Each record gives one row per instrument; a record without instruments one row, so that its offset shows."""
        sizes = [max(1, len(entry.value.instruments)) for entry in entries]
        parts = [(column.name, column.wire, self._spread(column, entries, sizes)) for column in self._table.columns]
        return native.block(parts, sum(sizes)), sum(sizes)

    def _spread(self, column: Column, entries: Sequence[Entry], sizes: Sequence[int]) -> bytes:
        if column.name in self._constants:
            return native.repeated(column.wire, self._constants[column.name], sum(sizes))
        if column.name == "_row":
            return np.concatenate([np.arange(size, dtype="<u4") for size in sizes]).tobytes()
        if column.role == "per_row":
            return native.strings(list(chain.from_iterable(e.value.instruments or ("",) for e in entries)))
        if column.role == "packed":
            return _packed(column, entries)
        values = [_ORIGIN[column.name](e) if _of_sink(column) else getattr(e.value, column.field) for e in entries]
        return _encoded(column, list(chain.from_iterable([v] * n for v, n in zip(values, sizes, strict=True))))


_ORIGIN: Mapping[str, Callable[[Entry], Any]] = {
    "_offset": lambda entry: entry.record.offset,
    "_timestamp_ms": lambda entry: entry.record.timestamp_ms,
    "_key": lambda entry: entry.record.key or b"",
    "_tombstone": lambda entry: entry.value is None,
}
_OF_SINK = {*_ORIGIN, "_topic", "_partition", "run_id", "_row", "after_offset"}


def _of_sink(column: Column) -> bool:
    return column.name in _OF_SINK


def _encoded(column: Column, values: Sequence[Any]) -> bytes:
    try:
        return native.encoder(column.wire)(values)
    except Unencodable as error:
        raise Unencodable(f"{column.name}: {error}") from error


def _ends(rows: Sequence[Sequence[Any]]) -> bytes:
    return np.cumsum([len(row) for row in rows], dtype="<u8").tobytes()


def _inner(column: Column, records: Sequence[Any]) -> bytes:
    """Encode the elements of a nested column, the array's ends left out."""
    element = column.wire.removeprefix("Array(").removesuffix(")")
    try:
        return native.encoder(element)([getattr(record, column.inner) for record in records])
    except Unencodable as error:
        raise Unencodable(f"{column.name}: {error}") from error


def _packed(column: Column, entries: Sequence[Entry]) -> bytes:
    """Join the packed bytes of all records; a record without instruments gives one null."""
    width = np.dtype(column.dtype).itemsize
    data, nulls = [], []
    for entry in entries:
        packed, rows = getattr(entry.value, column.field), len(entry.value.instruments)
        if len(packed) != rows * width:
            raise Unencodable(f"{column.field}: {len(packed)} bytes for {rows} instruments of {width} bytes each")
        data.append(packed or bytes(width))
        nulls.append(bytes(rows) or b"\x01")
    return native.nullable(np.frombuffer(b"".join(data), column.dtype), np.frombuffer(b"".join(nulls), "?"))
