"""Andreasen–Huge slices: option values from an implicit step in local variance, and the fit of that variance to quotes.

Everything is over the forward of its own expiry: x = K/F, k = ln x, value/F. The unknown of a slice is the
out-of-the-money time value p(x) = c(x) − max(1 − x, 0), the same for the call and the put. From the slice before
(p = 0 before the first) it follows by m implicit sub-steps of size r = 1/m in [1, eq. 6]

    (I − r·V·D) c_s = c_{s−1},      V(x) = x²·exp(u(k)),

with D the three-point second difference on the nodes and V the local variance integrated between the two expiries.
u is piecewise linear on knots in k, flat outside them. I − r·V·D is an M-matrix, so for *every* u

* c_s ≥ c_{s−1}: no calendar arbitrage;
* D c_s = (c_s − c_{s−1})/(r·V) ≥ 0: no butterfly arbitrage.

It is solved for the increment δ = c_s − c_{s−1} of a step, from δ − r·V·D δ = r·V·g_{s−1} with the density g_s = D
c_s = δ/(r·V). The first density is that of max(1 − x, 0): 2/(x₊ − x₋) at the node x = 1. Every operation then adds or
multiplies positive numbers: both inequalities hold in floating point, and wings of 1e-140 keep their relative digits.

The kernels take arrays and give arrays; :mod:`pricing.surface.andreasen_huge` is the way in.

References
----------
[1] J. Andreasen, B. Huge, "Volatility interpolation", Risk, March 2011, 76–79.
"""

# ruff: noqa: PLR0917 — kernels take their arrays by position

import math
from typing import Final, NamedTuple

import numpy as np

from pricing.compiled import kernel
from pricing.surface.normalised import FloatArray, IntArray

_MAX_STEP: Final = 1.0
"""Largest change of any u in one Gauss–Newton step: a factor e of local variance."""
_SMALL_GAIN: Final = 1e-3
"""Relative gain of the objective that ends the fit when it happens twice in a row"""
_NO_GAIN: Final = 1e-5
"""… and when it happens once: a warm start that is already there"""
_DERIVATIVE_HOLDS: Final = 0.05
"""Change of u, summed over steps, up to which the sensitivities are used again: half the cost of a step near the end"""
_MAX_DAMPING: Final = 1e7


class FitSettings(NamedTuple):
    """How a slice is fitted; the defaults were chosen on recorded chains, out of sample."""

    ridge: float = 1.0
    """weight of the squared distance to the mid, in half spreads: what keeps the surface calm inside the spread"""
    tolerance: float = 0.7
    """distance from the mid, in half spreads, beyond which a quote pulls harder"""
    linear_from: float = 0.2
    """excess over ``tolerance`` from which the pull no longer grows: an outlier must not bend the surface"""
    anchor: float = 1e-4
    """weight of (u − u₀)²: knots without a quote stay finite"""
    substeps: int = 2
    """implicit steps between two expiries; one gives Laplace kernels, which fit short expiries badly"""
    knot_distance_sd: float = 0.08
    """closest two knots, in deviations of the slice"""
    smallest_half_spread: float = 2e-6
    """floor of a half spread, over the forward"""
    max_iterations: int = 20
    reach_sd: float = 6.0
    """nodes farther from the quotes than this, in deviations, do not enter the sensitivities"""
    smallest_atm_increment: float = 0.05
    """floor of the at-the-money variance between two expiries in the start value, over the total variance"""


class Nodes(NamedTuple):
    """Strike nodes of a surface, all arrays (n_nodes,)."""

    k: FloatArray
    x: FloatArray
    """e^k, the first node moved to 0"""
    below: FloatArray
    """D's weight of the node below: 2/(h₋(h₋ + h₊)), h the distances in x"""
    above: FloatArray
    """D's weight of the node above: 2/(h₊(h₋ + h₊))"""
    atm: int
    """index of x = 1"""


