"""Which forward prices an option, and what spot is when no index is known. Arrays in, arrays out."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from pricing.black76 import FloatArray
from pricing.inverse import forward_from_delta

NEAR_THE_MONEY: Final = (0.25, 0.75)
"""Bounds of |venue delta| of the options whose delta implies a forward: there a rounded delta moves it least."""
DELTA_DECAYS_YEARS: Final = 0.5 / (24 * 365)
"""Deribit scales an expiring option's delta down to 0 over its last half hour: it implies no forward then"""
_SNAPSHOT_SPAN_MS: Final = 120_000.0
"""Greatest spread of ages within one snapshot: a chain polled instrument by instrument takes up to 82 s"""


class ForwardSource(IntEnum):
    """Codes of ``OptionGreeks.forward_source``."""

    NONE = 0
    VENUE = 1
    IMPLIED = 3


@dataclass(frozen=True, slots=True)
class Forwards:
    """Forward of each option: USD (NaN if none), its age in ms, and its :class:`ForwardSource` code."""

    price: FloatArray
    age_ms: FloatArray
    source: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Spot:
    """Spot, USD, with its age and where it came from; None when unknown."""

    price: float | None
    age_ms: int | None
    source: Literal["index", "nearest_forward", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaQuotes:
    """What the implied forward of an expiry is taken from; all of shape (n,), NaN where unknown."""

    strike: FloatArray
    is_call: npt.NDArray[np.bool_]
    tau_years: FloatArray
    vol: FloatArray
    delta: FloatArray
    age_ms: FloatArray
    """Age of the older of vol and delta"""


def choose_forwards(
    *,
    venue_price: FloatArray,
    venue_age_ms: FloatArray,
    expiry_ts: npt.NDArray[np.int64],
    quotes: DeltaQuotes,
    max_age_ms: float,
) -> Forwards:
    """Take the venue's forward of each option while it is fresh, else the one the venue's deltas of its expiry imply.

    Fresh is an age of at most ``max_age_ms``. Where neither is fresh the venue's goes first; where neither is known,
    none is taken.
    """
    price, age = venue_price.copy(), venue_age_ms.copy()
    known = ~np.isnan(price)
    source = np.where(known, ForwardSource.VENUE, ForwardSource.NONE).astype(np.uint8)
    lacking = ~known | ~(age <= max_age_ms)
    for expiry in np.unique(expiry_ts[lacking]):
        same = expiry_ts == expiry
        implied = _implied_forward(quotes, same)
        if implied is not None:
            here = same & lacking if implied[1] <= max_age_ms else same & ~known
            price[here], age[here] = implied
            source[here] = ForwardSource.IMPLIED
    return Forwards(price, age, source)


def _implied_forward(quotes: DeltaQuotes, same: npt.NDArray[np.bool_]) -> tuple[float, float] | None:
    """Median forward and greatest age over the expiry's usable deltas; only the youngest snapshot of them is used.

    Recorded chains come in snapshots: after a gap the old deltas of an expiry must not outvote the new ones. What is
    more than two minutes older than the youngest belongs to an earlier snapshot.
    """
    low, high = NEAR_THE_MONEY
    size = np.abs(quotes.delta)
    usable = same & (size > low) & (size < high) & ~np.isnan(quotes.vol + quotes.age_ms)
    usable &= quotes.tau_years > DELTA_DECAYS_YEARS
    if not np.any(usable):
        return None
    usable &= quotes.age_ms <= quotes.age_ms[usable].min() + _SNAPSHOT_SPAN_MS
    implied = forward_from_delta(
        strike=quotes.strike[usable],
        tau_years=quotes.tau_years[usable],
        vol=quotes.vol[usable],
        delta=quotes.delta[usable],
        is_call=quotes.is_call[usable],
    )
    return float(np.median(implied)), float(quotes.age_ms[usable].max())


def choose_spot(*, index_price: FloatArray, index_age_ms: FloatArray, forwards: Forwards, max_age_ms: float) -> Spot:
    """Return the newest index price while it is fresh, else the nearest fresh forward, else what there is, else none.

    Fresh is an age of at most ``max_age_ms``. Inputs are in the chain's order (ascending expiry); of equally new index
    prices the first one is taken.
    """
    candidates = [*_newest_index(index_price, index_age_ms), *_nearest_forward(forwards, max_age_ms)]
    fresh = [spot for spot in candidates if spot.age_ms is not None and spot.age_ms <= max_age_ms]
    return next(iter(fresh or candidates), Spot(None, None, "none"))


def _newest_index(price: FloatArray, age_ms: FloatArray) -> Iterator[Spot]:
    known = ~np.isnan(price + age_ms)
    if np.any(known):
        at = int(np.argmin(np.where(known, age_ms, np.inf)))
        yield Spot(float(price[at]), int(age_ms[at]), "index")


def _nearest_forward(forwards: Forwards, max_age_ms: float) -> Iterator[Spot]:
    known = ~np.isnan(forwards.price + forwards.age_ms)
    fresh = known & (forwards.age_ms <= max_age_ms)
    usable = np.flatnonzero(fresh if np.any(fresh) else known)
    if usable.size:
        at = int(usable[0])
        yield Spot(float(forwards.price[at]), int(forwards.age_ms[at]), "nearest_forward")
