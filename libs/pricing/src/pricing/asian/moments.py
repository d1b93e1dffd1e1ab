"""Paths of an expiry as a handful of moments: what every strike needs to know about them.

With the split W_i = b_i·z + R_i (:mod:`pricing.asian.brownian_average`) the average of the coming fixings is, per unit
of forward and given R, a function of z alone,

    A(z) = Σ_i w_i·exp(σR_i − σ²t_i/2)·exp(σb_i·z) = e^(cz)·Σ_k M_k·(Δz)^k,

with σb_i = c + Δξ_i, |ξ_i| ≤ 1, and the moments M_k = Σ_i w_i·exp(σR_i − σ²t_i/2)·ξ_i^k/k!. The b_i are close to each
other on the scale of 1/σ, so that some ten moments give A to the last digit: a strike then costs the same for 5 fixings
and for 450. Their derivatives by σ, S_k, give vega. Here t_i = b_i² + Var(R_i), as far as R is kept.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.asian.brownian_average import BrownianAverage
from pricing.black76 import FloatArray

Z_MAX: Final = 12.0
"""Largest |z| that counts: beyond it lies a probability of 2e-33, taken as none."""
_Z_MARGIN: Final = 1.0
_MAX_REACH: Final = 20.0
_MAX_SD: Final = 20.0
_TINY: Final = 1e-18
_MAX_NODES: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadingRange:
    """b_i = middle + half·ξ_i at the nodes, and how many moments a vol needs."""

    middle: float
    """√years"""
    half: float
    """√years"""
    powers: FloatArray
    """ξ_i^k/k!, shape (terms, g)"""


def loading_range(split: BrownianAverage, max_vol: float) -> LoadingRange:
    """Return the range of b and the powers that vols up to ``max_vol`` need.

    Raises :class:`ValueError` above :func:`vol_limit`.
    """
    low, high = float(np.min(split.loading)), float(np.max(split.loading))
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    limit = vol_limit(split)
    if max_vol > limit:
        raise ValueError(f"vol = {max_vol!r} is too large for this window, take at most {limit:.3g}")
    reach = max_vol * half * (Z_MAX + _Z_MARGIN)
    terms = 2
    size = reach
    while size > _TINY:
        size *= reach / terms
        terms += 1
    standard = (split.loading - middle) / half if half > 0 else np.zeros_like(split.loading)
    powers = np.stack([standard**k / math.factorial(k) for k in range(terms)])
    return LoadingRange(middle=middle, half=half, powers=powers)


def vol_limit(split: BrownianAverage) -> float:
    """Return the largest vol for which the series keeps its digits: 350 % or more for a window of a year."""
    half = 0.5 * float(np.max(split.loading) - np.min(split.loading))
    by_series = _MAX_REACH / ((Z_MAX + _Z_MARGIN) * half) if half > 0 else math.inf
    return min(by_series, _MAX_SD / float(np.max(split.loading)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """M_k and S_k, each of shape (…, terms)."""

    level: FloatArray
    """M_k"""
    slope: FloatArray
    """S_k = ∂M_k/∂σ"""


def mean_moments(split: BrownianAverage, powers: FloatArray, vol: FloatArray) -> Moments:
    """Moments of the average given z alone: the expectation over R is exp(−(σb_i)²/2). Shapes (n, terms) for n vols."""
    at_nodes = split.weights * np.exp(-0.5 * (vol[:, None] * split.loading) ** 2)
    steepness = -vol[:, None] * split.loading**2
    return Moments(level=_times(at_nodes, powers), slope=_times(at_nodes * steepness, powers))


def path_moments(split: BrownianAverage, powers: FloatArray, vol: FloatArray, normals: FloatArray) -> Moments:
    """Moments of every path, shapes (n vols, randomisations, terms, points), from normals of :mod:`.sobol`."""
    from pricing.asian.moments_kernel import fill_moments  # noqa: PLC0415 - numba takes half a second to import

    variance = split.residual_variance + split.loading**2
    exponents = np.log(split.weights) - 0.5 * vol[:, None] ** 2 * variance
    shape = (vol.size, normals.shape[0], powers.shape[0], normals.shape[2])
    level, slope = np.zeros(shape), np.zeros(shape)
    components, drifts = np.ascontiguousarray(split.components), vol[:, None] * variance
    fill_moments(normals, components, powers, exponents, drifts, vol, level, slope)
    return Moments(level=level, slope=slope)


def vol_nodes(split: BrownianAverage, vol: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Vols to simulate, shape (q,), and weights (n, q) that give the moments at each of the n vols of a chain.

    Moments are entire functions of σ that change little over the vols of one expiry, so a few Chebyshev nodes give
    them to the last digit. Where there are no more different vols than that, the nodes are the vols.
    """
    distinct = np.unique(vol)
    if distinct.size <= 1:
        return distinct, np.ones((vol.size, distinct.size))
    half = 0.5 * float(distinct[-1] - distinct[0])
    # Five standard deviations of the largest R, and the drift: how fast the logarithm of a path moves with σ.
    speed = 5.0 * math.sqrt(float(np.max(split.residual_variance)))
    speed += float(distinct[-1]) * float(np.max(split.loading**2 + split.residual_variance))
    count, size = 1, half * speed
    while size > _TINY and count < min(distinct.size, _MAX_NODES):
        count += 1
        size *= half * speed / (2 * count)
    if count >= distinct.size:
        return distinct, (vol[:, None] == distinct).astype(np.float64)
    angles = np.pi * (np.arange(count) + 0.5) / count
    nodes = 0.5 * (distinct[0] + distinct[-1]) - half * np.cos(angles)
    return nodes, _barycentric(vol, nodes, np.sin(angles) * (-1.0) ** np.arange(count))


def _barycentric(at: FloatArray, nodes: FloatArray, factors: FloatArray) -> FloatArray:
    """Weights of interpolation, rows that add to 1 (J.-P. Berrut, L. N. Trefethen, SIAM Review 46 (2004), eq. 4.2)."""
    apart = at[:, None] - nodes
    hit = apart == 0
    terms = factors / np.where(hit, 1.0, apart)
    weights = terms / np.sum(terms, axis=1, keepdims=True)
    return np.asarray(np.where(np.any(hit, axis=1, keepdims=True), hit, weights), dtype=np.float64)


def _times(values: FloatArray, powers: FloatArray) -> FloatArray:
    """values @ powers.T, added in an order that no library's threads change."""
    return np.stack([np.sum(values * row, axis=1) for row in powers], axis=1)
