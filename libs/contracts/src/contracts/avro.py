"""What the generated codecs are made of: Avro 1.12 binary encoding of longs, strings, bytes, doubles and blocks.

fastavro spends most of a wide record on its generic treatment of unions and on a dict per record; code generated per
record needs neither (figures: bench/codecs.py). It stays the reference: tests compare byte for byte.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

PRESENT = b"\x02"
ABSENT = b"\x00"
END = b"\x00"
FALSE_TRUE = (b"\x00", b"\x01")
BOOLEANS = (False, True)
DOUBLE = struct.Struct("<d")
PRESENT_DOUBLE = struct.Struct("<Bd")
_SMALL_COUNT = 1 << 13
_LONG_BYTES = 10
_STAMP_BYTES = 8
_MAX_STAMPS = 1 << 16


class MalformedError(ValueError):
    """Bytes that are not Avro of the schema they are read by."""


def _varint(unsigned: int) -> bytes:
    out = bytearray()
    while unsigned > 127:
        out.append(unsigned & 127 | 128)
        unsigned >>= 7
    out.append(unsigned)
    return bytes(out)


_SMALL = tuple(_varint(value << 1) for value in range(_SMALL_COUNT))


# Seconds and expiries repeat in every record of a second.
@lru_cache(maxsize=4096)
def _wide(value: int, bits: int) -> bytes:
    if not -1 << bits - 1 <= value < 1 << bits - 1:
        raise OverflowError(f"{value} does not fit {bits} bits")
    return _varint(value << 1 ^ value >> 63)


def long(value: int) -> bytes:
    """Encode a ``long``. Raises OverflowError beyond 64 bits, TypeError for a float."""
    return _SMALL[value] if 0 <= value < _SMALL_COUNT else _wide(value, 64)


def int32(value: int) -> bytes:
    """Encode an ``int``. Raises OverflowError beyond 32 bits, TypeError for a float."""
    return _SMALL[value] if 0 <= value < _SMALL_COUNT else _wide(value, 32)


def string(value: str) -> bytes:
    """Encode a ``string``."""
    encoded = value.encode()
    return long(len(encoded)) + encoded


def blob(value: bytes) -> bytes:
    """Encode ``bytes``. Raises TypeError for another buffer: its length may count elements."""
    if type(value) is not bytes:
        raise TypeError(f"{type(value).__name__} where bytes are needed; use .tobytes()")
    return long(len(value)) + value


def doubles(values: Sequence[float]) -> bytes:
    """Encode an array of ``double``."""
    count = len(values)
    return long(count) + struct.pack(f"<{count}d", *values) + END if count else END


# Microsecond times are eight bytes, and come again: expiries in every option, receive times in every second after.
_STAMPS: dict[bytes, int] = {}


def read_long(data: bytes, at: int) -> tuple[int, int]:  # noqa: PLR0911 - unrolled
    """Return (value, position after it). Raises IndexError at the end of data, MalformedError beyond 64 bits.

    Unrolled as far as seconds and digests go (five bytes). Each step takes off the continuation bit of the byte before,
    so that ``value`` is final when the newest byte had none.
    """
    value = data[at]
    if value < 1 << 7:
        return value >> 1 ^ -(value & 1), at + 1
    stamp = _STAMPS.get(data[at : at + _STAMP_BYTES])
    if stamp is not None:
        return stamp, at + _STAMP_BYTES
    value += (data[at + 1] << 7) - (1 << 7)
    if value < 1 << 14:
        return value >> 1 ^ -(value & 1), at + 2
    value += (data[at + 2] << 14) - (1 << 14)
    if value < 1 << 21:
        return value >> 1 ^ -(value & 1), at + 3
    value += (data[at + 3] << 21) - (1 << 21)
    if value < 1 << 28:
        return value >> 1 ^ -(value & 1), at + 4
    value += (data[at + 4] << 28) - (1 << 28)
    if value < 1 << 35:
        return value >> 1 ^ -(value & 1), at + 5
    return _read_wide(data, at, value - (1 << 35))


def _read_wide(data: bytes, at: int, value: int) -> tuple[int, int]:
    """Go on after five bytes that gave ``value``."""
    shift = 35
    for position in range(at + 5, at + _LONG_BYTES):
        byte = data[position]
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 64:
                break
            value = value >> 1 ^ -(value & 1)
            if position == at + _STAMP_BYTES - 1:
                _remember(data[at : position + 1], value)
            return value, position + 1
        shift += 7
    raise MalformedError(f"a number of more than 64 bits at byte {at}")


def _remember(stamp: bytes, value: int) -> None:
    if len(_STAMPS) >= _MAX_STAMPS:
        _STAMPS.clear()
    _STAMPS[stamp] = value


def read_size(data: bytes, at: int) -> tuple[int, int]:
    """Return (length of a string or bytes, position after it). Raises MalformedError if data cannot hold it."""
    size, start = read_long(data, at)
    if not 0 <= size <= len(data) - start:
        raise MalformedError(f"a length of {size} at byte {at} of {len(data)}")
    return size, start


def read_count(data: bytes, at: int) -> tuple[int, int]:
    """Return (items in the next block, 0 at the array's end; position after it). Every item is a byte at least."""
    count, start = read_long(data, at)
    if count < 0:
        # A block may give its size in bytes, so that readers can skip it.
        count = -count
        _, start = read_long(data, start)
    if count > len(data) - start:
        raise MalformedError(f"a block of {count} items at byte {at} of {len(data)}")
    return count, start


def read_doubles(data: bytes, at: int) -> tuple[tuple[float, ...], int]:
    """Return (array of ``double``, position after it)."""
    values: list[float] = []
    while True:
        count, at = read_count(data, at)
        if not count:
            return tuple(values), at
        values += struct.unpack_from(f"<{count}d", data, at)
        at += 8 * count