class Targets(NamedTuple):
    """What a slice is fitted to: its quotes, then the caps that longer expiries put on it; arrays (n_targets,)."""

    node: IntArray
    mid: FloatArray
    half_spread: FloatArray
    n_quotes: int


class March(NamedTuple):
    """State of the sub-steps of one slice; m = number of sub-steps."""

    variance: FloatArray
    """V, (n_nodes,)"""
    lower: FloatArray
    """r·V·below, (n_nodes,)"""
    pivot: FloatArray
    """1/pivot of the elimination, (n_nodes,)"""
    upper: FloatArray
    """eliminated super-diagonal, (n_nodes,)"""
    density: FloatArray
    """g_s, (m + 1, n_nodes)"""
    value: FloatArray
    """p after the last sub-step, (n_nodes,)"""


@kernel()
def make_march(n: int, substeps: int) -> March:
    """Empty state for ``n`` nodes."""
    return March(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((substeps + 1, n)), np.zeros(n))


@kernel()
def make_nodes(base_k: FloatArray, quoted_k: FloatArray, merge_within: float) -> Nodes:
    """Union of base nodes, k = 0 and quoted log-moneynesses; nodes closer than ``merge_within`` become one, quotes win.

    ``base_k`` is sorted and reaches beyond all quotes. Near-duplicate nodes would blow up the second differences.
    """
    quoted = np.append(quoted_k, 0.0)
    quoted.sort()
    k = np.empty(base_k.size + quoted.size)
    n = 0
    i = 0
    for base in base_k:
        while i < quoted.size and quoted[i] <= base:
            if n > 0 and quoted[i] - k[n - 1] <= merge_within:
                n -= 1
            k[n] = quoted[i]
            n += 1
            i += 1
        if n == 0 or base - k[n - 1] > merge_within:
            k[n] = base
            n += 1
    k = k[:n].copy()
    x = np.exp(k)
    atm = int(np.argmin(np.abs(k)))
    k[atm] = 0.0
    x[atm] = 1.0
    x[0] = 0.0
    below = np.zeros(n)
    above = np.zeros(n)
    for j in range(1, n - 1):
        h0 = x[j] - x[j - 1]
        h1 = x[j + 1] - x[j]
        below[j] = 2.0 / (h0 * (h0 + h1))
        above[j] = 2.0 / (h1 * (h0 + h1))
    return Nodes(k, x, below, above, atm)


@kernel()
def nearest_node(k: FloatArray, wanted: float) -> int:
    """Index of the node closest to ``wanted``."""
    i = int(np.searchsorted(k, wanted))
    if i == 0:
        return 0
    if i == k.size or wanted - k[i - 1] < k[i] - wanted:
        return i - 1
    return i


@kernel()
def first_density(nodes: Nodes) -> FloatArray:
    """Density of max(1 − x, 0) on the nodes: all mass at x = 1."""
    g = np.zeros(nodes.k.size)
    g[nodes.atm] = 2.0 / (nodes.x[nodes.atm + 1] - nodes.x[nodes.atm - 1])
    return g


@kernel()
def set_variance(nodes: Nodes, hat: IntArray, weight: FloatArray, u: FloatArray, scale: float, march: March) -> None:
    """V = scale·x²·e^u, u linear between knots ``hat`` and ``hat + 1`` with ``weight`` on the upper one."""
    for i in range(nodes.k.size):
        j = hat[i]
        log_variance = (1.0 - weight[i]) * u[j] + weight[i] * u[j + 1]
        march.variance[i] = scale * nodes.x[i] * nodes.x[i] * math.exp(log_variance)


