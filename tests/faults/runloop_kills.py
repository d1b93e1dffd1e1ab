"""Kills the counting service at random moments and compares what it wrote with what it would have written unharmed.

Used by ``test_runloop_kill9.py`` with few kills; for many, against a running stack:
``python tests/faults/runloop_kills.py --kills 60 --stack DIRECTORY [--pipeline record|clocked] [--assignment group]``.
"""

import argparse
import importlib.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient

from contracts.provision import provision
from contracts.topics import physical
from contracts.wire import Codecs
from stack import embedded
from stack.embedded import Endpoints
from streamkit.broker import Outgoing, TopicPartition
from streamkit.drive import Fed, drive, output_digest
from streamkit.kafka import KafkaBroker
from streamkit.pipeline import Pipeline

HERE = Path(__file__).resolve().parent
PARTITIONS = 4
DRAIN_TIMEOUT_S = 120.0


def load_counting() -> ModuleType:
    path = HERE.parent / "libs" / "streamkit" / "counting.py"
    spec = importlib.util.spec_from_file_location("runloop_counting", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Scene:
    """One run: its topics, its input, and the processes started on it."""

    endpoints: Endpoints
    kind: str
    per_partition: int
    seed: int = 0
    run_id: str = field(default_factory=lambda: f"k{uuid.uuid4().hex[:8]}")
    inputs: list[dict[str, list[Fed]]] = field(default_factory=list)
    home: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)
    lives: int = 0

    def __post_init__(self) -> None:
        self.counting = load_counting()
        provision(
            bootstrap_servers=self.endpoints.bootstrap_servers,
            registry_url=self.endpoints.registry_url,
            run_id=self.run_id,
        )
        self.codecs = Codecs.connect(self.endpoints.registry_url)
        self.broker = KafkaBroker(self.endpoints.bootstrap_servers)
        self.inputs = [self._make_input(partition) for partition in range(PARTITIONS)]
        self._write_inputs()

    @property
    def logs(self) -> Path:
        """Where each life's output goes; removed with the scene."""
        return Path(self.home.name)

    @property
    def pipeline(self) -> Pipeline:
        return self.counting.PIPELINES[self.kind]()

    def start(
        self, *, assignment: str = "0,1,2,3", pace_ms: float = 0.0, arguments: tuple[str, ...] = (), **settings: str
    ) -> subprocess.Popen:
        """Start a service process; ``settings`` are environment variables without their prefix."""
        environment = {
            **os.environ,
            "GAMMAFLOW_BOOTSTRAP_SERVERS": self.endpoints.bootstrap_servers,
            "GAMMAFLOW_REGISTRY_URL": self.endpoints.registry_url,
            "GAMMAFLOW_RUN_ID": self.run_id,
            "GAMMAFLOW_ASSIGNMENT": assignment,
            "GAMMAFLOW_CHECKPOINT_MAX_RECORDS": "2000",
            "GAMMAFLOW_COMMIT_MAX_RECORDS": "1000",
            **{f"GAMMAFLOW_{name}": value for name, value in settings.items()},
        }
        command = [sys.executable, str(HERE / "runloop_service.py"), self.kind, "--pace-ms", str(pace_ms), *arguments]
        self.lives += 1
        with (self.logs / f"life-{self.lives}.log").open("wb") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    def committed(self) -> dict[TopicPartition, int]:
        """Return the committed offsets, by asking as the service's group would."""
        partitions = [
            TopicPartition(physical(topic, self.run_id), n) for topic in self.pipeline.reads for n in range(PARTITIONS)
        ]
        consumer = self.broker.consumer(f"{self.pipeline.service}-{self.run_id}")
        try:
            return {place: offset or 0 for place, offset in consumer.committed(partitions).items()}
        finally:
            consumer.close()

    def drained(self) -> bool:
        """Tell whether the service has committed past the last input record of every partition."""
        return all(offset >= self._last[place] + 1 for place, offset in self.committed().items() if place in self._last)

    def drain(self, processes: list[subprocess.Popen]) -> None:
        """Wait until all input is committed, then stop the processes; they must end with exit code 0."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while not self.drained():
            if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
                raise AssertionError(f"not drained; {self.told()}")
            time.sleep(0.2)
        for life in range(self.lives - len(processes) + 1, self.lives + 1):
            self.wait_for_event("started", life)  # before that a signal finds no handler
        for process in processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(30) for process in processes]
        if any(codes):
            raise AssertionError(f"exit codes {codes}; {self.told()}")

    def wait_for_event(self, event: str, life: int) -> None:
        """Wait until a life's log has a line of ``event``."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while f'"event": "{event}"' not in (self.logs / f"life-{life}.log").read_text():
            if time.monotonic() > deadline:
                raise AssertionError(f"no {event} in life {life}; {self.told()}")
            time.sleep(0.05)

    def wait_for_work(self) -> None:
        """Wait until the newest life has written its first transaction, or nothing is left to do."""
        log, deadline = self.logs / f"life-{self.lives}.log", time.monotonic() + DRAIN_TIMEOUT_S
        while '"event": "checkpoint"' not in log.read_text() and not self.drained():
            if time.monotonic() > deadline:
                raise AssertionError(f"no work in life {self.lives}; {self.told()}")
            time.sleep(0.05)

    def wait_for_records(self, topic: str, partition: int, count: int) -> list[ck.Message]:
        """Return the first ``count`` committed records of a partition, as the client gives them."""
        consumer = self._plain_consumer("read_committed")
        consumer.assign([ck.TopicPartition(physical(topic, self.run_id), partition, 0)])
        deadline, found = time.monotonic() + DRAIN_TIMEOUT_S, []
        while len(found) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} records in {topic}; {self.told()}")
            message = consumer.poll(1)
            if message is not None and not message.error():
                found.append(message)
        consumer.close()
        return found

    def append(self, place: TopicPartition, count: int) -> None:
        """Write more input to one partition."""
        writer = self.broker.producer(f"input-{self.run_id}")
        writer.init(60)
        writer.begin()
        value = self.codecs.encode("market.funding", self.counting.funding(0, 0.5))
        writer.produce(place.partition, [Outgoing(place.topic, b"BTC", value, 0)] * count)
        writer.commit(30)

    def delete_before(self, place: TopicPartition) -> None:
        """Delete everything a partition holds, as retention would."""
        admin = AdminClient({"bootstrap.servers": self.endpoints.bootstrap_servers})
        deleting = admin.delete_records([ck.TopicPartition(*place, ck.OFFSET_END)])
        for done in deleting.values():
            done.result(30)

    def told(self) -> str:
        """Return the end of each life's log."""
        return "\n".join(f"{log.name}: {log.read_text()[-800:]}" for log in sorted(self.logs.iterdir()))

    def written(self) -> dict[tuple[str, int], str]:
        """Return the digest of each output partition, as read_committed."""
        return {(topic, n): output_digest(self._read(topic, n)) for topic in self._outputs() for n in range(PARTITIONS)}

    def expected(self) -> dict[tuple[str, int], str]:
        """Return the same from the pure task, without broker, crash or restart."""
        digests = {}
        for n, inputs in enumerate(self.inputs):
            outputs = drive(self.pipeline, inputs, self.codecs, partition=n)
            digests |= {(topic, n): output_digest(outputs.get(topic, [])) for topic in self._outputs()}
        return digests

    def count(self, topic: str) -> int:
        """Return how many records of an output are visible."""
        return sum(len(self._read(topic, n)) for n in range(PARTITIONS))

    def aborted(self) -> int:
        """Return how many output records were written in transactions that died."""
        return self._count_uncommitted() - sum(self.count(topic) for topic in self._outputs())

    def _outputs(self) -> list[str]:
        pipeline = self.pipeline
        return [*pipeline.outputs, *([pipeline.clock_out] if pipeline.clock_out else [])]

    def _read(self, topic: str, partition: int) -> list:
        reader = self.broker.reader()
        try:
            return list(reader.read(TopicPartition(physical(topic, self.run_id), partition), 0))
        finally:
            reader.close()

    def _count_uncommitted(self) -> int:
        consumer = ck.Consumer(
            {
                "bootstrap.servers": self.endpoints.bootstrap_servers,
                "group.id": f"count-{self.run_id}",
                "isolation.level": "read_uncommitted",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        places = [
            ck.TopicPartition(physical(topic, self.run_id), n, 0)
            for topic in self._outputs()
            for n in range(PARTITIONS)
        ]
        consumer.assign(places)
        records, ends = 0, 0
        while ends < len(places):
            message = consumer.poll(10)
            if message is None:
                continue
            if message.error():
                ends += 1
            else:
                records += 1
        consumer.close()
        return records

    def _plain_consumer(self, isolation: str) -> ck.Consumer:
        return ck.Consumer(
            {
                "bootstrap.servers": self.endpoints.bootstrap_servers,
                "group.id": f"look-{self.run_id}",
                "isolation.level": isolation,
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )

    def _make_input(self, partition: int) -> dict[str, list[Fed]]:
        seed = self.seed + partition
        if self.kind == "record":
            return {"market.funding": self.counting.record_input(self.per_partition, seed=seed)}
        return self.counting.clocked_input(self.codecs, self.per_partition // 8, seed=seed)

    def _write_inputs(self) -> None:
        """Write in transactions of uneven size, some aborted first: offsets have holes everywhere."""
        rng, writer = random.Random(self.seed), self.broker.producer(f"input-{self.run_id}")
        writer.init(60)
        self._last = {}
        for partition, inputs in enumerate(self.inputs):
            for topic, records in inputs.items():
                name = physical(topic, self.run_id)
                batch = [Outgoing(name, b"BTC", self._value(topic, fed), fed.timestamp_ms) for fed in records]
                begin = 0
                while begin < len(batch):
                    end = begin + rng.randrange(50, 1500)
                    if rng.random() < 0.3:
                        writer.begin()
                        writer.produce(partition, batch[begin : begin + 10])
                        writer._client.flush(30)  # else the abort takes back what was never sent, and leaves no hole
                        writer.abort(30)
                    writer.begin()
                    writer.produce(partition, batch[begin:end])
                    writer.commit(30)
                    begin = end
                if batch:
                    self._last[TopicPartition(name, partition)] = self._last_offset(topic, partition, len(batch))

    def _last_offset(self, topic: str, partition: int, count: int) -> int:
        """Return the offset of the last of ``count`` records: a commit returns before its records show."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while time.monotonic() < deadline:
            found = self._read(topic, partition)
            if len(found) == count:
                return found[-1].offset
            time.sleep(0.05)
        raise AssertionError(f"{topic}/{partition} does not show {count} records")

    def _value(self, topic: str, fed: Fed) -> bytes:
        return fed.record if isinstance(fed.record, bytes) else self.codecs.encode(topic, fed.record)


@dataclass(frozen=True)
class Outcome:
    """What a run with kills came to."""

    kills: int
    lives_that_committed: int
    aborted: int
    identical: bool


def run_with_kills(
    scene: Scene,
    *,
    kills: int,
    assignment: str = "0,1,2,3",
    life_s: tuple[float, float],
    pace_ms: float,
    arguments: tuple[str, ...] = (),
) -> Outcome:
    """Kill ``kills`` processes, then let one finish.

    Each is killed after a random time, within ``life_s`` of its start or, every other one, within a second of its
    first transaction: however slow the machine, kills hit both the start and the work.
    """
    rng, done, advanced, before = random.Random(scene.seed), 0, 0, scene.committed()
    while done < kills and not scene.drained():
        process = scene.start(assignment=assignment, pace_ms=pace_ms, arguments=arguments)
        if done % 2:
            scene.wait_for_work()
            time.sleep(rng.uniform(0.0, 1.0))
        else:
            time.sleep(rng.uniform(*life_s))
        process.kill()
        process.wait()
        done += 1
        after = scene.committed()
        advanced += after != before
        before = after
    scene.drain([scene.start(assignment=assignment, arguments=arguments)])
    return Outcome(done, advanced, scene.aborted(), scene.written() == scene.expected())


@contextmanager
def stack_of(directory: str | None) -> Iterator[Endpoints]:
    """Yield a running stack's endpoints, or those of one that lives as long as this process."""
    if directory:
        yield embedded.start(Path(directory), print, components=("kafka", "registry"))
        return
    with tempfile.TemporaryDirectory(prefix="runloop-stack-", ignore_cleanup_errors=True) as own:
        try:
            yield embedded.start(Path(own), print, components=("kafka", "registry"), die_with_starter=True)
        finally:
            embedded.stop(Path(own))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--pipeline", choices=("record", "clocked"), default="clocked")
    parser.add_argument("--assignment", default="0,1,2,3", help="partitions, or 'group' (then lives are longer)")
    parser.add_argument("--per-partition", type=int, default=40_000)
    parser.add_argument("--pace-ms", type=float, default=60.0)
    parser.add_argument("--stack", help="directory of a running stack; without it one is started")
    options = parser.parse_args()
    life_s = (7.0, 10.0) if options.assignment == "group" else (0.8, 4.0)
    with stack_of(options.stack) as endpoints:
        scene = Scene(endpoints, options.pipeline, options.per_partition)
        outcome = run_with_kills(
            scene, kills=options.kills, assignment=options.assignment, life_s=life_s, pace_ms=options.pace_ms
        )
    print(outcome)
    return 0 if outcome.identical and outcome.lives_that_committed else 1


if __name__ == "__main__":
    sys.exit(main())
