"""The crude closed form: the average taken as lognormal, with its first two moments right.

The mean of the fixings still to come is F, their second moment F²·(1/m²)·Σ_ij exp(σ²·min(t_i, t_j)); an option on a
lognormal with these is Black-76 with a total variance v, the logarithm of that sum.

References
----------
[1] S. M. Turnbull, L. M. Wakeman, "A quick algorithm for pricing European average options", J. Financial and
    Quantitative Analysis 26 (1991) 377–389.
[2] E. Levy, "Pricing European average rate currency options", J. International Money and Finance 11 (1992) 474–491:
    the same with two moments only, which is what is meant by the name today.
"""

import numpy as np
import numpy.typing as npt

from pricing.asian.averaging import Averaging
from pricing.asian.chain import AsianGreeks, chain, greeks, shaped
from pricing.asian.conditional import OUTPUTS
from pricing.asian.gram_quadrature import mean_nodes
from pricing.black76 import FloatArray, black76


def turnbull_wakeman(
    averaging: Averaging,
    *,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    vol: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
) -> AsianGreeks:
    """Price and greeks of options on one average by two moments; inputs broadcast, units as in Black-76.

    Good to 1e-6 at the money; at two and a half standard deviations out of it inside the window to 1e-2. Limits,
    missing values and errors: :func:`pricing.asian.rqmc.rqmc`.
    """
    options = chain(averaging, forward=forward, strike=strike, vol=vol, is_call=is_call, rate=rate)
    unit = np.zeros((OUTPUTS, int(np.sum(options.live))))
    call_is_out = options.select(options.moneyness) >= 1.0
    if unit.size:
        k = options.select(options.moneyness)
        sd, sd_by_vol = total_sd(averaging, options.select(options.vol))
        # The time is in the standard deviation already.
        value = black76(forward=1.0, strike=k, tau_years=1.0, vol=sd, is_call=call_is_out)
        partial = np.abs(value.delta)
        unit = np.stack([value.price, partial, value.gamma / k**2, value.vega_per_unit_vol * sd_by_vol])
    return shaped(options, greeks(options, unit, call_is_out))


def total_sd(averaging: Averaging, vol: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Standard deviation of the logarithm of the open part of the average, and its derivative by σ; shapes (n,)."""
    m = averaging.n_left
    nodes, weights = mean_nodes(m)
    times = averaging.first_years + averaging.interval_years * nodes
    # (1/m²) Σ_ij over pairs whose earlier fixing is i: 2(m − i) − 1 of them.
    pairs = weights * (2.0 * (m - nodes) - 1.0) / m
    growth = vol[:, None] ** 2 * times
    excess = np.sum(pairs * np.expm1(growth), axis=1)
    by_vol = np.sum(pairs * 2.0 * vol[:, None] * times * np.exp(growth), axis=1) / (1.0 + excess)
    sd = np.sqrt(np.log1p(excess))
    return sd, by_vol / (2.0 * sd)
