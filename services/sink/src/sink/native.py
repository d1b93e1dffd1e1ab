"""ClickHouse's Native format, as far as our columns need it: one block, built column by column.

Layout (clickhouse.com/docs/interfaces/formats/Native, client revision 0): varint number of columns, varint number of
rows, then per column name, type and data. A string is its length as a varint and its bytes; Nullable is one byte per
row (1: null) and then all values; Array is the end of each row among the elements as UInt64 and then all elements.
LowCardinality columns are sent as String: the server casts.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = Sequence[Any]
Encoder = Callable[[Values], bytes]

DTYPES = {
    "UInt8": "u1",
    "UInt16": "<u2",
    "UInt32": "<u4",
    "UInt64": "<u8",
    "Int32": "<i4",
    "Int64": "<i8",
    "Float64": "<f8",
    "Bool": "u1",
    "DateTime": "<u4",
    "DateTime64": "<i8",
}
_OUTER = re.compile(r"(Nullable|Array)\((.*)\)")
_SHORT_STRING = 128
_REPEATED = 64  # strings up to this length are likely to come again: names, enums


class Unencodable(ValueError):
    """A value does not fit its column; the message names the type and what is wrong."""


def varint(number: int) -> bytes:
    """Return an unsigned LEB128 number."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_LENGTHS = tuple(varint(length) for length in range(_SHORT_STRING))


class _Strings(dict[Any, bytes]):
    """Strings with their lengths in front, remembered while they are short; bounded."""

    LIMIT = 100_000

    def __missing__(self, value: str | bytes) -> bytes:
        raw = value.encode() if isinstance(value, str) else value
        encoded = (_LENGTHS[len(raw)] if len(raw) < _SHORT_STRING else varint(len(raw))) + raw
        if len(raw) <= _REPEATED:
            if len(self) >= self.LIMIT:
                self.clear()
            self[value] = encoded
        return encoded


_STRINGS = _Strings()


def block(columns: Iterable[tuple[str, str, bytes]], rows: int) -> bytes:
    """Return one Native block of ``columns``: (name, type, data) with data of ``rows`` rows each."""
    parts = [part for name, kind, data in columns for part in (_STRINGS[name], _STRINGS[kind], data)]
    return b"".join([varint(len(parts) // 3), varint(rows), *parts])


@lru_cache(maxsize=256)
def encoder(kind: str) -> Encoder:
    """Return the encoder of a column type; raises Unencodable for a type outside the subset.

    Encoders take one Python value per row: None where Nullable, NaN counts as null; sequences for Array; ints for
    times, in the column's own unit. They raise Unencodable for a value outside the type.
    """
    outer = _OUTER.fullmatch(kind)
    if outer is not None:
        inner = outer.group(2)
        return _array(encoder(inner)) if outer.group(1) == "Array" else _nullable(inner)
    if kind == "String":
        return strings
    dtype = DTYPES.get(kind.partition("(")[0])
    if dtype is None:
        raise Unencodable(f"type {kind!r} cannot be written; use String, {', '.join(DTYPES)}, Nullable or Array")
    return _numbers(kind, dtype)


def strings(values: Values) -> bytes:
    """Encode a String column of str or bytes."""
    return b"".join(map(_STRINGS.__getitem__, values))


def repeated(kind: str, value: Any, rows: int) -> bytes:
    """Encode ``rows`` rows that all hold ``value``."""
    outer = _OUTER.fullmatch(kind)
    if outer is None:
        return encoder(kind)([value]) * rows
    if outer.group(1) == "Nullable":
        one = encoder(kind)([value])
        return one[:1] * rows + one[1:] * rows
    ends = np.arange(1, rows + 1, dtype="<u8") * np.uint64(len(value))
    return ends.tobytes() + encoder(outer.group(2))(list(value) * rows)


def nullable(numbers: NDArray[Any], null: NDArray[np.bool_] | None = None) -> bytes:
    """Encode Nullable of an array, null where ``null`` says so or there is NaN; a null's value on the wire is 0."""
    missing: NDArray[np.bool_] = np.isnan(numbers) if numbers.dtype.kind == "f" else np.zeros(len(numbers), np.bool_)
    if null is not None:
        missing = missing | null
    return missing.tobytes() + (np.where(missing, 0, numbers) if missing.any() else numbers).tobytes()


def _numbers(kind: str, dtype: str) -> Encoder:
    def encode(values: Values) -> bytes:
        try:
            return np.array(values, dtype=dtype).tobytes()
        except (OverflowError, TypeError, ValueError) as error:
            raise Unencodable(f"{kind}: {error}") from error

    return encode


def _nullable(kind: str) -> Encoder:
    dtype = DTYPES.get(kind.partition("(")[0], "")
    if dtype == "<f8":
        return _nullable_floats
    inner, blank = encoder(kind), "" if kind == "String" else 0

    def encode(values: Values) -> bytes:
        if None not in values:
            return bytes(len(values)) + inner(values)
        return bytes([value is None for value in values]) + inner([blank if v is None else v for v in values])

    return encode


def _nullable_floats(values: Values) -> bytes:
    try:
        return nullable(np.array(values, dtype="<f8"))  # numpy makes NaN of None
    except (TypeError, ValueError) as error:
        raise Unencodable(f"Float64: {error}") from error


def _array(inner: Encoder) -> Encoder:
    def encode(values: Values) -> bytes:
        ends = np.array(list(accumulate(map(len, values))), dtype="<u8")
        return ends.tobytes() + inner(list(chain.from_iterable(values)))

    return encode
