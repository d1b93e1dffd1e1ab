"""What is read off a surface: vols at deltas and at constant maturities, term structure, forward vols, variance swaps.

Deltas are undiscounted Black-76 deltas on the forward, N(d1) for calls. Vols are decimals per √year.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from pricing.surface.normalised import FloatArray, otm_values
from pricing.surface.quotes import Smile, smile_vol

CONSTANT_MATURITIES_D: Final = (1, 7, 14, 30, 60, 90, 180)
DAYS_PER_YEAR: Final = 365.0
_WIDEST_K_SD: Final = 12.0
_SWAP_REACH_SD: Final = 14.0
_SWAP_POINTS: Final = 801


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaVols:
    """Vols of one expiry at fixed deltas."""

    atm_vol: float
    """at K = F"""
    call_25d: float
    put_25d: float
    call_10d: float
    put_10d: float

    @property
    def risk_reversal_25d(self) -> float:
        """25Δ call vol − 25Δ put vol (also called call skew)."""
        return self.call_25d - self.put_25d

    @property
    def risk_reversal_10d(self) -> float:
        """10Δ call vol − 10Δ put vol."""
        return self.call_10d - self.put_10d

    @property
    def butterfly_25d(self) -> float:
        """Mean of the 25Δ vols − at-the-money vol."""
        return 0.5 * (self.call_25d + self.put_25d) - self.atm_vol

    @property
    def butterfly_10d(self) -> float:
        """Mean of the 10Δ vols − at-the-money vol."""
        return 0.5 * (self.call_10d + self.put_10d) - self.atm_vol


def strike_at_delta(smile: Smile, call_delta: float) -> float:
    """Log-moneyness ln(K/F) at which the call's delta N(d1) is ``call_delta`` (a put's |Δ| is 1 − N(d1)).

    Raises :class:`ValueError` outside (0, 1), or if the smile does not reach that delta.
    """
    if not (0.0 < call_delta < 1.0):
        raise ValueError(f"call_delta = {call_delta!r} must be inside (0, 1); a put of delta -x has call_delta 1 - x")
    wanted = float(ndtri(call_delta))

    def excess(k: float) -> float:
        sd = math.sqrt(float(smile.total_variance(np.array([k]))[0]))
        return -k / sd + 0.5 * sd - wanted

    width = math.sqrt(float(smile.total_variance(np.zeros(1))[0]))
    for reach in (2.0, 5.0, _WIDEST_K_SD):
        low, high = -reach * width, reach * width
        if excess(low) > 0.0 > excess(high):
            return float(brentq(excess, low, high, xtol=1e-13, rtol=1e-13))
    raise ValueError(
        f"call_delta = {call_delta!r} is beyond {_WIDEST_K_SD} deviations of this smile; ask for one nearer 0.5"
    )


def delta_vols(smile: Smile) -> DeltaVols:
    """Vols at the money and at 25Δ and 10Δ of a smile."""
    atm = smile_vol(smile, 0.0)

    def at(call_delta: float) -> float:
        return float(smile_vol(smile, strike_at_delta(smile, call_delta)))

    return DeltaVols(atm_vol=float(atm), call_25d=at(0.25), put_25d=at(0.75), call_10d=at(0.10), put_10d=at(0.90))


def variance_swap_vol(smile: Smile) -> float:
    """Vol of the log contract, √(2/T · ∫ p(k)·e^{−k} dk), p the out-of-the-money value over the forward.

    Demeterfi, Derman, Kamal & Zou, "More than you ever wanted to know about volatility swaps" (1999), eq. 26, over
    strikes out to 14 deviations, each wing by Simpson's rule.
    """
    width = math.sqrt(float(smile.total_variance(np.zeros(1))[0]))
    total = 0.0
    for end in (-_SWAP_REACH_SD * width, _SWAP_REACH_SD * width):
        # Squared spacing: dense at the money, where the value has its kink.
        k = np.linspace(0.0, 1.0, _SWAP_POINTS) ** 2 * end
        sd = np.sqrt(smile.total_variance(np.ascontiguousarray(k)))
        value = otm_values(k, sd) * np.exp(-k) * 2.0 * np.sqrt(np.abs(k / end)) * abs(end)
        total += _simpson(value)
    return math.sqrt(2.0 * total / smile.tau_years)


def _simpson(values: FloatArray) -> float:
    """Simpson's rule on [0, 1] for an odd number of equally spaced values."""
    inner = 4.0 * np.sum(values[1:-1:2]) + 2.0 * np.sum(values[2:-1:2])
    return float((values[0] + inner + values[-1]) / (3.0 * (values.size - 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantMaturity:
    """A quantity interpolated to a fixed number of days."""

    days: float
    vol: float
    is_extrapolated: bool
    """outside the expiries of the surface: the nearest expiry's vol is held"""


def at_constant_maturity(taus_years: Sequence[float], vols: Sequence[float], days: float) -> ConstantMaturity:
    """Interpolate vols of increasing expiries to ``days``: total variance linear in time, vol flat outside.

    Raises :class:`ValueError` without an expiry or for lengths that differ.
    """
    if len(taus_years) == 0 or len(taus_years) != len(vols):
        raise ValueError(f"taus_years has {len(taus_years)} and vols {len(vols)} elements; pass one vol per expiry")
    tau = days / DAYS_PER_YEAR
    if tau <= taus_years[0]:
        return ConstantMaturity(days=days, vol=vols[0], is_extrapolated=tau < taus_years[0])
    if tau >= taus_years[-1]:
        return ConstantMaturity(days=days, vol=vols[-1], is_extrapolated=tau > taus_years[-1])
    total = np.interp(tau, taus_years, [vol * vol * t for vol, t in zip(vols, taus_years, strict=True)])
    return ConstantMaturity(days=days, vol=math.sqrt(float(total) / tau), is_extrapolated=False)


def term_slope(taus_years: Sequence[float], vols: Sequence[float]) -> float:
    """(IV30 − IV7)/23, vol per day."""
    late, early = (at_constant_maturity(taus_years, vols, days).vol for days in (30, 7))
    return (late - early) / 23.0


def forward_vols(taus_years: Sequence[float], vols: Sequence[float]) -> list[float]:
    """Vol between adjacent expiries, √(Δ(σ²T)/ΔT), one less than expiries; NaN where total variance falls."""
    out = []
    for t0, t1, v0, v1 in zip(taus_years[:-1], taus_years[1:], vols[:-1], vols[1:], strict=True):
        forward = (v1 * v1 * t1 - v0 * v0 * t0) / (t1 - t0)
        out.append(math.sqrt(forward) if forward >= 0.0 else math.nan)
    return out
