"""Options on one average: what they come down to in units of the forward, and back to prices and greeks."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pricing.asian.averaging import Averaging
from pricing.asian.conditional import CURVATURE, PARTIAL, VALUE, VOL_SLOPE
from pricing.black76 import BoolArray, FloatArray, require_in_range

ROUNDING: Final = 8 * float(np.finfo(np.float64).eps)
"""Relative error of a strike over a forward, and of a result, that a standard error is never below."""
_SMALLEST_SD: Final = 1e-100
"""Total standard deviation that counts as 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsianGreeks:
    """Price and greeks per one coin of option, each an array of the broadcast shape of the inputs."""

    price: FloatArray
    """V, USD (or the unit of F)"""
    delta: FloatArray
    """∂V/∂F, the known fixings held fixed"""
    gamma: FloatArray
    """∂²V/∂F², per USD"""
    vega_per_unit_vol: FloatArray
    """∂V/∂σ, USD per 1.00 of vol"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """``n`` options on one average: the part of the average still open, as a strike per unit of forward.

    ``moneyness`` is k = effective strike over forward, ``scale`` = discount × share of fixings still to come. ``live``
    marks options that can still go either way; the others are worth their discounted payoff.
    """

    shape: tuple[int, ...]
    forward: FloatArray
    moneyness: FloatArray
    vol: FloatArray
    is_call: BoolArray
    scale: FloatArray
    settled: FloatArray
    """value of a call of which nothing is open any more, before discounting; 0 while something is"""
    live: BoolArray
    missing: BoolArray

    def select(self, values: FloatArray) -> FloatArray:
        """Elements of the live options, contiguous."""
        return np.ascontiguousarray(values[self.live])


def chain(
    averaging: Averaging,
    *,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    vol: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
) -> Chain:
    """Refuse what no option can have, broadcast, and sort out what is certain. NaN in an input is a missing option.

    Raises :class:`ValueError` naming the argument, the first bad element and the remedy.
    """
    given = {"forward": forward, "strike": strike, "vol": vol, "rate": rate}
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in given.items()}
    for name, positive in (("forward", True), ("strike", True), ("vol", False)):
        require_in_range(name, arrays[name], positive=positive)
    if np.any(np.isinf(arrays["rate"])):
        raise ValueError("rate is infinite; pass a finite rate per year, or NaN where it is missing")
    *broadcast, call = np.broadcast_arrays(*arrays.values(), np.asarray(is_call, dtype=np.bool_))
    F, K, sigma, r = (values.astype(np.float64).ravel() for values in broadcast)
    missing = np.isnan(F + K + sigma + r)
    k = averaging.effective_strike(K) / F
    open_sd = sigma * np.sqrt(averaging.tau_years) * (averaging.n_left > 0)
    return Chain(
        shape=call.shape,
        forward=F,
        moneyness=k,
        vol=sigma,
        is_call=call.ravel(),
        scale=averaging.share_left * np.exp(-r * averaging.tau_years),
        settled=np.exp(-r * averaging.tau_years) * _settled(averaging, K),
        live=~missing & (open_sd > _SMALLEST_SD) & (k > 0),
        missing=missing,
    )


def greeks(options: Chain, unit: FloatArray, call_is_out: BoolArray) -> FloatArray:
    """Price, delta, gamma and vega, shape (4, n), from the results of the live options per unit of forward.

    ``unit`` (4, live): value, I, curvature and slope by σ of the side out of the money; the other one by parity.
    """
    results = _payoff(options)
    F, k, scale = (options.select(values) for values in (options.forward, options.moneyness, options.scale))
    call = options.is_call[options.live]
    sign = np.where(call, 1.0, -1.0)
    out = call == call_is_out
    value = unit[VALUE] + np.where(out, 0.0, sign * (1.0 - k))
    delta = np.where(call_is_out, 1.0, -1.0) * unit[PARTIAL] + np.where(out, 0.0, sign)
    live = np.stack([F * value, delta, unit[CURVATURE] * k * k / F, F * unit[VOL_SLOPE]])
    results[:, options.live] = scale * live
    return results


def standard_errors(options: Chain, results: FloatArray, unit: FloatArray) -> FloatArray:
    """Standard errors of ``results``, shape (4, n), from those per unit of forward (4, live).

    Never below the rounding of the result itself, and for a price of the two that it is the difference of.
    """
    statistical = np.where(options.missing, np.nan, np.zeros_like(results))
    F, k, scale = (options.select(values) for values in (options.forward, options.moneyness, options.scale))
    per_unit = np.stack([F, np.ones_like(F), k * k / F, F])
    statistical[:, options.live] = scale * per_unit * unit
    rounding = ROUNDING * np.abs(results)
    rounding[0] += ROUNDING * options.forward * np.abs(results[1])
    return np.hypot(statistical, rounding)


def shaped(options: Chain, results: FloatArray) -> AsianGreeks:
    """Name the four rows and give them the shape of the inputs."""
    price, delta, gamma, vega = (row.reshape(options.shape) for row in results)
    return AsianGreeks(price=price, delta=delta, gamma=gamma, vega_per_unit_vol=vega)


def _payoff(options: Chain) -> FloatArray:
    """What is certain to be paid, discounted; delta ½ exactly at the strike, as for European options."""
    sign = np.where(options.is_call, 1.0, -1.0)
    ahead = np.where(options.scale > 0, 1.0 - options.moneyness, 0.0)
    price = np.maximum(sign * (options.scale * options.forward * ahead + options.settled), 0.0)
    delta = options.scale * sign * (0.5 + 0.5 * sign * np.sign(ahead))
    nothing = np.zeros_like(price)
    return np.where(options.missing, np.nan, np.stack([price, delta, nothing, nothing]))


def _settled(averaging: Averaging, strike: FloatArray) -> FloatArray:
    if averaging.n_left > 0 or averaging.past_average is None:
        return np.zeros_like(strike)
    return averaging.past_average - strike
