"""Fit of all expiries of a surface in one compiled call: caps from longer expiries, knots, start values, the λ path."""

# ruff: noqa: PLR0917 — kernels take their arrays by position

import math
from typing import NamedTuple

import numpy as np

from pricing.compiled import kernel
from pricing.surface.local_variance import (
    FitSettings,
    Nodes,
    Targets,
    first_density,
    fit_slice,
    make_march,
    nearest_node,
)
from pricing.surface.normalised import FloatArray, IntArray, implied_sd, otm_value
from pricing.surface.value_spline import natural_curvature, repair

_CAP_WITHIN = 1.3
"""Inside the quoted range a cap matters only below this multiple of the slice's own mid value."""


class Chain(NamedTuple):
    """Quotes of all expiries, shortest first; slice i owns the elements offsets[i] ≤ j < offsets[i + 1]."""

    k: FloatArray
    """ln(K/F), increasing within a slice, (n_quotes,)"""
    bid: FloatArray
    """out-of-the-money bid over the forward, (n_quotes,)"""
    ask: FloatArray
    offsets: IntArray
    """(n_slices + 1,)"""


class LocalVariances(NamedTuple):
    """ln of the local variance at the knots of all slices; slice i owns offsets[i] ≤ j < offsets[i + 1]."""

    knots: FloatArray
    u: FloatArray
    offsets: IntArray
    level: IntArray
    """which λ of the path was used, (n_slices,)"""


class ChainFit(NamedTuple):
    """What :func:`fit_chain` found; n = slices, N = nodes, q = quotes."""

    values: FloatArray
    """out-of-the-money values over the forward, (n, N)"""
    densities: FloatArray
    """second differences of the call values, (n, N)"""
    curvatures: FloatArray
    """S of the value spline, (n, N)"""
    local_variances: LocalVariances
    outside: IntArray
    """quotes of the slice outside their spread, (n,)"""
    iterations: IntArray
    """Gauss–Newton iterations, (n,)"""
    bid_sd: FloatArray
    """σ√T of the bids, (q,)"""
    ask_sd: FloatArray
    atm_sd: FloatArray
    """σ√T of the mids at k = 0, (n,)"""
    flattened: int
    """spline nodes that were made linear to stay free of arbitrage"""


@kernel()
def quoted_sds(chain: Chain) -> tuple[FloatArray, FloatArray]:
    """σ√T of every bid and ask, (n_quotes,) each."""
    bid_sd = np.empty(chain.k.size)
    ask_sd = np.empty(chain.k.size)
    for j in range(chain.k.size):
        bid_sd[j] = implied_sd(chain.k[j], chain.bid[j])
        ask_sd[j] = implied_sd(chain.k[j], chain.ask[j])
    return bid_sd, ask_sd


@kernel()
def calendar_caps(
    nodes: Nodes, chain: Chain, quote_node: IntArray, smallest_half_spread: float
) -> tuple[FloatArray, FloatArray]:
    """For every slice and node the smallest ask of the longer expiries there, and its half spread; (n_slices, n_nodes).

    Infinite where no longer expiry is quoted. Without caps an early wing can overshoot and leave a later quote out of
    reach.
    """
    n = chain.offsets.size - 1
    cap = np.full((n, nodes.k.size), math.inf)
    half = np.zeros((n, nodes.k.size))
    for i in range(n - 2, -1, -1):
        cap[i] = cap[i + 1]
        half[i] = half[i + 1]
        for j in range(chain.offsets[i + 1], chain.offsets[i + 2]):
            node = quote_node[j]
            if chain.ask[j] < cap[i, node]:
                cap[i, node] = chain.ask[j]
                half[i, node] = max(0.5 * (chain.ask[j] - chain.bid[j]), smallest_half_spread)
    return cap, half


@kernel()
def thin_knots(k: FloatArray, sd: float, distance_sd: float) -> FloatArray:
    """Quoted log-moneynesses at least ``distance_sd`` deviations apart, and one knot a deviation beyond each end."""
    knots = np.empty(k.size + 2)
    knots[0] = k[0] - sd
    knots[1] = k[0]
    n = 2
    for value in k[1:]:
        if value - knots[n - 1] > distance_sd * sd:
            knots[n] = value
            n += 1
    knots[n] = k[-1] + sd
    return knots[: n + 1].copy()


