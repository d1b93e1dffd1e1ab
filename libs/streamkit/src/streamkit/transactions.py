"""The writing side of a task: its producer, its open transaction, its checkpoints."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from streamkit import checkpoint
from streamkit.broker import Consumer, Producer, TopicPartition, Unresolved
from streamkit.task import Task
from streamkit.telemetry import Telemetry
from streamkit.watchdog import Watchdog

CALL_TIMEOUT_S = 10.0  # of one transactional call; the watchdog's limit is above it

Failpoint = Literal["after-poll", "after-produce", "after-send-offsets", "before-commit", "after-commit"]


class Hooks(Protocol):
    """Told where the loop is; tests kill the process there."""

    def at(self, point: Failpoint) -> None:
        """Return to let the loop go on."""
        ...


class NoHooks:
    """The hooks of a service: none."""

    def at(self, point: Failpoint) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPolicy:
    """A checkpoint is due after so much time or so many records, replayed ones included, and at once after a start."""

    interval_s: float = 30.0
    max_records: int = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a writer needs of the process around it."""

    telemetry: Telemetry
    watchdog: Watchdog
    hooks: Hooks
    clock: Callable[[], float]


class TaskWriter:
    """Writes what ``task`` yields. ``place`` maps logical topics to physical ones.

    The first transaction after every start carries a checkpoint: a committed offset always has a state to go with it,
    and a process that keeps dying young does not replay the same stretch for ever.
    """

    def __init__(
        self,
        *,
        task: Task,
        producer: Producer,
        place: Callable[[str], str],
        checkpoints: CheckpointPolicy,
        outside: Outside,
    ) -> None:
        self.task = task
        self.open = False
        self.since_commit = 0  # records, as all that follow
        self._since_checkpoint = 0
        self._written = 0
        self._at_checkpoint = 0
        self._producer = producer
        self._place = place
        self._policy = checkpoints
        self._outside = outside
        self._last_checkpoint: float | None = None

    def write(self) -> None:
        """Put what the task has yielded since the last time into its transaction."""
        counters = self.task.counters
        new = counters.records - counters.replayed_records - self._written
        self._written += new
        self.since_commit += new
        self._since_checkpoint = counters.records - self._at_checkpoint
        if new:
            self._begin()
        outgoing = self.task.take()
        if outgoing:
            self._producer.produce(self.task.partition, outgoing)
            self._outside.hooks.at("after-produce")

    def commit(self, consumer: Consumer, *, with_checkpoint: bool = False) -> None:
        """Commit outputs, positions and, when it is due, the state, in one transaction."""
        began = self._outside.clock()
        self._begin()
        if with_checkpoint or self._checkpoint_due(began):
            self._checkpoint(began)
        watchdog, hooks = self._outside.watchdog, self._outside.hooks
        with watchdog.guard("send_offsets"):
            # Asked for now: it is the fence against having lost the partition in the meantime.
            self._producer.send_offsets(self._positions(), consumer.group_metadata(), CALL_TIMEOUT_S)
        hooks.at("after-send-offsets")
        hooks.at("before-commit")
        with watchdog.guard("commit"):
            _commit_for_certain(self._producer)
        hooks.at("after-commit")
        self.open, self.since_commit = False, 0
        self._outside.telemetry.committed(self._outside.clock() - began)

    def finish(self, consumer: Consumer) -> None:
        """Commit what is done with a checkpoint, so that the next owner has nothing to replay."""
        if self._since_checkpoint and not self.task.replaying:
            self.commit(consumer, with_checkpoint=True)

    def _begin(self) -> None:
        if not self.open:
            self._producer.begin()
            self.open = True

    def _positions(self) -> dict[TopicPartition, int]:
        task = self.task
        return {TopicPartition(self._place(topic), task.partition): offset for topic, offset in task.positions.items()}

    def _checkpoint_due(self, now: float) -> bool:
        if self._last_checkpoint is None or self._since_checkpoint >= self._policy.max_records:
            return True
        return now - self._last_checkpoint >= self._policy.interval_s

    def _checkpoint(self, now: float) -> None:
        task = self.task
        place = self._place(task.pipeline.checkpoint_topic)
        # The wall clock is harmless here: nobody compares checkpoints, and compaction wants a time.
        chunks = checkpoint.outgoing(place, task.snapshot(), int(time.time() * 1000))
        self._producer.produce(task.partition, chunks)
        self._last_checkpoint = now
        self._at_checkpoint, self._since_checkpoint = task.counters.records, 0
        size = sum(len(chunk.value or b"") for chunk in chunks)
        self._outside.telemetry.checkpointed(task, size, self._outside.clock() - now)


def _commit_for_certain(producer: Producer) -> None:
    """Commit; a time-out leaves it open whether it did, and calling again continues it. The watchdog ends the rest."""
    while True:
        try:
            producer.commit(CALL_TIMEOUT_S)
        except Unresolved:
            continue
        return
