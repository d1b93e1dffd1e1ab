"""Implied vol as one would read it: Newton's method from the inflection point, Brent's where it does not settle.

One option at a time. Started at s = √(2|x|), where the price as a function of s = σ√T turns from convex to concave,
Newton's method converges from one side (S. Manaster and G. Koehler, "The calculation of implied variances from the
Black–Scholes model", J. Finance 37 (1982) 227–230).
"""

import math

import numpy as np
from scipy.optimize import brentq

from pricing.black76_reference import black76_reference

_ROUNDS = 100
_TOLERANCE = 4e-16
_WIDEST = 100.0
"""A total standard deviation whose option is worth its maximum to the last digit."""


def implied_vol_reference(
    *, price: float, forward: float, strike: float, tau_years: float, is_call: bool, rate: float = 0.0
) -> float:
    """Return σ for a price strictly between the bounds of a living option; ValueError for any other.

    Solved for the value of the option that is out of the money, so that an option in the money loses no more digits
    than its price has lost.
    """
    value = price * math.exp(rate * tau_years)
    intrinsic = max(forward - strike if is_call else strike - forward, 0.0)
    target = value - intrinsic
    if not (target > 0.0 and value < (forward if is_call else strike) and tau_years > 0.0):
        raise ValueError(f"price = {price!r} has no implied vol; pass one between intrinsic value and maximum")

    def excess(s: float) -> tuple[float, float]:
        """Value less target, and its slope in s."""
        out = black76_reference(forward=forward, strike=strike, tau_years=1.0, vol=s, is_call=forward < strike)
        return float(out.price) - target, float(out.vega_per_unit_vol)

    s = math.sqrt(2.0 * abs(math.log(forward / strike))) or math.sqrt(2.0 * math.pi) * target / forward
    for _ in range(_ROUNDS):
        miss, slope = excess(s)
        step = miss / slope if slope > 0.0 else math.nan
        if not 0.0 < s - step < _WIDEST:
            break
        s -= step
        if abs(step) <= _TOLERANCE * s:
            return s / math.sqrt(tau_years)
    low, high = np.finfo(np.float64).tiny ** 0.25, _WIDEST
    root = float(brentq(lambda s: excess(s)[0], low, high, xtol=1e-300, rtol=_TOLERANCE * 4, maxiter=500))
    return root / math.sqrt(tau_years)
