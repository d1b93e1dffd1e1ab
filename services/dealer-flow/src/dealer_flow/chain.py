"""The greeks of one option chain as arrays: what exposures are computed from. No records, no I/O."""

from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

DAYS_PER_YEAR: Final = 365.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainGreeks:
    """One chain at one moment. Arrays of shape (n,), one element per option; NaN is unknown.

    Greeks are per one coin of option on the forward; docs/reference/conventions.md has signs and units.
    """

    spot: float | None
    """USD"""
    spot_age_ms: float | None
    expiry_ts: npt.NDArray[np.int64]
    """µs since 1970-01-01 UTC"""
    strike: FloatArray
    """USD"""
    is_call: BoolArray
    tau_years: FloatArray
    forward: FloatArray
    """USD"""
    vol: FloatArray
    """Decimal"""
    delta: FloatArray
    gamma: FloatArray
    vega_per_unit_vol: FloatArray
    vanna_per_unit_vol: FloatArray
    volga_per_unit_vol2: FloatArray
    charm_per_year: FloatArray
    open_interest_base: FloatArray
    """Coin"""
    age_ms: FloatArray
    stale: BoolArray
    """True where an input is too old to be used"""

    @property
    def priced(self) -> BoolArray:
        """Options that have greeks."""
        return np.isfinite(self.gamma)

    @property
    def usable(self) -> BoolArray:
        """Options that have greeks on fresh inputs."""
        return self.priced & ~self.stale

    def select(self, mask: BoolArray) -> "ChainGreeks":
        """Return the options where ``mask`` is true, in the same order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        columns: dict[str, Any] = {name: c[mask] for name, c in values.items() if isinstance(c, np.ndarray)}
        return replace(self, **columns)


def atm_vol_of_a_day(chain: ChainGreeks) -> float | None:
    """At-the-money vol that scales a one-day move; None for an empty chain.

    Of the earliest expiry at least one day away (the latest expiry if all are nearer), the vol of the option whose
    strike is nearest to its forward in log terms; the first in order of equally near ones.
    """
    if chain.tau_years.size == 0:
        return None
    distant = chain.tau_years >= 1.0 / DAYS_PER_YEAR
    tau = chain.tau_years[distant].min() if np.any(distant) else chain.tau_years.max()
    away = np.where(chain.tau_years == tau, np.abs(np.log(chain.strike / chain.forward)), np.inf)
    return float(chain.vol[int(np.argmin(away))])
