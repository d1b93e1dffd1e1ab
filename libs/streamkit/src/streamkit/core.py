"""What a core is: a pure function of its inputs, with a state that can be written down.

A core never reads a clock, the environment, a file or a socket, and never logs. It is handed units of input and yields
items; the run loop encodes, counts, writes and commits them. Three kinds of unit exist, one per kind of service:

========================  =====================================================================  =====================
unit                      a unit is                                                              used by
========================  =====================================================================  =====================
:class:`Input`            one record of one topic                                                single-input services
:class:`RawSecond`        one second of every raw topic of a partition, closed by later records  normalizer
:class:`ClockedSecond`    one second of (venue, underlying), closed by its clock record          greeks, dealer-flow
========================  =====================================================================  =====================
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from contracts.records import Clock


class Input(NamedTuple):
    """One decoded record as it lies in the log; ``value`` is a record of :mod:`contracts.records`."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    timestamp_ms: int
    value: Any


@dataclass(frozen=True, slots=True)
class RawSecond:
    """Second ``second`` of one partition of all raw topics: ``records`` by topic, in log order, topics sorted by name.

    A second exists only if some topic has a record in it: the collector's heartbeat guarantees one while it lives.
    """

    second: int
    records: Mapping[str, Sequence[Input]]


@dataclass(frozen=True, slots=True)
class ClockedSecond:
    """Second ``clock.second`` of (``clock.venue``, ``clock.underlying``), whole: every record the barrier counted.

    ``records`` holds, for each data topic the service reads, this unit's records in log order (empty if none).
    """

    clock: Clock
    records: Mapping[str, Sequence[Input]]


class Output(NamedTuple):
    """One record to write: to this task's partition of ``topic``; ``record`` None writes a tombstone."""

    topic: str
    key: str
    record: Any
    timestamp_ms: int


class CloseSecond(NamedTuple):
    """Closes a unit: the loop writes a clock record that counts all outputs since the previous close.

    The service's clock topic is the loop's setting. Outputs must be yielded grouped: all of one (venue, underlying,
    second), then its close.
    """

    venue: str
    underlying: str
    second: int
    received_ts: int | None
    skipped_seconds: int = 0
    input_records: int = 0
    rejected_records: int = 0


class Reject(NamedTuple):
    """An input of the unit at hand that is invalid: the loop writes it, with the reason, to the dead-letter topic."""

    source: Input
    reason: str
    detail: str
    underlying: str = ""


Item = Output | CloseSecond | Reject
Unit = TypeVar("Unit", contravariant=True)


class Core(Protocol[Unit]):
    """The pure part of a service, one instance per partition."""

    def step(self, unit: Unit) -> Iterable[Item]:
        """Advance by one unit and yield what it leads to. Same state and unit, same items: no clock, no randomness."""
        ...

    def snapshot(self) -> bytes:
        """Return the state; ``restore(snapshot())`` on a new core must behave identically from then on."""
        ...

    def restore(self, state: bytes) -> None:
        """Replace the state of a newly made core."""
        ...
