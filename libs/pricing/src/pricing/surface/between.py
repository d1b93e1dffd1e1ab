"""Smiles at times that are not quoted: a fraction of the implicit step, V → θ·V.

The matrix (I − θ·r·V·D)⁻¹ commutes with V·D and both keep convex functions convex, so values rise with θ at every
node: a smile in between lies between its neighbours. θ is chosen such that the at-the-money total variance is linear
in time. Beyond the last expiry the last step goes on, before the first a part of the first one is taken.
"""

import math
from typing import Final

import numpy as np

from pricing.compiled import kernel
from pricing.surface.andreasen_huge import AndreasenHuge, ValueSmile
from pricing.surface.local_variance import Nodes, first_density, make_march, place_knots, set_variance, step_all
from pricing.surface.normalised import FloatArray, implied_sd
from pricing.surface.value_spline import natural_curvature, repair

_STEPS: Final = 30
_EDGE: Final = 1e-6


def smile_at(surface: AndreasenHuge, tau_years: float, *, atm_variance: float | None = None) -> ValueSmile:
    """Smile of a surface at any time > 0.

    ``atm_variance`` is the total variance wanted at the money, taken as far as it lies between the neighbours' own; by
    default it is linear in time. It has no effect beyond the last expiry.

    Free of butterfly arbitrage, and ordered in time against the quoted expiries at every node. Raises
    :class:`ValueError` if ``tau_years`` is not positive.
    """
    if not (0.0 < tau_years < math.inf):
        raise ValueError(f"tau_years = {tau_years!r} is not positive and finite; ask for a later time")
    taus = np.array([one.tau_years for one in surface.quotes])
    i = int(np.searchsorted(taus, tau_years))
    if i < taus.size and taus[i] == tau_years:
        return surface.smile(i)
    if i == taus.size:
        return _beyond(surface, tau_years)
    before = surface.smile(i - 1) if i > 0 else None
    after = surface.smile(i)
    target = _atm_variance_between(before, after, tau_years)
    if atm_variance is not None:
        lowest = 0.0 if before is None else atm_total_variance(before)
        target = min(max(atm_variance, lowest + _EDGE * target), atm_total_variance(after) * (1.0 - _EDGE))
    return _part_of_step(surface, i, before, target, tau_years)


def atm_total_variance(smile: ValueSmile) -> float:
    """Total variance at k = 0."""
    return float(smile.total_variance(np.zeros(1))[0])


def _atm_variance_between(before: ValueSmile | None, after: ValueSmile, tau_years: float) -> float:
    w0, t0 = (0.0, 0.0) if before is None else (atm_total_variance(before), before.tau_years)
    share = (tau_years - t0) / (after.tau_years - t0)
    return w0 + share * (atm_total_variance(after) - w0)


def _beyond(surface: AndreasenHuge, tau_years: float) -> ValueSmile:
    """Go on from the last expiry with its own local variance per unit of time."""
    last = len(surface.quotes) - 1
    end = surface.smile(last)
    start = surface.quotes[last - 1].tau_years if last > 0 else 0.0
    fraction = (tau_years - end.tau_years) / (end.tau_years - start)
    return _step(surface, last, end, fraction, tau_years)


def _part_of_step(
    surface: AndreasenHuge, i: int, before: ValueSmile | None, target: float, tau_years: float
) -> ValueSmile:
    knots, u = surface.local_variance(i)
    value, density = _origin(surface, before)
    fraction = _fraction_for(surface.nodes, knots, u, value, density, surface.settings.substeps, target)
    return _step(surface, i, before, fraction, tau_years)


def _origin(surface: AndreasenHuge, before: ValueSmile | None) -> tuple[FloatArray, FloatArray]:
    if before is None:
        return np.zeros(surface.nodes.k.size), np.asarray(first_density(surface.nodes))
    return before.values, before.density


def _step(surface: AndreasenHuge, i: int, before: ValueSmile | None, fraction: float, tau_years: float) -> ValueSmile:
    """Take ``fraction`` of the step of slice ``i`` from ``before``, with a spline of its own."""
    knots, u = surface.local_variance(i)
    value, density = _origin(surface, before)
    k = surface.quotes[i].log_moneyness
    values, densities = fractional_step(surface.nodes, knots, u, value, density, surface.settings.substeps, fraction)
    curvature = np.asarray(natural_curvature(surface.nodes, densities, k[0], k[-1]))
    repair(surface.nodes, values[None, :], densities[None, :], curvature[None, :])
    return ValueSmile(tau_years, surface.nodes, values, curvature, densities)


@kernel()
def fractional_step(  # noqa: PLR0917 — a kernel takes its arrays by position
    nodes: Nodes,
    knots: FloatArray,
    u: FloatArray,
    value: FloatArray,
    density: FloatArray,
    substeps: int,
    fraction: float,
) -> tuple[FloatArray, FloatArray]:
    """Values and densities (n_nodes,) after the sub-steps with local variance ``fraction``·x²·e^u."""
    march = make_march(nodes.k.size, substeps)
    hat = np.empty(nodes.k.size, np.int64)
    weight = np.empty(nodes.k.size)
    place_knots(nodes, knots, hat, weight)
    set_variance(nodes, hat, weight, u, fraction, march)
    step_all(nodes, value, density, march)
    return march.value, march.density[substeps].copy()


@kernel()
def _fraction_for(  # noqa: PLR0917 — a kernel takes its arrays by position
    nodes: Nodes,
    knots: FloatArray,
    u: FloatArray,
    value: FloatArray,
    density: FloatArray,
    substeps: int,
    target: float,
) -> float:
    """The θ in (0, 1) at which the at-the-money total variance is ``target``, by bracketed secants."""
    low = 0.0
    high = 1.0
    sd = implied_sd(0.0, value[nodes.atm]) if value[nodes.atm] > 0.0 else 0.0
    w_low = sd * sd
    sd = implied_sd(0.0, fractional_step(nodes, knots, u, value, density, substeps, 1.0)[0][nodes.atm])
    w_high = sd * sd
    theta = 1.0
    for i in range(_STEPS):
        # Regula falsi stalls on one side; every third step halves the bracket instead.
        secant = low + (high - low) * (target - w_low) / (w_high - w_low) if w_high > w_low else 0.5 * (low + high)
        theta = 0.5 * (low + high) if i % 3 == 2 else secant
        values, _ = fractional_step(nodes, knots, u, value, density, substeps, theta)
        sd = implied_sd(0.0, values[nodes.atm])
        w = sd * sd
        if abs(w - target) <= 1e-12 * target:
            break
        if w < target:
            low = theta
            w_low = w
        else:
            high = theta
            w_high = w
    return theta
