"""Smooth option values between the nodes of a surface, without giving up what the nodes guarantee.

Between nodes a value is linear in x plus the term of a cubic spline, ((A³ − A)·S₋ + (B³ − B)·S₊)·h²/6 with A = 1 − B
the position in the cell, h its width and S the second derivatives at its ends. Linear alone (S = 0) is free of
arbitrage because the nodes are; it ripples in vol. The natural spline's S is kept wherever it provably is free of
arbitrage as well:

* S ≥ 0 and no negative jump of the slope at a node: convex in x;
* the difference of two neighbouring expiries is a cubic in each cell: where its Bernstein coefficients are ≥ 0 it is
  ≥ 0 in the
  whole cell [1, §5.3]: ordered in time. The same holds for the value itself above a fifth of its linear part: positive.

Where one of these fails S is set to 0 at both ends of the cell, for both expiries, until nothing fails.

References
----------
[1] G. Farin, "Curves and Surfaces for CAGD", 5th ed., Morgan Kaufmann (2002): Bernstein form, convex hull property.
"""

# ruff: noqa: PLR0917 — kernels take their arrays by position

import math
from typing import Final

import numpy as np

from pricing.compiled import kernel
from pricing.surface.local_variance import Nodes
from pricing.surface.normalised import FloatArray, implied_sd

SLOPE_ROUNDING: Final = 1e-13
"""A slope jump above minus this counts as none: rounding of differences of values over the forward."""
_LINEAR_SHARE: Final = 0.2
_MAX_SWEEPS: Final = 200
_SPLINE_REACH: Final = 1.0
"""Log-moneyness beyond the outermost quotes where the spline ends; farther out values are linear between nodes."""
SMALLEST_VALUE: Final = 1e-290
"""Values below this have lost relative digits to underflow; vols beyond are continued from the last value above it."""


@kernel()
def natural_curvature(nodes: Nodes, density: FloatArray, low: float, high: float) -> FloatArray:
    """Second derivatives of the natural cubic spline through c = p + max(1 − x, 0), clipped to ≥ 0; (n_nodes,).

    ``density`` is the second difference of c at the nodes, from the step itself: differences of values would round.
    Zero farther than one unit of log-moneyness from the quotes, which lie in [low, high].
    """
    x = nodes.x
    n = x.size
    curvature = np.zeros(n)
    ratio = np.zeros(n)
    for i in range(1, n - 1):
        h0 = x[i] - x[i - 1]
        h1 = x[i + 1] - x[i]
        jump = 0.5 * density[i] * (h0 + h1)
        pivot = (h0 + h1) / 3.0 - h0 / 6.0 * ratio[i - 1]
        ratio[i] = h1 / 6.0 / pivot
        curvature[i] = (jump - h0 / 6.0 * curvature[i - 1]) / pivot
    for i in range(n - 2, 0, -1):
        curvature[i] -= ratio[i] * curvature[i + 1]
    for i in range(n):
        outside = not (low - _SPLINE_REACH < nodes.k[i] < high + _SPLINE_REACH)
        if outside or not curvature[i] > 0.0:
            curvature[i] = 0.0
    return curvature


@kernel()
def slope_jump(nodes: Nodes, density: FloatArray, curvature: FloatArray, i: int) -> float:
    """Jump of ∂c/∂x at inner node ``i``: the point mass there; negative would be a butterfly.

    The piecewise linear c has the mass density·(h₋ + h₊)/2 there, the spline terms spread it over the cells beside it.
    """
    h0 = nodes.x[i] - nodes.x[i - 1]
    h1 = nodes.x[i + 1] - nodes.x[i]
    spread = h0 * (curvature[i - 1] + 2.0 * curvature[i]) + h1 * (2.0 * curvature[i] + curvature[i + 1])
    return float(0.5 * density[i] * (h0 + h1) - spread / 6.0)


@kernel()
def smallest_inner_coefficient(p0: float, p1: float, s0: float, s1: float, h: float) -> float:
    """Smaller of the two inner Bernstein coefficients of a cell's cubic; the outer two are the end values."""
    bend = h * h / 18.0
    first = (2.0 * p0 + p1) / 3.0 - bend * (2.0 * s0 + s1)
    second = (p0 + 2.0 * p1) / 3.0 - bend * (s0 + 2.0 * s1)
    return min(first, second)


@kernel()
def cell_gap(
    nodes: Nodes, early: FloatArray, late: FloatArray, s_early: FloatArray, s_late: FloatArray, i: int
) -> float:
    """Lower bound of (late − early) inside the cell above node ``i``, from the inner Bernstein coefficients."""
    h = nodes.x[i + 1] - nodes.x[i]
    return smallest_inner_coefficient(
        late[i] - early[i], late[i + 1] - early[i + 1], s_late[i] - s_early[i], s_late[i + 1] - s_early[i + 1], h
    )


@kernel()
def _flatten(curvature: FloatArray, i: int) -> int:
    """Set the curvature at node ``i`` to 0; 1 if it was not, which also disturbs the two cells beside it."""
    if curvature[i] == 0.0:
        return 0
    curvature[i] = 0.0
    return 1


