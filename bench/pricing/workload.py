"""The options every contender gets: F = 100,000, T log-uniform from an hour to a year, vols 20 to 150 %."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
HOURS_PER_YEAR = 8760.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``n`` options, each field of shape (n,); ln(K/F) is 1.2 standard deviations wide, half are calls, rate 0."""

    forward: FloatArray
    strike: FloatArray
    tau_years: FloatArray
    vol: FloatArray
    is_call: npt.NDArray[np.bool_]


def options(n: int, seed: int = 1) -> Options:
    rng = np.random.default_rng(seed)
    forward = np.full(n, 1e5)
    tau_years = np.exp(rng.uniform(np.log(1.0 / HOURS_PER_YEAR), 0.0, n))
    vol = rng.uniform(0.2, 1.5, n)
    strike = forward * np.exp(1.2 * vol * np.sqrt(tau_years) * rng.normal(size=n))
    return Options(forward=forward, strike=strike, tau_years=tau_years, vol=vol, is_call=rng.random(n) < 0.5)
