"""The average an expiry settles to, as seen from now: which fixings are known, and when the others come."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.black76 import FloatArray

MINUTES_PER_YEAR: Final = 525_600.0
DERIBIT_WINDOW_MINUTES: Final = 30.0
"""Length of Deribit's settlement window, which ends at expiry (08:00 UTC)."""
DERIBIT_FIXINGS: Final = 450
"""Fixings in it: one every 4 s. Deribit's documents also say one every 6 s, which makes 300."""

_ON_THE_GRID: Final = 1e-6
"""Share of an interval by which a fixing may be off its time: τ is often rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging:
    """An arithmetic average of ``n_fixings`` equally spaced prices, the last of them at expiry.

    The fixings are ``window_years / n_fixings`` apart, so that the first one comes that long after the window opens.
    ``n_past`` of them are known and average ``past_average`` (None while there are none).

    Raises :class:`ValueError` naming the field, its value and the remedy, also where ``n_past`` contradicts
    ``tau_years``: see :meth:`at`, which counts it.
    """

    tau_years: float
    window_years: float
    n_fixings: int
    n_past: int = 0
    past_average: float | None = None

    def __post_init__(self) -> None:
        _require("tau_years", self.tau_years, at_least=0.0)
        _require("window_years", self.window_years, at_least=0.0)
        if self.n_fixings < 1:
            raise ValueError(f"n_fixings = {self.n_fixings} is below 1; one fixing at expiry is a European option")
        if not 0 <= self.n_past <= self.n_fixings:
            raise ValueError(f"n_past = {self.n_past} is not between 0 and n_fixings = {self.n_fixings}")
        if self.n_past:
            _require_past(self.n_past, self.past_average)
        self._require_on_time()

    @classmethod
    def at(
        cls, *, tau_years: float, window_years: float, n_fixings: int, past_average: float | None = None
    ) -> "Averaging":
        """Return the average with the fixings counted that are due by now; one due this instant is known."""
        counted = n_past(tau_years=tau_years, window_years=window_years, n_fixings=n_fixings)
        return cls(
            tau_years=tau_years,
            window_years=window_years,
            n_fixings=n_fixings,
            n_past=counted,
            past_average=past_average if counted else None,
        )

    @property
    def n_left(self) -> int:
        """Fixings still to come, m."""
        return self.n_fixings - self.n_past

    @property
    def interval_years(self) -> float:
        """Time between two fixings."""
        return self.window_years / self.n_fixings

    @property
    def first_years(self) -> float:
        """Time to the first fixing still to come; 0 if it is due now."""
        return max(0.0, self.tau_years - (self.n_left - 1) * self.interval_years)

    @property
    def share_left(self) -> float:
        """Weight of the unknown fixings in the average, m/n."""
        return self.n_left / self.n_fixings

    def effective_strike(self, strike: FloatArray) -> FloatArray:
        """Strike of the average of the unknown fixings, (nK − Σ known)/m; 0 or less once exercise is certain.

        The option is m/n options on that average. With no fixing left the strike is all there is: it is returned.
        """
        if self.n_past == 0 or self.n_left == 0 or self.past_average is None:
            return strike
        # K + (K − average)·known/m is the same, and exact where nK − Σ would lose digits.
        return strike + (strike - self.past_average) * (self.n_past / self.n_left)

    def _require_on_time(self) -> None:
        if self.n_left == 0:
            return
        interval = self.interval_years
        slack = _ON_THE_GRID * interval
        first = self.tau_years - (self.n_left - 1) * interval
        if first < -slack or (self.n_past and first > interval + slack):
            due = n_past(tau_years=self.tau_years, window_years=self.window_years, n_fixings=self.n_fixings)
            raise ValueError(
                f"n_past = {self.n_past} contradicts tau_years = {self.tau_years!r}: {due} of {self.n_fixings} fixings "
                "are due by then; correct the one that is wrong"
            )


def n_past(*, tau_years: float, window_years: float, n_fixings: int) -> int:
    """Count the fixings that are due with ``tau_years`` to go, the one of this instant included."""
    if tau_years >= window_years:
        return 0
    left = math.ceil(tau_years / (window_years / n_fixings) - _ON_THE_GRID)
    return n_fixings - min(max(left, 0), n_fixings)


def _require(name: str, value: float, *, at_least: float) -> None:
    if not (math.isfinite(value) and value >= at_least):
        raise ValueError(f"{name} = {value!r} is not a finite number >= {at_least:g}; leave the expiry out")


def _require_past(count: int, average: float | None) -> None:
    if average is None or not np.isfinite(average) or average <= 0:
        raise ValueError(f"past_average = {average!r} with n_past = {count}; pass the mean of the known fixings, > 0")
