"""The three services as processes on a real broker: one input, any number of runs over it, and what each has written.

Runs differ in their run id alone: topics, groups and transactional ids follow from it. The raw topics are shared, so
the broker must be nobody else's.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import confluent_kafka as ck
import pipeline_oracle as oracle
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pipeline_oracle import Place, Written
from pipeline_reading import Watcher, read

from collector.raw_log import Entry
from collector.raw_writer import KafkaRawWriter
from contracts.partitioning import PARTITIONS
from contracts.provision import provision
from contracts.topics import TOPICS, physical
from contracts.wire import Codecs
from stack.embedded import Endpoints
from streamkit.service import DONE, RESTART

ALL = ",".join(map(str, range(PARTITIONS)))
DRAIN_S = 300.0
STOP_S = 60.0
RESTARTS_MAX = 3
CLOCKS = {name: str(pipeline.clock_out) for name, pipeline in oracle.pipelines().items()}


@dataclass(slots=True)
class Stand:
    """A broker with the raw topics filled once, and what every run over them must come to."""

    endpoints: Endpoints
    codecs: Codecs
    written: Counter[Place]
    expected: Mapping[Place, Written]

    @classmethod
    def prepare(cls, endpoints: Endpoints, entries: Sequence[Entry]) -> Self:
        """Provision, write ``entries`` as the collector does, and compute in memory what must come of them."""
        provision(bootstrap_servers=endpoints.bootstrap_servers, registry_url=endpoints.registry_url, run_id="")
        codecs = Codecs.connect(endpoints.registry_url)
        _write(KafkaRawWriter(endpoints.bootstrap_servers, codecs), entries)
        written = Counter((entry.topic, entry.partition) for entry in entries)
        found = {place: len(records) for place, records in read(endpoints.bootstrap_servers, written, str).items()}
        assert found == written, "the raw topics do not hold what was written: is the broker someone else's, too?"
        return cls(endpoints, codecs, written, oracle.summaries(oracle.raw_logs(entries), codecs))

    def units(self, service: str) -> int:
        """Return how many units a service has to close, over all partitions."""
        return sum(self.expected[CLOCKS[service], partition].records for partition in range(PARTITIONS))


def _write(writer: KafkaRawWriter, entries: Iterable[Entry]) -> None:
    for entry in entries:
        while not writer.offer(entry):
            writer.poll(0.1)
    writer.flush(60)


@dataclass(slots=True)
class Life:
    """One process of a service, from its start to its end."""

    service: str
    process: subprocess.Popen[bytes]
    log: Path
    began: float
    start_again: Callable[[], object]

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """Return the lines of one event in the process's log; a kill may have cut the last line."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if f'"event": "{name}"' in line and line.endswith("}")]

    def told(self) -> str:
        return f"{self.log.name}: {self.log.read_text(errors='replace')[-600:]}"


