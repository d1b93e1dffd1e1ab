"""``no_data``: a venue sends nothing for an underlying.

::

    SETTLING ──held──▶ ARMED ──overdue──▶ SILENT (alert) ──data──▶ RECOVERING ──held──▶ ARMED (cleared)
       ▲ overdue: anew                       ▲──────── overdue ────────┘

Two clocks decide. In the log: a clock record shows that the underlying's time has moved on by more than
``persistence_s`` since a venue's last second with data. On the wall: no clock record has come for ``persistence_s``;
that is only a first word on the same hole, with the same id (the second is the last one with data plus
``persistence_s`` either way), and it leaves the state alone. So a replay, which has no wall clock, can say less than
the live run, but nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from alerts.alert import alert, clock_time
from alerts.rules import NoData
from contracts.records import AlertEvent, Clock


class State(Enum):
    """Where the watch on one venue stands."""

    SETTLING = "settling"
    ARMED = "armed"
    SILENT = "silent"
    RECOVERING = "recovering"


class Signal(Enum):
    """What a clock record says about a venue."""

    OVERDUE = "overdue"
    DATA = "data"
    HELD = "held"


TRANSITIONS: Final = {
    (State.SETTLING, Signal.HELD): State.ARMED,
    (State.ARMED, Signal.OVERDUE): State.SILENT,
    (State.SILENT, Signal.DATA): State.RECOVERING,
    (State.RECOVERING, Signal.OVERDUE): State.SILENT,
    (State.RECOVERING, Signal.HELD): State.ARMED,
}
"""What is not listed changes nothing."""


@dataclass(frozen=True, slots=True)
class VenueWatch:
    """State for one venue.

    ``last`` is its last second with data; ``since`` the first one of the run without a hole that it belongs to, None
    once a hole has ended the run; ``told`` is the ``last`` of the hole that was announced by the wall clock.
    """

    last: int
    since: int | None
    state: State = State.SETTLING
    told: int | None = None


@dataclass(frozen=True, slots=True)
class SilenceWatch:
    """State for one rule and underlying: its venues, the last second of any of them, and when that was seen."""

    venues: Mapping[str, VenueWatch] = field(default_factory=dict)
    second: int = 0
    seen_at: float = 0.0


Alerts = tuple[AlertEvent, ...]


def step(rule: NoData, watch: SilenceWatch, clock: Clock, now: float) -> tuple[SilenceWatch, Alerts]:
    """Take one clock record that came at ``now``, seconds of any clock that never stops; old seconds change nothing."""
    venues = dict(watch.venues)
    alerts = _overdue(rule, venues, clock)
    known = venues.get(clock.venue)
    if clock.received_ts is not None and (known is None or clock.second > known.last):
        venues[clock.venue], cleared = _data(rule, known, clock)
        alerts += cleared
    return SilenceWatch(venues, max(watch.second, clock.second), now), alerts


def tick(rule: NoData, watch: SilenceWatch, underlying: str, now: float) -> tuple[SilenceWatch, Alerts]:
    """Tell of venues whose clock has stopped: nothing has come for ``persistence_s`` by the wall clock."""
    if now - watch.seen_at < rule.persistence_s:
        return watch, ()
    silent = {
        name: venue for name, venue in watch.venues.items() if venue.state is State.ARMED and venue.told != venue.last
    }
    venues = {**watch.venues, **{name: replace(venue, told=venue.last) for name, venue in silent.items()}}
    return replace(watch, venues=venues), _fired(rule, underlying, silent)


def _overdue(rule: NoData, venues: dict[str, VenueWatch], clock: Clock) -> Alerts:
    """End the run of every venue that ``clock.second`` shows to have a hole; announce those that were armed."""
    overdue = {name: venue for name, venue in venues.items() if clock.second - venue.last > rule.persistence_s}
    fresh = {name: venue for name, venue in overdue.items() if venue.state is State.ARMED}
    for name, venue in overdue.items():
        venues[name] = replace(_moved(venue, Signal.OVERDUE), since=None, told=None)
    return _fired(rule, clock.underlying, {name: v for name, v in fresh.items() if v.told != v.last})


def _data(rule: NoData, venue: VenueWatch | None, clock: Clock) -> tuple[VenueWatch, Alerts]:
    """Take a second with data of ``venue``; None is one never seen before."""
    if venue is None:
        return VenueWatch(last=clock.second, since=clock.second), ()
    since = clock.second if venue.since is None else venue.since
    moved = replace(_moved(venue, Signal.DATA), last=clock.second, since=since, told=None)
    held = clock.second - since >= rule.cool_down_s
    # What the wall clock announced was no hole in the log: only the pipeline had stood still.
    ended = venue.told is not None or (held and moved.state is State.RECOVERING)
    alerts = (_cleared(rule, clock),) if ended else ()
    return (_moved(moved, Signal.HELD) if held else moved), alerts


def _moved(venue: VenueWatch, signal: Signal) -> VenueWatch:
    return replace(venue, state=TRANSITIONS.get((venue.state, signal), venue.state))


def _fired(rule: NoData, underlying: str, venues: Mapping[str, VenueWatch]) -> Alerts:
    """Return one alert per last second: venues that fell silent together are one hole."""
    lasts = sorted({venue.last for venue in venues.values()})
    return tuple(
        _hole(rule, underlying, last, sorted(name for name, venue in venues.items() if venue.last == last))
        for last in lasts
    )


def _hole(rule: NoData, underlying: str, last: int, names: Iterable[str]) -> AlertEvent:
    silent = ", ".join(names)
    return alert(
        rule,
        "fired",
        underlying=underlying,
        second=last + rule.persistence_s,
        message=f"{underlying}: no data from {silent} for {rule.persistence_s} s after {clock_time(last)}.",
        value=float(rule.persistence_s),
        threshold=float(rule.persistence_s),
        evidence={"venues": silent.split(", "), "last_second_with_data": last},
    )


def _cleared(rule: NoData, clock: Clock) -> AlertEvent:
    return alert(
        rule,
        "cleared",
        underlying=clock.underlying,
        second=clock.second,
        message=f"{clock.underlying}: data from {clock.venue} flows again at {clock_time(clock.second)}.",
        threshold=float(rule.persistence_s),
        evidence={"venue": clock.venue},
    )
