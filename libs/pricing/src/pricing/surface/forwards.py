"""Forward of an expiry: which source, and whether the others agree.

For inverse contracts put–call parity in coin is c − p = 1 − K/F, so that one strike's bids and asks confine the
forward to [K/(1 − (c_bid − p_ask)), K/(1 − (c_ask − p_bid))]. The intersection over strikes is used as an alarm: it
is some 15 bps wide on recorded chains, the venue's own underlying price is better than its middle.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.surface.options import OptionQuote

ALARM_BPS: Final = 20.0
"""Disagreement of two sources from which it is flagged, in basis points of the forward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityInterval:
    """Forwards that put–call parity allows; ``low`` > ``high`` if the quotes contradict each other."""

    low: float
    high: float

    @property
    def is_empty(self) -> bool:
        """No forward agrees with every strike."""
        return self.low > self.high

    @property
    def middle(self) -> float:
        """Middle of the interval, also if it is empty: then between the two contradicting strikes."""
        return 0.5 * (self.low + self.high)

    def distance_bps(self, forward: float) -> float:
        """How far ``forward`` is outside, in basis points; 0 inside."""
        outside = max(self.low - forward, forward - self.high, 0.0) if not self.is_empty else abs(self.middle - forward)
        return 1e4 * outside / forward


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """The forward of one expiry."""

    value: float
    source: str
    """``venue`` (its underlying price), ``future`` (the matching one), ``parity``, ``delta`` (implied from the
    venue's deltas) or
    ``interpolated`` (basis between other expiries)"""
    parity: ParityInterval | None
    disagreement_bps: float
    """largest distance to another source or to the parity interval"""

    @property
    def is_alarming(self) -> bool:
        """Sources disagree by more than :data:`ALARM_BPS`, or parity contradicts itself."""
        return self.disagreement_bps > ALARM_BPS or (self.parity is not None and self.parity.is_empty)


def parity_interval(options: Sequence[OptionQuote]) -> ParityInterval | None:
    """Intersection of the intervals of all strikes quoted on both sides, call and put; None without such a strike."""
    puts = {one.strike: one for one in options if not one.is_call}
    lows, highs = [], []
    for call in options:
        put = puts.get(call.strike)
        if not call.is_call or put is None:
            continue
        if call.bid and put.ask and call.bid - put.ask < 1.0:
            lows.append(call.strike / (1.0 - (call.bid - put.ask)))
        if call.ask and put.bid and call.ask - put.bid < 1.0:
            highs.append(call.strike / (1.0 - (call.ask - put.bid)))
    if not lows or not highs:
        return None
    return ParityInterval(low=max(lows), high=min(highs))


def choose_forward(
    options: Sequence[OptionQuote], *, future: float | None = None, from_delta: float | None = None
) -> Forward | None:
    """Best source that is there: the venue's underlying price, the future, the venue's deltas, parity; else None.

    ``future`` and ``from_delta`` in the strike's unit; the venue's price is the median of the options' own.
    """
    own = [one.forward for one in options if one.forward is not None]
    parity = parity_interval(options)
    known = {
        "venue": float(np.median(own)) if own else None,
        "future": future,
        "delta": from_delta,
        "parity": None if parity is None else parity.middle,
    }
    there = {name: value for name, value in known.items() if value is not None}
    if not there:
        return None
    source, value = next(iter(there.items()))
    others = [1e4 * abs(other / value - 1.0) for name, other in there.items() if name not in {source, "parity"}]
    if parity is not None:
        others.append(parity.distance_bps(value))
    return Forward(value=value, source=source, parity=parity, disagreement_bps=max(others, default=0.0))


def interpolate_forward(tau_years: float, known: Mapping[float, float]) -> Forward | None:
    """Forward at ``tau_years`` from others {tau_years: forward}: ln F linear in time, its ends' slopes held; None
    without two.

    With one other its forward is taken.
    """
    if not known:
        return None
    times = sorted(known)
    if len(times) == 1:
        value = known[times[0]]
    else:
        j = min(max(int(np.searchsorted(times, tau_years)), 1), len(times) - 1)
        t0, t1 = times[j - 1], times[j]
        share = (tau_years - t0) / (t1 - t0)
        value = math.exp((1.0 - share) * math.log(known[t0]) + share * math.log(known[t1]))
    return Forward(value=value, source="interpolated", parity=None, disagreement_bps=0.0)