@kernel()
def step_all(nodes: Nodes, value: FloatArray, density: FloatArray, march: March) -> None:
    """From ``value`` and ``density`` of the slice before to those after all sub-steps with ``march.variance``.

    The factorisation (``lower``, ``pivot``, ``upper``) stays behind for the sensitivities. ``upper`` is kept below 1
    through its complement, so that no difference is taken.
    """
    n = nodes.k.size
    m = march.density.shape[0] - 1
    r = 1.0 / m
    complement = 1.0
    for i in range(1, n - 1):
        rv = r * march.variance[i]
        lower = rv * nodes.below[i]
        upper = rv * nodes.above[i]
        kept = 1.0 + lower * complement
        pivot = 1.0 / (kept + upper)
        march.lower[i] = lower
        march.pivot[i] = pivot
        march.upper[i] = upper * pivot
        complement = kept * pivot
    march.density[0] = density
    march.value[:] = value
    delta = np.empty(n)
    delta[0] = 0.0
    delta[n - 1] = 0.0
    for s in range(1, m + 1):
        for i in range(1, n - 1):
            source = r * march.variance[i] * march.density[s - 1, i]
            delta[i] = (source + march.lower[i] * delta[i - 1]) * march.pivot[i]
        for i in range(n - 2, 0, -1):
            delta[i] += march.upper[i] * delta[i + 1]
            march.density[s, i] = delta[i] / (r * march.variance[i])
            march.value[i] += delta[i]


@kernel()
def sensitivities(
    hat: IntArray,
    weight: FloatArray,
    march: March,
    first: int,
    last: int,
    n_knots: int,
    out: FloatArray,
) -> None:
    """∂p/∂u of every knot at the nodes ``first`` ≤ i < ``last``, into the first columns of ``out`` (n_nodes, ≥
    n_knots).

    (I − r·V·D) ∂c_s = ∂c_{s−1} + r·(∂V/∂u)·D c_s: one factorisation, a right-hand side per knot.
    """
    m = march.density.shape[0] - 1
    out[first - 1 : last + 1, :n_knots] = 0.0
    for s in range(1, m + 1):
        for i in range(first, last):
            j = hat[i]
            source = march.variance[i] * march.density[s, i] / m
            out[i, j] += (1.0 - weight[i]) * source
            out[i, j + 1] += weight[i] * source
            lower = march.lower[i]
            pivot = march.pivot[i]
            # Before the first back-substitution, a knot above this node has no effect here yet.
            reach = n_knots if s > 1 else min(n_knots, j + 2)
            row = out[i]
            before = out[i - 1]
            for c in range(reach):
                row[c] = (row[c] + lower * before[c]) * pivot
        for i in range(last - 2, first - 1, -1):
            upper = march.upper[i]
            row = out[i]
            after = out[i + 1]
            for c in range(n_knots):
                row[c] += upper * after[c]


@kernel()
def quote_loss(e: float, settings: FitSettings) -> tuple[float, float, float]:
    """Loss of a residual in half spreads, half its derivative, and its Gauss–Newton weight."""
    loss = settings.ridge * e * e
    half_slope = settings.ridge * e
    weight = settings.ridge
    excess = abs(e) - settings.tolerance
    if excess > 0.0:
        if excess <= settings.linear_from:
            loss += excess * excess
            half_slope += math.copysign(excess, e)
            weight += 1.0
        else:
            loss += settings.linear_from * (2.0 * excess - settings.linear_from)
            half_slope += math.copysign(settings.linear_from, e)
            weight += settings.linear_from / excess
    return loss, half_slope, weight


@kernel()
def residuals(
    value: FloatArray, targets: Targets, settings: FitSettings, half_slope: FloatArray, weight: FloatArray
) -> float:
    """Data loss; half its slope and its weight per unit of value, per target.

    A cap is the ask of a longer expiry: a one-sided residual that starts a tenth of a half spread below it.
    """
    total = 0.0
    for t in range(targets.node.size):
        h = targets.half_spread[t]
        e = (value[targets.node[t]] - targets.mid[t]) / h
        half_slope[t] = 0.0
        weight[t] = 0.0
        if t < targets.n_quotes:
            loss, slope, curvature = quote_loss(e, settings)
        elif e > -0.9:
            loss, slope, curvature = (e + 0.9) ** 2, e + 0.9, 1.0
        else:
            continue
        total += loss
        half_slope[t] = slope / h
        weight[t] = curvature / (h * h)
    return total


