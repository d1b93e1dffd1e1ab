"""Records of the contract's examples, blocks read back by another's parser, a broker and tables in memory."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.ctypes import RespBuffCls
from clickhouse_connect.driver.transform import NativeTransform

from contracts.examples import load_examples
from contracts.topics import TOPICS
from contracts.wire import Codecs
from sink.clickhouse import Counters, Insert
from sink.lane import Lane, Limits
from sink.pipeline import Pipeline
from sink.position import NOTHING, Refused, last_done
from sink.reporting import Reporter
from sink.storing import NoHooks, Storing, Transactions
from sink.tables import DEADLETTER_TABLE, TABLES
from streamkit.broker import Outgoing, Record, TopicPartition
from streamkit.memory import MemoryBroker

EXAMPLES = Path(__file__).resolve().parents[2] / "schemas" / "examples"


@pytest.fixture(scope="session")
def codecs() -> Codecs:
    return Codecs.offline()


@pytest.fixture(scope="session")
def examples() -> dict[str, list[Any]]:
    """Every example record by topic, of the topics that are stored."""
    return {topic: [record for _, record in load_examples(EXAMPLES, topic)] for topic in TABLES}


@dataclass
class Block:
    """A block as clickhouse-connect's own parser sees it."""

    names: Sequence[str]
    types: Sequence[str]
    columns: dict[str, Sequence[Any]]

    def rows(self, *names: str) -> list[tuple[Any, ...]]:
        return list(zip(*(self.columns[name] for name in names), strict=True))


class _Source:
    """Bytes as the client's buffer wants them."""

    def __init__(self, body: bytes) -> None:
        self.gen = iter([body])
        self.last_message = None
        self.exception_tag = None

    def close(self) -> None:
        pass


def parse_blocks(body: bytes) -> list[Block]:
    """Return the blocks in ``body``."""
    result = NativeTransform.parse_response(RespBuffCls(_Source(body)))
    types = [kind.name for kind in result.column_types]
    with result.column_block_stream as stream:
        return [
            Block(result.column_names, types, dict(zip(result.column_names, columns, strict=True)))
            for columns in stream
        ]


@pytest.fixture(scope="session")
def blocks_in() -> Callable[[bytes], list[Block]]:
    return parse_blocks


class Log:
    """Collects log lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    warning = error = info


@pytest.fixture
def log() -> Log:
    return Log()


def no_obstacle(insert: Insert) -> None:
    """Let every insert through."""


class MemoryTables:
    """What the sink needs of ClickHouse, in memory: no deduplication, so that a second insert shows.

    ``obstacle`` is called before each insert, and may raise or wait.
    """

    def __init__(self) -> None:
        self.counters = Counters()
        self.inserts: list[Insert] = []
        self.rows: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        self.after: list[Refused] = []
        self.obstacle: Callable[[Insert], object] = no_obstacle

    def insert(self, insert: Insert) -> None:
        self.obstacle(insert)
        (block,) = parse_blocks(insert.body)
        self.inserts.append(insert)
        self.rows[insert.table] += block.rows("_topic", "_partition", "_offset")
        if insert.table == DEADLETTER_TABLE.name:
            self.after += [Refused(*row) for row in block.rows("_topic", "_partition", "_offset", "after_offset")]

    def offsets(self, topic: str, partition: int = 1) -> list[int]:
        table = TABLES[topic].name
        return [offset for name, number, offset in self.rows[table] if (name, number) == (topic, partition)]


@dataclass
class Kit:
    """Runs sinks one after the other over one broker and one set of tables in memory."""

    codecs: Codecs
    log: Log
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(dict.fromkeys(TOPICS, 4)))
    tables: MemoryTables = field(default_factory=MemoryTables)

    def write(self, topic: str, values: Sequence[bytes | None], *, partition: int = 1, first_ms: int = 0) -> None:
        producer = self.broker.producer(f"writer-{topic}")
        producer.init(1)
        producer.begin()
        producer.produce(partition, [Outgoing(topic, b"key", v, first_ms + i) for i, v in enumerate(values)])
        producer.commit(1)

    def pipeline(self, topics: Sequence[str], *, limits: Limits | None = None, buffer_bytes: int = 2**26) -> Pipeline:
        limits = limits or Limits(rows=1000, bytes=2**20, age_s=0.001)
        producer = self.broker.producer("sink")
        producer.init(1)
        consumer = self.broker.consumer("sink")
        transactions = Transactions(producer, consumer.group_metadata)
        storing = Storing(
            store=self.tables,
            codecs=self.codecs,
            transactions=transactions,
            run_id="",
            stopping=lambda: False,
            log=self.log,
            hooks=NoHooks(),
        )
        lanes = {place: self._lane(place, limits) for topic in topics for place in [TopicPartition(topic, 1)]}
        return Pipeline(
            consumer=consumer,
            lanes=lanes,
            storing=storing,
            store=self.tables,
            transactions=transactions,
            reporter=Reporter(health_file=None, metrics_host="", metrics_port=0),
            buffer_bytes=buffer_bytes,
        )

    def _lane(self, place: TopicPartition, limits: Limits) -> Lane:
        stored = max(self.tables.offsets(place.topic), default=NOTHING)
        done = last_done(stored, [r for r in self.tables.after if (r.topic, r.partition) == place])
        return Lane(place, TABLES[place.topic], limits, done, done + 1)

    def run(self, pipeline: Pipeline, until: Callable[[], bool], *, within_s: float = 20.0) -> None:
        """Run until ``until`` holds, then stop in order."""
        deadline = time.monotonic() + within_s
        pipeline.run(lambda: until() or time.monotonic() > deadline)
        assert until(), "the sink did not get there in time"


@pytest.fixture
def kit(codecs: Codecs, log: Log) -> Kit:
    return Kit(codecs, log)


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    """Make a record as the broker delivers it."""

    def make(offset: int, value: bytes | None = b"", *, key: bytes | None = b"key", timestamp_ms: int = 0) -> Record:
        return Record(offset, key, timestamp_ms, value)

    return make
