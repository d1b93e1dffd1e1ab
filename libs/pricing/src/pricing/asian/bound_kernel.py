"""The lower bound of a chain and its derivatives by the moments. Formulas: :mod:`pricing.asian.conditional`."""

import math
from typing import Final

from pricing.asian.conditional import CURVATURE, MEAN, PARTIAL, SPREAD, TARGET, VALUE, VOL, VOL_SLOPE
from pricing.asian.moments import Z_MAX
from pricing.black76 import FloatArray
from pricing.compiled import inlined, kernel
from pricing.elementary import exponential
from pricing.normal import INV_SQRT_2PI, mills

_MAX_STEPS: Final = 100
_ROOT_ERROR: Final = 1e-14


@inlined
def upper_mills(y: float) -> float:
    """(1 − N(y))/φ(y) for any y; below 0 as what is missing from the whole."""
    upper = mills(abs(y))
    return upper if y >= 0.0 else exponential(0.5 * y * y) / INV_SQRT_2PI - upper


@inlined
def _log_average(level: FloatArray, c: float, spread: float, z: float) -> tuple[float, float]:
    """ln A(z) and its derivative."""
    x = spread * z
    last = level.size - 1
    P = level[last]
    P1 = 0.0
    for k in range(last - 1, -1, -1):
        P1 = P1 * x + P
        P = P * x + level[k]
    return c * z + math.log(P), c + spread * P1 / P


@inlined
def _mean_root(level: FloatArray, c: float, spread: float, target: float) -> float:
    """z with ln A(z) = ln k, by Newton's method on a convex rising function; ±∞ where it is beyond ±Z_MAX."""
    goal = math.log(target)
    if _log_average(level, c, spread, Z_MAX)[0] < goal:
        return math.inf
    if _log_average(level, c, spread, -Z_MAX)[0] > goal:
        return -math.inf
    z = 0.0
    for _ in range(_MAX_STEPS):
        value, rise = _log_average(level, c, spread, z)
        step = (value - goal) / rise
        z = min(max(z - step, -Z_MAX), Z_MAX)
        if abs(step) < _ROOT_ERROR * max(1.0, abs(z)):
            break
    return z


@inlined
def _power_derivatives(x: float, b: float, k: int, power: float) -> tuple[float, float]:
    """First and second derivative of x^k by y at x = b·y, given x^k; right at x = 0 too."""
    if x != 0.0:
        return k * b * power / x, k * (k - 1) * b * b * power / (x * x)
    return (b if k == 1 else 0.0), (2.0 * b * b if k == 2 else 0.0)


@inlined
def _average_derivatives(
    level: FloatArray, slope: FloatArray, a: float, b: float, y: float
) -> tuple[float, float, float]:
    """A′, A″ and Σ_i ∂_σ a_i·e^(σb_i·z) at y, over e^(ay)."""
    first = second = steep = 0.0
    x, power = b * y, 1.0
    for k in range(level.size):
        once, twice = _power_derivatives(x, b, k, power)
        first += level[k] * (a * power + once)
        second += level[k] * (a * a * power + 2.0 * a * once + twice)
        steep += slope[k] * power
        power *= x
    return first, second, steep


@kernel(
    "void(f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[::1], f8[:, ::1], f8[:, ::1], f8[:, :, ::1], f8[:, ::1])",
)
def fill_bound(  # noqa: PLR0917 - kernels take positions only
    level: FloatArray,
    slope: FloatArray,
    strikes: FloatArray,
    root: FloatArray,
    values: FloatArray,
    rounding: FloatArray,
    by_level: FloatArray,
    by_slope: FloatArray,
) -> None:
    """The lower bound of ``n`` strikes, what rounding can do to it, and its derivatives by the moments.

    ``strikes`` (n, 5) is in z, c and Δ positive. ``root`` (n,) gets z*, infinite where k is out of reach; ``values``
    (n, 4) the results on the side out of the money; ``rounding`` (n, 4) their change per relative change of k;
    ``by_level`` (n, 4, terms) and ``by_slope`` (n, terms; of the slope by σ only) their gradients by the moments.
    """
    for n in range(root.size):
        vol, target = strikes[n, VOL], strikes[n, TARGET]
        z = _mean_root(level[n], strikes[n, MEAN], strikes[n, SPREAD], target)
        root[n] = z
        if abs(z) > Z_MAX:
            continue
        sign = 1.0 if z >= 0.0 else -1.0
        a, b, y = sign * strikes[n, MEAN], sign * strikes[n, SPREAD], abs(z)
        e, density = math.exp(a * y), INV_SQRT_2PI * math.exp(-0.5 * y * y)
        first, second, steep = _average_derivatives(level[n], slope[n], a, b, y)
        first, second, steep = e * first, e * second, e * steep + y * e * first / vol
        curvature, bend = density / abs(first), (y + second / first) / first
        partial = vega = 0.0
        older = upper_mills(y - a)
        newer = a * older + 1.0
        scale = y_power = power = 1.0
        for k in range(level.shape[1]):
            h = density * e * scale * older
            h_vol = density * e * scale * (a * newer + k * older) / vol
            once, _ = _power_derivatives(b * y, b, k, power)
            moved = e * power / first  # −∂y*/∂M_k
            partial += level[n, k] * h
            vega += slope[n, k] * h + level[n, k] * h_vol
            by_level[n, VALUE, k] = sign * h
            by_level[n, PARTIAL, k] = h + target * density * moved
            by_level[n, CURVATURE, k] = curvature * (bend * e * power - e * (a * power + once) / first)
            by_level[n, VOL_SLOPE, k] = sign * (h_vol + steep * density * moved)
            by_slope[n, k] = sign * h
            y_power *= y
            older, newer = newer, (k + 1) * older + a * newer + y_power
            scale *= b
            power *= b * y
        beyond = density * upper_mills(y)
        values[n, VALUE] = sign * (partial - target * beyond)
        values[n, PARTIAL] = partial
        values[n, CURVATURE] = curvature
        values[n, VOL_SLOPE] = sign * vega
        rounding[n, VALUE] = target * beyond
        rounding[n, PARTIAL] = target * target * curvature
        rounding[n, CURVATURE] = target * curvature * abs(bend)
        rounding[n, VOL_SLOPE] = target * abs(steep) * curvature
