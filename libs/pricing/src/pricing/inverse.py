"""Coin-settled (inverse) options, and the forward that a venue's delta implies."""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from pricing.black76 import FloatArray


def coin_price(*, price: FloatArray, forward: FloatArray) -> FloatArray:
    """Price of an inverse option in coin: the USD price over the forward it was priced on."""
    return price / forward


def net_delta(*, delta: FloatArray, coin_price: FloatArray) -> FloatArray:
    """Delta of an inverse option together with its coin premium: delta − coin price.

    The holder of an option worth ``p`` coins also carries the price risk of those ``p`` coins, ∂(V/F)/∂F · F = Δ − V/F.
    """
    return delta - coin_price


def forward_from_delta(
    *, strike: npt.ArrayLike, tau_years: npt.ArrayLike, vol: npt.ArrayLike, delta: npt.ArrayLike, is_call: npt.ArrayLike
) -> FloatArray:
    """Forward at which an undiscounted Black-76 delta is ``delta``: F = K·exp(N⁻¹(Δ_call)·s − s²/2), s = σ√T.

    The inverse of Δ_call = N(ln(F/K)/s + s/2); a put's Δ_call is Δ + 1. NaN where an input is NaN or the call delta is
    not strictly between 0 and 1. A delta rounded to five decimals at 0.25 < Δ_call < 0.75 gives F to about 2e-5·s.
    """
    sigma = np.asarray(vol, dtype=np.float64)
    s = sigma * np.sqrt(np.asarray(tau_years, dtype=np.float64))
    call_delta = np.asarray(delta, dtype=np.float64) + np.where(is_call, 0.0, 1.0)
    inside = (call_delta > 0) & (call_delta < 1)
    d1 = ndtri(np.where(inside, call_delta, np.nan))
    return np.asarray(strike, dtype=np.float64) * np.exp(d1 * s - 0.5 * s * s)
