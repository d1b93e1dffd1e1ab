"""Raw SVI without butterfly and without calendar arbitrage, fitted from long to short: the comparison that costs
inside share.

Each slice is butterfly-free by its coordinates (:mod:`pricing.surface.svi_free`) and kept below the next longer one,
first by a penalty on a grid, then by scaling: if w is free of butterflies so is r·w for 0 < r ≤ 1, because g = u² +
r(w″/2 − w′²/(4w)) − r²w′²/16, u = 1 − kw′/(2w), is concave in r and not negative at r = 0 and r = 1.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from scipy.optimize import least_squares

from pricing.surface.normalised import FloatArray
from pricing.surface.quotes import SliceQuotes
from pricing.surface.svi import RawSvi, fit_butterfly_free
from pricing.surface.svi_free import free_coordinates, raw_parameters

_PENALTIES: Final = (30.0, 300.0, 3000.0)
_FAR: Final = (-6.0, -3.0, 3.0, 6.0)
_GRID_POINTS: Final = 161
_BELOW: Final = 2e-4
"""Share by which a slice stays below the next: what the grid does not see between its points."""


def fit_all(slices: Sequence[SliceQuotes]) -> list[RawSvi]:
    """Fit slices from long to short; returned short to long."""
    ordered = sorted(slices, key=lambda one: one.tau_years, reverse=True)
    k = _grid(ordered)
    out: list[RawSvi] = []
    for quotes in ordered:
        out.append(_below(quotes, out[-1], k) if out else fit_butterfly_free(quotes))
    return out[::-1]


def _grid(slices: Sequence[SliceQuotes]) -> FloatArray:
    """Log-moneynesses at which slices are compared: dense at the money, and far out where only wing slopes matter."""
    low = min(float(one.log_moneyness[0]) for one in slices) - 1.0
    high = max(float(one.log_moneyness[-1]) for one in slices) + 1.0
    scale = 0.02
    inner = scale * np.sinh(np.linspace(math.asinh(low / scale), math.asinh(high / scale), _GRID_POINTS))
    return np.sort(np.concatenate([inner, _FAR]))


def _below(quotes: SliceQuotes, longer: RawSvi, k: FloatArray) -> RawSvi:
    """Best butterfly-free slice below ``longer`` on the grid."""
    ceiling = longer.total_variance(k) * (1.0 - _BELOW)
    free = fit_butterfly_free(quotes)
    if np.all(free.total_variance(k) <= ceiling):
        return free
    half = np.maximum(0.5 * (quotes.ask_vol - quotes.bid_vol), 1e-5)

    def slice_of(x: FloatArray) -> RawSvi:
        a, b, rho, m, sigma = (float(value) for value in raw_parameters(x))
        return RawSvi(tau_years=quotes.tau_years, a=a, b=b, rho=rho, m=m, sigma=sigma)

    def residuals(x: FloatArray, penalty: float) -> FloatArray:
        one = slice_of(x)
        vol = np.sqrt(one.total_variance(quotes.log_moneyness) / quotes.tau_years)
        excess = np.maximum(one.total_variance(k) / ceiling - 1.0, 0.0)
        return np.concatenate([(vol - quotes.mid_vol) / half, penalty * excess])

    starts = [free_coordinates(one.parameters) for one in (free, _scaled(longer, _ratio(quotes, longer)))]
    found = []
    for start in starts:
        x = start
        for penalty in _PENALTIES:
            x = least_squares(residuals, x, args=(penalty,), method="trf", max_nfev=60).x
        one = replace(slice_of(x), tau_years=quotes.tau_years)
        fitting = _scaled(one, min(float(np.min(ceiling / one.total_variance(k))), 1.0))
        found.append(replace(fitting, tau_years=quotes.tau_years))
    fallback = replace(_scaled(longer, min(_ratio(quotes, longer), 1.0 - _BELOW)), tau_years=quotes.tau_years)
    return min([*found, fallback], key=lambda one: _loss(quotes, one, half))


def _ratio(quotes: SliceQuotes, longer: RawSvi) -> float:
    return quotes.atm_deviation**2 / float(longer.total_variance(np.zeros(1))[0])


def _scaled(one: RawSvi, ratio: float) -> RawSvi:
    """r·w."""
    return replace(one, a=ratio * one.a, b=ratio * one.b)


def _loss(quotes: SliceQuotes, one: RawSvi, half: FloatArray) -> float:
    vol = np.sqrt(one.total_variance(quotes.log_moneyness) / quotes.tau_years)
    return float(np.sum(((vol - quotes.mid_vol) / half) ** 2))
