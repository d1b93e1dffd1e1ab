"""Sink processes on the real broker and engine: a run's topics, a database of its own, a ledger of what was written.

Loaded by path from tests/integration and tests/faults. The oracle is the ledger, never the target.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clickhouse_connect
import confluent_kafka as ck
from clickhouse_connect.driver.client import Client

from contracts.provision import provision
from contracts.topics import physical
from contracts.wire import Codecs
from sink.clickhouse import Address
from sink.migrate import prepare
from sink.tables import table_name
from stack.embedded import Endpoints

WAIT_S = 60.0
UNMERGED = "max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1"
Ledger = dict[tuple[str, int], list[int]]


@dataclass
class Scene:
    """One run. ``ledger`` holds the offsets of the records that belong into tables, by logical topic and partition."""

    endpoints: Endpoints
    run_id: str
    home: Path
    clickhouse_url: str = ""
    topics: Sequence[str] = ()
    ledger: Ledger = field(default_factory=dict)
    refused: Ledger = field(default_factory=dict)
    lives: int = 0

    def __post_init__(self) -> None:
        self.clickhouse_url = self.clickhouse_url or self.endpoints.clickhouse_url
        self.database = f"t_{self.run_id}"
        bootstrap, registry = self.endpoints.bootstrap_servers, self.endpoints.registry_url
        provision(bootstrap_servers=bootstrap, registry_url=registry, run_id=self.run_id)
        self.codecs = Codecs.connect(registry)
        self._producer = ck.Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": "lz4", "linger.ms": 2}
        )

    def write(self, topic: str, values: Sequence[bytes | None], *, partition: int = 1, good: bool = True) -> None:
        """Write values and note the offsets the broker gave them."""
        offsets: list[int] = []
        name = physical(topic, "" if topic.startswith("raw.") else self.run_id)
        for value in values:
            self._producer.produce(name, value, b"key", partition, on_delivery=_noted(offsets), timestamp=time_ms())
            self._producer.poll(0)
        assert self._producer.flush(30) == 0
        assert len(offsets) == len(values)
        (self.ledger if good else self.refused).setdefault((topic, partition), []).extend(offsets)

    def environment(self, **more: str) -> dict[str, str]:
        settings = {
            "GAMMAFLOW_BOOTSTRAP_SERVERS": self.endpoints.bootstrap_servers,
            "GAMMAFLOW_REGISTRY_URL": self.endpoints.registry_url,
            "GAMMAFLOW_CLICKHOUSE_URL": self.clickhouse_url,
            "GAMMAFLOW_CLICKHOUSE_DATABASE": self.database,
            "GAMMAFLOW_RUN_ID": self.run_id,
            "GAMMAFLOW_HEALTH_FILE": str(self.home / "health.json"),
            **({"GAMMAFLOW_SINK_TOPICS": ",".join(self.topics)} if self.topics else {}),
        }
        return {**os.environ, **settings, **more}

    def start(self, *command: str, **more: str) -> "subprocess.Popen[bytes]":
        """Start a sink; its output goes to a file of its own."""
        self.lives += 1
        (self.home / "health.json").unlink(missing_ok=True)
        with (self.home / f"life-{self.lives}.log").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, *(command or ("-m", "sink"))],
                env=self.environment(**more),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @contextmanager
    def sink(self, *command: str, **more: str) -> "Iterator[subprocess.Popen[bytes]]":
        """Run a sink that has to end in order."""
        process = self.start(*command, **more)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, self.told()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def told(self) -> str:
        """Return what the last process printed."""
        return (self.home / f"life-{self.lives}.log").read_text()

    def health(self) -> Mapping[str, Any]:
        try:
            return json.loads((self.home / "health.json").read_text())
        except (OSError, ValueError):
            return {}

    def client(self) -> Client:
        return clickhouse_connect.get_client(
            dsn=self.clickhouse_url, database=self.database, autogenerate_session_id=False, dedicated_pool=True
        )

    def wait_until_stored(self, process: "subprocess.Popen[bytes] | None" = None, *, within_s: float = WAIT_S) -> None:
        """Return when ``process``, if given, is up and the last record of every ledger has a row."""
        deadline = time.monotonic() + within_s
        if process is not None:
            self.wait_until_up(process)
        with self._when_there(deadline) as client:
            while missing := [key for key, offsets in self.ledger.items() if self._last(client, *key) < offsets[-1]]:
                assert process is None or process.poll() is None, self.told()
                assert time.monotonic() < deadline, f"{missing} not stored: {self.health()}"
                time.sleep(0.1)

    def wait_until_up(self, process: "subprocess.Popen[bytes]") -> None:
        """Return when ``process`` reads."""
        deadline = time.monotonic() + WAIT_S
        while not self.health():
            assert process.poll() is None, self.told()
            assert time.monotonic() < deadline, f"not up: {self.told()[-3000:]}"
            time.sleep(0.02)

    def wait_until_health(self, holds: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """Return the first health report for which ``holds``."""
        deadline = time.monotonic() + WAIT_S
        while not holds(health := self.health()):
            assert time.monotonic() < deadline, f"{health}: {self.told()[-3000:]}"
            time.sleep(0.1)
        return health

    def stored(self, topic: str, partition: int = 1) -> list[int]:
        """Return the offsets in a table, as often as they are there, without FINAL; exploded rows count once."""
        table = table_name(topic)
        first = "AND _row = 0" if topic == "options.greeks" else ""
        sql = f"SELECT _offset FROM {table} WHERE _partition = {partition} {first} ORDER BY _offset"
        with self.client() as client:
            return [row[0] for row in client.query(sql).result_rows]

    def assert_exact(self) -> None:
        """Every record of the ledger is there exactly once, nothing else is."""
        for (topic, partition), offsets in self.ledger.items():
            assert self.stored(topic, partition) == offsets, f"{topic}/{partition}"

    def keep_doubles(self) -> None:
        """Make the tables and keep parts from merging: ReplacingMergeTree would fold what a fault has doubled."""
        address = Address(url=self.clickhouse_url, database=self.database, user="default", password="")
        prepare(address)
        with self.client() as client:
            for topic in self.topics:
                client.command(f"ALTER TABLE {table_name(topic)} MODIFY SETTING {UNMERGED}")

    def drop(self) -> None:
        with clickhouse_connect.get_client(dsn=self.clickhouse_url, dedicated_pool=True) as client:
            client.command(f"DROP DATABASE IF EXISTS {self.database} SYNC")

    @contextmanager
    def _when_there(self, deadline: float) -> Iterator[Client]:
        while True:
            try:
                client = self.client()
                break
            except clickhouse_connect.driver.exceptions.ClickHouseError:
                assert time.monotonic() < deadline, self.told()
                time.sleep(0.2)
        with client:
            yield client

    def _last(self, client: Client, topic: str, partition: int) -> int:
        table = table_name(topic)
        if not int(client.command(f"EXISTS TABLE {table}")):
            return -1
        sql = f"SELECT max(toInt64(_offset)), count() FROM {table} WHERE _partition = {partition}"
        ((last, count),) = client.query(sql).result_rows
        return last if count else -1


def time_ms() -> int:
    return 1_767_225_600_000


def _noted(offsets: list[int]) -> Any:
    def report(error: ck.KafkaError | None, message: ck.Message) -> None:
        assert error is None, error
        offsets.append(message.offset())

    return report
