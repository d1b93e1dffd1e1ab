"""An alert as a record, and its identity."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from alerts.rules import Rule
from contracts.records import AlertEvent

Transition = Literal["fired", "cleared"]


def alert_id(*, rule: str, underlying: str, second: int, state: Transition) -> str:
    """Return the identity: 32 hex digits of SHA-256 over the four, so that whoever computes it again gets the same."""
    return hashlib.sha256("|".join((rule, underlying, str(second), state)).encode()).hexdigest()[:32]


def alert(
    rule: Rule,
    state: Transition,
    *,
    underlying: str,
    second: int,
    message: str,
    evidence: Mapping[str, Any],
    value: float | None = None,
    threshold: float | None = None,
) -> AlertEvent:
    """Return the record; ``evidence`` is what the rule saw, JSON with sorted keys."""
    return AlertEvent(
        alert_id=alert_id(rule=rule.name, underlying=underlying, second=second, state=state),
        rule=rule.name,
        underlying=underlying,
        second=second,
        state=state,
        severity=rule.severity,
        message=message,
        value=value,
        threshold=threshold,
        evidence=json.dumps(evidence, sort_keys=True, separators=(",", ":")),
    )


def clock_time(second: int) -> str:
    """Return a second for a person."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S} UTC"
