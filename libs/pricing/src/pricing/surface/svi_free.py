"""Raw SVI in coordinates that cover exactly the slices without butterfly arbitrage, after Martini and Mingone [1].

With l = k/σ, w = σ·N(l), N(l) = α + b·(ρ(l − μ) + √((l − μ)² + 1)), a = σα and m = σμ, a slice is free of butterflies
iff

* b(1 + |ρ|) ≤ 2 (Lee's moment bound),
* α exceeds α_F = sup_l [2lN′/(4 − |N′|) − n₀], n₀ = N − α: the first factor of g stays positive (Fukasawa's condition),
* σ ≥ σ* = sup_l [−G₂/(2G₁)], G₁ = (1 − lN′/(2N))² − N′²/16 and G₂ = N″ − N′²/(2N), over the l where G₂ < 0.

So (ln((α − α_F)/b), logit(b(1 + |ρ|)/2), atanh ρ, μ, ln(σ/σ* − 1)) takes any five real numbers. The suprema are
searched on a sinh grid and refined by golden section; a back-off of 1e-3 in σ absorbs what that leaves.

References
----------
[1] C. Martini, A. Mingone, "No arbitrage SVI", SIAM J. Financial Mathematics 13(1) (2022) 227–261 (arXiv 2005.03340).
"""

import math
from typing import Final

import numpy as np

from pricing.compiled import kernel
from pricing.surface.local_variance import solve_damped
from pricing.surface.normalised import FloatArray
from pricing.surface.svi_fit import inner_fit

_GRID_POINTS: Final = 97
_GRID_REACH: Final = 8.0
_GOLDEN_STEPS: Final = 30
_GOLDEN: Final = 0.6180339887498949
_BACK_OFF: Final = 1e-3
_MAX_ITERATIONS: Final = 60
_LARGEST_STEP: Final = 2.0
_CLOSEST: Final = -8.0
"""Lowest value of the two logarithmic distances to the boundary"""
_RAISE: Final = 1.5
_MAX_RAISES: Final = 60


@kernel()
def _moment_term(v: float, b: float, rho: float, mu: float) -> float:
    """The function under α_F's supremum at l = μ + sinh v."""
    y = math.sinh(v)
    z = math.sqrt(y * y + 1.0)
    slope = b * (rho + y / z)
    return 2.0 * (mu + y) * slope / (4.0 - abs(slope)) - b * (rho * y + z)


@kernel()
def _width_term(v: float, alpha: float, b: float, rho: float, mu: float) -> float:
    """The function under σ*'s supremum at l = μ + sinh v; 0 where G₂ ≥ 0."""
    y = math.sinh(v)
    z = math.sqrt(y * y + 1.0)
    level = alpha + b * (rho * y + z)
    slope = b * (rho + y / z)
    g2 = b / (z * z * z) - slope * slope / (2.0 * level)
    if g2 >= 0.0:
        return 0.0
    h = 1.0 - (mu + y) * slope / (2.0 * level)
    return -g2 / (2.0 * max(h * h - slope * slope / 16.0, 1e-14))


@kernel()
def _supremum(of_width: bool, alpha: float, b: float, rho: float, mu: float) -> float:
    """Supremum over l of one of the two terms."""
    best = -math.inf
    at = 0
    step = 2.0 * _GRID_REACH / (_GRID_POINTS - 1)
    for i in range(_GRID_POINTS):
        v = -_GRID_REACH + step * i
        value = _width_term(v, alpha, b, rho, mu) if of_width else _moment_term(v, b, rho, mu)
        if value > best:
            best = value
            at = i
    left = -_GRID_REACH + step * max(at - 1, 0)
    right = -_GRID_REACH + step * min(at + 1, _GRID_POINTS - 1)
    for _ in range(_GOLDEN_STEPS):
        c = right - _GOLDEN * (right - left)
        d = left + _GOLDEN * (right - left)
        fc = _width_term(c, alpha, b, rho, mu) if of_width else _moment_term(c, b, rho, mu)
        fd = _width_term(d, alpha, b, rho, mu) if of_width else _moment_term(d, b, rho, mu)
        best = max(best, fc, fd)
        if fc > fd:
            right = d
        else:
            left = c
    return best


@kernel()
def raw_parameters(x: FloatArray) -> FloatArray:
    """(a, b, ρ, m, σ) of five free coordinates."""
    rho = math.tanh(min(max(x[2], -6.0), 6.0))
    b = 2.0 / (1.0 + abs(rho)) / (1.0 + math.exp(-min(max(x[1], -30.0), 20.0)))
    mu = x[3]
    lowest = max(_supremum(False, 0.0, b, rho, mu), -b * math.sqrt(1.0 - rho * rho))
    alpha = lowest + b * (math.exp(min(max(x[0], -14.0), 30.0)))
    narrowest = _supremum(True, alpha, b, rho, mu)
    sigma = narrowest * (1.0 + _BACK_OFF + math.exp(min(max(x[4], -30.0), 30.0)))
    sigma = max(sigma, 1e-7)
    return np.array([sigma * alpha, b, rho, sigma * mu, sigma])


