"""The two brokers the suite runs over; each test gets topics of its own."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streamkit.broker import (
    Broker,
    Consumer,
    Outgoing,
    Producer,
    Reader,
    RebalanceListener,
    Record,
    Slice,
    TopicPartition,
)
from streamkit.kafka import KafkaBroker
from streamkit.memory import MemoryBroker

PARTITIONS = 4
Found = TypeVar("Found")


class Recorder(RebalanceListener):
    """Notes the callbacks; starts everything at 0 unless told to hold it."""

    def __init__(self, hold: bool = False) -> None:
        self.owned: set[TopicPartition] = set()
        self.revoked: list[TopicPartition] = []
        self.hold = hold

    def on_assign(self, partitions):
        self.owned.update(partitions)
        return {} if self.hold else dict.fromkeys(partitions, 0)

    def on_revoke(self, partitions):
        self.owned.difference_update(partitions)
        self.revoked += partitions

    def on_lost(self, partitions):
        self.owned.difference_update(partitions)


@dataclass
class Bench:
    """A broker with two topics of four partitions, and unique names for groups and transactional ids."""

    broker: Broker
    first: str
    second: str
    unique: str
    _closing: list[Consumer] = field(default_factory=list)

    def producer(self, name: str = "writer") -> Producer:
        producer = self.broker.producer(f"{self.unique}-{name}")
        producer.init(30)
        return producer

    def consumer(self, name: str = "group") -> Consumer:
        consumer = self.broker.consumer(f"{self.unique}-{name}")
        self._closing.append(consumer)
        return consumer

    def assigned(self, *partitions: TopicPartition) -> Consumer:
        consumer = self.consumer()
        consumer.assign(dict.fromkeys(partitions, 0))
        return consumer

    def write(
        self, values: list[str], *, topic: str | None = None, partition: int = 0, producer: Producer | None = None
    ) -> None:
        """Write ``values`` in one committed transaction."""
        writer = producer or self.producer()
        writer.begin()
        writer.produce(partition, [self.outgoing(topic or self.first, value) for value in values])
        writer.commit(30)

    def stored(self, count: int, begin: int = 0) -> list[Record]:
        """Read partition 0 of the first topic until ``count`` records show: a commit returns before they do."""
        partition = TopicPartition(self.first, 0)
        return self.eventually(lambda reader: list(reader.read(partition, begin)), lambda found: len(found) == count)

    def eventually(self, look: Callable[[Reader], Found], fits: Callable[[Found], bool]) -> Found:
        """Return the first sight that fits, or the last one."""
        reader = self.broker.reader()
        try:
            for _ in range(100):
                found = look(reader)
                if fits(found):
                    break
                time.sleep(0.05)
            return found
        finally:
            reader.close()

    def await_written(self, offset: int) -> None:
        """Wait until the first topic's partition 0 reaches ``offset``, open transactions included."""
        partition = TopicPartition(self.first, 0)
        watcher = self.assigned(partition)
        for _ in range(100):
            watcher.consume(1, 0.05)
            if watcher.behind({partition: 0}).get(partition, 0) >= offset:
                return
        pytest.fail(f"offset {offset} not reached")

    @staticmethod
    def recorder(*, hold: bool = False) -> Recorder:
        return Recorder(hold)

    @staticmethod
    def outgoing(topic: str, value: str, timestamp_ms: int = 1_700_000_000_000) -> Outgoing:
        return Outgoing(topic, b"key", value.encode(), timestamp_ms)

    @staticmethod
    def poll_until(consumer: Consumer, done: Callable[[list[str]], bool], others: Sequence[Consumer] = ()) -> list[str]:
        """Consume until ``done`` says so of all values so far; fails the test when it never does.

        ``others`` are polled too, as members of a group must be.
        """
        seen: list[str] = []
        for _ in range(300):
            for other in others:
                other.consume(100, 0.02)
            seen += values(consumer.consume(100, 0.1))
            if done(seen):
                return seen
        pytest.fail(f"still waiting; got {seen}")

    def close(self) -> None:
        for consumer in self._closing:
            consumer.close()


def values(slices: list[Slice]) -> list[str]:
    return [(record.value or b"").decode() for piece in slices for record in piece.records]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def bench(request):
    unique = f"contract-{uuid.uuid4().hex[:8]}"
    first, second = f"{unique}.a", f"{unique}.b"
    if request.param == "memory":
        made = Bench(MemoryBroker({first: PARTITIONS, second: PARTITIONS}), first, second, unique)
    else:
        servers = request.getfixturevalue("stack").bootstrap_servers
        topics = [NewTopic(name, PARTITIONS, 1, config={"retention.ms": "-1"}) for name in (first, second)]
        admin = AdminClient({"bootstrap.servers": servers})
        for created in admin.create_topics(topics).values():
            created.result(30)
        made = Bench(KafkaBroker(servers), first, second, unique)
    yield made
    made.close()