@kernel()
def slice_targets(
    nodes: Nodes,
    k: FloatArray,
    bid: FloatArray,
    ask: FloatArray,
    quote_node: IntArray,
    mid_sd: FloatArray,
    atm_sd: float,
    cap: FloatArray,
    cap_half: FloatArray,
    settings: FitSettings,
) -> Targets:
    """Quotes of a slice, then the caps that may bind: beyond its quoted range, or close to its own mid."""
    low = np.searchsorted(nodes.k, k[0] - settings.reach_sd * atm_sd, side="right")
    high = np.searchsorted(nodes.k, k[-1] + settings.reach_sd * atm_sd)
    size = k.size + max(high - low, 0)
    node = np.empty(size, np.int64)
    mid = np.empty(size)
    half = np.empty(size)
    for j in range(k.size):
        node[j] = quote_node[j]
        mid[j] = 0.5 * (ask[j] + bid[j])
        half[j] = max(0.5 * (ask[j] - bid[j]), settings.smallest_half_spread)
    n = k.size
    for i in range(low, high):
        if not math.isfinite(cap[i]):
            continue
        at = nodes.k[i]
        if k[0] <= at <= k[-1] and cap[i] >= _CAP_WITHIN * otm_value(at, np.interp(at, k, mid_sd)):
            continue
        node[n] = i
        mid[n] = cap[i]
        half[n] = cap_half[i]
        n += 1
    return Targets(node[:n], mid[:n], half[:n], k.size)


@kernel()
def fit_chain(  # noqa: PLR0915 — the λ path of a slice needs all of its arrays
    nodes: Nodes, chain: Chain, settings: FitSettings, smoothings: FloatArray, warm: LocalVariances
) -> ChainFit:
    """Fit every slice on top of the one before, then smooth between the nodes.

    ``smoothings`` are the λ to try in turn, (n_levels,): a slice stops at the first that has all its quotes inside,
    else keeps the best. ``warm`` holds an earlier fit's local variances for the same slices (an empty range where
    there is none); a warm slice starts one level smoother than it ended, so that λ can rise again.
    """
    n = chain.offsets.size - 1
    n_nodes = nodes.k.size
    bid_sd, ask_sd = quoted_sds(chain)
    quote_node = np.empty(chain.k.size, np.int64)
    for j in range(chain.k.size):
        quote_node[j] = nearest_node(nodes.k, chain.k[j])
    cap, cap_half = calendar_caps(nodes, chain, quote_node, settings.smallest_half_spread)
    march = make_march(n_nodes, settings.substeps)
    most = np.max(np.diff(chain.offsets)) + 2
    # Rows of whole vectors: eight doubles.
    derivative = np.zeros((n_nodes, (most + 7) // 8 * 8))
    values = np.zeros((n, n_nodes))
    densities = np.zeros((n, n_nodes))
    curvatures = np.zeros((n, n_nodes))
    all_knots = np.empty(chain.k.size + 2 * n)
    all_u = np.empty(chain.k.size + 2 * n)
    knot_offsets = np.zeros(n + 1, np.int64)
    levels = np.zeros(n, np.int64)
    outside = np.zeros(n, np.int64)
    iterations = np.zeros(n, np.int64)
    atm_sds = np.zeros(n)
    value = np.zeros(n_nodes)
    density = first_density(nodes)
    atm_before = 0.0
    for i in range(n):
        a = chain.offsets[i]
        b = chain.offsets[i + 1]
        k = chain.k[a:b]
        mid_sd = 0.5 * (bid_sd[a:b] + ask_sd[a:b])
        atm_sd = np.interp(0.0, k, mid_sd)
        atm = atm_sd * atm_sd
        targets = slice_targets(
            nodes, k, chain.bid[a:b], chain.ask[a:b], quote_node[a:b], mid_sd, atm_sd, cap[i], cap_half[i], settings
        )
        knots = thin_knots(k, atm_sd, settings.knot_distance_sd)
        increment = max(atm - atm_before, settings.smallest_atm_increment * atm)
        atm_before = atm
        anchor_u = math.log(0.5 * increment)
        u = np.full(knots.size, anchor_u)
        level = 0
        w0 = warm.offsets[i]
        w1 = warm.offsets[i + 1]
        if w1 > w0:
            u = np.interp(knots, warm.knots[w0:w1], warm.u[w0:w1])
            level = max(warm.level[i] - 1, 0)
        best = -1
        while level < smoothings.size:
            u, out, its = fit_slice(
                nodes,
                value,
                density,
                knots,
                u,
                anchor_u,
                atm_sd,
                smoothings[level],
                targets,
                settings,
                march,
                derivative,
            )
            iterations[i] += its
            if best < 0 or out < outside[i]:
                best = level
                outside[i] = out
                values[i] = march.value
                densities[i] = march.density[settings.substeps]
                all_u[knot_offsets[i] : knot_offsets[i] + knots.size] = u
            if out == 0:
                break
            level += 1
        levels[i] = best
        knot_offsets[i + 1] = knot_offsets[i] + knots.size
        all_knots[knot_offsets[i] : knot_offsets[i + 1]] = knots
        atm_sds[i] = atm_sd
        value = values[i]
        density = densities[i]
        curvatures[i] = natural_curvature(nodes, density, k[0], k[-1])
    flattened = repair(nodes, values, densities, curvatures)
    local = LocalVariances(all_knots[: knot_offsets[n]], all_u[: knot_offsets[n]], knot_offsets, levels)
    return ChainFit(values, densities, curvatures, local, outside, iterations, bid_sd, ask_sd, atm_sds, flattened)
