"""Implied vol as a kernel that LLVM vectorises: three Householder steps for all, more for the few that need them.

In units of m = min(F, K) the option that is out of the money is worth β = φ(a)·[M(−a) − M(−c)] < 1, with a, c and the
Mills ratio M as in :mod:`pricing.black76_kernel`. The equation is solved in logarithms, after P. Jäckel, "Let's Be
Rational", Wilmott 75 (2015) 40–53: ln β(s) = ln β where a ≤ 0.7, else ln(1 − β(s)) = ln(1 − β) with 1 − β(s) =
φ(a)·[M(a) + M(−c)]. Both have −a²/2 for a leading term, so that no exponential is needed, and both targets are formed
from differences that are exact or as exact as the price: value − intrinsic, and maximum − value.

Each step is Householder's of third order (§5 there) on y = ln β or ln(1 − β), with b the derivative of β:
y′ = 1/[M(−a) − M(−c)] or −1/[M(a) + M(−c)], b′/b = h²/s − s/4, b″/b = (b′/b)² − 3h²/s² − 1/4, h = |x|/s.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from pricing.black76_kernel import BLOCK, DIRECT_TO, load, upper_and_lower
from pricing.compiled import inlined, kernel
from pricing.elementary import LARGEST, SMALLEST_NORMAL, exponential, log_ratio, logarithm
from pricing.normal import mills_pair

FloatArray = npt.NDArray[np.float64]
ByteArray = npt.NDArray[np.uint8]

OK: Final = 0
BELOW_INTRINSIC: Final = 1
AT_INTRINSIC: Final = 2
ABOVE_MAXIMUM: Final = 3
NO_QUOTE: Final = 4
EXPIRED: Final = 5
BAD_INPUT: Final = 6

STEPS: Final = 3
INPUTS: Final = 6
_ROOM: Final = 12
_HALF_LN_2PI: Final = 0.9189385332046727
_SQRT_HALF_PI: Final = 1.2533141373155003
_PER_PI: Final = 0.3183098861837907
# A last step smaller than this, relative to s, leaves an error below its fourth power.
_SETTLED: Final = 1e-4
_MOST_STEPS: Final = 60
_ROUNDING: Final = 8.9e-16


@inlined
def _step(x: float, s: float, low: float, high: float) -> tuple[float, float]:
    """Return one Householder step from s, and by how much ln β(s) is off: its sign is that of s − solution.

    ``x`` is |ln(F/K)|, ``low`` ln β and ``high`` ln(1 − β), both plus ½·ln 2π.
    """
    a, c = upper_and_lower(x, s)
    direct = not a > DIRECT_TO
    above, below, difference = mills_pair(-a if direct else a, -c, s)
    per_slope = difference if direct else -(above + below)
    slope = 1.0 / per_slope
    off = logarithm(abs(per_slope)) - 0.5 * a * a - (low if direct else high)
    per_s = 1.0 / s
    q = x * per_s * per_s
    second = x * q * per_s - 0.25 * s
    third = second * second - 3.0 * q * q - 0.25
    newton = -off * per_slope
    gamma = second - slope
    delta = third - slope * (3.0 * second - 2.0 * slope)
    step = newton * (1.0 + 0.5 * gamma * newton) / (1.0 + newton * (gamma + delta * newton * (1.0 / 6.0)))
    return min(max(step, -0.7 * s), 1.5 * s + 0.5), off if direct else -off


@inlined
def _lin(depth: float) -> float:
    """Return a with ln(2·N(−a)) ≈ −depth, by Lin's formula."""
    return (math.sqrt(0.717 * 0.717 + 4.0 * 0.416 * depth) - 0.717) / (2.0 * 0.416)


@inlined
def _seed(x: float, beta: float, low: float, high: float) -> float:
    """Return a first s: right to half its size or better, and to a few digits for most options.

    Three regions. Far out of the money, the leading terms of ln β for small s, solved for x/s by two substitutions
    (Jäckel §3 has the expansion). Around the money, C. J. Corrado and T. W. Miller, "A note on a simple, accurate
    formula to compute implied standard deviations", J. Banking & Finance 20 (1996) 595–603. For large β, a from 1 − β
    by J.-T. Lin's N(−a) ≈ ½·exp(−0.717a − 0.416a²) (The Statistician 38 (1989) 69–70), and s = a + √(a² + 2x).
    """
    b = beta * exponential(-0.5 * x)
    outer = x > 0.0 and b < 0.06 * x
    leading = _HALF_LN_2PI - low + 0.5 * x - 2.0 * logarithm(max(x, 1e-300))
    far = x / math.sqrt(2.0 * max(_HALF_LN_2PI - low + 0.5 * x, 1.0))
    for _ in range(2):
        far = x / math.sqrt(2.0 * max(leading + 3.0 * logarithm(max(far, 1e-300)) - 0.125 * far * far, 0.5))
    middle = b + 0.5 * x
    near = _SQRT_HALF_PI * (middle + math.sqrt(max(middle * middle - x * x * _PER_PI, 0.0)))
    depth = _HALF_LN_2PI - high
    a = _lin(depth)
    y = math.sqrt(a * a + 2.0 * x)
    # 1 − β = φ(a)·[M(a) + M(y)], of which M(a) is roughly this share, by M(y) ≈ 1/(y + 0.8)
    a = _lin(max(depth - logarithm(2.0 * (y + 0.8) / (a + y + 1.6)), 0.0))
    large = a + math.sqrt(a * a + 2.0 * x)
    return far if outer else (large if beta > 0.4 else near)


