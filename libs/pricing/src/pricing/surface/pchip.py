"""Monotone cubic interpolation of mid vols in log-moneyness, flat outside: goes through every mid and has arbitrage."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from pricing.surface.normalised import FloatArray
from pricing.surface.quotes import SliceQuotes


@dataclass(frozen=True, slots=True)
class Pchip:
    """F. Fritsch, R. Carlson, "Monotone piecewise cubic interpolation", SIAM J. Numer. Anal. 17 (1980) 238–246."""

    tau_years: float
    log_moneyness: FloatArray
    vol: FloatArray
    """per √year at ``log_moneyness``"""

    def total_variance(self, log_moneyness: FloatArray) -> FloatArray:
        """Total implied variance σ²T at ln(K/F), (n,) → (n,)."""
        inside = np.clip(log_moneyness, self.log_moneyness[0], self.log_moneyness[-1])
        vol = np.asarray(PchipInterpolator(self.log_moneyness, self.vol)(inside))
        return vol * vol * self.tau_years


def fit(quotes: SliceQuotes) -> Pchip:
    """Interpolate the mids; of quotes at one strike the first is taken. Needs two different strikes."""
    k, first = np.unique(quotes.log_moneyness, return_index=True)
    if k.size < 2:
        raise ValueError(f"{quotes.expiry} has one strike, interpolation needs two")
    return Pchip(quotes.tau_years, k, quotes.mid_vol[first])
