"""kill -9 of the services at random moments of their way through the input, and what tells that the kills hit.

Moments at work are points of the way, not of the clock: a service is killed some milliseconds after it has closed so
many units, at the earliest after the first of its present life. Moments while starting are times since the start: they
meet the import, the join, the restore, the replay.
"""

import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import confluent_kafka as ck
import pipeline_oracle as oracle
from confluent_kafka.admin import AdminClient
from pipeline_oracle import SERVICES
from pipeline_processes import Life, Run

from contracts.partitioning import PARTITIONS
from streamkit import checkpoint
from streamkit.broker import TopicPartition
from streamkit.kafka import KafkaBroker

# Many transactions and checkpoints, so that kills meet every part of their course.
BUSY = {"COMMIT_MAX_RECORDS": 300, "CHECKPOINT_MAX_RECORDS": 2_000}
LATEST_SHARE = 0.6  # of the way: on a busy machine the rest may be done before the kill arrives
JITTER_S = 0.06
STARTING_S = (0.1, 2.5)


class Moment(NamedTuple):
    """When to kill: ``at`` is a share of all units (work) or seconds since the start (starting)."""

    phase: Literal["work", "starting"]
    at: float


class Hit(NamedTuple):
    """A kill: the tasks the process owned, the units closed since it did, and those that were left to do."""

    service: str
    phase: str
    tasks: int
    units_closed: int
    units_left: int


@dataclass(slots=True)
class Outcome:
    """A run with kills.

    ``restores`` counts the tasks that had to replay, ``replayed`` the input offsets they read a second time;
    ``restarts`` the processes that ended by themselves and asked for it.
    """

    records: int
    hits: list[Hit] = field(default_factory=list)
    lives: int = 0
    restarts: int = 0
    restores: int = 0
    replayed: int = 0
    aborted: int = 0
    seconds: float = 0.0

    def at_work(self) -> list[Hit]:
        return [hit for hit in self.hits if hit.phase == "work"]

    def __str__(self) -> str:
        at_work = Counter(hit.service for hit in self.at_work())
        starting = len(self.hits) - at_work.total()
        return (
            f"{self.records} raw records, {self.lives} lives: {at_work.total()} ended by kills at work "
            f"({dict(at_work)}), {starting} by kills while starting, {self.restarts} by themselves; "
            f"{self.restores} tasks replayed {self.replayed} offsets, {self.aborted} records lie in transactions that "
            f"died, {self.seconds:.0f} s"
        )


def moments(rng: random.Random, *, at_work: int, starting: int) -> list[Moment]:
    """Return the moments of one service in their order; never the start of its first life."""
    found = [Moment("work", share) for share in sorted(rng.uniform(0.01, LATEST_SHARE) for _ in range(at_work))]
    for _ in range(starting):
        found.insert(rng.randrange(1, len(found) + 1), Moment("starting", rng.uniform(*STARTING_S)))
    return found


