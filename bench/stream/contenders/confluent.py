"""The loop one writes by hand on confluent-kafka, state in a dict that dies with the process.

``at_least_once``: produce, flush, commit offsets once a second. ``transactions``: one transactional producer, a
transaction ends after 5,000 records or 100 ms. Neither restores its state: a restart starts from zero.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bench.stream.job import Job, StopSignal
from bench.stream.workload import INPUT, OUTPUT, new_state, step
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

POLL_MAX_RECORDS = 500
POLL_TIMEOUT_S = 0.005
FLUSH_INTERVAL_S = 1.0
COMMIT_INTERVAL_S = 0.1
COMMIT_MAX_RECORDS = 5_000
CALL_TIMEOUT_S = 30.0

CONSUMER = {
    "group.protocol": "consumer",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 20,
}
PRODUCER = {"linger.ms": 1, "compression.type": "lz4", "queue.buffering.max.messages": 500_000}


class Committer(Protocol):
    """Makes what was produced durable, now and then."""

    producer: Producer

    def after(self, messages: Sequence[Message]) -> None:
        """Take note of inputs worked off; called after every batch, empty ones, too."""
        ...


class AtLeastOnce:
    """Flushes, then commits the consumer's position, once a second."""

    def __init__(self, job: Job, consumer: Consumer) -> None:
        self.producer = Producer({"bootstrap.servers": job.bootstrap_servers, "enable.idempotence": True, **PRODUCER})
        self._consumer = consumer
        self._next = time.monotonic() + FLUSH_INTERVAL_S
        self._dirty = False

    def after(self, messages: Sequence[Message]) -> None:
        """See :class:`Committer`."""
        self.producer.poll(0)
        self._dirty = self._dirty or bool(messages)
        if self._dirty and time.monotonic() >= self._next:
            self.producer.flush(CALL_TIMEOUT_S)
            self._consumer.commit(asynchronous=False)
            self._dirty, self._next = False, time.monotonic() + FLUSH_INTERVAL_S


class Transactions:
    """Commits outputs and offsets in one transaction of the one producer."""

    def __init__(self, job: Job, consumer: Consumer) -> None:
        own = {"transactional.id": f"bench-{job.run_id}"}
        self.producer = Producer({"bootstrap.servers": job.bootstrap_servers, **own, **PRODUCER})
        self.producer.init_transactions(CALL_TIMEOUT_S)
        self.producer.begin_transaction()
        self._consumer = consumer
        self._positions: dict[int, TopicPartition] = {}
        self._records = 0
        self._next = time.monotonic() + COMMIT_INTERVAL_S

    def after(self, messages: Sequence[Message]) -> None:
        """See :class:`Committer`."""
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None and partition is not None and offset is not None  # noqa: PT018 - one fact
            self._positions[partition] = TopicPartition(topic, partition, offset + 1)
        self._records += len(messages)
        due = time.monotonic() >= self._next
        if self._records and (due or self._records >= COMMIT_MAX_RECORDS):
            self._commit()

    def _commit(self) -> None:
        producer = self.producer
        metadata = self._consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction(list(self._positions.values()), metadata, CALL_TIMEOUT_S)
        producer.commit_transaction(CALL_TIMEOUT_S)
        producer.begin_transaction()
        self._positions, self._records = {}, 0
        self._next = time.monotonic() + COMMIT_INTERVAL_S


def main(guarantee: str) -> None:
    """Work until SIGTERM."""
    job, stopping = Job.from_environment(), StopSignal()
    codecs = job.codecs()
    consumer = Consumer({"bootstrap.servers": job.bootstrap_servers, "group.id": f"bench-{job.run_id}", **CONSUMER})
    consumer.subscribe([job.input])
    guarantees: dict[str, Callable[[Job, Consumer], Committer]]
    guarantees = {"at_least_once": AtLeastOnce, "transactions": Transactions}
    committer = guarantees[guarantee](job, consumer)
    produce, decode, encode, output = committer.producer.produce, codecs.decode, codecs.encode, job.output
    states: dict[str, list[Any]] = {}
    while not stopping:
        messages: list[Any] = consumer.consume(POLL_MAX_RECORDS, POLL_TIMEOUT_S)  # Any: typed optional for errors' sake
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            funding = decode(INPUT, message.value())
            state = states.get(funding.instrument)
            if state is None:
                state = states[funding.instrument] = new_state()
            value = encode(OUTPUT, step(state, funding))
            # Positionally, as in our own loop: keyword arguments cost as much again.
            produce(output, value, funding.underlying, message.partition(), None, None, message.timestamp()[1])
        committer.after(messages)
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1])
