"""One side of a book in arrays of integers: compiled merging of changes, and the reads of a second's snapshot.

A ladder is an int64 array of shape (2, capacity): row 0 holds the keys, ascending, row 1 the scaled sizes. A key is the
scaled price of a bid and minus that of an ask, so the best level of either side is the last one, where a change moves
the fewest others. A level that was removed stays with size 0 until its place is needed: prices near the best come and
go, and an insertion shifts levels only as far as the nearest such place.

Kernels are compiled, or loaded from disk, when the module is imported, so that no message waits for it. All steps of a
kernel are in this file: numba compiles a kernel anew when its own file changes, not another's.
"""

from typing import Final

import numba
import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

_MAX_INT: Final = 2**63 - 1
_POWERS_OF_TEN: Final = 10 ** np.arange(19, dtype=np.int64)


@numba.njit(cache=True)
def _place(ladder: IntArray, used: int, key: int, near: int) -> int:
    """Return the first place whose key is not below ``key``, searched for in doubling steps from ``near``.

    The levels of a message are ordered, so the next one is seldom far from the last.
    """
    step = 1
    if near < used and ladder[0, near] < key:
        low, high = near + 1, near + 2
        while high < used and ladder[0, high - 1] < key:
            low = high
            step *= 2
            high += step
        high = min(high, used)
    else:
        low, high = near - 1, near
        while low > 0 and ladder[0, low] >= key:
            high = low
            step *= 2
            low -= step
        low = max(low, 0)
    while low < high:
        middle = (low + high) // 2
        if ladder[0, middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True)
def _insert(ladder: IntArray, used: int, place: int, key: int, size: int) -> tuple[int, int]:
    """Put a level before ``place``; return where it is and how many places are used."""
    above, below = place, place - 1
    while above < used and ladder[1, above] != 0 and below >= 0 and ladder[1, below] != 0:
        above += 1
        below -= 1
    if below >= 0 and ladder[1, below] == 0:
        for i in range(below, place - 1):
            ladder[0, i], ladder[1, i] = ladder[0, i + 1], ladder[1, i + 1]
        place -= 1
    else:
        while above < used and ladder[1, above] != 0:
            above += 1
        for i in range(above, place, -1):
            ladder[0, i], ladder[1, i] = ladder[0, i - 1], ladder[1, i - 1]
        used += above == used
    ladder[0, place], ladder[1, place] = key, size
    return place, used


@numba.njit("int64(int64[:,::1], int64, int64[:,::1], int64, int64, int64, int64, int64)", cache=True)
def merge(  # noqa: PLR0917 - a kernel takes its arrays by position
    ladder: IntArray,
    used: int,
    levels: IntArray,
    start: int,
    stop: int,
    sign: int,
    price_scale: int,
    qty_scale: int,
) -> int:
    """Set the sizes of levels[:, start:stop] in order and return how many places of the ladder are now used.

    ``levels`` has the rows price, its decimals, size, its decimals; scaled they must fit 64 bits. ``used`` plus the
    number of changes must not exceed the ladder's capacity. ``sign`` is 1 for bids, -1 for asks.
    """
    place = used
    for i in range(start, stop):
        key = sign * levels[0, i] * _POWERS_OF_TEN[price_scale - levels[1, i]]
        size = levels[2, i] * _POWERS_OF_TEN[qty_scale - levels[3, i]]
        place = _place(ladder, used, key, place)
        if place < used and ladder[0, place] == key:
            ladder[1, place] = size
        elif size != 0:
            place, used = _insert(ladder, used, place, key, size)
    return used


@numba.njit("int64[:,::1](int64[:,::1], int64, int64)", cache=True)
def best_first(ladder: IntArray, used: int, sign: int) -> IntArray:
    """Return prices and sizes, shape (2, n), of the levels that are there, the best first."""
    n = 0
    for i in range(used):
        n += ladder[1, i] != 0
    found = np.empty((2, n), np.int64)
    at = n
    for i in range(used):
        if ladder[1, i] != 0:
            at -= 1
            found[0, at] = sign * ladder[0, i]
            found[1, at] = ladder[1, i]
    return found


@numba.njit("boolean(int64[:,::1], int64[::1], int64, int64[::1])", cache=True)
def sums_to(levels: IntArray, limits: IntArray, sign: int, sums: IntArray) -> bool:
    """Write to ``sums`` the sum of sizes up to each of the ``limits``, prices that lie farther and farther off.

    ``levels`` is what ``best_first`` returned. False, with ``sums`` worth nothing, if a sum does not fit 64 bits.
    """
    total, place = 0, 0
    for k in range(limits.size):
        while place < levels.shape[1] and sign * levels[0, place] >= sign * limits[k]:
            if total > _MAX_INT - levels[1, place]:
                return False
            total += levels[1, place]
            place += 1
        sums[k] = total
    return True
