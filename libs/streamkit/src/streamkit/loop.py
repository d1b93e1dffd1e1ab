"""The run loop: read, feed the tasks, write what they yield, commit. One process, one task per partition.

One thread computes. Only commits run side by side, a thread per task, because they are spent waiting for the broker;
the loop goes on when all are done.

Every error but a timed-out commit ends the process: what was not committed is forgotten by the broker and computed
again by whoever owns the partition next. There is one way back, :mod:`streamkit.recovery`, and it is the one every
start takes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from contracts.topics import physical
from contracts.wire import Codecs, RegistryUnavailable
from streamkit.broker import Broker, BrokerError, Producer, Reader, Slice, TopicPartition
from streamkit.health import HEARTBEAT_INTERVAL_S
from streamkit.pipeline import Pipeline
from streamkit.recovery import find_start
from streamkit.task import Task
from streamkit.telemetry import Beat, Telemetry
from streamkit.transactions import CheckpointPolicy, Hooks, NoHooks, Outside, TaskWriter
from streamkit.watchdog import Watchdog

POLL_TIMEOUT_S = 0.005
INIT_TIMEOUT_S = 60.0  # resolving a predecessor waits for the broker's own time-outs
PARALLEL_CALLS = 8  # transactional calls of different tasks that wait for the broker at the same time
SLICE_S = 0.02  # of computing per task before the others get their turn
ADVANCE_MAX_RECORDS = 1_000  # for the same reason
REGISTRY_RETRY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """How the loop runs. ``partitions`` None: the group decides which; ``run_id`` "": the live run."""

    run_id: str = ""
    partitions: tuple[int, ...] | None = None
    commit_interval_s: float = 0.1
    commit_max_records: int = 5_000
    poll_max_records: int = 500
    checkpoints: CheckpointPolicy = field(default_factory=CheckpointPolicy)


@dataclass(frozen=True, slots=True)
class _Wait:
    """An outage that is being waited out."""

    retry_at: float


class RunLoop:
    """Runs ``pipeline`` on ``broker``: :meth:`run`, or :meth:`start`, :meth:`turn` again and again, :meth:`stop`."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        codecs: Codecs,
        broker: Broker,
        config: LoopConfig,
        telemetry: Telemetry,
        watchdog: Watchdog,
        hooks: Hooks | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline = pipeline
        self._codecs = codecs
        self._broker = broker
        self._config = config
        self._telemetry = telemetry
        self._watchdog = watchdog
        self._hooks: Hooks = hooks or NoHooks()
        self._outside = Outside(telemetry=telemetry, watchdog=watchdog, hooks=self._hooks, clock=clock)
        self._clock = clock
        names = (*pipeline.reads, *pipeline.writes, pipeline.checkpoint_topic)
        self._places = {topic: physical(topic, config.run_id) for topic in names}
        self._topics = {place: topic for topic, place in self._places.items()}
        self._consumer = broker.consumer(_scoped(pipeline.service, config.run_id))
        self._assigned: set[TopicPartition] = set()
        self._writers: dict[int, TaskWriter] = {}
        self._ready: set[int] = set()  # stopped computing because their time was over, not for lack of whole units
        self._paused: set[TopicPartition] = set()
        self._rebalances = 0
        self._pool = ThreadPoolExecutor(PARALLEL_CALLS, thread_name_prefix="broker-call")
        self._wait: _Wait | None = None
        self._next_commit = 0.0
        self._next_beat = 0.0

    def run(self, stopping: Callable[[], bool]) -> None:
        """Run until ``stopping()``, then finish cleanly; whatever is raised leaves the work uncommitted."""
        self.start()
        while not stopping():
            self.turn()
        self.stop()

    def start(self) -> None:
        """Join the group, or take the fixed partitions."""
        self._require_topics()
        partitions = self._config.partitions
        if partitions is None:
            self._consumer.subscribe([self._places[topic] for topic in self._pipeline.reads], self)
            return
        self._start_tasks(partitions)
        self._consumer.assign(self._fed(partitions))

    def turn(self) -> None:
        """Do one round: read what is there, compute for a moment, commit when it is time."""
        before = self._rebalances
        slices = self._consumer.consume(self._config.poll_max_records, self._poll_timeout_s())
        self._hooks.at("after-poll")
        if self._rebalances != before:
            # What the client had queued may be of before the rebalance: read it again.
            self._consumer.seek(self._fed(list(self._writers)))
        else:
            self._feed(slices)
        self._advance()
        self._throttle()
        if self._commit_due():
            self._commit_all()
        self._beat()

    def stop(self) -> None:
        """Commit what is done, with a checkpoint, and leave the group."""
        for partition in list(self._writers):
            self._stop_task(partition, "stop")
        self._consumer.close()
        self._pool.shutdown()

    def on_assign(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Start every task of which all inputs are here now."""
        self._rebalances += 1
        self._assigned.update(partitions)
        complete = [n for n in sorted({p.partition for p in partitions}) if self._is_complete(n)]
        if complete:
            self._start_tasks(complete)
        return self._fed(complete)

    def on_revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Commit and give up every task that loses an input."""
        self._rebalances += 1
        for partition in sorted({p.partition for p in partitions}):
            if partition in self._writers:
                self._stop_task(partition, "revoked")
        self._assigned.difference_update(partitions)
        self._paused.difference_update(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """End: the partitions have another owner already."""
        raise BrokerError("partitions_lost", f"{len(partitions)} partitions taken away without notice: session expired")

    def _require_topics(self) -> None:
        """Raise Refused for a missing topic now, not as a commit that never ends."""
        reader = self._broker.reader()
        for place in self._places.values():
            reader.bounds(TopicPartition(place, self._pipeline.partitions - 1))
        reader.close()

    def _is_complete(self, partition: int) -> bool:
        return all(place in self._assigned for place in self._inputs(partition))

    def _inputs(self, partition: int) -> list[TopicPartition]:
        return [TopicPartition(self._places[topic], partition) for topic in self._pipeline.reads]

    def _fed(self, partitions: Sequence[int]) -> dict[TopicPartition, int]:
        return {
            TopicPartition(self._places[topic], partition): offset
            for partition in partitions
            for topic, offset in self._writers[partition].task.fed.items()
        }

    def _start_tasks(self, partitions: Sequence[int]) -> None:
        """Take over ``partitions``: fence and resolve the predecessors, all at once, then restore one by one."""
        began = self._clock()
        producers = [self._broker.producer(self._transactional_id(partition)) for partition in partitions]
        # Each waits up to a second for the broker to end what a dead predecessor left open.
        with self._watchdog.guard("init_transactions", INIT_TIMEOUT_S * 2):
            self._side_by_side([partial(producer.init, INIT_TIMEOUT_S) for producer in producers])
        reader = self._broker.reader()
        for partition, producer in zip(partitions, producers, strict=True):
            self._start_task(partition, producer, reader)
            self._telemetry.task_started(self._writers[partition].task, self._clock() - began)
        reader.close()

    def _start_task(self, partition: int, producer: Producer, reader: Reader) -> None:
        # The predecessor's transaction is resolved by now, so what is read here is final.
        place = self._places.__getitem__
        start = find_start(
            pipeline=self._pipeline, partition=partition, physical=place, consumer=self._consumer, reader=reader
        )
        task = Task(pipeline=self._pipeline, partition=partition, codecs=self._codecs, start=start, place=place)
        self._writers[partition] = TaskWriter(
            task=task,
            producer=producer,
            place=place,
            checkpoints=self._config.checkpoints,
            outside=self._outside,
        )

    def _transactional_id(self, partition: int) -> str:
        pipeline = self._pipeline
        parts = [_scoped(pipeline.service, self._config.run_id)]
        if len(pipeline.reads) == 1:
            parts.append(pipeline.inputs[0])
        return "-".join([*parts, f"p{partition}"])

    def _stop_task(self, partition: int, reason: str) -> None:
        writer = self._writers.pop(partition)
        self._ready.discard(partition)
        writer.finish(self._consumer)
        self._telemetry.task_stopped(writer.task, reason)

    def _feed(self, slices: Sequence[Slice]) -> None:
        for topic, partition, records in slices:
            writer = self._writers.get(partition)
            if writer is not None:
                writer.task.feed(self._topics[topic], records)

    def _advance(self) -> None:
        """Let every task compute for a moment; an outage of the registry stops them until it is over."""
        if self._wait is not None and self._clock() < self._wait.retry_at:
            return
        outage = None
        for partition, writer in self._writers.items():
            try:
                self._advance_one(partition, writer)
            except RegistryUnavailable as error:
                outage = str(error)
            writer.write()
        if outage is None:
            self._end_wait()
        else:
            self._begin_wait(outage)

    def _advance_one(self, partition: int, writer: TaskWriter) -> None:
        deadline = self._clock() + SLICE_S
        quota = min(self._config.commit_max_records - writer.since_commit, ADVANCE_MAX_RECORDS)
        used = writer.task.advance(quota, lambda: self._clock() >= deadline)
        if used >= quota or self._clock() >= deadline:
            self._ready.add(partition)
        else:
            self._ready.discard(partition)

    def _begin_wait(self, detail: str) -> None:
        if self._wait is None:
            self._telemetry.waiting("registry", detail)
        self._wait = _Wait(self._clock() + REGISTRY_RETRY_S)

    def _end_wait(self) -> None:
        if self._wait is not None:
            self._telemetry.resumed("registry")
        self._wait = None

    def _throttle(self) -> None:
        """Stop reading what cannot be used yet, read again what can."""
        wanted = {place for writer in self._writers.values() for place in self._not_wanted(writer.task)}
        if wanted != self._paused:
            owned = {place for partition in self._writers for place in self._inputs(partition)}
            self._consumer.pause(sorted(wanted - self._paused))
            self._consumer.resume(sorted((self._paused - wanted) & owned))
            self._paused = wanted

    def _not_wanted(self, task: Task) -> list[TopicPartition]:
        topics = self._pipeline.reads if self._wait is not None else task.congested()
        return [TopicPartition(self._places[topic], task.partition) for topic in topics]

    def _poll_timeout_s(self) -> float:
        if self._wait is None and self._ready:
            return 0.0
        if any(writer.open for writer in self._writers.values()):
            return min(POLL_TIMEOUT_S, max(0.0, self._next_commit - self._clock()))
        return POLL_TIMEOUT_S

    def _commit_due(self) -> bool:
        opened = [writer for writer in self._writers.values() if writer.open]
        if not opened:
            return False
        full = any(writer.since_commit >= self._config.commit_max_records for writer in opened)
        return full or self._clock() >= self._next_commit

    def _commit_all(self) -> None:
        began = self._clock()
        opened = [writer for writer in self._writers.values() if writer.open]
        self._side_by_side([partial(writer.commit, self._consumer) for writer in opened])
        interval = self._config.commit_interval_s
        # From start to start; but where commits are slow, as much time goes into computing as into the interval's half.
        self._next_commit = max(began + interval, self._clock() + interval / 2)

    def _side_by_side(self, calls: Sequence[Callable[[], None]]) -> None:
        """Make ``calls`` at the same time; when all have ended, raise what the first of them raised, if any did."""
        futures = [self._pool.submit(call) for call in calls]
        wait(futures)
        for future in futures:
            future.result()

    def _beat(self) -> None:
        now = self._clock()
        if now < self._next_beat:
            return
        self._next_beat = now + HEARTBEAT_INTERVAL_S
        writers, fed = self._writers, self._fed(list(self._writers))
        self._telemetry.beat(
            Beat(
                state=self._state(),
                tasks=[writer.task for writer in writers.values()],
                unread=self._consumer.behind(fed),
                inputs=len(fed),
                unfinished=sum(writer.since_commit + self._computable(n) for n, writer in writers.items()),
            )
        )

    def _state(self) -> Literal["running", "replaying", "waiting"]:
        if self._wait is not None:
            return "waiting"
        replaying = any(writer.task.replaying for writer in self._writers.values())
        return "replaying" if replaying else "running"

    def _computable(self, partition: int) -> int:
        if partition not in self._ready and self._wait is None:
            return 0
        return sum(self._writers[partition].task.buffered().values())


def _scoped(service: str, run_id: str) -> str:
    """Return the name under which a run of a service is known to the broker."""
    return f"{service}-{run_id}" if run_id else service
