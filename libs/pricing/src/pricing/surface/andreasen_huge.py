"""Andreasen–Huge volatility surface of bid–ask quotes: free of butterfly and calendar arbitrage whatever the quotes.

The method is [1], sub-stepped, regularised in the local variance and fitted to the bid–ask instead of the mid:
:mod:`pricing.surface.local_variance` has the equations, :mod:`pricing.surface.value_spline` what happens between the
nodes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.surface.expiry_chain import Chain, ChainFit, LocalVariances, fit_chain
from pricing.surface.local_variance import FitSettings, Nodes, make_nodes
from pricing.surface.normalised import FloatArray
from pricing.surface.quotes import SliceQuotes
from pricing.surface.value_spline import derivatives_at, total_variances_at, values_at

MIN_QUOTES: Final = 6
"""Fewest quotes that a slice needs for a local variance of its own."""
SMOOTHINGS: Final = (0.3, 0.03, 3e-3, 3e-4, 3e-5)
"""λ of ∫(u″)²dz, tried in turn until all quotes of a slice are inside their spreads."""
_MERGE_WITHIN: Final = 1e-6
_NODE_SCALE: Final = 0.006
_LOWEST_K: Final = -6.0
_HIGHEST_K: Final = 4.8
_N_BASE_NODES: Final = 200


def _base_nodes() -> FloatArray:
    """k = scale·sinh(v), v uniform: dense at the money, wide enough for any listed strike."""
    ends = (math.asinh(_LOWEST_K / _NODE_SCALE), math.asinh(_HIGHEST_K / _NODE_SCALE))
    return np.asarray(_NODE_SCALE * np.sinh(np.linspace(*ends, _N_BASE_NODES)))


_BASE_NODES: Final = _base_nodes()


@dataclass(frozen=True, slots=True)
class ValueSmile:
    """One expiry, given by option values on nodes."""

    tau_years: float
    nodes: Nodes
    values: FloatArray
    """out-of-the-money values over the forward at the nodes, (n_nodes,)"""
    curvature: FloatArray
    """second derivatives of the value spline at the nodes, ≥ 0, (n_nodes,)"""
    density: FloatArray
    """second differences of the call values, ≥ 0, (n_nodes,)"""

    def total_variance(self, log_moneyness: FloatArray) -> FloatArray:
        """Total implied variance σ²T at ln(K/F), (n,) → (n,)."""
        return np.asarray(total_variances_at(self.nodes, self.values, self.curvature, log_moneyness))

    def value(self, log_moneyness: FloatArray) -> FloatArray:
        """Out-of-the-money option value over the forward at ln(K/F), (n,) → (n,)."""
        return np.asarray(values_at(self.nodes, self.values, self.curvature, log_moneyness))

    def call_derivatives(self, log_moneyness: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """c, ∂c/∂x and ∂²c/∂x² of the call value over the forward at x = K/F, each (n,).

        ∂²c/∂x² is the density of S_T/F between the nodes.
        """
        c, slope, second = derivatives_at(self.nodes, self.values, self.curvature, log_moneyness)
        return c, slope, second


@dataclass(frozen=True, slots=True)
class AndreasenHuge:
    """A fitted surface, shortest expiry first."""

    quotes: tuple[SliceQuotes, ...]
    nodes: Nodes
    fit: ChainFit
    settings: FitSettings
    smoothings: tuple[float, ...]

    def smile(self, i: int) -> ValueSmile:
        """Slice ``i``."""
        fit = self.fit
        return ValueSmile(self.quotes[i].tau_years, self.nodes, fit.values[i], fit.curvatures[i], fit.densities[i])

    def smoothing(self, i: int) -> float:
        """Return the λ that slice ``i`` was fitted with."""
        return self.smoothings[int(self.fit.local_variances.level[i])]

    def local_variance(self, i: int) -> tuple[FloatArray, FloatArray]:
        """Knots in ln(K/F) of slice ``i`` and u = ln(V/x²) there, V integrated from the slice before; (n_knots,)
        each."""
        at = slice(*self.fit.local_variances.offsets[i : i + 2])
        return self.fit.local_variances.knots[at], self.fit.local_variances.u[at]


def fit_surface(
    quotes: Sequence[SliceQuotes],
    *,
    settings: FitSettings | None = None,
    smoothings: tuple[float, ...] = SMOOTHINGS,
    warm: AndreasenHuge | None = None,
) -> AndreasenHuge:
    """Fit a surface to the slices, in any order, each with at least :data:`MIN_QUOTES` quotes.

    ``warm`` is an earlier fit of the same underlying: its local variances are the start values of the expiries that
    both have. Slices keep their own forward and may have their own strikes. One thread; the same input gives the same
    bits.

    Raises :class:`ValueError` for no slice, a slice with too few quotes, a label used twice, or an empty λ path.
    """
    ordered = tuple(sorted(quotes, key=lambda one: (one.tau_years, one.expiry)))
    _require_slices(ordered, smoothings)
    chain = _chain(ordered)
    nodes = make_nodes(_BASE_NODES, chain.k, _MERGE_WITHIN)
    chosen = settings or FitSettings()
    fit = fit_chain(nodes, chain, chosen, np.array(smoothings), _warm_start(ordered, warm))
    return AndreasenHuge(ordered, nodes, ChainFit(*fit), chosen, smoothings)


def _require_slices(ordered: tuple[SliceQuotes, ...], smoothings: tuple[float, ...]) -> None:
    if not ordered:
        raise ValueError("quotes is empty; a surface needs at least one slice")
    if not smoothings:
        raise ValueError("smoothings is empty; pass at least one λ > 0")
    labels = [one.expiry for one in ordered]
    for one in ordered:
        if labels.count(one.expiry) > 1:
            raise ValueError(f"expiry {one.expiry!r} is there twice; merge its quotes into one slice")
        if one.log_moneyness.size < MIN_QUOTES:
            raise ValueError(
                f"{one.expiry} has {one.log_moneyness.size} quotes, a local variance needs {MIN_QUOTES}; "
                "fit it with pricing.surface.svi instead"
            )
        if not (one.log_moneyness[0] > _LOWEST_K and one.log_moneyness[-1] < _HIGHEST_K):
            raise ValueError(
                f"log_moneyness of {one.expiry} leaves ({_LOWEST_K}, {_HIGHEST_K}); leave such strikes out"
            )


def _chain(ordered: tuple[SliceQuotes, ...]) -> Chain:
    sizes = [one.log_moneyness.size for one in ordered]
    return Chain(
        k=np.concatenate([one.log_moneyness for one in ordered]),
        bid=np.concatenate([one.bid for one in ordered]),
        ask=np.concatenate([one.ask for one in ordered]),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )


def _warm_start(ordered: tuple[SliceQuotes, ...], warm: AndreasenHuge | None) -> LocalVariances:
    """Local variances of an earlier fit in the order of the new slices; an empty range for a new expiry."""
    before = {} if warm is None else {one.expiry: i for i, one in enumerate(warm.quotes)}
    none = np.zeros(0)
    parts = [
        (*warm.local_variance(i), warm.fit.local_variances.level[i])
        if warm is not None and (i := before.get(one.expiry)) is not None
        else (none, none, 0)
        for one in ordered
    ]
    sizes = [knots.size for knots, _, _ in parts]
    return LocalVariances(
        knots=np.concatenate([knots for knots, _, _ in parts]),
        u=np.concatenate([u for _, u, _ in parts]),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        level=np.array([level for _, _, level in parts], dtype=np.int64),
    )
