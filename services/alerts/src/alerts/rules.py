"""The rules, as data: what is watched, how long it must last, how long calm must last before it may fire again."""

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["info", "warning", "critical"]


def _described(doc: str, **default: Any) -> Any:  # Any: a field stands for a value of its annotation
    return field(metadata={"doc": doc}, **default)


_NAME = "name of the rule, part of every alert's identity: a new name is a new alert"
_SEVERITY = "info, warning or critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipCrossed:
    """Spot went from one side of the gamma flip to the other, in the exposures of one venue and pair of models."""

    name: str = _described(_NAME)
    venue: str = _described("venue whose exposures are watched", default="deribit")
    greeks_model: str = _described("greeks model of the exposures", default="european")
    sign_model: str = _described("model of the dealers' side: naive or taker_mirror", default="naive")
    severity: Severity = _described(_SEVERITY, default="warning")  # noqa: RUF009 - it returns a field
    persistence_s: int = _described("seconds spot must stay on the new side before the alert fires", default=0)
    cool_down_s: int = _described(
        "seconds spot must stay on one side before a crossing counts (again); also ends the alert", default=60
    )
    hysteresis_bps: float = _described(
        "spot is on a side when further than this from the flip, 1/10,000 of the flip", default=5.0
    )
    max_gap_s: int = _described(
        "seconds from one usable exposure to the next beyond which the side is no longer known", default=5
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoData:
    """A venue sent nothing for an underlying: seconds missing from `market.clock`, or closed without any record."""

    name: str = _described(_NAME)
    severity: Severity = _described(_SEVERITY, default="critical")  # noqa: RUF009 - it returns a field
    persistence_s: int = _described("seconds without data before the alert fires", default=60)
    cool_down_s: int = _described(
        "seconds data must have flowed, with no such hole, before a hole counts (again); also ends the alert",
        default=300,
    )


Rule = FlipCrossed | NoData

DEFAULTS: tuple[Rule, ...] = (
    FlipCrossed(name="flip_crossed"),
    FlipCrossed(name="flip_crossed_taker_mirror", sign_model="taker_mirror", severity="info"),
    NoData(name="no_data"),
)


def memory_s(rules: tuple[Rule, ...]) -> int:
    """Return how many seconds of the past the rules need at least to judge the present as if they had never stopped."""
    return max((rule.cool_down_s + rule.persistence_s for rule in rules), default=0)
