"""The reader every figure is taken with: read_committed, from the start, each batch with its time."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from bench.stream.job import PARTITIONS, Job
from confluent_kafka import Consumer, KafkaException, TopicPartition

BATCH = 2_000
POLL_S = 0.002  # a record may wait this long to be noticed
SETTLE_S = 0.5  # longer than any commit interval: what would come twice has come by then


class Seen(NamedTuple):
    """One visible output; ``seen_s`` is the wall clock's time."""

    partition: int
    key: bytes
    value: bytes
    timestamp_ms: int
    seen_s: float


class Reader:
    """Reads the output topic of ``job``; :meth:`close` it."""

    def __init__(self, job: Job) -> None:
        config: dict[str, Any] = {
            "bootstrap.servers": job.bootstrap_servers,
            "group.id": "unused-by-readers",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
        }
        self._client = Consumer(config)
        self._client.assign([TopicPartition(job.output, partition, 0) for partition in range(PARTITIONS)])
        self._batches: list[tuple[float, list[Any]]] = []
        self.count = 0

    def read_until(self, count: int, deadline: float, alive: Callable[[], bool], arrived: Callable[[], None]) -> bool:
        """Read until ``count`` outputs are visible; False if ``deadline`` (monotonic) or a death comes first.

        ``arrived`` is called when the first batch of this call has come.
        """
        first = True
        while self.count < count:
            if self._read() and first:
                first = False
                arrived()
            if time.monotonic() > deadline or not alive():
                return False
        return True

    def settle(self) -> None:
        """Read on for a moment: outputs beyond those expected are an error, and must be seen to be one."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            self._read()

    def seen(self) -> list[Seen]:
        """Return every output so far, in order of arrival; unpacked only now, to keep the reader light."""
        return [
            Seen(message.partition(), message.key(), message.value(), message.timestamp()[1], at)
            for at, messages in self._batches
            for message in messages
        ]

    def close(self) -> None:
        """Release the connection."""
        self._client.close()

    def _read(self) -> int:
        messages = self._client.consume(BATCH, POLL_S)
        if not messages:
            return 0
        now = time.time()
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
        self._batches.append((now, messages))
        self.count += len(messages)
        return len(messages)
