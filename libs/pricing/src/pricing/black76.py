"""European options on a forward: Black-76 price and greeks of whole arrays.

Computed by a compiled kernel (:mod:`pricing.black76_kernel`), loaded at the first call; the readable form of the same
is :mod:`pricing.black76_reference`.

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

import math
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pricing.chunks import in_chunks

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)
_SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)


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


_NAMES = tuple(field.name for field in fields(Black76))


def black76(
    *,
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    tau_years: npt.ArrayLike,
    vol: npt.ArrayLike,
    is_call: npt.ArrayLike,
    rate: npt.ArrayLike = 0.0,
    threads: int = 1,
    out: FloatArray | None = None,
) -> Black76:
    """Price and greeks of European options on a forward [1, 2].

    Inputs broadcast against each other. NaN in any input gives NaN in all outputs of that element. ``tau_years`` and
    ``vol`` may be 0: price and delta are then the discounted payoff's (delta ½ exactly at the strike), and a greek
    takes its limit, or 0 where the limit is infinite (at the strike, where the payoff has a kink: gamma and its kin).

    Example::

        >>> v = black76(forward=100.0, strike=110.0, tau_years=1.0, vol=0.2, is_call=True)
        >>> round(float(v.price), 12)  # QuantLib, test-suite/blackcalculator.cpp
        4.29201094141

    ``threads``: the options are shared out among so many; the results have the same bits with any number.
    ``out``: array of shape (12, n), n the number of options, to put the results into, for those who price the same
    number again and again: new memory costs a third of the time of a million options.

    Raises :class:`ValueError` naming the argument, the first bad element and the remedy for a forward or strike that is
    not positive (or denormal), a negative time or vol, or an infinity.
    """
    from pricing import black76_kernel as kernel  # noqa: PLC0415 - numba takes half a second to import

    given = {"forward": forward, "strike": strike, "tau_years": tau_years, "vol": vol, "rate": rate}
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in given.items()}
    call = np.asarray(is_call, dtype=np.bool_)
    shape = np.broadcast(call, *arrays.values()).shape
    inputs = tuple(flat(array, shape) for array in arrays.values())
    calls = flat(call, shape).view(np.uint8)
    n = math.prod(shape)
    results = np.empty((len(_NAMES), n)) if out is None else _checked(out, n)
    if sum(in_chunks(lambda a, b: kernel.value(inputs, calls, a, b, results), n, threads, kernel.BLOCK)):
        require_possible(**arrays)
    return Black76(**dict(zip(_NAMES, results.reshape(len(_NAMES), *shape), strict=True)))


def load_kernel() -> None:
    """Load the compiled kernel now instead of in the first call: for a service, before the first second it prices."""
    from pricing import black76_kernel  # noqa: F401, PLC0415


def log_moneyness(forward: FloatArray, strike: FloatArray) -> FloatArray:
    """Return ln(F/K), to the last digits near the money: there F − K is exact, and ln(F/K) would round F/K first.

    At one minute to expiry d1 divides that rounding by s ≈ 1e-4.
    """
    near = np.abs(forward - strike) <= 0.5 * strike
    excess = np.where(near, (forward - strike) / strike, 0.0)
    return np.where(near, np.log1p(excess), np.log(forward / strike))


def flat(array: npt.NDArray[Scalar], shape: tuple[int, ...]) -> npt.NDArray[Scalar]:
    """Return the elements of ``array`` broadcast to ``shape``, in one dimension; one element stays one."""
    if array.size != 1 and array.shape != shape:
        array = np.broadcast_to(array, shape)
    return np.ascontiguousarray(array).reshape(-1)


def require_possible(
    *, forward: FloatArray, strike: FloatArray, tau_years: FloatArray, vol: FloatArray, rate: FloatArray
) -> None:
    """Raise :class:`ValueError` naming the first input that no option can have."""
    require_in_range("forward", forward, positive=True)
    require_in_range("strike", strike, positive=True)
    require_in_range("tau_years", tau_years, positive=False)
    require_in_range("vol", vol, positive=False)
    if np.any(np.isinf(rate)):
        raise ValueError("rate is infinite; pass a finite rate per year, or NaN where it is missing")


def require_in_range(name: str, values: FloatArray, *, positive: bool) -> None:
    """Raise :class:`ValueError` if an element is infinite, negative, or (``positive``) zero; NaN passes as missing."""
    bad = np.isinf(values) | ((values < _SMALLEST_NORMAL) if positive else (values < 0))
    if np.any(bad):
        index = int(np.argmax(bad.ravel()))
        bound = "> 0" if positive else ">= 0"
        raise ValueError(
            f"{name}[{index}] = {float(values.ravel()[index])!r} is not a finite number {bound}; "
            "leave the option out, or pass NaN where the value is missing"
        )


def _checked(out: FloatArray, n: int) -> FloatArray:
    wanted = (len(_NAMES), n)
    if out.shape != wanted or out.dtype != np.float64 or not out.flags.c_contiguous:
        raise ValueError(f"out has shape {out.shape} and type {out.dtype}; pass a C-contiguous float64 array {wanted}")
    return out
