"""Kernels of the spot grid. Blocks of fixed size, as in :mod:`pricing.black76_kernel`: a cell's bits are its own.

``chain`` holds what the options are at the present spot, shape (5, n): ln(F/K), 1/s, s/2, 1/(F·s) and 1/σ with s = σ√τ.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from pricing.compiled import inlined, kernel
from pricing.elementary import exponential_or_zero, log_ratio
from pricing.normal import INV_SQRT_2PI

FloatArray = npt.NDArray[np.float64]

OPTIONS_BLOCK: Final = 64
SPOTS_BLOCK: Final = 64
_FIELDS: Final = 5


@inlined
def _cells(shift: float, per_ratio: float, room: FloatArray) -> None:
    """Gamma and vanna of a block of options at one spot, ``shift`` = ln(S′/S) away."""
    for i in range(OPTIONS_BLOCK):
        per_s, half_s = room[OPTIONS_BLOCK + i], room[2 * OPTIONS_BLOCK + i]
        d1 = (shift + room[i]) * per_s + half_s
        phi = INV_SQRT_2PI * exponential_or_zero(-0.5 * d1 * d1)
        # Where φ is 0, d2 may be huge: cut off, lest the product be NaN.
        d2 = min(max(d1 - 2.0 * half_s, -1e5), 1e5)
        room[_FIELDS * OPTIONS_BLOCK + i] = phi * per_ratio * room[3 * OPTIONS_BLOCK + i]
        room[(_FIELDS + 1) * OPTIONS_BLOCK + i] = -phi * d2 * room[4 * OPTIONS_BLOCK + i]


@kernel("void(f8[::1], f8[:, ::1], i8, i8, f8[:, :, ::1])")
def fill(ratios: FloatArray, chain: FloatArray, start: int, stop: int, greeks: FloatArray) -> None:
    """Fill rows ``start`` to ``stop`` of gamma and vanna, shape (2, n_spots, n): row j is at S′ = ratios[j]·S."""
    room = np.empty((_FIELDS + 2) * OPTIONS_BLOCK)
    n = chain.shape[1]
    for first in range(0, n, OPTIONS_BLOCK):
        count = min(OPTIONS_BLOCK, n - first)
        for k in range(_FIELDS):
            room[k * OPTIONS_BLOCK : (k + 1) * OPTIONS_BLOCK] = chain[k, first]
            room[k * OPTIONS_BLOCK : k * OPTIONS_BLOCK + count] = chain[k, first : first + count]
        for j in range(start, stop):
            _cells(log_ratio(ratios[j], 1.0), 1.0 / ratios[j], room)
            at = _FIELDS * OPTIONS_BLOCK
            greeks[0, j, first : first + count] = room[at : at + count]
            greeks[1, j, first : first + count] = room[at + OPTIONS_BLOCK : at + OPTIONS_BLOCK + count]


@inlined
def _add(x: float, per_s: float, half_s: float, weight: float, room: FloatArray) -> None:
    """Add one option's density to the sums of a block of spots."""
    for j in range(SPOTS_BLOCK):
        d1 = (room[j] + x) * per_s + half_s
        room[SPOTS_BLOCK + j] += weight * exponential_or_zero(-0.5 * d1 * d1)


@kernel("void(f8[::1], f8[:, ::1], i8, i8, f8[::1])")
def add_up(ratios: FloatArray, chain: FloatArray, start: int, stop: int, sums: FloatArray) -> None:
    """Put ΣΓ at spots ``start`` to ``stop`` into ``sums``, shape (n_spots,); the options add up in their order.

    Row 3 of ``chain`` is weighted: weight/(F·s).
    """
    room = np.empty(2 * SPOTS_BLOCK)
    for first in range(start, stop, SPOTS_BLOCK):
        count = min(SPOTS_BLOCK, stop - first)
        for j in range(SPOTS_BLOCK):
            room[j] = log_ratio(ratios[first + min(j, count - 1)], 1.0)
            room[SPOTS_BLOCK + j] = 0.0
        for i in range(chain.shape[1]):
            _add(chain[0, i], chain[1, i], chain[2, i], chain[3, i], room)
        for j in range(count):
            sums[first + j] = INV_SQRT_2PI * room[SPOTS_BLOCK + j] / ratios[first + j]


@kernel("void(f8[:, ::1], f8[::1], f8[::1])")
def row_sums(matrix: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    """Put Σ_i weights[i]·matrix[j, i] into ``out[j]``: four running sums over i mod 4, added as (0 + 1) + (2 + 3)."""
    n = weights.size
    whole = n - n % 4
    for j in range(matrix.shape[0]):
        a = b = c = d = 0.0
        for i in range(0, whole, 4):
            a += weights[i] * matrix[j, i]
            b += weights[i + 1] * matrix[j, i + 1]
            c += weights[i + 2] * matrix[j, i + 2]
            d += weights[i + 3] * matrix[j, i + 3]
        for i in range(whole, n):
            a += weights[i] * matrix[j, i]
        out[j] = (a + b) + (c + d)
