"""The rules, as data: what is watched, how long it must last, how long calm must last before it may fire again."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipCrossed:
    """Spot went from one side of the gamma flip to the other, in the exposures of one venue, greeks and sign model.

    ``hysteresis_bps``: spot is on a side when it is further than this from the flip, in 1/10,000 of the flip.
    ``persistence_s``: seconds it must stay on the new side before the alert fires; 0 is at once.
    ``cool_down_s``: seconds it must stay on one side before a crossing counts (again); also ends the alert.
    ``max_gap_s``: seconds without a usable exposure after which the side is no longer known.
    """

    name: str
    venue: str = "deribit"
    greeks_model: str = "european"
    sign_model: str = "naive"
    severity: Severity = "warning"
    persistence_s: int = 0
    cool_down_s: int = 60
    hysteresis_bps: float = 5.0
    max_gap_s: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NoData:
    """A venue sent nothing for an underlying: seconds missing from ``market.clock``, or closed without any record.

    ``persistence_s``: seconds without data before the alert fires. ``cool_down_s``: seconds that data must have flowed,
    with no such hole, before a hole counts (again); also ends the alert.
    """

    name: str
    severity: Severity = "critical"
    persistence_s: int = 60
    cool_down_s: int = 300


Rule = FlipCrossed | NoData

DEFAULTS: tuple[Rule, ...] = (
    FlipCrossed(name="flip_crossed"),
    FlipCrossed(name="flip_crossed_taker_mirror", sign_model="taker_mirror", severity="info"),
    NoData(name="no_data"),
)


def memory_s(rules: tuple[Rule, ...]) -> int:
    """Return how many seconds of the past the rules need at least to judge the present as if they had never stopped."""
    return max((rule.cool_down_s + rule.persistence_s for rule in rules), default=0)