@kernel()
def roughness_rows(knots: FloatArray, sd: float) -> FloatArray:
    """Rows of ∫(u″)²dz, z = k/sd: three weights per inner knot, (n_knots, 3); the first and last row are 0."""
    rows = np.zeros((knots.size, 3))
    for j in range(1, knots.size - 1):
        h0 = (knots[j] - knots[j - 1]) / sd
        h1 = (knots[j + 1] - knots[j]) / sd
        scale = math.sqrt(2.0 / (h0 + h1))
        rows[j, 0] = scale / h0
        rows[j, 1] = -scale * (1.0 / h0 + 1.0 / h1)
        rows[j, 2] = scale / h1
    return rows


@kernel()
def penalty(u: FloatArray, anchor_u: float, rows: FloatArray, smoothing: float, settings: FitSettings) -> float:
    """λ·∫(u″)²dz + μ·Σ(u − u₀)²."""
    total = 0.0
    for j in range(1, u.size - 1):
        bend = rows[j, 0] * u[j - 1] + rows[j, 1] * u[j] + rows[j, 2] * u[j + 1]
        total += smoothing * bend * bend
    for value in u:
        total += settings.anchor * (value - anchor_u) ** 2
    return total


@kernel()
def normal_equations(
    u: FloatArray,
    anchor_u: float,
    rows: FloatArray,
    smoothing: float,
    settings: FitSettings,
    targets: Targets,
    half_slope: FloatArray,
    weight: FloatArray,
    derivative: FloatArray,
    gradient: FloatArray,
    hessian: FloatArray,
) -> None:
    """Half the gradient and the lower triangle of half the Gauss–Newton Hessian of the whole objective."""
    n = u.size
    hessian[:] = 0.0
    for j in range(n):
        gradient[j] = settings.anchor * (u[j] - anchor_u)
        hessian[j, j] = settings.anchor
    for j in range(1, n - 1):
        bend = rows[j, 0] * u[j - 1] + rows[j, 1] * u[j] + rows[j, 2] * u[j + 1]
        for a in range(3):
            gradient[j - 1 + a] += smoothing * rows[j, a] * bend
            for b in range(a + 1):
                hessian[j - 1 + a, j - 1 + b] += smoothing * rows[j, a] * rows[j, b]
    for t in range(targets.node.size):
        if weight[t] == 0.0:
            continue
        row = derivative[targets.node[t]]
        slope = half_slope[t]
        for a in range(n):
            gradient[a] += slope * row[a]
            scaled = weight[t] * row[a]
            line = hessian[a]
            for b in range(a + 1):
                line[b] += scaled * row[b]


@kernel()
def solve_damped(
    hessian: FloatArray, gradient: FloatArray, damping: float, factor: FloatArray, step: FloatArray
) -> None:
    """Solve (H + damping·diag(H)) step = −gradient by LDLᵀ of the lower triangle, column by column.

    The inner loops add a multiple of one row to another: no sum whose order a compiler could change.
    """
    n = gradient.size
    column = np.empty(n)
    for a in range(n):
        for b in range(a + 1):
            factor[a, b] = hessian[a, b]
        factor[a, a] += damping * (hessian[a, a] + 1e-9)
        step[a] = -gradient[a]
    for b in range(n):
        pivot = max(factor[b, b], 1e-300)
        factor[b, b] = pivot
        for a in range(b + 1, n):
            column[a] = factor[a, b]
        for a in range(b + 1, n):
            lower = column[a] / pivot
            line = factor[a]
            for c in range(b + 1, a + 1):
                line[c] -= lower * column[c]
            line[b] = lower
            step[a] -= lower * step[b]
    for a in range(n):
        step[a] /= factor[a, a]
    for a in range(n - 1, -1, -1):
        line = factor[a]
        for b in range(a):
            step[b] -= line[b] * step[a]


