"""Curran's closed form: the lower bound that knows the average of the logarithms, and nothing else, of the path.

The conditional expectation of the average given z (:mod:`pricing.asian.brownian_average`) is a known rising function of
z, so an option on it is a sum of normal distributions. By Jensen's inequality it is worth no more than the option on
the average itself. References: :mod:`pricing.asian.conditional`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricing.asian.averaging import Averaging
from pricing.asian.brownian_average import BrownianAverage, split
from pricing.asian.chain import AsianGreeks, Chain, chain, greeks, shaped
from pricing.asian.conditional import INPUTS, MEAN, OUTPUTS, SPREAD, TARGET, VOL
from pricing.asian.moments import Z_MAX, LoadingRange, Moments, loading_range, mean_moments
from pricing.black76 import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerBound:
    """Results of the ``n`` live options of a chain on the side out of the money, per unit of forward."""

    mean: Moments
    """moments of E[A|z], shapes (n, terms)"""
    root: FloatArray
    """z*, ±∞ where the strike is out of reach, shape (n,)"""
    values: FloatArray
    """rows of :mod:`pricing.asian.conditional`, shape (n, 4)"""
    rounding: FloatArray
    """change of ``values`` per relative change of k, shape (n, 4)"""
    by_level: FloatArray
    """∂values/∂M, shape (n, 4, terms)"""
    by_slope: FloatArray
    """∂(slope by σ)/∂S, shape (n, terms)"""

    @property
    def call_is_out(self) -> BoolArray:
        """Whether the call is out of the money, else the put."""
        return self.root >= 0

    @property
    def in_reach(self) -> BoolArray:
        """Whether the option has a value that counts."""
        return np.abs(self.root) <= Z_MAX


def curran(
    averaging: Averaging,
    *,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    vol: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
) -> AsianGreeks:
    """Price and greeks of options on one average by Curran's lower bound; inputs broadcast, units as in Black-76.

    Below the exact price by at most 2e-5 of it on Deribit's terms (20 minutes to 7 days, vols to 150 %, two and a half
    standard deviations). Limits, missing values and errors: :func:`pricing.asian.rqmc.rqmc`.
    """
    options = chain(averaging, forward=forward, strike=strike, vol=vol, is_call=is_call, rate=rate)
    if not np.any(options.live):
        return shaped(options, greeks(options, np.zeros((OUTPUTS, 0)), np.zeros(0, dtype=np.bool_)))
    parts = split(averaging)
    bound = lower_bound(options, parts, loading_range(parts, float(np.max(options.vol[options.live]))))
    return shaped(options, greeks(options, bound.values.T, bound.call_is_out))


def lower_bound(options: Chain, parts: BrownianAverage, loadings: LoadingRange) -> LowerBound:
    """Evaluate the live options; at least one must be."""
    from pricing.asian.bound_kernel import fill_bound  # noqa: PLC0415 - numba takes half a second to import

    strikes = table_of_strikes(options, loadings)
    mean = mean_moments(parts, loadings.powers, strikes[:, VOL])
    n, terms = mean.level.shape
    root, values, rounding = np.empty(n), np.zeros((n, OUTPUTS)), np.zeros((n, OUTPUTS))
    by_level, by_slope = np.zeros((n, OUTPUTS, terms)), np.zeros((n, terms))
    fill_bound(mean.level, mean.slope, strikes, root, values, rounding, by_level, by_slope)
    return LowerBound(mean=mean, root=root, values=values, rounding=rounding, by_level=by_level, by_slope=by_slope)


def table_of_strikes(options: Chain, loadings: LoadingRange) -> FloatArray:
    """Columns of :mod:`pricing.asian.conditional` of the live options, in z; the search for the root starts at 0."""
    strikes = np.zeros((int(np.sum(options.live)), INPUTS))
    strikes[:, VOL] = options.select(options.vol)
    strikes[:, MEAN] = strikes[:, VOL] * loadings.middle
    strikes[:, SPREAD] = strikes[:, VOL] * loadings.half
    strikes[:, TARGET] = options.select(options.moneyness)
    return strikes
