"""What is known about a fitted slice: free of arbitrage by how much, and how far from its quotes.

A certificate is computed from the numbers that are published, not from how they were made.
"""

# ruff: noqa: PLR0917 — kernels take their arrays by position

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.compiled import kernel
from pricing.surface.andreasen_huge import ValueSmile
from pricing.surface.local_variance import Nodes
from pricing.surface.normalised import FloatArray
from pricing.surface.quotes import SliceQuotes, Smile, smile_vol
from pricing.surface.value_spline import SLOPE_ROUNDING, cell_gap, slope_jump

_VOL_ROUNDING: Final = 1e-9
_SMALLEST_SPREAD_VOL: Final = 0.002
LOW_REACH: Final = 0.5
"""Certificates reach from this multiple of the lowest quoted strike …"""
HIGH_REACH: Final = 1.5
"""… to this multiple of the highest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteFit:
    """How far a smile is from the quotes it was fitted to."""

    n_quotes: int
    n_outside: int
    """quotes whose fitted vol is outside bid–ask"""
    max_outside_vol_points: float
    """largest distance to the spread; 0 if all are inside"""
    rmse_vol_points: float
    """distance to the mid vol, weighted by 1/spread² (spread at least 0.2 vol points)"""


def quote_fit(quotes: SliceQuotes, smile: Smile) -> QuoteFit:
    """Compare a smile with quotes; vols in vol points (1 = 0.01 per √year)."""
    vol = smile_vol(smile, quotes.log_moneyness)
    excess = np.maximum(quotes.bid_vol - vol, vol - quotes.ask_vol)
    weight = np.maximum(quotes.ask_vol - quotes.bid_vol, _SMALLEST_SPREAD_VOL) ** -2.0
    mean_square = float(np.sum(weight * (vol - quotes.mid_vol) ** 2) / np.sum(weight))
    return QuoteFit(
        n_quotes=vol.size,
        n_outside=int(np.count_nonzero(excess > _VOL_ROUNDING)),
        max_outside_vol_points=100.0 * max(float(np.max(excess)), 0.0),
        rmse_vol_points=100.0 * math.sqrt(mean_square),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbitrageCheck:
    """Margins to arbitrage over half the lowest to one and a half times the highest quoted strike."""

    min_slope_jump: float
    """smallest jump of ∂(c/F)/∂(K/F) at a node, with the curvature between nodes ≥ 0: negative is a butterfly"""
    min_calendar_gap: float | None
    """lower bound of c_next − c, over the forward, at equal K/F; negative is a calendar arbitrage; None for the last
    expiry"""

    @property
    def passed(self) -> bool:
        """No butterfly beyond rounding and no calendar arbitrage."""
        return self.min_slope_jump >= -SLOPE_ROUNDING and (
            self.min_calendar_gap is None or self.min_calendar_gap >= 0.0
        )


def check_values(
    smile: ValueSmile, following: ValueSmile | None, *, lowest_k: float, highest_k: float
) -> ArbitrageCheck:
    """Check a slice on nodes against itself and the next expiry; ``lowest_k``, ``highest_k``: its quoted range."""
    low = lowest_k + math.log(LOW_REACH)
    high = highest_k + math.log(HIGH_REACH)
    jump = _smallest_jump(smile.nodes, smile.density, smile.curvature, low, high)
    gap = None
    if following is not None:
        gap = _smallest_gap(
            smile.nodes, smile.values, following.values, smile.curvature, following.curvature, low, high
        )
    return ArbitrageCheck(min_slope_jump=float(jump), min_calendar_gap=gap)


@kernel()
def _smallest_jump(nodes: Nodes, density: FloatArray, curvature: FloatArray, low: float, high: float) -> float:
    """Smallest slope jump of the nodes in [low, high], or the smallest curvature if one is negative."""
    smallest = math.inf
    for i in range(1, nodes.k.size - 1):
        if low <= nodes.k[i] <= high:
            smallest = min(smallest, slope_jump(nodes, density, curvature, i))
            if curvature[i] < 0.0:
                smallest = min(smallest, curvature[i])
    return smallest


@kernel()
def _smallest_gap(
    nodes: Nodes,
    early: FloatArray,
    late: FloatArray,
    s_early: FloatArray,
    s_late: FloatArray,
    low: float,
    high: float,
) -> float:
    """Smallest difference of two slices at the nodes and, by Bernstein coefficients, anywhere between them."""
    smallest = math.inf
    for i in range(1, nodes.k.size - 1):
        if low <= nodes.k[i] <= high:
            smallest = min(smallest, late[i] - early[i], cell_gap(nodes, early, late, s_early, s_late, i))
    return smallest
