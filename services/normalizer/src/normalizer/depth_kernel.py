"""A compiled reader of Binance's depth frames, for those written exactly as the venue writes them today.

Tens of levels in each of thousands of frames are most of what the normalizer reads. This reader takes one path through
the bytes, compares them with the frame's template and turns levels into integers on the way. It accepts nothing but::

    {"stream":"<a-z0-9@_>","data":{"e":"depthUpdate","E":1,["T":1,]"s":"<A-Z0-9_>","U":1,"u":1,["pu":1,]
     "b":[["1.0","2.0"],…],"a":[…]}}

without a blank, numbers of at most 18 digits. Whatever else comes, valid or not, is left to the reader of JSON, which
also says what is wrong with it. All steps are in this file: see :mod:`normalizer.ladder_kernel`.
"""

from typing import Final

import numba
import numpy as np
import numpy.typing as npt
from numba import types

IntArray = npt.NDArray[np.int64]

SHORTEST_LEVEL: Final = len('["1","1"],')
ABSENT: Final = -1

_MAX_DIGITS: Final = 18  # any such number fits 64 bits


def _literal(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


_STREAM: Final = _literal('{"stream":"')
_EVENT: Final = _literal('","data":{"e":"depthUpdate","E":')
_TRANSACTION: Final = _literal(',"T":')
_SYMBOL: Final = _literal(',"s":"')
_FIRST: Final = _literal('","U":')
_LAST: Final = _literal(',"u":')
_PREVIOUS: Final = _literal(',"pu":')
_BIDS: Final = _literal(',"b":[')
_ASKS: Final = _literal('],"a":[')
_END: Final = _literal("]}}")
_LEVEL: Final = _literal('["')
_COMMA: Final = _literal('","')
_LEVEL_END: Final = _literal('"]')
_QUOTE, _POINT, _ZERO, _NINE = ord('"'), ord("."), ord("0"), ord("9")
_SEPARATOR: Final = ord(",")

# Each step returns where it ended, -1 if the payload does not go on as expected; from -1 every step returns -1.


@numba.njit(cache=True)
def _after(payload: bytes, at: int, literal: npt.NDArray[np.uint8]) -> int:
    if at < 0 or at + literal.size > len(payload):
        return -1
    for i in range(literal.size):
        if payload[at + i] != literal[i]:
            return -1
    return at + literal.size


@numba.njit(cache=True)
def _after_stream(payload: bytes) -> int:
    at = _after(payload, 0, _STREAM)
    begin = at
    while 0 <= at < len(payload) and payload[at] != _QUOTE:
        c = payload[at]
        if not (97 <= c <= 122 or _ZERO <= c <= _NINE or c == 64 or c == 95):  # noqa: PLR1714 - a-z 0-9 @ _
            return -1
        at += 1
    return at if at > begin else -1


@numba.njit(cache=True)
def _after_symbol(payload: bytes, begin: int) -> int:
    at = begin
    while 0 <= at < len(payload) and payload[at] != _QUOTE:
        c = payload[at]
        if not (65 <= c <= 90 or _ZERO <= c <= _NINE or c == 95):  # A-Z 0-9 _
            return -1
        at += 1
    return at if at > begin else -1


@numba.njit(cache=True)
def _integer(payload: bytes, at: int) -> tuple[int, int]:
    """Read an integer ≥ 0 as JSON writes it: no zero before another digit."""
    begin, value = at, 0
    while 0 <= at < len(payload) and _ZERO <= payload[at] <= _NINE:
        value = value * 10 + (payload[at] - _ZERO)
        at += 1
        if at - begin > _MAX_DIGITS:
            return 0, -1
    if at <= begin or (payload[begin] == _ZERO and at > begin + 1):
        return 0, -1
    return value, at


@numba.njit(cache=True)
def _optional(payload: bytes, at: int, name: npt.NDArray[np.uint8]) -> tuple[int, int]:
    after = _after(payload, at, name)
    if after < 0:
        return ABSENT, at
    return _integer(payload, after)


@numba.njit(cache=True)
def _levels(payload: bytes, at: int, levels: IntArray, count: int, most: IntArray) -> tuple[int, int]:
    """Read levels up to the bracket that ends their list; return how many there are now, and where it is."""
    if at < 0 or at >= len(payload) or payload[at] != _LEVEL[0]:
        return count, at
    while True:
        at = _decimal(payload, _after(payload, at, _LEVEL), levels, 0, count, most)
        at = _decimal(payload, _after(payload, at, _COMMA), levels, 2, count, most)
        at = _after(payload, at, _LEVEL_END)
        if at < 0:
            return count, -1
        count += 1
        if at >= len(payload) or payload[at] != _SEPARATOR:
            return count, at
        at += 1


@numba.njit(cache=True)
def _decimal(payload: bytes, at: int, levels: IntArray, row: int, column: int, most: IntArray) -> int:  # noqa: PLR0917
    """Read digits, perhaps a point and more digits; trailing zeros after the point are left out."""
    if at < 0:
        return -1
    begin, value = at, 0
    while at < len(payload) and _ZERO <= payload[at] <= _NINE and at - begin <= _MAX_DIGITS:
        value = value * 10 + (payload[at] - _ZERO)
        at += 1
    digits, whole, decimals = at - begin, value, 0
    if digits == 0 or digits > _MAX_DIGITS:
        return -1
    if at < len(payload) and payload[at] == _POINT:
        at += 1
        point, kept = at, value
        while at < len(payload) and _ZERO <= payload[at] <= _NINE and digits <= _MAX_DIGITS:
            kept = kept * 10 + (payload[at] - _ZERO)
            at += 1
            digits += 1
            if payload[at - 1] != _ZERO:
                value, decimals = kept, at - point
        if at == point or digits > _MAX_DIGITS:
            return -1
    levels[row, column], levels[row + 1, column] = value, decimals
    most[row // 2] = max(most[row // 2], decimals)
    most[2 + row // 2] = max(most[2 + row // 2], whole)
    return at


Frame = tuple[bool, int, int, int, int, int, int, int, int, int, int, int, int, int]
_SIGNATURE: Final = types.Tuple((types.boolean, *[types.int64] * 13))(  # type: ignore[no-untyped-call]
    types.Bytes(types.uint8, 1, "C"), types.int64[:, ::1]
)


@numba.njit(_SIGNATURE, cache=True)
def read_depth(payload: bytes, levels: IntArray) -> Frame:
    """Read a frame; write its bids, then its asks, to the columns of ``levels``.

    Rows of ``levels`` are price, its decimals, size, its decimals; the numbers are text · 10^decimals without zeros at
    its end. It must have a column per SHORTEST_LEVEL bytes of the payload.

    Returns whether it is such a frame (all else is worth nothing if not), E, T (ms), where the symbol begins and ends,
    U, u, pu, the number of bids and that of all levels; then over all levels the most decimals of a price and of a
    size, and the largest whole part of a price and of a size. T and pu are ABSENT if they are not there.
    """
    refused = (False, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    most = np.zeros(4, np.int64)
    at = _after_stream(payload)
    event_ms, at = _integer(payload, _after(payload, at, _EVENT))
    transaction_ms, at = _optional(payload, at, _TRANSACTION)
    symbol_from = _after(payload, at, _SYMBOL)
    symbol_to = _after_symbol(payload, symbol_from)
    first_id, at = _integer(payload, _after(payload, symbol_to, _FIRST))
    last_id, at = _integer(payload, _after(payload, at, _LAST))
    prev_id, at = _optional(payload, at, _PREVIOUS)
    bids, at = _levels(payload, _after(payload, at, _BIDS), levels, 0, most)
    count, at = _levels(payload, _after(payload, at, _ASKS), levels, bids, most)
    at = _after(payload, at, _END)
    if at != len(payload):
        return refused
    return (
        True, event_ms, transaction_ms, symbol_from, symbol_to, first_id, last_id, prev_id, bids, count,
        most[0], most[1], most[2], most[3],
    )  # fmt: skip
