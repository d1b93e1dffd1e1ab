"""What a slice is fitted to, and what a fit gives back: the interface between quotes and models."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pricing.surface.normalised import FloatArray, implied_sds


@dataclass(frozen=True)
class SliceQuotes:
    """Two-sided out-of-the-money quotes of one expiry, everything over the forward; arrays (n_quotes,).

    A coin price of an inverse contract is already over the forward. Raises :class:`ValueError` naming the field, the
    first bad element and the remedy.
    """

    expiry: str
    """label that stays the same from second to second: warm starts match on it"""
    tau_years: float
    """time to expiry, ACT/365"""
    log_moneyness: FloatArray
    """ln(K/F), not decreasing"""
    bid: FloatArray
    """value of the out-of-the-money option (call for K ≥ F, put below) over F"""
    ask: FloatArray

    def __post_init__(self) -> None:
        if not (0.0 < self.tau_years < np.inf):
            raise ValueError(
                f"tau_years = {self.tau_years!r} of {self.expiry} is not positive; leave expired slices out"
            )
        n = self.log_moneyness.size
        if n == 0:
            raise ValueError(f"log_moneyness of {self.expiry} is empty; leave slices without quotes out")
        for name in ("bid", "ask"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name} of {self.expiry} has shape {getattr(self, name).shape}, not ({n},)")
        ceiling = np.minimum(1.0, np.exp(self.log_moneyness))
        self._require("log_moneyness", np.isfinite(self.log_moneyness), "be finite")
        self._require(
            "log_moneyness", np.diff(self.log_moneyness, prepend=-np.inf) >= 0, "not decrease; sort by strike"
        )
        self._require("bid", self.bid > 0, "be > 0; leave one-sided quotes out")
        self._require("ask", self.ask >= self.bid, "be at least the bid; leave crossed quotes out")
        self._require("ask", self.ask < ceiling, "be below min(1, K/F); leave quotes above their bound out")

    def _require(self, name: str, good: npt.NDArray[np.bool_], rule: str) -> None:
        if not np.all(good):
            i = int(np.argmin(good))
            raise ValueError(f"{name}[{i}] = {getattr(self, name)[i]!r} of {self.expiry} must {rule}")

    @cached_property
    def bid_vol(self) -> FloatArray:
        """Black implied vol of the bids, per √year."""
        return np.asarray(implied_sds(self.log_moneyness, self.bid) / np.sqrt(self.tau_years))

    @cached_property
    def ask_vol(self) -> FloatArray:
        """Black implied vol of the asks, per √year."""
        return np.asarray(implied_sds(self.log_moneyness, self.ask) / np.sqrt(self.tau_years))

    @cached_property
    def mid_vol(self) -> FloatArray:
        """Mean of bid and ask vol, per √year."""
        return 0.5 * (self.bid_vol + self.ask_vol)

    @property
    def atm_vol(self) -> float:
        """Mid vol at k = 0, linear between quotes, flat outside them; per √year."""
        return float(np.interp(0.0, self.log_moneyness, self.mid_vol))

    @property
    def atm_deviation(self) -> float:
        """Total deviation σ√T at k = 0: the width of the slice."""
        return self.atm_vol * float(np.sqrt(self.tau_years))


class Smile(Protocol):
    """One expiry of any model."""

    @property
    def tau_years(self) -> float:
        """Time to expiry, ACT/365."""
        ...

    def total_variance(self, log_moneyness: FloatArray) -> FloatArray:
        """Total implied variance σ²T at ln(K/F), (n,) → (n,)."""
        ...


def smile_vol(smile: Smile, log_moneyness: npt.ArrayLike) -> FloatArray:
    """Implied vol of a smile, per √year, at ln(K/F) of any shape."""
    k = np.asarray(log_moneyness, dtype=np.float64)
    total = smile.total_variance(np.ascontiguousarray(k.ravel()))
    return np.asarray(np.sqrt(np.maximum(total, 0.0) / smile.tau_years)).reshape(k.shape)