class Run:
    """One pass of the services over the input; use it as a context: nothing it made is left."""

    def __init__(self, stand: Stand, run_id: str) -> None:
        self.stand = stand
        self.run_id = run_id
        self.lives: list[Life] = []
        self.running: list[Life] = []
        self.restarts = 0  # of processes that ended by themselves and asked for it
        self._admin = AdminClient({"bootstrap.servers": stand.endpoints.bootstrap_servers})
        self._home = tempfile.TemporaryDirectory(prefix="gammaflow-pipeline-")
        self._places = [(topic, n) for topic in oracle.derived() for n in range(PARTITIONS)]

    def __enter__(self) -> Self:
        endpoints = self.stand.endpoints
        provision(
            bootstrap_servers=endpoints.bootstrap_servers, registry_url=endpoints.registry_url, run_id=self.run_id
        )
        self._keep_everything()
        self.watcher = Watcher(endpoints.bootstrap_servers, self._places, self.physical)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.watcher.stop()
        self._home.cleanup()
        own = [self.physical(topic) for topic in TOPICS if not topic.startswith("raw.")]
        for deleted in self._admin.delete_topics(own).values():
            deleted.result(30)

    def _keep_everything(self) -> None:
        """Turn compaction off: what it has removed cannot be compared."""
        compacted = {self.physical(topic) for topic, _ in self._places if TOPICS[topic].cleanup == "compact"}
        self._configure(compacted, "min.compaction.lag.ms", str(2**63 - 1))

    def lose_checkpoints(self) -> None:
        """Delete every checkpoint of every service; none of them may run."""
        topics = [self.physical(pipeline.checkpoint_topic) for pipeline in oracle.pipelines().values()]
        self._configure(topics, "cleanup.policy", "delete")  # of a compacted topic nothing can be deleted
        ends = [ck.TopicPartition(topic, n, ck.OFFSET_END) for topic in topics for n in range(PARTITIONS)]
        for deleted in self._admin.delete_records(ends).values():
            deleted.result(30)

    def _configure(self, topics: Iterable[str], name: str, value: str) -> None:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        changes = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry]) for topic in topics]
        for changed in self._admin.incremental_alter_configs(changes).values():
            changed.result(30)

    def physical(self, topic: str) -> str:
        return physical(topic, self.run_id)

    def start(self, service: str, *, assignment: str = ALL, **settings: object) -> Life:
        """Start a process of ``service``; ``settings`` are environment variables without their prefix."""
        endpoints = self.stand.endpoints
        own = {
            "BOOTSTRAP_SERVERS": endpoints.bootstrap_servers,
            "REGISTRY_URL": endpoints.registry_url,
            "RUN_ID": self.run_id,
            "ASSIGNMENT": assignment,
            **settings,
        }
        environment = {**os.environ, **{f"GAMMAFLOW_{name}": str(value) for name, value in own.items()}}
        log = Path(self._home.name) / f"{service}-{len(self.lives)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", service.replace("-", "_")],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        again = partial(self.start, service, assignment=assignment, **settings)
        life = Life(service, process, log, time.monotonic(), again)
        self.lives.append(life)
        self.running.append(life)
        return life

    def kill(self, *services: str) -> None:
        """kill -9 the processes of ``services``, of all if none is named."""
        for life in [life for life in self.running if not services or life.service in services]:
            life.process.kill()
            life.process.wait()
            self.running.remove(life)

    def supervise(self) -> None:
        """Start again what has ended by itself and asks for it, as a supervisor does; fail, with its log, otherwise."""
        for life in [life for life in self.running if life.process.poll() is not None]:
            code = life.process.returncode
            assert code == RESTART, f"exit code {code} by itself: {life.told()}"
            assert self.restarts < RESTARTS_MAX, f"ended by itself time and again: {life.told()}"
            self.restarts += 1
            self.running.remove(life)
            life.start_again()

    def units(self, service: str) -> int:
        """Return how many units of a service a read_committed reader sees closed, over all partitions."""
        return sum(self.watcher.count((CLOCKS[service], partition)) for partition in range(PARTITIONS))

    def drain(self) -> None:
        """Wait until every unit is closed by every service, then stop the processes: each must end with code 0."""
        self.wait(self._all_closed, "every unit to be closed")
        for life in self.running:
            life.process.send_signal(signal.SIGTERM)
        codes = [(life.service, life.process.wait(STOP_S)) for life in self.running]
        self.running = []
        assert all(code == DONE for _, code in codes), f"exit codes {codes}; {self.told()}"

    def _all_closed(self) -> bool:
        places = [(clock, partition) for clock in CLOCKS.values() for partition in range(PARTITIONS)]
        return all(self.watcher.count(place) >= self.stand.expected[place].records for place in places)

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for ``holds`` and supervise meanwhile; fails, with the end of the logs, if it takes too long."""
        deadline = time.monotonic() + DRAIN_S
        while not holds():
            self.supervise()
            if time.monotonic() > deadline:
                closed = {service: f"{self.units(service)}/{self.stand.units(service)}" for service in CLOCKS}
                raise AssertionError(f"waited for {what}; units closed {closed}; {self.told()}")
            time.sleep(0.005)

    def told(self) -> str:
        return "\n".join(life.told() for life in self.lives[-6:])

    def written(self) -> dict[Place, Written]:
        """Return what each derived partition holds, read anew from its beginning, read_committed."""
        found = read(self.stand.endpoints.bootstrap_servers, self._places, self.physical)
        return {place: oracle.summary(records) for place, records in found.items()}

    def differences(self, wanted: Mapping[Place, Written]) -> list[str]:
        """Return how the outputs differ from ``wanted``, read anew or as the reader that read along has seen them."""
        written = self.written()
        self.wait(
            lambda: all(self.watcher.count(place) >= found.records for place, found in written.items()),
            "the reader that reads along",
        )
        seen = {place: oracle.summary(records) for place, records in self.watcher.records.items()}
        along = [f"read along: {line}" for line in oracle.differences(seen, wanted)]
        return oracle.differences(written, wanted) + along

    def aborted(self) -> int:
        """Return how many records of the outputs lie in transactions that died."""
        bootstrap = self.stand.endpoints.bootstrap_servers
        everything = read(bootstrap, self._places, self.physical, isolation="read_uncommitted")
        committed = read(bootstrap, self._places, self.physical)
        return sum(map(len, everything.values())) - sum(map(len, committed.values()))
