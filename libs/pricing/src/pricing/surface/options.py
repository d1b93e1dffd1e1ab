"""From a chain's options to the quotes a slice is fitted to: which are used, and why the others are not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pricing.surface.quotes import SliceQuotes


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionQuote:
    """One option of an expiry; what is missing is None."""

    instrument: str
    is_call: bool
    strike: float
    bid: float | None
    """over the forward: the coin price of an inverse contract, a linear contract's price divided by F"""
    ask: float | None
    forward: float | None = None
    """the venue's own underlying price of this row: it moves while a chain is being read"""
    bid_size: float | None = None
    ask_size: float | None = None
    age_s: float | None = None
    """seconds since the quote changed or was seen"""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteFilter:
    """Which quotes a surface is fitted to: two-sided, out of the money, and these."""

    max_age_s: float | None = 10.0
    """oldest quote; None uses quotes of any age. A quote of unknown age passes"""
    min_size: float = 0.0
    """smallest bid and ask size, in contracts. A quote of unknown size passes"""

    def __post_init__(self) -> None:
        if self.max_age_s is not None and not self.max_age_s >= 0:
            raise ValueError(f"max_age_s = {self.max_age_s!r} must be >= 0, or None for any age")
        if not self.min_size >= 0:
            raise ValueError(f"min_size = {self.min_size!r} must be >= 0")

    def reason_against(self, option: OptionQuote, forward: float) -> str | None:
        """Why an option is not used, or None if it is.

        ``no_bid``, ``no_ask``, ``crossed`` (also locked: no width to fit in), ``in_the_money``, ``out_of_bounds`` (a
        value no vol explains), ``old``, ``small``.
        """
        k = log_moneyness(option, forward)
        bid, ask = option.bid, option.ask
        checks = (
            ("no_bid", bid is None or not bid > 0),
            ("no_ask", ask is None or not ask > 0),
            ("crossed", bid is not None and ask is not None and 0 < ask <= bid),
            ("in_the_money", option.is_call != (k >= 0)),
            ("out_of_bounds", ask is not None and not ask < min(1.0, math.exp(k))),
            ("old", self.max_age_s is not None and option.age_s is not None and option.age_s > self.max_age_s),
            ("small", any(size is not None and size < self.min_size for size in (option.bid_size, option.ask_size))),
        )
        return next((name for name, failed in checks if failed), None)


def log_moneyness(option: OptionQuote, forward: float) -> float:
    """ln(K/F) with the row's own forward where it has one, else with ``forward`` of the slice."""
    return math.log(option.strike / (option.forward or forward))


def slice_quotes(expiry: str, tau_years: float, options: Sequence[OptionQuote], forward: float) -> SliceQuotes | None:
    """Collect options that passed the filter, sorted by log-moneyness; None if there are none."""
    rows = sorted((log_moneyness(one, forward), one.bid, one.ask) for one in options)
    if not rows:
        return None
    k, bid, ask = np.array(rows, dtype=np.float64).T.copy()
    return SliceQuotes(expiry, tau_years, k, bid, ask)
