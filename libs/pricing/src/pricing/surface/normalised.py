"""Normalised Black prices inside compiled kernels: a value over its forward, as a function of ln(K/F) and total
deviation.

With k = ln(K/F), s = σ√T, d1 = −k/s + s/2 and d2 = d1 − s, the undiscounted value of the out-of-the-money option over F
is N(d1) − e^k·N(d2) for k ≥ 0, and the put's e^k·N(−d2) − N(−d1) for k < 0. Because e^k·φ(d2) = φ(d1), both are
φ(d)·[Y(h + s/2) − Y(h − s/2)] up to a factor e^(k/2), with h = −|k|/s and the Mills ratio Y(z) = N(z)/φ(z): a form that
keeps its digits far out of the money, where the difference of two tails has none [1, §2].

References
----------
[1] P. Jäckel, "Let's Be Rational", Wilmott 75 (2015) 40–53.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from pricing.compiled import kernel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SQRT_HALF: Final = math.sqrt(0.5)
_HALF_LOG_2PI: Final = 0.5 * math.log(2.0 * math.pi)
_SQRT_HALF_PI: Final = math.sqrt(0.5 * math.pi)
_FRACTION_BELOW: Final = -8.0
"""Below this the Mills ratio is taken from its continued fraction: erfc·exp loses a digit per 10 in z² before."""
_FRACTION_TERMS: Final = 24
_SERIES_LIMIT: Final = 0.05
"""Below this size of t/max(1, |h|), t = s/2, the difference of two Mills ratios is taken from its Taylor series."""
_SERIES_TERMS: Final = 5
_MAX_ITERATIONS: Final = 60
_CONVERGED: Final = 1e-7
"""Relative step after which the error is below rounding: the iteration is of third order."""
_SMALLEST_SD: Final = 1e-9
_LARGEST_SD: Final = 40.0


@kernel()
def mills(z: float) -> float:
    """N(z)/φ(z); for z far below 0 by its continued fraction 1/(−z + 1/(−z + 2/(−z + …)))."""
    if z > _FRACTION_BELOW:
        return _SQRT_HALF_PI * math.erfc(-_SQRT_HALF * z) * math.exp(0.5 * z * z)
    tail = -z
    for n in range(_FRACTION_TERMS, 0, -1):
        tail = -z + n / tail
    return 1.0 / tail


@kernel()
def mills_gap(h: float, t: float) -> float:
    """Y(h + t) − Y(h − t) for h ≤ 0 ≤ t; by its Taylor series if t is small, where the difference has no digits.

    The series is 2·Σ t^(2n+1)·Y⁽²ⁿ⁺¹⁾(h)/(2n+1)! with Y′ = 1 + hY and Y⁽ⁿ⁺¹⁾ = hY⁽ⁿ⁾ + nY⁽ⁿ⁻¹⁾. In the wings
    Y⁽ⁿ⁾ ~ n!/|h|ⁿ⁺¹: digits that the recursion loses there belong to terms that are smaller by (t/h)².
    """
    if t >= _SERIES_LIMIT * max(1.0, -h):
        return mills(h + t) - mills(h - t)
    if h > _FRACTION_BELOW:
        even = mills(h)
        odd = 1.0 + h * even
    else:
        # Y = 1/(−h + 1/f) and 1 + hY = Y/f, f = −h + 2/(−h + 3/(−h + …)): no cancellation.
        f = -h
        for n in range(_FRACTION_TERMS, 1, -1):
            f = -h + n / f
        even = 1.0 / (-h + 1.0 / f)
        odd = even / f
    power = t
    total = power * odd
    for n in range(2, 2 * _SERIES_TERMS, 2):
        even = h * odd + (n - 1) * even
        odd = h * even + n * odd
        power *= t * t / (n * (n + 1))
        total += power * odd
    return 2.0 * total


@kernel()
def log_otm_value(k: float, sd: float) -> float:
    """Logarithm of the out-of-the-money value over the forward; ``sd`` > 0."""
    h = -abs(k) / sd
    t = 0.5 * sd
    if h + t > 5.0:  # deep in the flat part: the value is 1 (or e^k) less a tail
        d1 = -k / sd + t
        d2 = d1 - sd
        if k >= 0:
            return math.log1p(-0.5 * math.erfc(_SQRT_HALF * d1) - math.exp(k) * 0.5 * math.erfc(-_SQRT_HALF * d2))
        return k + math.log1p(-0.5 * math.erfc(-_SQRT_HALF * d2) - math.exp(-k) * 0.5 * math.erfc(_SQRT_HALF * d1))
    return 0.5 * k - 0.5 * (h * h + t * t) - _HALF_LOG_2PI + math.log(mills_gap(h, t))


@kernel()
def otm_value(k: float, sd: float) -> float:
    """Out-of-the-money value over the forward at total deviation ``sd`` (0 at ``sd`` = 0)."""
    if sd <= 0.0:
        return 0.0
    return math.exp(log_otm_value(k, sd))


@kernel()
def implied_sd(k: float, value: float) -> float:
    """Total deviation σ√T of an out-of-the-money value over the forward; NaN outside (0, min(1, e^k)).

    Newton on ln(value), which is concave and increasing in σ√T, inside a bracket: from the left it converges without
    overshooting; a step that leaves the bracket is replaced by bisection.
    """
    ceiling = 1.0 if k >= 0 else math.exp(k)
    if not (0.0 < value < ceiling):
        return math.nan
    target = math.log(value)
    low = _SMALLEST_SD
    high = _LARGEST_SD
    # ln value = −k²/(2s²) + … far from the money, value = s/√(2π) at it; the larger of both roots is a near miss.
    depth = 0.5 * k - target
    sd = max(math.sqrt(2.0 * math.pi) * value * math.exp(-0.5 * k), abs(k) / math.sqrt(2.0 * max(depth, 1e-3)))
    sd = min(max(sd, low), 10.0)
    for _ in range(_MAX_ITERATIONS):
        error = log_otm_value(k, sd) - target
        if error > 0.0:
            high = sd
        else:
            low = sd
        h = -abs(k) / sd
        t = 0.5 * sd
        # d ln value/ds = φ(d1)/value: the reciprocal of the Mills gap where the value is in that form.
        slope = math.exp(0.5 * k - 0.5 * (h * h + t * t) - _HALF_LOG_2PI - target - error)
        step = error / slope if slope > 0.0 else math.inf
        # Halley's correction, with d²ln v/ds² = slope·(h²/s − s/4 − slope).
        bend = 0.5 * (h * h / sd - 0.25 * sd - slope)
        damped = step / (1.0 - step * bend) if step * bend < 0.5 else step
        following = sd - damped
        if abs(following - sd) < _CONVERGED * sd:
            return following
        if not (low < following < high):
            following = 0.5 * (low + high) if high < _LARGEST_SD else 2.0 * sd
        sd = following
    return sd


@kernel()
def implied_sds(k: FloatArray, value: FloatArray) -> FloatArray:
    """:func:`implied_sd` of arrays of one shape (n,)."""
    out = np.empty(k.size)
    for i in range(k.size):
        out[i] = implied_sd(k[i], value[i])
    return out


@kernel()
def otm_values(k: FloatArray, sd: FloatArray) -> FloatArray:
    """:func:`otm_value` of arrays of one shape (n,)."""
    out = np.empty(k.size)
    for i in range(k.size):
        out[i] = otm_value(k[i], sd[i])
    return out
