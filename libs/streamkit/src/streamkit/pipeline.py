"""What a service is, on one screen: topics, kind of unit, core."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from contracts.topics import TOPICS
from streamkit.core import Core

UnitKind = Literal["record", "raw_second", "clocked_second"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A service's wiring, by logical topic names.

    ``inputs`` are data topics; ``clocks`` the clock topics that count them (``clocked_second`` only; a unit carries the
    record of the first). ``outputs`` are all data topics the core may write; ``clock_out`` is the clock the loop writes
    for each :class:`~streamkit.core.CloseSecond`. ``new_core`` makes the core of one partition; its argument is the
    partition. Raises ValueError when the wiring contradicts itself or the topic table.
    """

    service: str
    inputs: tuple[str, ...]
    unit: UnitKind
    new_core: Callable[[int], Core[Any]]  # Any: the unit type follows from ``unit``, which is data
    outputs: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    clock_out: str | None = None

    def __post_init__(self) -> None:
        problems = [*self._topic_problems(), *self._unit_problems()]
        if problems:
            raise ValueError(f"pipeline of {self.service}: " + "; ".join(problems))

    @property
    def reads(self) -> tuple[str, ...]:
        """Every topic a task reads: data, then clocks."""
        return self.inputs + self.clocks

    @property
    def writes(self) -> tuple[str, ...]:
        """Every topic a task's units write: data, the clock, dead letters. The checkpoint is the loop's."""
        return (*self.outputs, *((self.clock_out,) if self.clock_out else ()), self.deadletter_topic)

    @property
    def checkpoint_topic(self) -> str:
        """Compacted topic that keeps the state."""
        return f"{self.service}.checkpoint"

    @property
    def deadletter_topic(self) -> str:
        """Topic that takes what was refused."""
        return f"{self.service}.deadletter"

    @property
    def partitions(self) -> int:
        """Partitions of every topic read: task n is partition n of all."""
        return TOPICS[self.inputs[0]].partitions

    def _topic_problems(self) -> list[str]:
        named = (*self.reads, *self.writes, self.checkpoint_topic)
        problems = [f"topic {name} has no schemas/topics/{name}.yaml" for name in named if name not in TOPICS]
        problems += [f"topic {name} is named twice" for name in sorted(set(named)) if named.count(name) > 1]
        if not problems and len({TOPICS[name].partitions for name in named}) > 1:
            problems.append(f"topics {', '.join(named)} differ in partitions: a task is partition n of all of them")
        return problems

    def _unit_problems(self) -> list[str]:
        if not self.inputs:
            return ["inputs is empty: name at least one topic"]
        if self.unit == "record" and len(self.inputs) > 1:
            return ["unit record with several inputs has no order of its own: use raw_second or clocked_second"]
        if (self.unit == "clocked_second") != bool(self.clocks):
            return ["clocks belong to unit clocked_second, and to it only"]
        compacted = [name for name in self.inputs if name in TOPICS and TOPICS[name].cleanup == "compact"]
        if self.clocks and compacted:
            return [f"compacted topics cannot be counted by a clock: {', '.join(compacted)}"]
        return []
