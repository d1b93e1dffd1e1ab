"""Black-76 as Deribit publishes it: coin prices, rounded greeks, percent vols.

Written apart from the ``pricing`` library on purpose: the simulator is an oracle for what is built on that library.
Formulas: Black, "The pricing of commodity contracts" (1976), zero rate, ACT/365.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
SECONDS_PER_YEAR = 365 * 86_400
DELTA_DECAY_S = 1800.0
_SOLVER_STEPS = 12
MAX_VOL = 5.0


class Terms(NamedTuple):
    """What is priced: forward and strike in USD, time to expiry in years, call or put; arrays of one length."""

    forward: Floats
    strike: Floats
    years: Floats
    is_call: Bools

    def twice(self) -> "Terms":
        """Return the terms repeated, to value two prices of each option."""
        return Terms(
            np.tile(self.forward, 2), np.tile(self.strike, 2), np.tile(self.years, 2), np.tile(self.is_call, 2)
        )


class Greeks(NamedTuple):
    """Per coin: delta, gamma (1/USD), vega (USD per vol point), theta (USD per day), rho (USD per rate point)."""

    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats
    rho: Floats


def _density(x: Floats) -> Floats:
    result: Floats = np.exp(-0.5 * x * x) * 0.3989422804014327
    return result


def coin_price(terms: Terms, vol: Floats) -> Floats:
    """Return option prices in coin (USD price / forward)."""
    forward, strike, years, is_call = terms
    sd = vol * np.sqrt(years)
    d1 = np.log(forward / strike) / sd + 0.5 * sd
    sign = np.where(is_call, 1.0, -1.0)
    result: Floats = sign * (ndtr(sign * d1) - strike / forward * ndtr(sign * (d1 - sd)))
    return np.maximum(result, 0.0)


def venue_greeks(terms: Terms, vol: Floats) -> Greeks:
    """Return the greeks as the venue shows them.

    Rounded to five decimals; theta is the decay of one day, or of a shorter remaining life, and no more
    than the option's price; delta fades linearly to zero over the last 30 minutes while the others do not.
    """
    forward, strike, years, is_call = terms
    root = np.sqrt(years)
    sd = vol * root
    d1 = np.log(forward / strike) / sd + 0.5 * sd
    call_delta = ndtr(d1)
    fade = np.minimum(1.0, years * SECONDS_PER_YEAR / DELTA_DECAY_S)
    density = _density(d1)
    vega = forward * density * root
    decay = 0.5 * vega * vol / years * np.minimum(1.0 / 365, years)
    in_the_money = np.where(is_call, ndtr(d1 - sd), -ndtr(sd - d1))
    return Greeks(
        delta=_shown((call_delta - ~is_call) * fade),
        gamma=_shown(density / (forward * sd)),
        vega=_shown(0.01 * vega),
        theta=_shown(-np.minimum(decay, forward * coin_price(terms, vol))),
        rho=_shown(0.01 * strike * years * in_the_money),
    )


def implied_vol(terms: Terms, price: Floats, start: Floats) -> Floats:
    """Return the vol (decimal) of coin prices, by Newton kept inside a bracket; 0 at or below intrinsic, at most 5."""
    forward, strike, years, is_call = terms
    low, high = np.full_like(price, 1e-3), np.full_like(price, MAX_VOL)
    vol = np.clip(start, 0.02, MAX_VOL)
    for _ in range(_SOLVER_STEPS):
        miss = coin_price(terms, vol) - price
        high = np.where(miss > 0, vol, high)
        low = np.where(miss > 0, low, vol)
        sd = vol * np.sqrt(years)
        slope = _density(np.log(forward / strike) / sd + 0.5 * sd) * np.sqrt(years)
        newton = vol - miss / np.maximum(slope, 1e-12)
        vol = np.where((newton >= low) & (newton <= high), newton, 0.5 * (low + high))
    intrinsic = np.maximum(np.where(is_call, 1.0 - strike / forward, strike / forward - 1.0), 0.0)
    result: Floats = np.where(price > intrinsic + 1e-12, vol, 0.0)
    return result


def _shown(values: Floats) -> Floats:
    # + 0.0 turns −0.0 into 0.0, which the venue does not send.
    result: Floats = np.round(values, 5) + 0.0
    return result
