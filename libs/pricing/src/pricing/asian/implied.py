"""The vol at which the settlement-aware model reprices a quote.

A venue's mark iv is a European (Black-76) vol of a price that settles to an average: the second, consistent reading of
vol before the window opens is the σ under which the average reprices that same price.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pricing.asian.averaging import Averaging
from pricing.asian.brownian_average import split
from pricing.asian.chain import Chain, chain
from pricing.asian.curran import curran
from pricing.asian.moments import vol_limit
from pricing.asian.rqmc import Sampling, rqmc
from pricing.asian.turnbull_wakeman import total_sd
from pricing.black76 import BoolArray, FloatArray, black76

OK: Final = "ok"
MISSING: Final = "missing_input"
SETTLED: Final = "nothing_open"
BELOW: Final = "below_intrinsic"
ABOVE: Final = "above_maximum"

_MAX_STEPS: Final = 100
_VOL_ERROR: Final = 1e-14
_LARGEST_START: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AsianImpliedVol:
    """Implied vols with the reason where there is none; arrays of the broadcast shape of the inputs."""

    vol: FloatArray
    """σ, NaN where ``status`` is not ``ok``"""
    standard_error: FloatArray
    """of σ, from that of the price"""
    status: npt.NDArray[np.str_]
    """``ok``, ``missing_input``, ``nothing_open`` (the payoff is certain), ``below_intrinsic``, ``above_maximum``"""


def asian_implied_vol(
    averaging: Averaging,
    *,
    price: npt.ArrayLike,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    sampling: Sampling | None = None,
) -> AsianImpliedVol:
    """σ at which :func:`pricing.asian.rqmc.rqmc` gives ``price``, USD per coin of option.

    Newton's method with bisection on the lower bound, then one step on the simulated price with the same paths, which
    takes off the bound's own error. Raises :class:`ValueError` as :func:`pricing.asian.rqmc.rqmc` does, but a price
    that no vol explains gets its status.
    """
    inputs = (price, forward, strike, is_call, rate)
    prices, forwards, strikes, calls, rates = np.broadcast_arrays(
        *(np.asarray(values, dtype=np.bool_ if values is is_call else np.float64) for values in inputs)
    )
    shape = prices.shape
    prices = prices.ravel()
    options = chain(averaging, forward=forwards, strike=strikes, vol=1.0, is_call=calls, rate=rates)
    status = np.where(options.live, OK, SETTLED).astype("<U15")
    status[options.missing | np.isnan(prices)] = MISSING
    vol, error = np.full((2, prices.size), np.nan)
    if np.any(status == OK):
        time_value, most, limit = _time_value(options, prices), _most(options), vol_limit(split(averaging))
        status[(status == OK) & (time_value <= 0)] = BELOW
        status[(status == OK) & (time_value >= most)] = ABOVE
        good = status == OK
        arguments = {"forward": forwards.ravel()[good], "strike": strikes.ravel()[good], "rate": rates.ravel()[good]}
        known = {"time_value": time_value[good], "arguments": arguments, "call_is_out": options.moneyness[good] >= 1.0}
        rough = _of_bound(averaging, limit=limit, **known)
        vol[good], error[good] = _refined(averaging, rough=rough, sampling=sampling, **known)
        # A price so near to what is possible that no vol of the model reaches it.
        status[good & np.isnan(vol)] = ABOVE
    return AsianImpliedVol(vol=vol.reshape(shape), standard_error=error.reshape(shape), status=status.reshape(shape))


def same_price_vol(
    averaging: Averaging,
    *,
    vol: npt.ArrayLike,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    is_call: npt.ArrayLike,
    sampling: Sampling | None = None,
) -> AsianImpliedVol:
    """σ under the average for the price of a European option to expiry at ``vol``: the model ``asian_implied``."""
    quote = black76(forward=forward, strike=strike, tau_years=averaging.tau_years, vol=vol, is_call=is_call)
    return asian_implied_vol(
        averaging, price=quote.price, forward=forward, strike=strike, is_call=is_call, sampling=sampling
    )


def _time_value(options: Chain, price: FloatArray) -> FloatArray:
    """Value of the option that is out of the money, USD before discounting and per unit of open average."""
    sign = np.where(options.is_call, 1.0, -1.0)
    intrinsic = np.maximum(sign * (1.0 - options.moneyness), 0.0) * options.forward
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(price / options.scale - intrinsic, dtype=np.float64)


def _most(options: Chain) -> FloatArray:
    return options.forward * np.minimum(options.moneyness, 1.0)


def _of_bound(
    averaging: Averaging,
    *,
    time_value: FloatArray,
    limit: float,
    arguments: dict[str, FloatArray],
    call_is_out: BoolArray,
) -> FloatArray:
    """Solve ln(bound) = ln(time value) for σ; a step that leaves the bracket is replaced by a bisection."""
    F = arguments["forward"]
    k = averaging.effective_strike(arguments["strike"]) / F
    unit_sd = float(total_sd(averaging, np.array([1e-3]))[0][0]) / 1e-3
    at_the_money = np.sqrt(2.0 * np.pi) * time_value / (F * unit_sd)
    inflection = np.sqrt(2.0 * np.abs(np.log(k))) / unit_sd
    vol = np.minimum(np.maximum(at_the_money, np.minimum(inflection, _LARGEST_START / unit_sd)), 0.5 * limit)
    low, high = np.zeros_like(vol), np.full_like(vol, limit)
    scale = _scale(averaging, arguments)
    goal = np.log(time_value)
    for _ in range(_MAX_STEPS):
        value = curran(averaging, vol=vol, is_call=call_is_out, **arguments)
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = np.log(value.price / scale) - goal
            step = gap * value.price / value.vega_per_unit_vol
        low, high = np.where(gap < 0, vol, low), np.where(gap >= 0, vol, high)
        newton = vol - step
        inside = (newton > low) & (newton < high)
        following = np.where(inside, newton, 0.5 * (low + high))
        done = np.abs(following - vol) <= _VOL_ERROR * vol
        vol = following
        if np.all(done):
            break
    return np.where(vol < limit * (1.0 - 1e-9), vol, np.nan)


def _refined(
    averaging: Averaging,
    *,
    rough: FloatArray,
    time_value: FloatArray,
    arguments: dict[str, FloatArray],
    call_is_out: BoolArray,
    sampling: Sampling | None,
) -> tuple[FloatArray, FloatArray]:
    """One Newton step on the simulated price, and the standard error it leaves."""
    estimate = rqmc(averaging, vol=rough, is_call=call_is_out, **arguments, sampling=sampling)
    vega = estimate.value.vega_per_unit_vol
    vol = rough - (estimate.value.price - time_value * _scale(averaging, arguments)) / vega
    return vol, estimate.standard_error.price / vega


def _scale(averaging: Averaging, arguments: dict[str, FloatArray]) -> FloatArray:
    """Discounted share of the average that is open."""
    return np.asarray(averaging.share_left * np.exp(-arguments["rate"] * averaging.tau_years), dtype=np.float64)