class Killing:
    """Runs the services, kills each at its moments and starts it again; after the last it leaves them to finish."""

    def __init__(self, run: Run, *, at_work: int, starting: int, seed: int) -> None:
        self._run = run
        self._rng = random.Random(seed)
        self._left = {service: moments(self._rng, at_work=at_work, starting=starting) for service in SERVICES}
        self._strike_at: dict[str, float | None] = dict.fromkeys(SERVICES)
        self._owned_at: dict[Path, int] = {}  # units closed when a life, by its log, was first seen to own all tasks
        self._committed: dict[int, Mapping[str, int]] = {}  # before each life that follows a kill, by its number
        self.outcome = Outcome(records=run.stand.written.total())

    def go(self) -> Outcome:
        began = time.monotonic()
        for service in SERVICES:
            self._start(service)
        while any(self._left.values()):
            for service in SERVICES:
                if self._left[service] and self._is_due(service, self._left[service][0]):
                    self._kill(service, self._left[service].pop(0))
            self._run.supervise()
            time.sleep(0.005)
        self._run.drain()
        return self._finish(time.monotonic() - began)

    def _start(self, service: str) -> None:
        self._committed[len(self._run.lives)] = self._offsets(service)
        self._run.start(service, **BUSY)

    def _life(self, service: str) -> Life:
        return next(life for life in self._run.running if life.service == service)

    def _is_due(self, service: str, moment: Moment) -> bool:
        life, now = self._life(service), time.monotonic()
        if moment.phase == "starting":
            return now >= life.began + moment.at
        strike_at = self._strike_at[service]
        if strike_at is not None:
            return now >= strike_at
        if self._progress(life) > 0 and self._run.units(service) >= moment.at * self._run.stand.units(service):
            self._strike_at[service] = now + self._rng.uniform(0, JITTER_S)
        return False

    def _progress(self, life: Life) -> int:
        """Return how many units have been closed since the life was seen to own all its tasks, 0 before."""
        closed = self._run.units(life.service)
        if life.log not in self._owned_at and len(life.events("task_started")) == PARTITIONS:
            self._owned_at[life.log] = closed
        return closed - self._owned_at.get(life.log, closed)

    def _kill(self, service: str, moment: Moment) -> None:
        life, self._strike_at[service] = self._life(service), None
        self._run.kill(service)
        left = self._run.stand.units(service) - self._run.units(service)
        tasks = len(life.events("task_started"))
        self.outcome.hits.append(Hit(service, moment.phase, tasks, self._progress(life), left))
        self._start(service)

    def _finish(self, seconds: float) -> Outcome:
        outcome, lives = self.outcome, self._run.lives
        outcome.seconds, outcome.lives, outcome.restarts = seconds, len(lives), self._run.restarts
        outcome.aborted = self._run.aborted()
        for number, life in enumerate(lives):
            for event in life.events("task_started"):
                if event["replaying"]:
                    outcome.restores += 1
                    outcome.replayed += self._replayed(number, event["partition"], event["positions"])
        return outcome

    def _replayed(self, number: int, partition: int, positions: Mapping[str, int]) -> int:
        committed = self._committed.get(number, {})
        return sum(max(0, committed.get(f"{topic}/{partition}", 0) - offset) for topic, offset in positions.items())

    def _offsets(self, service: str) -> dict[str, int]:
        """Return a group's committed offsets by topic/partition, without waiting for what a dead process left open."""
        admin = AdminClient({"bootstrap.servers": self._run.stand.endpoints.bootstrap_servers})
        asked = ck.ConsumerGroupTopicPartitions(f"{service}-{self._run.run_id}")
        try:
            (answer,) = admin.list_consumer_group_offsets([asked]).values()
            places = answer.result(10).topic_partitions
        except ck.KafkaException:
            return {}  # the group does not exist before its first commit
        prefix = self._run.physical("market.clock").removesuffix("market.clock")
        return {f"{place.topic.removeprefix(prefix)}/{place.partition}": place.offset for place in places}


def forget(run: Run, service: str) -> None:
    """Put a checkpoint of an empty core behind the newest one of each task, positions and totals kept.

    What a wrong restore would amount to. The service must not run, and must have made a checkpoint.
    """
    pipeline = oracle.pipelines()[service]
    broker = KafkaBroker(run.stand.endpoints.bootstrap_servers)
    reader, writer = broker.reader(), broker.producer(f"forgets-{run.run_id}")
    writer.init(60)
    writer.begin()
    for place in (TopicPartition(run.physical(pipeline.checkpoint_topic), n) for n in range(PARTITIONS)):
        newest = checkpoint.newest(reader, place)
        assert newest is not None, f"{place} has no checkpoint"
        empty = replace(newest, sequence=newest.sequence + 1, core=pipeline.new_core(place.partition).snapshot())
        writer.produce(place.partition, checkpoint.outgoing(place.topic, empty, int(time.time() * 1000)))
    writer.commit(60)
    reader.close()
