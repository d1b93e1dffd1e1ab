"""The writer's side of the barrier: counts and digests of what a task wrote, turned into clock records."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from contracts.records import Clock, TopicCount
from streamkit.core import CloseSecond
from streamkit.units import InvariantBroken, value_digest


class Total(NamedTuple):
    """What one (venue, underlying) wrote to ``topic`` since the start of the log; ``digest`` chains all its values."""

    venue: str
    underlying: str
    topic: str
    records: int
    digest: int


class Ledger:
    """Counts outputs per topic between two closes and in total per (venue, underlying).

    The totals are state: they belong into the checkpoint (:meth:`totals`, :meth:`restore`).
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = sorted(topics)
        self._open: dict[str, list[bytes | None]] = {}
        self._totals: dict[tuple[str, str, str], tuple[int, int]] = {}

    def count(self, topic: str, value: bytes | None) -> None:
        """Take one output into the unit that is open."""
        self._open.setdefault(topic, []).append(value)

    def close(self, unit: CloseSecond) -> Clock:
        """Return the clock record of the open unit and open the next."""
        topics = tuple(self._close_topic(unit, topic) for topic in self._topics)
        self._open = {}
        return Clock(
            venue=unit.venue,
            underlying=unit.underlying,
            second=unit.second,
            received_ts=unit.received_ts,
            skipped_seconds=unit.skipped_seconds,
            input_records=unit.input_records,
            rejected_records=unit.rejected_records,
            topics=topics,
        )

    def require_closed(self) -> None:
        """Raise InvariantBroken if outputs were written that no close has counted."""
        if self._open:
            raise InvariantBroken(
                f"the core wrote to {', '.join(sorted(self._open))} after its last CloseSecond: "
                "outputs of a unit come before its close"
            )

    def totals(self) -> list[Total]:
        """Return the totals, in a fixed order."""
        return [Total(*key, *total) for key, total in sorted(self._totals.items())]

    def restore(self, totals: Iterable[Total]) -> None:
        """Replace the totals."""
        self._totals = {(t.venue, t.underlying, t.topic): (t.records, t.digest) for t in totals}

    def _close_topic(self, unit: CloseSecond, topic: str) -> TopicCount:
        values = self._open.get(topic, [])
        key = (unit.venue, unit.underlying, topic)
        before, chained = self._totals.get(key, (0, 0))
        total, running = before + len(values), value_digest(values, chained)
        self._totals[key] = (total, running)
        return TopicCount(
            topic=topic,
            records=len(values),
            total_records=total,
            digest=value_digest(values),
            running_digest=running,
        )