@kernel()
def _repair_slice(nodes: Nodes, value: FloatArray, density: FloatArray, curvature: FloatArray) -> int:
    """One sweep over a slice for convexity and positivity; returns the number of nodes it flattened."""
    changed = 0
    for i in range(1, nodes.k.size - 1):
        if curvature[i - 1] == 0.0 and curvature[i] == 0.0 and curvature[i + 1] == 0.0:
            continue
        if slope_jump(nodes, density, curvature, i) < -SLOPE_ROUNDING:
            changed += _flatten(curvature, i - 1) + _flatten(curvature, i) + _flatten(curvature, i + 1)
        h = nodes.x[i + 1] - nodes.x[i]
        share = 1.0 - _LINEAR_SHARE
        inner = smallest_inner_coefficient(share * value[i], share * value[i + 1], curvature[i], curvature[i + 1], h)
        if inner < 0.0:
            changed += _flatten(curvature, i) + _flatten(curvature, i + 1)
    return changed


@kernel()
def repair(nodes: Nodes, values: FloatArray, densities: FloatArray, curvatures: FloatArray) -> int:
    """Flatten ``curvatures`` (n_slices, n_nodes), in place, until every slice is convex and every pair is ordered.

    It ends: a node is flattened once, and with all of them flat the nodes' own guarantees hold. Returns how many were.
    """
    total = 0
    n_slices = values.shape[0]
    for _ in range(_MAX_SWEEPS):
        changed = 0
        for i in range(n_slices):
            changed += _repair_slice(nodes, values[i], densities[i], curvatures[i])
        for i in range(n_slices - 1):
            s0 = curvatures[i]
            s1 = curvatures[i + 1]
            for j in range(nodes.k.size - 1):
                if s0[j] == 0.0 and s0[j + 1] == 0.0 and s1[j] == 0.0 and s1[j + 1] == 0.0:
                    continue
                if cell_gap(nodes, values[i], values[i + 1], s0, s1, j) < 0.0:
                    changed += _flatten(s0, j) + _flatten(s0, j + 1) + _flatten(s1, j) + _flatten(s1, j + 1)
        total += changed
        if changed == 0:
            break
    return total


@kernel()
def cell_below(nodes: Nodes, k: float) -> int:
    """Index of the cell that holds ``k``; the first or last one beyond the nodes."""
    i = int(np.searchsorted(nodes.k, k)) - 1
    return min(max(i, 0), nodes.k.size - 2)


@kernel()
def value_at(nodes: Nodes, value: FloatArray, curvature: FloatArray, k: float) -> float:
    """Out-of-the-money value over the forward at log-moneyness ``k``; 0 beyond the nodes."""
    n = nodes.k.size
    if not (nodes.k[0] <= k <= nodes.k[n - 1]):
        return 0.0 if not math.isnan(k) else math.nan
    i = cell_below(nodes, k)
    if k == nodes.k[i + 1]:
        return float(value[i + 1])
    x = math.exp(k)
    h = nodes.x[i + 1] - nodes.x[i]
    b = min(max((x - nodes.x[i]) / h, 0.0), 1.0)
    a = 1.0 - b
    bend = a * (a * a - 1.0) * curvature[i] + b * (b * b - 1.0) * curvature[i + 1]
    return float(a * value[i] + b * value[i + 1] + bend * h * h / 6.0)


@kernel()
def values_at(nodes: Nodes, value: FloatArray, curvature: FloatArray, k: FloatArray) -> FloatArray:
    """:func:`value_at` of an array (n,)."""
    out = np.empty(k.size)
    for i in range(k.size):
        out[i] = value_at(nodes, value, curvature, k[i])
    return out


@kernel()
def derivatives_at(
    nodes: Nodes, value: FloatArray, curvature: FloatArray, k: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """c, ∂c/∂x and ∂²c/∂x² of the normalised call c = p + max(1 − x, 0) at x = e^k; three arrays (n,)."""
    c = np.empty(k.size)
    slope = np.empty(k.size)
    second = np.empty(k.size)
    for t in range(k.size):
        i = cell_below(nodes, k[t])
        x = math.exp(k[t])
        h = nodes.x[i + 1] - nodes.x[i]
        b = min(max((x - nodes.x[i]) / h, 0.0), 1.0)
        a = 1.0 - b
        s0 = curvature[i]
        s1 = curvature[i + 1]
        c[t] = value_at(nodes, value, curvature, k[t]) + max(1.0 - x, 0.0)
        slope[t] = (value[i + 1] - value[i]) / h + ((1.0 - 3.0 * a * a) * s0 + (3.0 * b * b - 1.0) * s1) * h / 6.0
        # Left of the forward c falls by 1 more than p; a cell never straddles it, x = 1 is a node.
        slope[t] -= 1.0 if nodes.k[i] < 0.0 else 0.0
        second[t] = a * s0 + b * s1
    return c, slope, second


@kernel()
def _last_representable(nodes: Nodes, value: FloatArray, upward: bool) -> float:
    """Log-moneyness of the outermost node on one side whose value has not underflowed."""
    step = 1 if upward else -1
    i = nodes.atm
    while 0 < i + step < nodes.k.size - 1 and value[i + step] > SMALLEST_VALUE:
        i += step
    return float(nodes.k[i])


@kernel()
def total_variances_at(nodes: Nodes, value: FloatArray, curvature: FloatArray, k: FloatArray) -> FloatArray:
    """Total implied variance σ²T at ``k`` (n,).

    Where the value has underflowed the variance continues in proportion to |k|, which is how the exponential tails of
    an implicit step end; no value in float64 depends on it.
    """
    out = np.empty(k.size)
    low = _last_representable(nodes, value, False)
    high = _last_representable(nodes, value, True)
    for i in range(k.size):
        inside = min(max(k[i], low), high)
        sd = implied_sd(inside, value_at(nodes, value, curvature, inside))
        stretch = k[i] / inside if inside != k[i] and inside != 0.0 else 1.0
        out[i] = sd * sd * stretch
    return out
