"""European options on a forward: Black-76 price and greeks of whole arrays.

========  ==========================================================  ===============================
symbol    meaning                                                     unit
========  ==========================================================  ===============================
F, K      forward, strike                                             USD per coin
T         time to expiry (``tau_years``), ACT/365                     years
σ, r      vol, rate                                                   decimal per √year, per year
s         total standard deviation, σ√T                               none
x         log-moneyness, ln(F/K)                                      none
d1, d2    x/s + s/2, x/s − s/2                                        none
φ, N      standard normal density, distribution                       none
df        discount factor, exp(−rT)                                   none
========  ==========================================================  ===============================

The product σ²·T has no dimension, so T may be in any unit whose inverse is the unit of σ² and r.

References
----------
[1] F. Black, "The pricing of commodity contracts", J. Financial Economics 3 (1976) 167–179: the price.
[2] E. G. Haug, "The Complete Guide to Option Pricing Formulas", McGraw-Hill (1998): pp. 2–8 for the price (generalised
    Black–Scholes, cost of carry 0), pp. 11–16 for the greeks. Haug's greeks are on spot; here F is held fixed in every
    partial derivative. The higher ones (charm, speed, color, zomma) follow by differentiating with ∂d1/∂F = 1/(F·s),
    ∂d1/∂σ = −d2/σ, ∂d1/∂T = −d2/(2T).
[3] P. Jäckel, "Let's Be Rational", Wilmott 75 (2015) 40–53: the price in scaled complementary error functions, and its
    expansion in small s, which keep the digits that F·N(d1) − K·N(d2) loses out of the money.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, ndtr

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_INV_SQRT_2PI: Final = 0.3989422804014327
_SQRT_HALF: Final = 0.7071067811865476
_SQRT_HALF_PI: Final = 1.2533141373155003
# Below this size of (s/2)·max(1, |x|/s) the difference of two Mills ratios loses digits and its expansion does not.
_SERIES_LIMIT: Final = 0.2
_SERIES_TERMS: Final = 7
# φ is 0 in float64 beyond 38.6 standard deviations.
_DENSITY_ENDS: Final = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Black76:
    """Price and greeks per one coin of option, each an array of the broadcast shape of the inputs."""

    price: FloatArray
    """V, USD (or the unit of F)"""
    delta: FloatArray
    """∂V/∂F"""
    gamma: FloatArray
    """∂²V/∂F², per USD"""
    vega_per_unit_vol: FloatArray
    """∂V/∂σ, USD per 1.00 of vol"""
    theta_per_year: FloatArray
    """−∂V/∂T, USD per year"""
    rho: FloatArray
    """∂V/∂r at fixed F, USD per 1.00 of rate"""
    vanna_per_unit_vol: FloatArray
    """∂²V/∂F∂σ, per 1.00 of vol"""
    volga_per_unit_vol2: FloatArray
    """∂²V/∂σ², USD per (1.00 of vol)²"""
    charm_per_year: FloatArray
    """−∂²V/∂F∂T, per year"""
    speed: FloatArray
    """∂³V/∂F³, per USD²"""
    color_per_year: FloatArray
    """−∂³V/∂F²∂T, per USD and year"""
    zomma: FloatArray
    """∂³V/∂F²∂σ, per USD and 1.00 of vol"""


def black76(
    *,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    tau_years: npt.ArrayLike,
    vol: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
) -> Black76:
    """Price and greeks of European options on a forward [1, 2].

    Inputs broadcast against each other. NaN in any input gives NaN in all outputs of that element. ``tau_years`` and
    ``vol`` may be 0: price and delta are then the discounted payoff's (delta ½ exactly at the strike), and a greek
    takes its limit, or 0 where the limit is infinite (at the strike, where the payoff has a kink: gamma and its kin).

    Example::

        >>> v = black76(forward=100.0, strike=110.0, tau_years=1.0, vol=0.2, is_call=True)
        >>> round(float(v.price), 12)  # QuantLib, test-suite/blackcalculator.cpp
        4.29201094141

    Raises :class:`ValueError` naming the argument, the first bad element and the remedy for a forward or strike that is
    not positive, a negative time or vol, or an infinity.
    """
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


def log_moneyness(forward: FloatArray, strike: FloatArray) -> FloatArray:
    """Return ln(F/K), to the last digits near the money: there F − K is exact, and ln(F/K) would round F/K first.

    At one minute to expiry d1 divides that rounding by s ≈ 1e-4.
    """
    near = np.abs(forward - strike) <= 0.5 * strike
    excess = np.where(near, (forward - strike) / strike, 0.0)
    return np.where(near, np.log1p(excess), np.log(forward / strike))


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
    for name in ("forward", "strike"):
        require_in_range(name, arrays[name], positive=True)
    for name in ("tau_years", "vol"):
        require_in_range(name, arrays[name], positive=False)
    if np.any(np.isinf(arrays["rate"])):
        raise ValueError("rate is infinite; pass a finite rate per year, or NaN where it is missing")
    missing = np.where(np.isnan(sum(arrays.values(), start=np.zeros(call.shape))), np.nan, 0.0)
    return tuple(values + missing for values in arrays.values())


def require_in_range(name: str, values: FloatArray, *, positive: bool) -> None:
    """Raise :class:`ValueError` if an element is infinite, negative, or (``positive``) zero; NaN passes as missing."""
    bad = np.isinf(values) | ((values <= 0) if positive else (values < 0))
    if np.any(bad):
        index = int(np.argmax(bad.ravel()))
        bound = "> 0" if positive else ">= 0"
        raise ValueError(
            f"{name}[{index}] = {values.ravel()[index]!r} is not a finite number {bound}; "
            "leave the option out, or pass NaN where the value is missing"
        )
