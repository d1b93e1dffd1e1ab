"""Compiled least squares for raw SVI: a quasi-explicit start, then Levenberg–Marquardt with analytic derivatives.

With y = (k − m)/σ a slice is linear in three of its five numbers, w = a + d·y + c·√(1 + y²) with d = bσρ and c = bσ
[1, §3]: for given (m, σ) the best three solve a 3 × 3 system. The start is the best of a coarse grid of (m, ln σ),
improved by a pattern search. The finish works on (ln w_min, ln b, atanh ρ, m, ln σ), in which variances stay positive
and |ρ| < 1.

References
----------
[1] S. De Marco, C. Martini, "Quasi-explicit calibration of Gatheral's SVI model", Zeliade Systems (2009).
"""

# ruff: noqa: PLR0917 — kernels take their arrays by position

import math
from typing import Final

import numpy as np

from pricing.compiled import kernel
from pricing.surface.local_variance import solve_damped
from pricing.surface.normalised import FloatArray

_LARGEST_RHO: Final = 0.999
_STEEPEST_WING: Final = 2.0
_GRID_SHIFTS: Final = 7
_GRID_WIDTHS: Final = 5
_PATTERN_STEPS: Final = 30
_MAX_ITERATIONS: Final = 60
_LARGEST_STEP: Final = 2.0
_VERTEX_POINTS: Final = 201


@kernel()
def inner_fit(k: FloatArray, w: FloatArray, weight: FloatArray, m: float, sigma: float, out: FloatArray) -> float:
    """Best (a, d, c) of given (m, σ) into ``out``; returns the weighted sum of squares.

    Admissible: c ≥ 0, |d| ≤ 0.999·c, steepest wing (c + |d|)/σ ≤ 2, smallest variance a + √(c² − d²) ≥ 0. Outside
    that set the best points of its faces are taken instead.
    """
    s0 = s1 = s2 = s11 = s12 = t0 = t1 = t2 = ww = 0.0
    for i in range(k.size):
        y = (k[i] - m) / sigma
        z = math.sqrt(1.0 + y * y)
        q = weight[i]
        qy = q * y
        qz = q * z
        v = w[i]
        s0 += q
        s1 += qy
        s2 += qz
        s11 += qy * y
        s12 += qy * z
        t0 += q * v
        t1 += qy * v
        t2 += qz * v
        ww += q * v * v
    s22 = s0 + s11  # z² = 1 + y²
    # Centred on the weighted means the 3 × 3 system becomes 2 × 2.
    c11 = s11 - s1 * s1 / s0
    c12 = s12 - s1 * s2 / s0
    c22 = s22 - s2 * s2 / s0
    b1 = t1 - s1 * t0 / s0
    b2 = t2 - s2 * t0 / s0
    rest = ww - t0 * t0 / s0
    det = c11 * c22 - c12 * c12
    if det > 1e-14 * c11 * c22:
        d = (b1 * c22 - b2 * c12) / det
        c = (b2 * c11 - b1 * c12) / det
        a = (t0 - d * s1 - c * s2) / s0
        inside = c >= 0.0 and abs(d) <= _LARGEST_RHO * c and c + abs(d) <= _STEEPEST_WING * sigma
        if inside and a + math.sqrt(c * c - d * d) >= 0.0:
            out[0] = a
            out[1] = d
            out[2] = c
            return rest - d * b1 - c * b2
    best = math.inf
    for j in range(5):
        r = (-_LARGEST_RHO, -0.6, 0.0, 0.6, _LARGEST_RHO)[j]
        cu = c22 + r * r * c11 + 2.0 * r * c12
        bu = b2 + r * b1
        c = min(max(bu / cu, 0.0), _STEEPEST_WING * sigma / (1.0 + abs(r))) if cu > 0.0 else 0.0
        a = max((t0 - c * (s2 + r * s1)) / s0, -c * math.sqrt(1.0 - r * r))
        shift = a - (t0 - c * (s2 + r * s1)) / s0
        cost = rest - 2.0 * c * bu + c * c * cu + s0 * shift * shift
        if cost < best:
            best = cost
            out[0] = a
            out[1] = r * c
            out[2] = c
    return best


