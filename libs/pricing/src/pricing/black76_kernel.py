"""Black-76 price and eleven greeks in one pass, as a kernel that LLVM vectorises. Formulas: :mod:`pricing.black76`.

Options are worked on in blocks of fixed size, the last one filled up: every option goes through the same instructions,
so its bits do not depend on where it stands, how many there are, or how they are shared among threads.

The price is the intrinsic value plus that of the option that is out of the money, m·[N(a) − e^|x|·N(c)] with
m = min(F, K), a = −|x|/s + s/2 and c = −|x|/s − s/2. With the Mills ratio M it is m·φ(a)·[M(−a) − M(−c)], a difference
that :func:`pricing.normal.mills_pair` takes without cancellation (after P. Jäckel, "Let's Be Rational", Wilmott 75
(2015) 40–53, §2, who uses series and cases). For a > 0.7 it is m·(1 − φ(a)·[M(a) + M(−c)]), at least m/2.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from pricing.compiled import inlined, kernel
from pricing.elementary import LARGEST, SMALLEST_NORMAL, exponential, log_ratio
from pricing.normal import INV_SQRT_2PI, mills_pair

FloatArray = npt.NDArray[np.float64]
ByteArray = npt.NDArray[np.uint8]

BLOCK: Final = 128
INPUTS: Final = 6
OUTPUTS: Final = 12
DIRECT_TO: Final = 0.7
"""Highest a at which the value is a difference of Mills ratios; beyond, one minus their sum."""
SMALLEST_SD: Final = 1e-140
"""Total standard deviation that counts as 0: its square could not be divided by."""


@inlined
def upper_and_lower(x: float, s: float) -> tuple[float, float]:
    """Return a = −|x|/s + s/2 and c = −|x|/s − s/2, the arguments of the two Mills ratios; |x|/s is cut off at 1e5."""
    h = max(-abs(x) / s, -1e5)
    return h + 0.5 * s, h - 0.5 * s


@inlined
def _is_impossible(F: float, K: float, T: float, sigma: float, r: float) -> bool:
    """Whether an input is out of its range; NaN is in it, as missing."""
    outside = (F < SMALLEST_NORMAL) | (F > LARGEST) | (K < SMALLEST_NORMAL) | (K > LARGEST)
    return outside | (T < 0.0) | (T > LARGEST) | (sigma < 0.0) | (sigma > LARGEST) | (abs(r) > LARGEST)


@inlined
def _undiscounted(F: float, K: float, s: float) -> tuple[float, float, float, float, float, float]:
    """Return the value of the option that is out of the money, N(d1), N(−d1), φ(d1), d1 and d2."""
    x = log_ratio(F, K)
    a, c = upper_and_lower(x, s)
    direct = not a > DIRECT_TO
    above, below, difference = mills_pair(-a if direct else a, -c, s)
    phi_a = INV_SQRT_2PI * exponential(-0.5 * a * a)
    put_is_out = x > 0.0
    smaller, larger = (K, F) if put_is_out else (F, K)
    phi_c = phi_a * (smaller / larger)
    tail, lower = phi_a * above, phi_c * below
    value = smaller * (phi_a * difference if direct else 1.0 - (tail + phi_a * below))
    upper, not_upper = (tail, 1.0 - tail) if direct else (1.0 - tail, tail)
    if put_is_out:
        return value, 1.0 - lower, lower, phi_c, -c, -a
    return value, upper, not_upper, phi_a, a, c


@inlined
def _value_block(room: FloatArray) -> int:
    """Value one block: ``room`` holds F, K, T, σ, r and 1 for a call, 0 for a put, then has place for twelve results.

    Returns how many options have an impossible input. Inputs and results share one array: LLVM then knows that they do
    not overlap. Where s counts as 0, ``smooth`` drops the density from the greeks that the kink at the strike would
    make infinite.
    """
    impossible = 0
    for j in range(BLOCK):
        F, K, T = room[j], room[BLOCK + j], room[2 * BLOCK + j]
        sigma, r, call = room[3 * BLOCK + j], room[4 * BLOCK + j], room[5 * BLOCK + j] > 0.5
        impossible += int(_is_impossible(F, K, T, sigma, r))
        sqrt_T = math.sqrt(T)
        kink = sigma * sqrt_T < SMALLEST_SD
        s = SMALLEST_SD if kink else sigma * sqrt_T
        per_F, per_s = 1.0 / F, 1.0 / s
        per_sigma = sqrt_T * per_s
        per_T = 0.0 if kink else sigma * per_s * (sigma * per_s)
        value, above_strike, below_strike, phi, d1, d2 = _undiscounted(F, K, s)
        df = exponential(-r * T)
        excess = max(F - K if call else K - F, 0.0)
        nd1 = above_strike if call else -below_strike
        at_kink = 0.5 if call else -0.5
        phi = df * phi
        smooth = 0.0 if kink else phi
        price = df * (excess + (0.0 if kink else value))
        delta = df * (at_kink if kink & (F == K) else nd1)
        gamma = smooth * per_s * per_F
        room[6 * BLOCK + j] = price
        room[7 * BLOCK + j] = delta
        room[8 * BLOCK + j] = gamma
        room[9 * BLOCK + j] = F * phi * sqrt_T
        room[10 * BLOCK + j] = r * price - 0.5 * F * smooth * s * per_T
        room[11 * BLOCK + j] = -T * price
        room[12 * BLOCK + j] = -phi * d2 * per_sigma
        room[13 * BLOCK + j] = F * sqrt_T * smooth * d1 * d2 * per_sigma
        room[14 * BLOCK + j] = r * delta + 0.5 * smooth * d2 * per_T
        room[15 * BLOCK + j] = -gamma * per_F * (1.0 + d1 * per_s)
        room[16 * BLOCK + j] = gamma * (r + 0.5 * (1.0 - d1 * d2) * per_T)
        room[17 * BLOCK + j] = gamma * (d1 * d2 - 1.0) * per_sigma
    return impossible


@inlined
def load(source: FloatArray | ByteArray, first: int, count: int, block: FloatArray) -> None:
    """Copy ``count`` numbers, or the one there is, into a block, and fill it up with the first of them."""
    if source.size == 1:
        block[:] = source[0]
        return
    for j in range(count):
        block[j] = source[first + j]
    for j in range(count, BLOCK):
        block[j] = source[first]


@kernel("i8(UniTuple(f8[::1], 5), u1[::1], i8, i8, f8[:, ::1])")
def value(inputs: tuple[FloatArray, ...], calls: ByteArray, start: int, stop: int, out: FloatArray) -> int:
    """Value options ``start`` to ``stop`` into ``out``, shape (12, n); returns how many have an impossible input.

    ``inputs`` are F, K, T, σ and r, ``calls`` 1 for a call and 0 for a put; each has n elements or one for all.
    """
    room = np.empty((INPUTS + OUTPUTS) * BLOCK)
    impossible = 0
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        for k in range(INPUTS - 1):
            load(inputs[k], first, count, room[k * BLOCK : (k + 1) * BLOCK])
        load(calls, first, count, room[(INPUTS - 1) * BLOCK : INPUTS * BLOCK])
        impossible += _value_block(room)
        for k in range(OUTPUTS):
            out[k, first : first + count] = room[(INPUTS + k) * BLOCK : (INPUTS + k) * BLOCK + count]
    return impossible
