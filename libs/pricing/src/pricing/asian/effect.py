"""What settlement to an average does to a European option: ratios of greeks as expiry comes near.

Deribit quotes vols of European options, and settles to an average. With the same vol in both, an option at the money
has, T before expiry and with a window of w, a gamma larger by √(T/(T − 2w/3)) before the window opens, and by √3·T/w in
it, where what is known no longer moves (continuous averages, to first order in σ²T).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pricing.asian.averaging import MINUTES_PER_YEAR, Averaging
from pricing.asian.curran import curran
from pricing.asian.implied import same_price_vol
from pricing.asian.rqmc import rqmc
from pricing.asian.turnbull_wakeman import turnbull_wakeman
from pricing.black76 import FloatArray, black76

_FORWARD = 100_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Ratios Asian over European at one time to expiry, the known fixings at the forward."""

    minutes: float
    """time to expiry"""
    price: float
    delta: float
    gamma: float
    """at the money, like price and delta; the others with it"""
    gamma_error: float
    """standard error of ``gamma``"""
    gamma_curran: float
    gamma_two_moments: float
    gamma_law: float
    """the law at the head of this module"""
    gamma_wings: FloatArray
    """gamma ratio at ``scores`` standard deviations of the European option"""
    same_price_vol: float
    """σ of the average that gives the European price at the money; NaN once the window is open"""
    same_price_gamma_wings: FloatArray
    """gamma ratio at ``scores`` with that vol; NaN once the window is open"""


def settlement_effect(
    *, minutes: float, vol: float, window_minutes: float, n_fixings: int, scores: Sequence[float]
) -> Effect:
    """Return the effect ``minutes`` before expiry. Raises :class:`ValueError` for terms no average has."""
    averaging = Averaging.at(
        tau_years=minutes / MINUTES_PER_YEAR,
        window_years=window_minutes / MINUTES_PER_YEAR,
        n_fixings=n_fixings,
        past_average=_FORWARD,
    )
    strikes = _FORWARD * np.exp(np.array([0.0, *scores]) * vol * math.sqrt(averaging.tau_years))
    european = black76(forward=_FORWARD, strike=strikes, tau_years=averaging.tau_years, vol=vol, is_call=True)
    estimate = rqmc(averaging, forward=_FORWARD, strike=strikes, vol=vol, is_call=True)
    bound = curran(averaging, forward=_FORWARD, strike=_FORWARD, vol=vol, is_call=True)
    two_moments = turnbull_wakeman(averaging, forward=_FORWARD, strike=_FORWARD, vol=vol, is_call=True)
    same_vol, same_wings = math.nan, np.full(len(scores), math.nan)
    if averaging.n_past == 0:
        same_vol = float(same_price_vol(averaging, vol=vol, forward=_FORWARD, strike=_FORWARD, is_call=True).vol)
        same = rqmc(averaging, forward=_FORWARD, strike=strikes[1:], vol=same_vol, is_call=True)
        same_wings = same.value.gamma / european.gamma[1:]
    gammas = estimate.value.gamma / european.gamma
    return Effect(
        minutes=minutes,
        price=float(estimate.value.price[0] / european.price[0]),
        delta=float(estimate.value.delta[0] / european.delta[0]),
        gamma=float(gammas[0]),
        gamma_error=float(estimate.standard_error.gamma[0] / european.gamma[0]),
        gamma_curran=float(bound.gamma / european.gamma[0]),
        gamma_two_moments=float(two_moments.gamma / european.gamma[0]),
        gamma_law=gamma_law(minutes=minutes, window_minutes=window_minutes),
        gamma_wings=gammas[1:],
        same_price_vol=same_vol,
        same_price_gamma_wings=same_wings,
    )


def gamma_law(*, minutes: float, window_minutes: float) -> float:
    """Gamma ratio at the money by the law at the head of this module."""
    if minutes >= window_minutes:
        return math.sqrt(minutes / (minutes - 2.0 * window_minutes / 3.0))
    return math.sqrt(3.0) * minutes / window_minutes
