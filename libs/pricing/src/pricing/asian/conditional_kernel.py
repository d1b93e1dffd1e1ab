"""Options on the average over the points of every randomisation. Formulas: :mod:`pricing.asian.conditional`."""

from typing import Final

import numpy as np

from pricing.asian.bound_kernel import upper_mills
from pricing.asian.conditional import CURVATURE, MEAN, PARTIAL, SPREAD, START, TARGET, VALUE, VOL, VOL_SLOPE
from pricing.black76 import FloatArray
from pricing.compiled import inlined, kernel
from pricing.elementary import exponential
from pricing.normal import INV_SQRT_2PI

_MAX_STEPS: Final = 12
_STEP_ERROR: Final = 1e-14


@inlined
def _sum_of_halves(values: FloatArray) -> float:
    """Sum of 2^j values, the second half added to the first again and again: vectorised, in a fixed order."""
    half = values.size // 2
    while half > 0:
        for p in range(half):
            values[p] += values[half + p]
        half //= 2
    total: float = values[0]
    return total


@inlined
def _mixed(moments: FloatArray, weights: FloatArray, r: int, out: FloatArray) -> None:
    """Moments of randomisation ``r`` for one strike: ``moments`` (q, randomisations, terms, points), q weights."""
    for k in range(out.shape[0]):
        for p in range(out.shape[1]):
            out[k, p] = weights[0] * moments[0, r, k, p]
        for q in range(1, weights.size):
            for p in range(out.shape[1]):
                out[k, p] += weights[q] * moments[q, r, k, p]


@inlined
def _polynomial(m: FloatArray, spread: float, y: FloatArray, P: FloatArray, P1: FloatArray) -> None:
    """P = Σ m_k·x^k and its derivative by x at x = Δy, for every point."""
    last = m.shape[0] - 1
    for p in range(y.size):
        P[p] = m[last, p]
        P1[p] = 0.0
    for k in range(last - 1, -1, -1):
        for p in range(y.size):
            x = spread * y[p]
            P1[p] = P1[p] * x + P[p]
            P[p] = P[p] * x + m[k, p]


@inlined
def _find_roots(  # noqa: PLR0917 - a step of a kernel takes positions only
    m: FloatArray, strike: FloatArray, y: FloatArray, P: FloatArray, P1: FloatArray, step: FloatArray
) -> None:
    """Set y to y* by Newton's method, and P, P1 to the polynomial there; the worst point decides when to stop."""
    c, spread = strike[MEAN], strike[SPREAD]
    for p in range(y.size):
        y[p] = strike[START]
    for _ in range(_MAX_STEPS):
        _polynomial(m, spread, y, P, P1)
        for p in range(y.size):
            e = exponential(c * y[p])
            step[p] = (e * P[p] - strike[TARGET]) / (e * (c * P[p] + spread * P1[p]))
            y[p] -= step[p]
        worst = 0.0
        for p in range(y.size):
            worst = max(worst, abs(step[p]))
        if worst * worst * (abs(c) + abs(spread)) < _STEP_ERROR:
            break
    _polynomial(m, spread, y, P, P1)


@inlined
def _integrate(m: FloatArray, s: FloatArray, strike: FloatArray, y: FloatArray, work: FloatArray) -> None:
    """Set the first rows of ``work`` to I and ∫ ∂A/∂σ·φ dy over e^(cy)·φ(y), from level m and slope s."""
    c, per_vol = strike[MEAN], 1.0 / strike[VOL]
    partial, vega, older, newer, power = work[0], work[1], work[2], work[3], work[4]
    for p in range(y.size):
        older[p] = upper_mills(y[p] - c)
        newer[p] = c * older[p] + 1.0
        partial[p] = m[0, p] * older[p]
        vega[p] = s[0, p] * older[p] + per_vol * c * m[0, p] * newer[p]
        power[p] = 1.0
    scale = 1.0
    for k in range(1, m.shape[0]):
        scale *= strike[SPREAD]
        for p in range(y.size):
            power[p] *= y[p]
            following = k * older[p] + c * newer[p] + power[p]
            older[p] = newer[p]
            newer[p] = following
            partial[p] += scale * m[k, p] * older[p]
            vega[p] += scale * (s[k, p] * older[p] + per_vol * m[k, p] * (c * following + k * older[p]))


@kernel("void(f8[:, :, :, ::1], f8[:, :, :, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, :, ::1])")
def fill_conditional(  # noqa: PLR0917 - kernels take positions only
    level: FloatArray,
    slope: FloatArray,
    mix: FloatArray,
    strikes: FloatArray,
    weight: FloatArray,
    means: FloatArray,
) -> None:
    """Weighted averages over the points of each randomisation, for ``n`` strikes: ``means`` (n, randomisations, 4).

    ``level`` and ``slope`` are path moments, ``mix`` (n, q) makes those of a strike from them. ``strikes`` (n, 5) is in
    y, signs turned for puts. ``weight`` has shape (randomisations, points).
    """
    randomisations, terms, points = level.shape[1:]
    m, s = np.empty((terms, points)), np.empty((terms, points))
    y, P, P1, work = np.empty(points), np.empty(points), np.empty(points), np.empty((5, points))
    partial, vega, value = work[0], work[1], work[2]
    for n in range(strikes.shape[0]):
        strike = strikes[n]
        c, spread, k = strike[MEAN], strike[SPREAD], strike[TARGET]
        sign = 1.0 if c >= 0.0 else -1.0
        for r in range(randomisations):
            _mixed(level, mix[n], r, m)
            _mixed(slope, mix[n], r, s)
            _find_roots(m, strike, y, P, P1, value)
            _integrate(m, s, strike, y, work)
            for p in range(points):
                w, e = weight[r, p], exponential(c * y[p])
                density = INV_SQRT_2PI * exponential(-0.5 * y[p] * y[p])
                partial[p] *= w * density * e
                vega[p] *= sign * w * density * e
                value[p] = sign * (partial[p] - w * k * density * upper_mills(y[p]))
                P[p] = w * density / abs(e * (c * P[p] + spread * P1[p]))
            means[n, r, VALUE] = _sum_of_halves(value) / points
            means[n, r, PARTIAL] = _sum_of_halves(partial) / points
            means[n, r, CURVATURE] = _sum_of_halves(P) / points
            means[n, r, VOL_SLOPE] = _sum_of_halves(vega) / points
