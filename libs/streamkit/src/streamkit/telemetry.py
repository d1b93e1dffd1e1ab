"""What the run loop tells the world: log lines, metrics, the heartbeat file. Nothing here influences the loop."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from streamkit import health
from streamkit.broker import TopicPartition
from streamkit.logs import Log
from streamkit.metrics import Metrics
from streamkit.task import Counters, Task


@dataclass(frozen=True, slots=True)
class Beat:
    """The loop's state once a second.

    ``unread`` are offsets not read yet, by input, where the log's end is known; ``inputs`` is how many inputs there
    are; ``unfinished`` records read, but not yet computed or committed. Records that
    wait for a later one to make their second whole are in neither: the service has done what it can.
    """

    state: Literal["running", "replaying", "waiting"]
    tasks: Sequence[Task]
    unread: Mapping[TopicPartition, int]
    inputs: int
    unfinished: int

    @property
    def lag(self) -> int | None:
        """Records still to be read, computed or committed; None before every log's end is known."""
        if not self.inputs or len(self.unread) < self.inputs:
            return None
        return sum(self.unread.values()) + self.unfinished


class Telemetry:
    """One line per event that matters; figures per second."""

    def __init__(self, *, service: str, log: Log, metrics: Metrics, health_file: Path | None) -> None:
        self._service = service
        self._log = log
        self._metrics = metrics
        self._health_file = health_file
        self._seen: dict[int, Counters] = {}
        self._last_commit: float | None = None

    def task_started(self, task: Task, seconds: float) -> None:
        """Tell where a task begins."""
        self._metrics.add("task_starts_total", 1, partition=task.partition)
        self._metrics.observe("start_seconds", seconds)
        self._seen[task.partition] = Counters()
        self._log.info(
            "task_started",
            partition=task.partition,
            positions=task.positions,
            checkpoint=task.sequence,
            replaying=task.replaying,
            seconds=round(seconds, 3),
        )

    def task_stopped(self, task: Task, reason: str) -> None:
        """Tell that a task was given up."""
        self._log.info("task_stopped", partition=task.partition, positions=task.positions, reason=reason)

    def committed(self, seconds: float) -> None:
        """Note a committed transaction."""
        self._metrics.observe("transaction_seconds", seconds)
        self._last_commit = time.time()

    def checkpointed(self, task: Task, size: int, seconds: float) -> None:
        """Tell that a checkpoint is part of the transaction at hand."""
        self._metrics.observe("checkpoint_seconds", seconds)
        self._metrics.set("checkpoint_bytes", size, partition=task.partition)
        self._log.info(
            "checkpoint", partition=task.partition, number=task.sequence, bytes=size, seconds=round(seconds, 3)
        )

    def waiting(self, reason: str, detail: str) -> None:
        """Tell that the service waits for something outside."""
        self._metrics.set("waiting", 1, reason=reason)
        self._log.warning("waiting", reason=reason, detail=detail)

    def resumed(self, reason: str) -> None:
        """Tell that the wait is over."""
        self._metrics.set("waiting", 0, reason=reason)
        self._log.info("resumed", reason=reason)

    def beat(self, beat: Beat) -> None:
        """Bring metrics and the heartbeat file up to date."""
        for task in beat.tasks:
            self._count(task)
        for place, behind in beat.unread.items():
            self._metrics.set("lag_records", behind, topic=place.topic, partition=place.partition)
        if self._health_file is not None:
            health.write(
                self._health_file,
                {
                    "service": self._service,
                    "state": beat.state,
                    "time": time.time(),
                    "assigned": sorted(task.partition for task in beat.tasks),
                    "lag": beat.lag,
                    "lag_by_topic": {f"{place.topic}/{place.partition}": n for place, n in beat.unread.items()},
                    "last_commit": self._last_commit,
                },
            )

    def _count(self, task: Task) -> None:
        partition, counters, seen = task.partition, task.counters, self._seen[task.partition]
        self._metrics.add("records_total", counters.records - seen.records, partition=partition)
        self._metrics.add("units_total", counters.units - seen.units, partition=partition)
        self._metrics.add(
            "replayed_records_total", counters.replayed_records - seen.replayed_records, partition=partition
        )
        for reason, count in counters.refused.items():
            new = count - seen.refused.get(reason, 0)
            if new:
                self._metrics.add("dead_letters_total", new, partition=partition, reason=reason)
                self._log.warning("dead_letters", partition=partition, reason=reason, records=new)
        self._seen[partition] = replace(counters, refused=dict(counters.refused))
        self._metrics.set("skipped_records", task.skipped, partition=partition)
        if task.watermark_second is not None:
            self._metrics.set("watermark_second", task.watermark_second, partition=partition)
        for topic, waiting in task.buffered().items():
            self._metrics.set("buffered_records", waiting, topic=topic, partition=partition)
