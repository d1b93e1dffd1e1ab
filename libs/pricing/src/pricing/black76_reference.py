"""Black-76 as one would read it: numpy and scipy, a line per formula. The kernel is tested against it.

Formulas and references [1–3]: :mod:`pricing.black76`.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, ndtr

from pricing.black76 import Black76, BoolArray, FloatArray, log_moneyness, require_possible

_INV_SQRT_2PI: Final = 0.3989422804014327
_SQRT_HALF: Final = 0.7071067811865476
_SQRT_HALF_PI: Final = 1.2533141373155003
# Below this size of (s/2)·max(1, |x|/s) the difference of two Mills ratios loses digits and its expansion does not.
_SERIES_LIMIT: Final = 0.2
_SERIES_TERMS: Final = 7
# φ is 0 in float64 beyond 38.6 standard deviations.
_DENSITY_ENDS: Final = 40.0


def black76_reference(
    *,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    tau_years: npt.ArrayLike,
    vol: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
) -> Black76:
    """The same as :func:`pricing.black76.black76`, some times slower."""
    call = np.asarray(is_call, dtype=np.bool_)
    F, K, T, sigma, r = _inputs(call, forward=forward, strike=strike, tau_years=tau_years, vol=vol, rate=rate)
    df = np.exp(-r * T)
    sqrt_T = np.sqrt(T)
    s = sigma * sqrt_T
    x = log_moneyness(F, K)
    sign = np.where(call, 1.0, -1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        d1, d2 = _d1_d2(x, s)
        phi = _INV_SQRT_2PI * np.exp(-0.5 * d1 * d1) * df
        price = df * (np.maximum(sign * (F - K), 0.0) + _time_value(F, K, x, s))
        delta = df * sign * ndtr(sign * d1)
        gamma = _limit(phi / (F * s), phi, s)
        vega = F * phi * sqrt_T
        d2_by_sigma = np.where((s == 0) & (x == 0), -0.5 * sqrt_T, d2 / sigma)
        return Black76(
            price=price,
            delta=delta,
            gamma=gamma,
            vega_per_unit_vol=vega,
            theta_per_year=r * price - _limit(0.5 * F * phi * sigma / sqrt_T, phi, T),
            rho=-T * price,
            vanna_per_unit_vol=_limit(-phi * d2_by_sigma, phi),
            volga_per_unit_vol2=_limit(vega * d1 * d2_by_sigma, phi),
            charm_per_year=r * delta + _limit(0.5 * phi * d2 / T, phi, T),
            speed=_limit(-gamma / F * (1.0 + d1 / s), phi, s),
            color_per_year=_limit(gamma * (r + 0.5 * (1.0 - d1 * d2) / T), phi, s),
            zomma=_limit(gamma * (d1 * d2 - 1.0) / sigma, phi, s),
        )


def _d1_d2(x: FloatArray, s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return d1 and d2; at s = 0 they are ±∞ by moneyness, and 0 at the strike."""
    h = np.where((s == 0) & (x == 0), 0.0, x / s)
    return h + 0.5 * s, h - 0.5 * s


def _limit(value: FloatArray, phi: FloatArray, *divisors: FloatArray) -> FloatArray:
    """Return ``value``, its limit 0 where the density has vanished (0·∞ there), or 0 where a divisor is 0 (a kink)."""
    gone = phi == 0
    for divisor in divisors:
        gone |= divisor == 0
    return np.where(gone, 0.0, value)


def _time_value(F: FloatArray, K: FloatArray, x: FloatArray, s: FloatArray) -> FloatArray:
    """Undiscounted value of the out-of-the-money option: the same for a call and a put by parity.

    With h = −|x|/s, t = s/2 and the Mills ratio Y(z) = N(z)/φ(z), the value is √(FK)·φ(0)·exp(−(h² + t²)/2)·
    [Y(h + t) − Y(h − t)] [3, §2]. Three ways to take the difference keep it relatively accurate everywhere.
    """
    h = np.where((s == 0) & (x == 0), 0.0, -np.abs(x) / s)
    t = 0.5 * s
    scale = np.sqrt(F) * np.sqrt(K)
    front = scale * _INV_SQRT_2PI * np.exp(-0.5 * (h * h + t * t))
    plain = np.minimum(F, K) * ndtr(h + t) - np.maximum(F, K) * ndtr(h - t)
    scaled = front * (_mills(np.minimum(h + t, 0.0)) - _mills(h - t))
    series = front * _mills_difference(np.maximum(h, -_DENSITY_ENDS), t)
    small = t * np.maximum(1.0, -h) < _SERIES_LIMIT
    value = np.where(small, series, np.where(h + t > 0, plain, scaled))
    return np.where(front == 0, np.where(t > -h, value, 0.0), value)


def _mills(z: FloatArray) -> FloatArray:
    return _SQRT_HALF_PI * np.asarray(erfcx(-_SQRT_HALF * z))


def _mills_difference(h: FloatArray, t: FloatArray) -> FloatArray:
    """Y(h + t) − Y(h − t) = 2·Σ t^(2k+1)·Y^(2k+1)(h)/(2k+1)! with Y′ = 1 + hY and Y^(n+1) = h·Y^(n) + n·Y^(n−1)."""
    even = _mills(h)
    odd = 1.0 + h * even
    power = t
    total = power * odd
    for n in range(2, 2 * _SERIES_TERMS, 2):
        even = h * odd + (n - 1) * even
        odd = h * even + n * odd
        power = power * t * t / (n * (n + 1))
        total = total + power * odd
    return 2.0 * total


def _inputs(call: BoolArray, **inputs: npt.ArrayLike) -> tuple[FloatArray, ...]:
    """Refuse what no option can have, then broadcast; an element with a missing input is missing as a whole."""
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in inputs.items()}
    require_possible(**arrays)
    missing = np.where(np.isnan(sum(arrays.values(), start=np.zeros(call.shape))), np.nan, 0.0)
    return tuple(values + missing for values in arrays.values())
