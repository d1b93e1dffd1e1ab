"""The sink's loop: reads every partition, hands what is due to workers, holds back reading while they lag behind."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass

from sink.clickhouse import Store
from sink.lane import Lane
from sink.reporting import Reporter, State
from sink.storing import Stored, Storing, Transactions
from streamkit.broker import Consumer, Record, TopicPartition

POLL_S = 0.01
POLL_RECORDS = 5_000
BEAT_S = 1.0
HINT_S = 5.0
DRAIN_S = 8.0  # what a stop may take to store what is held; the rest is read again
WORKERS = 3  # beside one for levels and alerts, which never wait behind bulk
WAITING_AFTER_S = 2.0  # a job that takes longer waits for ClickHouse or the registry

_HASTE = {"prompt": 0, "normal": 1, "bulk": 2}


@dataclass(frozen=True, slots=True)
class _Job:
    lane: Lane
    records: list[Record]
    future: "Future[Stored]"
    since: float


class Pipeline:
    """One sink process. ``lanes`` stand where their tables end; in a lane one job is at work at a time."""

    def __init__(
        self,
        *,
        consumer: Consumer,
        lanes: Mapping[TopicPartition, Lane],
        storing: Storing,
        store: Store,
        transactions: Transactions,
        reporter: Reporter,
        buffer_bytes: int,
    ) -> None:
        self._consumer = consumer
        self._lanes = lanes
        self._by_haste = sorted(lanes.values(), key=lambda lane: _HASTE[lane.table.haste])
        self._storing = storing
        self._store = store
        self._transactions = transactions
        self._reporter = reporter
        self._buffer_bytes = buffer_bytes
        self._bulk = ThreadPoolExecutor(WORKERS, "bulk")
        self._prompt = ThreadPoolExecutor(1, "prompt")
        self._jobs: list[_Job] = []
        self._hinted: dict[TopicPartition, int] = {}
        self._hint: Future[None] | None = None
        self._beat_at = self._hint_at = 0.0

    def run(self, stopping: Callable[[], bool]) -> None:
        """Run until ``stopping``, then store what is held. Raises what a worker raised, and BrokerError."""
        self._consumer.assign({place: lane.next_offset for place, lane in self._lanes.items()})
        try:
            while not stopping():
                self._turn()
            self._drain(time.monotonic() + DRAIN_S)
        finally:
            for pool in (self._bulk, self._prompt):
                pool.shutdown(wait=False, cancel_futures=True)

    def _turn(self) -> None:
        for piece in self._consumer.consume(POLL_RECORDS, POLL_S):
            self._lanes[TopicPartition(piece.topic, piece.partition)].add(piece.records, time.monotonic())
        now = time.monotonic()
        self._collect()
        self._hand_out(now, hurry=False)
        self._hold_back()
        if now >= self._beat_at:
            self._beat_at = now + BEAT_S
            self._report("waiting" if self._is_stuck(now) else "running")
        if now >= self._hint_at:
            self._hint_at = now + HINT_S
            self._send_hint()

    def _collect(self) -> None:
        """Take back the jobs that are done; an exception of one ends the process."""
        for job in [job for job in self._jobs if job.future.done()]:
            stored = job.future.result()
            self._jobs.remove(job)
            job.lane.release(job.records)
            self._reporter.stored(job.lane.table.name, stored)

    def _hand_out(self, now: float, *, hurry: bool) -> None:
        for lane in self._by_haste:
            if lane.ripe(now) or (hurry and lane.waiting and not lane.busy):
                pool = self._prompt if lane.table.haste == "prompt" else self._bulk
                records = lane.take(now)
                self._jobs.append(_Job(lane, records, pool.submit(self._storing.store, lane, records), now))

    def _hold_back(self) -> None:
        """Pause the lanes that hold too much, all that hold anything when all together do; resume the others."""
        flood = sum(lane.bytes for lane in self._by_haste) > self._buffer_bytes
        for lane in self._by_haste:
            wanted = lane.wants_pause() or (flood and lane.bytes > 0)
            if wanted != lane.paused:
                (self._consumer.pause if wanted else self._consumer.resume)([lane.place])
                lane.paused = wanted

    def _is_stuck(self, now: float) -> bool:
        return any(now - job.since > WAITING_AFTER_S for job in self._jobs)

    def _report(self, state: State) -> None:
        behind = self._consumer.behind({place: lane.next_offset for place, lane in self._lanes.items()})
        self._reporter.beat(self._by_haste, behind, self._store.counters, state=state)

    def _send_hint(self) -> None:
        """Commit how far each table is, for those who watch lag, unless the last hint is still on its way."""
        if self._hint is not None:
            if not self._hint.done():
                return
            self._hint.result()
        moved = {p: lane.done + 1 for p, lane in self._lanes.items() if lane.done + 1 != self._hinted.get(p, 0)}
        if moved:
            self._hinted.update(moved)
            self._hint = self._bulk.submit(self._transactions.hint, moved)

    def _drain(self, deadline: float) -> None:
        while self._jobs or any(lane.waiting for lane in self._by_haste):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._hand_out(time.monotonic(), hurry=True)
            wait_for([job.future for job in self._jobs], timeout=min(left, 0.1), return_when="FIRST_COMPLETED")
            self._collect()
        self._send_hint()
        if self._hint is not None:
            wait_for([self._hint], timeout=max(0.1, deadline - time.monotonic()))
        self._report("stopping")
