"""Scrambled Sobol points as standard normals: the same seed gives the same bits, on any machine.

References
----------
[1] S. Joe, F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional projections", SIAM J. Sci. Comput. 30
    (2008) 2635–2654: the direction numbers.
[2] A. B. Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences", in: Monte Carlo and Quasi-Monte Carlo Methods in
    Scientific Computing, Springer (1995) 299–317: nested scrambling. Each scrambled set is again a net of the same
    quality, and each point of it is uniform. Averages over it are close to normal (W.-L. Loh, Annals of Statistics 31
    (2003) 1282–1324); those of the cheaper linear scrambling have heavy tails, and with them wrong standard errors.
[3] G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014: the bits come from
    SplitMix64, a hash of a counter.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from pricing.black76 import FloatArray

_BITS: Final = 32
# [1], dimensions 2 to 16: coefficients a of the primitive polynomial, and the initial m_1 … m_s (s is its degree).
_INITIAL: Final = (
    (0, (1,)),
    (1, (1, 3)),
    (1, (1, 3, 1)),
    (2, (1, 1, 1)),
    (1, (1, 1, 3, 3)),
    (4, (1, 3, 5, 13)),
    (2, (1, 1, 5, 5, 17)),
    (4, (1, 1, 5, 5, 5)),
    (7, (1, 1, 7, 11, 19)),
    (11, (1, 1, 5, 1, 1)),
    (13, (1, 1, 1, 3, 11)),
    (14, (1, 3, 5, 5, 31)),
    (1, (1, 3, 3, 9, 7, 49)),
    (13, (1, 1, 1, 15, 21, 21)),
    (16, (1, 3, 1, 13, 27, 49)),
)
MAX_DIMENSIONS: Final = len(_INITIAL) + 1

UintArray = npt.NDArray[np.uint32]


def scrambled_normals(*, randomisations: int, points: int, dimensions: int, seed: int) -> FloatArray:
    """Standard normals of independent scramblings of one Sobol net, shape (randomisations, dimensions, points).

    Raises :class:`ValueError` if ``points`` is not a power of two (a net has no other
    size), or for more than ``MAX_DIMENSIONS`` dimensions.
    """
    if points < 1 or points & (points - 1):
        raise ValueError(f"points = {points} is not a power of two; take {1 << max(points, 1).bit_length()}")
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"dimensions = {dimensions} is not between 0 and {MAX_DIMENSIONS}; keep fewer components")
    return _kept(randomisations, points, dimensions, seed).copy()


@lru_cache(maxsize=16)
def _kept(randomisations: int, points: int, dimensions: int, seed: int) -> FloatArray:
    """An expiry is valued every second from the same normals, and making them takes longer than using them."""
    from scipy.special import ndtri  # noqa: PLC0415 - scipy takes a fifth of a second to import

    levels = (points - 1).bit_length()
    net = _net(_direction_numbers()[:dimensions, :levels])
    nodes = _hashed(seed, randomisations * dimensions * 2 * points).reshape(randomisations, dimensions, 2 * points)
    # The middle of each cell: never 0 or 1.
    return np.ascontiguousarray(ndtri((_scrambled(net, nodes) + 0.5) * 2.0**-_BITS), dtype=np.float64)


@lru_cache(maxsize=1)
def _direction_numbers() -> UintArray:
    """Direction numbers, shape (dimensions, bits), the most significant bit first."""
    numbers = np.zeros((MAX_DIMENSIONS, _BITS), dtype=np.uint32)
    numbers[0] = [1 << (_BITS - 1 - j) for j in range(_BITS)]
    for row, (coefficients, initial) in zip(numbers[1:], _INITIAL, strict=True):
        row[:] = _recurrence(coefficients, initial)
    return numbers


def _recurrence(coefficients: int, initial: tuple[int, ...]) -> list[int]:
    """[1, eq. 2–3]: each number is an exclusive or of the s before it, by the polynomial's coefficients."""
    degree = len(initial)
    row = [m << (_BITS - 1 - j) for j, m in enumerate(initial)]
    for j in range(degree, _BITS):
        value = row[j - degree] ^ (row[j - degree] >> degree)
        for k in range(1, degree):
            if coefficients >> (degree - 1 - k) & 1:
                value ^= row[j - k]
        row.append(value)
    return row


def _net(directions: UintArray) -> UintArray:
    """All points of the net in binary order, shape (dimensions, points)."""
    points = np.zeros((directions.shape[0], 1), dtype=np.uint32)
    for column in directions.T:
        points = np.concatenate((points, points ^ column[:, None]), axis=1)
    return points


def _scrambled(net: UintArray, nodes: UintArray) -> UintArray:
    """Scramble the net once for each row of random ``nodes`` (randomisations, dimensions, 2·points).

    Whether a digit is flipped depends on the digits before it [2]: they lead to a node of a binary tree, numbered as in
    a heap, whose random bit decides. Below the digits in which the points of a net differ every point is on its own.
    """
    levels = (net.shape[1] - 1).bit_length()
    scrambled = np.broadcast_to(net, (nodes.shape[0], *net.shape)).copy()
    heap = np.ones_like(net, dtype=np.int64)
    for level in range(levels):
        scrambled ^= (_at(nodes, heap) >> np.uint32(_BITS - 1)) << np.uint32(_BITS - 1 - level)
        heap = 2 * heap + (net >> np.uint32(_BITS - 1 - level) & np.uint32(1))
    return scrambled ^ (_at(nodes, heap) >> np.uint32(levels))


def _at(nodes: UintArray, heap: npt.NDArray[np.int64]) -> UintArray:
    return np.take_along_axis(nodes, heap[None], axis=2)


def _hashed(seed: int, count: int) -> UintArray:
    """SplitMix64 of ``count`` counters [3], the upper halves."""
    state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(_mixed(seed))
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(32)).astype(np.uint32)


def _mixed(seed: int) -> int:
    """Spread a seed over 64 bits, so that neighbouring seeds share no part of their streams of counters."""
    mask = (1 << 64) - 1
    value = (seed ^ (seed >> 33)) * 0xFF51AFD7ED558CCD & mask
    value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53 & mask
    return value ^ (value >> 33)
