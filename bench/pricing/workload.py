"""The options every contender gets: F = 100,000, T log-uniform from an hour to a year, vols 20 to 150 %."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
HOURS_PER_YEAR = 8760.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``n`` options, each field of shape (n,), rate 0; ln(K/F) is 1.2 standard deviations wide.

    Half are calls, or all are out of the money.
    """

    forward: FloatArray
    strike: FloatArray
    tau_years: FloatArray
    vol: FloatArray
    is_call: npt.NDArray[np.bool_]


def options(n: int, *, seed: int = 1, out_of_the_money: bool = False) -> Options:
    rng = np.random.default_rng(seed)
    forward = np.full(n, 1e5)
    tau_years = np.exp(rng.uniform(np.log(1.0 / HOURS_PER_YEAR), 0.0, n))
    vol = rng.uniform(0.2, 1.5, n)
    strike = forward * np.exp(1.2 * vol * np.sqrt(tau_years) * rng.normal(size=n))
    is_call = strike > forward if out_of_the_money else rng.random(n) < 0.5
    return Options(forward=forward, strike=strike, tau_years=tau_years, vol=vol, is_call=is_call)