@inlined
def _judge(  # noqa: PLR0917 - a step of a kernel takes positions only
    price: float, F: float, K: float, T: float, r: float, call: bool
) -> tuple[float, float, float, int]:
    """Return undiscounted value − intrinsic, maximum − undiscounted value, their unit m, and the status."""
    value = price * exponential(r * T)
    intrinsic = max(F - K if call else K - F, 0.0)
    time_value, room = value - intrinsic, (F if call else K) - value
    rounding = _ROUNDING * value
    status = OK
    status = AT_INTRINSIC if time_value < SMALLEST_NORMAL else status
    status = BELOW_INTRINSIC if time_value < -rounding else status
    status = ABOVE_MAXIMUM if room <= 0.0 else status
    status = status if abs(price) <= LARGEST else NO_QUOTE
    status = EXPIRED if T <= 0.0 else status
    usable = (F >= SMALLEST_NORMAL) & (F <= LARGEST) & (K >= SMALLEST_NORMAL) & (K <= LARGEST)
    status = status if usable & (abs(T) <= LARGEST) & (abs(r) <= LARGEST) else BAD_INPUT
    return time_value, room, min(F, K), status


@inlined
def _solve_block(room: FloatArray) -> None:
    """Solve one block: ``room`` has price, F, K, T, r, call, then place for s, status, step, x and both targets."""
    for j in range(BLOCK):
        price, F, K, T = room[j], room[BLOCK + j], room[2 * BLOCK + j], room[3 * BLOCK + j]
        value, left, unit, status = _judge(price, F, K, T, room[4 * BLOCK + j], room[5 * BLOCK + j] > 0.5)
        good = status == OK
        value, left, unit = (value, left, unit) if good else (0.5, 0.5, 1.0)
        x = abs(log_ratio(F, K)) if good else 0.0
        low, high = log_ratio(value, unit) + _HALF_LN_2PI, log_ratio(left, unit) + _HALF_LN_2PI
        s = _seed(x, value / unit, low, high)
        step = 0.0
        for _ in range(STEPS):
            step, _off = _step(x, s, low, high)
            s += step
        room[6 * BLOCK + j] = s
        room[7 * BLOCK + j] = status
        room[8 * BLOCK + j] = abs(step)
        room[9 * BLOCK + j] = x
        room[10 * BLOCK + j] = low
        room[11 * BLOCK + j] = high


@inlined
def _finish(x: float, s: float, low: float, high: float) -> float:
    """Go on from s until a step is small, inside the bracket that the signs so far leave, by bisection if need be."""
    below, above = 0.0, math.inf
    for _ in range(_MOST_STEPS):
        step, off = _step(x, s, low, high)
        if off < 0.0:
            below = s
        else:
            above = s
        following = s + step
        if not below <= following <= above:
            following = 0.5 * (below + above) if above < math.inf else 2.0 * s
        settled = abs(following - s) <= _SETTLED * s
        s = following
        if settled:
            break
    return s


@kernel("void(UniTuple(f8[::1], 5), u1[::1], i8, i8, f8[::1], u1[::1])")
def solve(  # noqa: PLR0917 - kernels take positions only
    inputs: tuple[FloatArray, ...], calls: ByteArray, start: int, stop: int, vols: FloatArray, statuses: ByteArray
) -> None:
    """Put vols and statuses of options ``start`` to ``stop`` into ``vols`` and ``statuses``, shape (n,).

    ``inputs`` are price, F, K, T and r, ``calls`` 1 for a call and 0 for a put; each has n elements or one for all.
    """
    room = np.empty(_ROOM * BLOCK)
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        for k in range(INPUTS - 1):
            load(inputs[k], first, count, room[k * BLOCK : (k + 1) * BLOCK])
        load(calls, first, count, room[(INPUTS - 1) * BLOCK : INPUTS * BLOCK])
        _solve_block(room)
        for j in range(count):
            s = room[6 * BLOCK + j]
            status = room[7 * BLOCK + j]
            if not room[8 * BLOCK + j] <= _SETTLED * s:
                s = _finish(room[9 * BLOCK + j], s, room[10 * BLOCK + j], room[11 * BLOCK + j])
            vols[first + j] = s / math.sqrt(room[3 * BLOCK + j]) if status == OK else np.nan
            statuses[first + j] = np.uint8(status)