@kernel()
def start(k: FloatArray, w: FloatArray, weight: FloatArray, centre: float) -> FloatArray:
    """(a, b, ρ, m, σ) by the quasi-explicit search; ``centre`` shifts the grid, in deviations, for a second try."""
    three = np.empty(3)
    atm = np.interp(0.0, k, w)
    sd = math.sqrt(max(atm, 1e-12))
    spread = max(k[-1] - k[0], 1e-6)
    unit = min(sd, spread)
    best = math.inf
    m = 0.0
    log_sigma = math.log(unit)
    for i in range(_GRID_SHIFTS):
        for j in range(_GRID_WIDTHS):
            m_try = (centre + (i - _GRID_SHIFTS // 2) * 0.5) * unit
            s_try = math.log(unit) - 2.4 + 0.8 * j
            cost = inner_fit(k, w, weight, m_try, math.exp(s_try), three)
            if cost < best:
                best = cost
                m = m_try
                log_sigma = s_try
    reach = 0.5
    for _ in range(_PATTERN_STEPS):
        improved = False
        scale = min(math.exp(log_sigma), unit) if reach < 0.2 else unit
        for q in range(4):
            m_try = m + (reach * scale if q == 0 else -reach * scale if q == 1 else 0.0)
            s_try = log_sigma + (reach if q == 2 else -reach if q == 3 else 0.0)
            cost = inner_fit(k, w, weight, m_try, math.exp(s_try), three)
            if cost < best:
                best = cost
                m = m_try
                log_sigma = s_try
                improved = True
                break
        if not improved:
            reach *= 0.5
            if reach < 0.02:
                break
    sigma = math.exp(log_sigma)
    inner_fit(k, w, weight, m, sigma, three)
    b = max(three[2] / sigma, 1e-6)
    rho = min(max(three[1] / max(three[2], 1e-300), -_LARGEST_RHO), _LARGEST_RHO)
    floor = 1e-3 * np.min(w)
    a = max(three[0], floor - b * sigma * math.sqrt(1.0 - rho * rho))
    return np.array([a, b, rho, m, sigma])


@kernel()
def finish(
    k: FloatArray, w: FloatArray, weight: FloatArray, begin: FloatArray, max_iterations: int
) -> tuple[FloatArray, float]:
    """Levenberg–Marquardt from (a, b, ρ, m, σ); returns the same five and the weighted sum of squares."""
    root = begin[1] * begin[4] * math.sqrt(1.0 - begin[2] * begin[2])
    x = np.empty(5)
    x[0] = math.log(max(begin[0] + root, 1e-3 * np.min(w)))
    x[1] = math.log(max(begin[1], 1e-9))
    x[2] = math.atanh(min(max(begin[2], -_LARGEST_RHO), _LARGEST_RHO))
    x[3] = begin[3]
    x[4] = math.log(begin[4])
    trial = x.copy()
    hessian = np.zeros((5, 5))
    gradient = np.zeros(5)
    next_hessian = np.zeros((5, 5))
    next_gradient = np.zeros(5)
    factor = np.empty((5, 5))
    step = np.empty(5)
    cost = math.inf
    damping = 1e-3
    small = 0
    for _ in range(max_iterations + 1):
        trial_cost = _evaluate(k, w, weight, trial, next_gradient, next_hessian)
        if trial_cost < cost:
            gain = (cost - trial_cost) / (trial_cost + 1e-300)
            cost = trial_cost
            x[:] = trial
            gradient[:] = next_gradient
            hessian[:] = next_hessian
            damping = max(damping * 0.15, 1e-12)
            small = small + 1 if gain < 1e-4 else 0
            if small >= 2 or gain < 1e-8 or cost < 1e-18 * k.size:
                break
        else:
            damping = max(damping * 8.0, 1e-9)
            if damping > 1e8:
                break
        solve_damped(hessian, gradient, damping, factor, step)
        largest = 0.0
        for p in range(5):
            largest = max(largest, abs(step[p]))
        scale = 1.0 if largest < _LARGEST_STEP else _LARGEST_STEP / largest
        for p in range(5):
            trial[p] = x[p] + scale * step[p]
        trial[2] = min(max(trial[2], -6.0), 6.0)
        trial[4] = min(max(trial[4], -12.0), 5.0)
    b = math.exp(x[1])
    rho = math.tanh(x[2])
    sigma = math.exp(x[4])
    a = math.exp(x[0]) - b * sigma * math.sqrt(1.0 - rho * rho)
    return np.array([a, b, rho, x[3], sigma]), cost


@kernel()
def _evaluate(
    k: FloatArray, w: FloatArray, weight: FloatArray, x: FloatArray, gradient: FloatArray, hessian: FloatArray
) -> float:
    """Sum of squares, half its gradient and half its Gauss–Newton Hessian (lower triangle) at the coordinates ``x``."""
    floor = math.exp(min(x[0], 5.0))
    b = math.exp(min(x[1], 5.0))
    rho = math.tanh(x[2])
    bar = math.sqrt(1.0 - rho * rho)
    sigma = math.exp(x[4])
    cost = 0.0
    for p in range(5):
        gradient[p] = 0.0
        for q in range(p + 1):
            hessian[p, q] = 0.0
    slope_rho = (1.0 - rho * rho) * b
    for i in range(k.size):
        d = k[i] - x[3]
        z = math.sqrt(d * d + sigma * sigma)
        wing = b * (rho * d + z - sigma * bar)
        error = floor + wing - w[i]
        q = weight[i]
        j0 = floor
        j1 = wing
        j2 = slope_rho * (d + sigma * rho / bar)
        j3 = -b * (rho + d / z)
        j4 = b * sigma * (sigma / z - bar)
        e = q * error
        cost += e * error
        gradient[0] += e * j0
        gradient[1] += e * j1
        gradient[2] += e * j2
        gradient[3] += e * j3
        gradient[4] += e * j4
        hessian[0, 0] += q * j0 * j0
        hessian[1, 0] += q * j1 * j0
        hessian[1, 1] += q * j1 * j1
        hessian[2, 0] += q * j2 * j0
        hessian[2, 1] += q * j2 * j1
        hessian[2, 2] += q * j2 * j2
        hessian[3, 0] += q * j3 * j0
        hessian[3, 1] += q * j3 * j1
        hessian[3, 2] += q * j3 * j2
        hessian[3, 3] += q * j3 * j3
        hessian[4, 0] += q * j4 * j0
        hessian[4, 1] += q * j4 * j1
        hessian[4, 2] += q * j4 * j2
        hessian[4, 3] += q * j4 * j3
        hessian[4, 4] += q * j4 * j4
    return cost


@kernel()
def is_systematic(k: FloatArray, w: FloatArray, weight: FloatArray, five: FloatArray) -> bool:
    """Whether neighbouring residuals resemble each other: a wrong minimum bends, noise does not.

    Durbin and Watson's ratio Σ(e_i − e_{i−1})²/Σe_i² is about 2 for noise; below 1 counts as systematic.
    """
    squares = 0.0
    differences = 0.0
    before = 0.0
    for i in range(k.size):
        d = k[i] - five[3]
        fitted = five[0] + five[1] * (five[2] * d + math.sqrt(d * d + five[4] * five[4]))
        e = math.sqrt(weight[i]) * (fitted - w[i])
        squares += e * e
        if i > 0:
            differences += (e - before) ** 2
        before = e
    return differences < squares


@kernel()
def fit_cold(k: FloatArray, w: FloatArray, weight: FloatArray) -> FloatArray:
    """(a, b, ρ, m, σ) of total variances ``w`` at ``k`` with weights, each (n,); from scratch."""
    five, cost = finish(k, w, weight, start(k, w, weight, 0.0), _MAX_ITERATIONS)
    if cost > 1e-9 * np.sum(weight * w * w) and is_systematic(k, w, weight, five):
        for j in range(2):
            other, other_cost = finish(k, w, weight, start(k, w, weight, (-2.5, 2.5)[j]), _MAX_ITERATIONS)
            if other_cost < cost:
                cost = other_cost
                five = other
    return five


@kernel()
def fit_warm(k: FloatArray, w: FloatArray, weight: FloatArray, before: FloatArray) -> FloatArray:
    """The same from an earlier (a, b, ρ, m, σ)."""
    return finish(k, w, weight, before, _MAX_ITERATIONS)[0]


@kernel()
def g_at(five: FloatArray, k: float) -> float:
    """g(k) of Gatheral and Jacquier for raw SVI (a, b, ρ, m, σ)."""
    d = k - five[3]
    z = math.sqrt(d * d + five[4] * five[4])
    w = five[0] + five[1] * (five[2] * d + z)
    first = five[1] * (five[2] + d / z)
    second = five[1] * five[4] * five[4] / (z * z * z)
    if not w > 0.0:
        return -math.inf
    u = 1.0 - 0.5 * k * first / w
    return float(u * u - 0.25 * first * first * (1.0 / w + 0.25) + 0.5 * second)


@kernel()
def smallest_g(five: FloatArray, low: float, high: float) -> tuple[float, float]:
    """Smallest g on [low, high] and its k: sinh-spaced points around the vertex, then golden section at the best."""
    m = five[3]
    sigma = five[4]
    v0 = math.asinh((low - m) / sigma)
    v1 = math.asinh((high - m) / sigma)
    n = _VERTEX_POINTS
    best = math.inf
    at = 0
    for i in range(n):
        value = g_at(five, m + sigma * math.sinh(v0 + (v1 - v0) * i / (n - 1)))
        if value < best:
            best = value
            at = i
    left = v0 + (v1 - v0) * max(at - 1, 0) / (n - 1)
    right = v0 + (v1 - v0) * min(at + 1, n - 1) / (n - 1)
    where = m + sigma * math.sinh(v0 + (v1 - v0) * at / (n - 1))
    golden = 0.6180339887498949
    for _ in range(40):
        c = right - golden * (right - left)
        d = left + golden * (right - left)
        kc = m + sigma * math.sinh(c)
        kd = m + sigma * math.sinh(d)
        gc = g_at(five, kc)
        gd = g_at(five, kd)
        if gc < best:
            best = gc
            where = kc
        if gd < best:
            best = gd
            where = kd
        if gc < gd:
            right = d
        else:
            left = c
    return best, where