@kernel()
def free_coordinates(five: FloatArray) -> FloatArray:
    """Coordinates of the slice (a, b, ρ, m, σ), or of one close to it inside the set if it is outside."""
    rho = min(max(five[2], -0.999), 0.999)
    share = min(max(0.5 * five[1] * (1.0 + abs(rho)), 1e-8), 0.99)
    b = 2.0 * share / (1.0 + abs(rho))
    mu = five[3] / five[4]
    lowest = max(_supremum(False, 0.0, b, rho, mu), -b * math.sqrt(1.0 - rho * rho))
    above = max((five[0] / five[4] - lowest) / b, 1e-3)
    narrowest = _supremum(True, lowest + b * above, b, rho, mu)
    # Outside the set: more variance everywhere, which asks for less width, rather than a width that scales everything.
    for _ in range(_MAX_RAISES):
        if narrowest <= five[4]:
            break
        above *= _RAISE
        narrowest = _supremum(True, lowest + b * above, b, rho, mu)
    wider = max(five[4] / max(narrowest, 1e-12) - 1.0, 1e-3)
    return np.array([math.log(above), math.log(share / (1.0 - share)), math.atanh(rho), mu, math.log(wider)])


@kernel()
def _residuals(k: FloatArray, w: FloatArray, weight: FloatArray, x: FloatArray, out: FloatArray) -> float:
    """Weighted residuals at the coordinates ``x`` into ``out``; returns their sum of squares."""
    five = raw_parameters(x)
    cost = 0.0
    for i in range(k.size):
        d = k[i] - five[3]
        fitted = five[0] + five[1] * (five[2] * d + math.sqrt(d * d + five[4] * five[4]))
        out[i] = math.sqrt(weight[i]) * (fitted - w[i])
        cost += out[i] * out[i]
    return cost


@kernel()
def _descend(k: FloatArray, w: FloatArray, weight: FloatArray, begin: FloatArray) -> tuple[FloatArray, float]:
    """Levenberg–Marquardt with forward differences; coordinates and sum of squares."""
    x = begin.copy()
    trial = begin.copy()
    n = k.size
    now = np.empty(n)
    moved = np.empty(n)
    jacobian = np.empty((5, n))
    hessian = np.zeros((5, 5))
    gradient = np.zeros(5)
    factor = np.empty((5, 5))
    step = np.empty(5)
    cost = _residuals(k, w, weight, x, now)
    damping = 1e-3
    small = 0
    for _ in range(_MAX_ITERATIONS):
        for p in range(5):
            h = 1e-6 * (1.0 + abs(x[p]))
            trial[:] = x
            trial[p] += h
            _residuals(k, w, weight, trial, moved)
            for i in range(n):
                jacobian[p, i] = (moved[i] - now[i]) / h
        for p in range(5):
            gradient[p] = np.sum(jacobian[p] * now)
            for q in range(p + 1):
                hessian[p, q] = np.sum(jacobian[p] * jacobian[q])
        gain = -1.0
        while damping < 1e8:
            solve_damped(hessian, gradient, damping, factor, step)
            # Each coordinate has its own cap: at the boundary of the set two of them have no effect and run away.
            for p in range(5):
                trial[p] = x[p] + min(max(step[p], -_LARGEST_STEP), _LARGEST_STEP)
            trial[0] = max(trial[0], _CLOSEST)
            trial[4] = max(trial[4], _CLOSEST)
            trial_cost = _residuals(k, w, weight, trial, moved)
            if trial_cost < cost:
                gain = (cost - trial_cost) / (trial_cost + 1e-300)
                cost = trial_cost
                x[:] = trial
                now[:] = moved
                damping = max(damping * 0.15, 1e-12)
                break
            damping = max(damping * 6.0, 1e-6)
        small = small + 1 if gain < 1e-5 else 0
        if gain < 0.0 or small >= 3 or cost < 1e-18 * n:
            break
    return x, cost


@kernel()
def fit(k: FloatArray, w: FloatArray, weight: FloatArray, begin: FloatArray) -> FloatArray:
    """(a, b, ρ, m, σ) free of butterfly arbitrage that fits ``w`` at ``k``, (n,) each, from a start (a, b, ρ, m, σ).

    The set's boundary bends, so a second start has a wider vertex and the best (a, b, ρ) for that.
    """
    best = math.inf
    found = np.zeros(5)
    three = np.empty(3)
    for factor in (1.0, 5.0):
        trial = begin.copy()
        if factor > 1.0:
            sigma = begin[4] * factor
            inner_fit(k, w, weight, begin[3], sigma, three)
            c = max(three[2], 1e-9)
            trial = np.array([three[0], c / sigma, min(max(three[1] / c, -0.99), 0.99), begin[3], sigma])
        x, cost = _descend(k, w, weight, free_coordinates(trial))
        if cost < best:
            best = cost
            found = raw_parameters(x)
    return found
