"""``flip_crossed``: spot changes sides of the gamma flip.

::

    SETTLING ──held──▶ ARMED ──other side──▶ CROSSING ──persisted──▶ FIRED (alert)
       ▲ other side: anew  ▲                    │ other side          │ held: ARMED (cleared)
       └── lost ── any ────┴────────────────────┘                     └ other side: anew, no alert

A side is only taken once spot is further from the flip than the hysteresis, so noise around the level is no crossing. A
crossing counts only after a quiet time on one side, counted from the last crossing and not from the last alert. That
makes what is announced independent of where reading began: whoever starts later knows less, arms later, and can miss
an alert, but never makes one up.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from alerts.alert import alert
from alerts.rules import FlipCrossed
from contracts.records import AlertEvent, DealerExposure


class State(Enum):
    """Where the watch on one flip stands."""

    SETTLING = "settling"
    ARMED = "armed"
    CROSSING = "crossing"
    FIRED = "fired"


class Signal(Enum):
    """What one exposure says."""

    LOST = "lost"
    OTHER_SIDE = "other side"
    PERSISTED = "persisted"
    HELD = "held"


TRANSITIONS: Final = {
    (State.SETTLING, Signal.LOST): State.SETTLING,
    (State.SETTLING, Signal.OTHER_SIDE): State.SETTLING,
    (State.SETTLING, Signal.HELD): State.ARMED,
    (State.ARMED, Signal.LOST): State.SETTLING,
    (State.ARMED, Signal.OTHER_SIDE): State.CROSSING,
    (State.CROSSING, Signal.LOST): State.SETTLING,
    (State.CROSSING, Signal.OTHER_SIDE): State.ARMED,
    (State.CROSSING, Signal.PERSISTED): State.FIRED,
    (State.FIRED, Signal.LOST): State.FIRED,
    (State.FIRED, Signal.OTHER_SIDE): State.FIRED,
    (State.FIRED, Signal.HELD): State.ARMED,
}
"""What is not listed changes nothing."""


@dataclass(frozen=True, slots=True)
class FlipWatch:
    """State for one rule and underlying: ``side`` is +1 above, −1 below, 0 unknown, held since second ``since``."""

    state: State = State.SETTLING
    side: int = 0
    since: int = 0
    last_second: int | None = None


def concerns(rule: FlipCrossed, exposure: DealerExposure) -> bool:
    """Return whether ``rule`` watches the series this exposure belongs to."""
    watched = (rule.venue, rule.greeks_model, rule.sign_model)
    return watched == (exposure.venue, exposure.greeks_model, exposure.sign_model)


def step(rule: FlipCrossed, watch: FlipWatch, exposure: DealerExposure) -> tuple[FlipWatch, tuple[AlertEvent, ...]]:
    """Take one exposure of the rule's series; a second taken before, or without exactly one flip, changes nothing."""
    distance = _distance_bps(exposure)
    if distance is None or (watch.last_second is not None and exposure.second <= watch.last_second):
        return watch, ()
    if watch.last_second is not None and exposure.second - watch.last_second > rule.max_gap_s:
        watch = _moved(replace(watch, side=0), Signal.LOST)
    watch = replace(watch, last_second=exposure.second)
    side = 0 if abs(distance) <= rule.hysteresis_bps else (1 if distance > 0 else -1)
    if side and not watch.side:
        watch = replace(watch, side=side, since=exposure.second)
    elif side and side != watch.side:
        watch = _moved(replace(watch, side=side, since=exposure.second), Signal.OTHER_SIDE)
    return _lapse(rule, watch, exposure)


def _lapse(rule: FlipCrossed, watch: FlipWatch, exposure: DealerExposure) -> tuple[FlipWatch, tuple[AlertEvent, ...]]:
    """Apply what the time on the side at hand leads to."""
    if not watch.side:
        return watch, ()
    alerts = []
    held_s = exposure.second - watch.since
    if watch.state is State.CROSSING and held_s >= rule.persistence_s:
        watch = _moved(watch, Signal.PERSISTED)
        alerts.append(_fired(rule, watch, exposure))
    if watch.state is not State.CROSSING and held_s >= rule.cool_down_s:
        if watch.state is State.FIRED:
            alerts.append(_cleared(rule, watch, exposure))
        watch = _moved(watch, Signal.HELD)
    return watch, tuple(alerts)


def _moved(watch: FlipWatch, signal: Signal) -> FlipWatch:
    return replace(watch, state=TRANSITIONS.get((watch.state, signal), watch.state))


def _distance_bps(exposure: DealerExposure) -> float | None:
    """Return how far spot is above the flip; None unless there is one flip and a spot."""
    spot, flip = exposure.spot, exposure.flip_spot
    if exposure.flip_status != "ok" or spot is None or not flip or flip < 0:
        return None
    return (spot / flip - 1) * 10_000


def _fired(rule: FlipCrossed, watch: FlipWatch, exposure: DealerExposure) -> AlertEvent:
    direction = "rose above" if watch.side > 0 else "fell below"
    ngi = exposure.ngi_usd_per_pct
    effect = "" if ngi is None else f": dealers hedge {'against' if ngi > 0 else 'with'} the move"
    return alert(
        rule,
        "fired",
        underlying=exposure.underlying,
        second=exposure.second,
        message=f"{exposure.underlying} spot {exposure.spot:,.2f} {direction} the gamma flip at "
        f"{exposure.flip_spot:,.2f}{effect} ({_series(rule)}).",
        value=exposure.spot,
        threshold=exposure.flip_spot,
        evidence=_evidence(rule, watch, exposure),
    )


def _cleared(rule: FlipCrossed, watch: FlipWatch, exposure: DealerExposure) -> AlertEvent:
    side = "above" if watch.side > 0 else "below"
    return alert(
        rule,
        "cleared",
        underlying=exposure.underlying,
        second=exposure.second,
        message=f"{exposure.underlying} spot has stayed {side} the gamma flip for "
        f"{exposure.second - watch.since} s ({_series(rule)}).",
        value=exposure.spot,
        threshold=exposure.flip_spot,
        evidence=_evidence(rule, watch, exposure),
    )


def _series(rule: FlipCrossed) -> str:
    return f"{rule.venue}, {rule.greeks_model}, {rule.sign_model}"


def _evidence(rule: FlipCrossed, watch: FlipWatch, exposure: DealerExposure) -> dict[str, object]:
    return {
        "venue": rule.venue,
        "greeks_model": rule.greeks_model,
        "sign_model": rule.sign_model,
        "ngi_usd_per_pct": exposure.ngi_usd_per_pct,
        "gamma_coverage": exposure.gamma_coverage,
        "side_since_second": watch.since,
    }