@kernel()
def place_knots(nodes: Nodes, knots: FloatArray, hat: IntArray, weight: FloatArray) -> None:
    """For every node the knot below it and the weight of the knot above (0 and 1 outside the knots)."""
    j = 0
    for i in range(nodes.k.size):
        while j < knots.size - 2 and nodes.k[i] > knots[j + 1]:
            j += 1
        hat[i] = j
        weight[i] = min(max((nodes.k[i] - knots[j]) / (knots[j + 1] - knots[j]), 0.0), 1.0)


@kernel()
def fit_slice(  # noqa: PLR0915 — one loop, its parts are above
    nodes: Nodes,
    value: FloatArray,
    density: FloatArray,
    knots: FloatArray,
    start_u: FloatArray,
    anchor_u: float,
    sd: float,
    smoothing: float,
    targets: Targets,
    settings: FitSettings,
    march: March,
    derivative: FloatArray,
) -> tuple[FloatArray, int, int]:
    """Local variance of one slice by Gauss–Newton with Levenberg–Marquardt damping.

    ``value`` and ``density`` (n_nodes,) belong to the slice before; ``march`` holds those of this slice afterwards.
    ``derivative`` is scratch of at least (n_nodes, n_knots). Returns u at the knots, the number of quotes
    outside their spread, and the number of iterations.
    """
    n = knots.size
    hat = np.empty(nodes.k.size, np.int64)
    weight_up = np.empty(nodes.k.size)
    place_knots(nodes, knots, hat, weight_up)
    rows = roughness_rows(knots, sd)
    low = nodes.k[targets.node[0]]
    high = nodes.k[targets.node[targets.n_quotes - 1]]
    first = max(np.searchsorted(nodes.k, low - settings.reach_sd * sd), 1)
    last = min(np.searchsorted(nodes.k, high + settings.reach_sd * sd), nodes.k.size - 1)
    u = start_u.copy()
    trial = start_u.copy()
    half_slope = np.empty(targets.node.size)
    weight = np.empty(targets.node.size)
    gradient = np.empty(n)
    hessian = np.empty((n, n))
    factor = np.empty((n, n))
    step = np.empty(n)
    cost = math.inf
    damping = 1e-4
    iterations = 0
    small_gains = 0
    moved = math.inf
    while True:
        set_variance(nodes, hat, weight_up, trial, 1.0, march)
        step_all(nodes, value, density, march)
        trial_cost = residuals(march.value, targets, settings, half_slope, weight)
        trial_cost += penalty(trial, anchor_u, rows, smoothing, settings)
        if trial_cost < cost:
            gain = (cost - trial_cost) / (trial_cost + 1e-300)
            small_gains = small_gains + 1 if gain < _SMALL_GAIN else 0
            converged = small_gains >= 2 or gain < _NO_GAIN
            cost = trial_cost
            u[:] = trial
            damping = max(damping * 0.2, 1e-10)
            if converged or iterations >= settings.max_iterations:
                break
            iterations += 1
            if moved > _DERIVATIVE_HOLDS:
                sensitivities(hat, weight_up, march, first, last, n, derivative)
                moved = 0.0
            normal_equations(
                u, anchor_u, rows, smoothing, settings, targets, half_slope, weight, derivative, gradient, hessian
            )
        else:
            damping = max(damping * 8.0, 1e-5)
            if damping > _MAX_DAMPING:
                set_variance(nodes, hat, weight_up, u, 1.0, march)
                step_all(nodes, value, density, march)
                break
        solve_damped(hessian, gradient, damping, factor, step)
        largest = np.max(np.abs(step))
        scale = 1.0 if largest < _MAX_STEP else _MAX_STEP / largest
        trial = u + scale * step
        moved += min(largest, _MAX_STEP)
    outside = 0
    for t in range(targets.n_quotes):
        if abs(march.value[targets.node[t]] - targets.mid[t]) > targets.half_spread[t]:
            outside += 1
    return u, outside, iterations
