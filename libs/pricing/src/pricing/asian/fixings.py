"""Fixings from a record of index prices: what a settlement average is by now, and what it will be."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricing.asian.averaging import MINUTES_PER_YEAR, Averaging
from pricing.asian.turnbull_wakeman import total_sd
from pricing.black76 import FloatArray

_US_PER_MINUTE = 60e6
_US_PER_YEAR = MINUTES_PER_YEAR * _US_PER_MINUTE

TimestampArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementAverage:
    """A settlement average as it stands: times in microseconds since 1970, prices in USD."""

    n_fixings: int
    n_past: int
    """fixings due by now"""
    n_without_price: int
    """of these, fixings without a print that is young enough: they are left out of the average"""
    average: float
    """mean of the known fixings, NaN while there are none"""
    last_price: float
    estimate: float
    """delivery price if the fixings to come are at ``last_price``: their expectation"""
    standard_deviation: float
    """of the delivery price, from the fixings to come at the given vol; 0 when all are known"""

    @property
    def n_left(self) -> int:
        """Fixings to come."""
        return self.n_fixings - self.n_past


def settlement_average(
    timestamps_us: TimestampArray,
    prices: FloatArray,
    *,
    expiry_us: int,
    now_us: int,
    window_minutes: float,
    n_fixings: int,
    vol: float,
    max_age_s: float,
) -> SettlementAverage:
    """Take each fixing as the newest print at or before its time, no older than ``max_age_s``.

    ``timestamps_us`` rise (equal ones: the later one counts) and have the shape of ``prices``, (n,). Prints after
    ``now_us`` are not looked at. Raises :class:`ValueError` if no print is left, or for terms no average has.
    """
    seen = int(np.searchsorted(timestamps_us, now_us, side="right"))
    if seen == 0:
        raise ValueError("no print is at or before now: give an earlier record, or a later time")
    interval_us = window_minutes * _US_PER_MINUTE / n_fixings
    due = expiry_us - np.arange(n_fixings - 1, -1, -1) * interval_us
    due = due[due <= now_us]
    newest = np.searchsorted(timestamps_us[:seen], due, side="right") - 1
    age_us = np.where(newest >= 0, due - timestamps_us[newest], np.inf)
    known = prices[newest[age_us <= max_age_s * 1e6]]
    last = float(prices[seen - 1])
    average = float(np.mean(known)) if known.size else math.nan
    n_past = int(due.size)
    open_part = (n_fixings - n_past) * last
    # Without a price for any fixing that is due, nothing can be said.
    closed_part = n_past * average if n_past else 0.0
    return SettlementAverage(
        n_fixings=n_fixings,
        n_past=n_past,
        n_without_price=n_past - int(known.size),
        average=average,
        last_price=last,
        estimate=(closed_part + open_part) / n_fixings,
        standard_deviation=_standard_deviation(
            Averaging(
                tau_years=max(0.0, (expiry_us - now_us) / _US_PER_YEAR),
                window_years=window_minutes / MINUTES_PER_YEAR,
                n_fixings=n_fixings,
                n_past=n_past,
                past_average=last,
            ),
            last,
            vol,
        ),
    )


def _standard_deviation(averaging: Averaging, price: float, vol: float) -> float:
    if averaging.n_left == 0:
        return 0.0
    sd, _ = total_sd(averaging, np.array([vol]))
    return price * averaging.share_left * math.sqrt(math.expm1(float(sd[0]) ** 2))
