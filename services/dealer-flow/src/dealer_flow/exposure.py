"""What a dealer book must hedge: totals, buckets, profile, flips and walls of one chain. Arrays in, dataclass out.

Formulas and signs: docs/reference/conventions.md. Order of summation: totals are exactly rounded sums (``math.fsum``),
so no order matters; buckets add in the chain's order; the profile as in :func:`pricing.spot_grid.signed_sums`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from dealer_flow.chain import DAYS_PER_YEAR, BoolArray, ChainGreeks, FloatArray
from dealer_flow.levels import Flips, Profile, RepricedChain, flips, profile, reprice, walls

Book = TypeVar("Book", bound=str)

PER_CENT: Final = 0.01
VOL_POINT: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureLimits:
    """When an exposure is suppressed rather than published."""

    min_coverage: float = 0.5
    """Least share of the live open interest that must be priced and fresh"""
    max_spot_age_ms: float = 60_000.0
    """Greatest age of spot"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the book, in the units of the names."""

    ngi_usd_per_pct: float
    vss_usd_per_vol_point: float
    chl_usd_per_day: float
    dex_usd: float
    vex_usd_per_vol_point: float
    volg_usd_per_vol_point2: float
    gross_gamma_usd_per_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """The totals split by ``keys`` (strikes in USD, or expiries in µs), ascending; arrays of one shape."""

    keys: npt.NDArray[Any]
    ngi_usd_per_pct: FloatArray
    vss_usd_per_vol_point: FloatArray
    chl_usd_per_day: FloatArray
    call_ngi_usd_per_pct: FloatArray
    put_ngi_usd_per_pct: FloatArray
    gross_gamma_usd_per_pct: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What is published when nothing is wrong with the inputs."""

    totals: Totals
    by_strike: Buckets
    by_expiry: Buckets
    profile: Profile
    flips: Flips
    call_wall: float | None
    put_wall: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Levels of one book, or the reasons why there are none."""

    reasons: tuple[str, ...]
    """Why suppressed, sorted; empty when there are levels"""
    levels: Levels | None
    gamma_coverage: float | None
    """Share of the live options' open interest that is priced and fresh; None when no open interest is known"""
    n_used: int
    max_age_ms: float | None


def exposures(chain: ChainGreeks, positions: Mapping[Book, FloatArray], limits: ExposureLimits) -> dict[Book, Exposure]:
    """Return the exposure of each book of ``positions`` (name → dealers' position per option, coin, > 0 is long).

    The chain is repriced once for all books. Options without a fresh price, and those whose position is unknown (NaN),
    stay out of the sums.
    """
    reasons, coverage = _suppression(chain, limits), _coverage(chain)
    if reasons or chain.spot is None:
        return {name: _suppressed(reasons, coverage) for name in positions}
    usable = chain.select(chain.usable)
    repriced = reprice(usable, chain.spot)
    return {name: _exposure(usable, repriced, position[chain.usable], coverage) for name, position in positions.items()}


def _suppression(chain: ChainGreeks, limits: ExposureLimits) -> tuple[str, ...]:
    """Name everything that forbids publishing levels of this chain."""
    coverage, priced = _coverage(chain), bool(np.any(chain.priced))
    spot_age = chain.spot_age_ms
    problems = {
        "low_coverage": coverage is not None and coverage < limits.min_coverage,
        "no_open_interest": coverage is None and chain.strike.size > 0,
        "no_options": chain.strike.size == 0,
        "no_priced_options": chain.strike.size > 0 and not priced,
        "no_spot": chain.spot is None,
        "stale": priced and not np.any(chain.usable),
        "stale_spot": chain.spot is not None and (spot_age is None or spot_age > limits.max_spot_age_ms),
    }
    return tuple(name for name, applies in problems.items() if applies)


def _coverage(chain: ChainGreeks) -> float | None:
    known = ~np.isnan(chain.open_interest_base)
    live = math.fsum(chain.open_interest_base[known])
    return math.fsum(chain.open_interest_base[known & chain.usable]) / live if live > 0 else None


def _suppressed(reasons: tuple[str, ...], coverage: float | None) -> Exposure:
    return Exposure(reasons=reasons, levels=None, gamma_coverage=coverage, n_used=0, max_age_ms=None)


def _exposure(chain: ChainGreeks, repriced: RepricedChain, position: FloatArray, coverage: float | None) -> Exposure:
    known = ~np.isnan(position)
    if not np.any(known):
        return _suppressed(("no_positions",), coverage)
    held = np.where(known, position, 0.0)
    ages = [chain.spot_age_ms or 0.0, *chain.age_ms[known]]
    return Exposure(
        reasons=(),
        levels=_levels(chain, repriced, held, known),
        gamma_coverage=coverage,
        n_used=int(np.count_nonzero(known)),
        max_age_ms=float(max(ages)),
    )


def _levels(chain: ChainGreeks, repriced: RepricedChain, position: FloatArray, used: BoolArray) -> Levels:
    terms = _terms(chain, repriced.spot, position, used)
    by_strike = _buckets(chain.strike, terms, chain.is_call, used)
    call_wall, put_wall = walls(by_strike.keys, by_strike.ngi_usd_per_pct)
    return Levels(
        totals=Totals(**{name: math.fsum(values) for name, values in terms.items()}),
        by_strike=by_strike,
        by_expiry=_buckets(chain.expiry_ts, terms, chain.is_call, used),
        profile=profile(repriced, position),
        flips=flips(repriced, position),
        call_wall=call_wall,
        put_wall=put_wall,
    )


def _terms(chain: ChainGreeks, spot: float, position: FloatArray, used: BoolArray) -> dict[str, FloatArray]:
    """Return each option's part of each total."""
    open_interest = np.where(used & ~np.isnan(chain.open_interest_base), chain.open_interest_base, 0.0)
    return {
        "ngi_usd_per_pct": position * chain.gamma * spot**2 * PER_CENT,
        "vss_usd_per_vol_point": position * chain.vanna_per_unit_vol * spot * VOL_POINT,
        "chl_usd_per_day": position * chain.charm_per_year * spot / DAYS_PER_YEAR,
        "dex_usd": position * chain.delta * spot,
        "vex_usd_per_vol_point": position * chain.vega_per_unit_vol * VOL_POINT,
        "volg_usd_per_vol_point2": position * chain.volga_per_unit_vol2 * VOL_POINT**2,
        "gross_gamma_usd_per_pct": open_interest * chain.gamma * spot**2 * PER_CENT,
    }


def _buckets(keys: npt.NDArray[Any], terms: Mapping[str, FloatArray], is_call: BoolArray, used: BoolArray) -> Buckets:
    unique, bucket = np.unique(keys[used], return_inverse=True)

    def split(values: FloatArray) -> FloatArray:
        return np.bincount(bucket, weights=values[used], minlength=unique.size).astype(np.float64, copy=False)

    ngi = terms["ngi_usd_per_pct"]
    return Buckets(
        keys=unique,
        ngi_usd_per_pct=split(ngi),
        vss_usd_per_vol_point=split(terms["vss_usd_per_vol_point"]),
        chl_usd_per_day=split(terms["chl_usd_per_day"]),
        call_ngi_usd_per_pct=split(np.where(is_call, ngi, 0.0)),
        put_ngi_usd_per_pct=split(np.where(is_call, 0.0, ngi)),
        gross_gamma_usd_per_pct=split(terms["gross_gamma_usd_per_pct"]),
    )
