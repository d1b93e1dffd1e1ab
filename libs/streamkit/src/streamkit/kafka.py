"""The broker ports over confluent-kafka, with the settings and error rules measured in the run loop's prototype.

Decisions that are easy to undo by accident: values of ``timeout`` are seconds; `committed` says "timed out, not
retriable" while offsets of an open transaction are pending, and is asked again all the same; a batch that a rebalance
interrupted is dropped by the caller; an error is classified by its flags only.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from contracts.topics import MAX_DEAD_LETTER_BYTES
from streamkit.broker import (
    Bounds,
    BrokerError,
    Fenced,
    Outgoing,
    RebalanceListener,
    Record,
    Refused,
    Slice,
    TopicPartition,
    Truncated,
    Unresolved,
)

REQUEST_TIMEOUT_S = 10.0
RESOLVE_TIMEOUT_S = 60.0  # an open transaction of another id ends within its timeout
QUEUE_FULL_WAIT_S = 0.05
RETRY_WAIT_S = 0.05

_MISSING = {KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}  # noqa: SLF001 - the client's public names of its local errors
_TIMED_OUT = KafkaError._TIMED_OUT  # noqa: SLF001 - as above
# A new topic is listed before its leader serves it; the client does not call that retriable.
_LEADERLESS = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
_AUTO_OFFSET_RESET = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 - as above
_PARTITION_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - as above


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """How a consumer asks for records: what the broker answers with, and how much the client reads ahead.

    The broker answers once ``min_bytes`` are there, or after ``wait_ms``. Every answer costs it a look at each of the
    consumer's partitions: one that reads many of them and is in no hurry asks for more at a time.
    """

    wait_ms: int = 20
    min_bytes: int = 1
    # Small portions, so that the inputs of a task come interleaved: with the client's defaults one topic is read
    # megabytes ahead while the unit at hand waits for another.
    partition_bytes: int = 64 * 1024
    prefetch_records: int = 2_000

    def config(self) -> Mapping[str, int]:
        """Return the client's settings."""
        return {
            "fetch.wait.max.ms": self.wait_ms,
            "fetch.min.bytes": self.min_bytes,
            "fetch.message.max.bytes": self.partition_bytes,
            "queued.min.messages": self.prefetch_records,
        }


class KafkaBroker:
    """Clients of one Kafka cluster; the client library's own lines go to the logger ``librdkafka``."""

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        transaction_timeout_ms: int = 30_000,
        fetching: Fetching = Fetching(),
    ) -> None:
        self._common: dict[str, Any] = {
            "bootstrap.servers": bootstrap_servers,
            "logger": logging.getLogger("librdkafka"),
        }
        self._transaction_timeout_ms = transaction_timeout_ms
        self._fetching = fetching

    def consumer(self, group: str) -> "KafkaConsumer":
        """See :class:`~streamkit.broker.Broker`."""
        return KafkaConsumer({**self._common, **_CONSUMER, **self._fetching.config(), "group.id": group})

    def producer(self, transactional_id: str) -> "KafkaProducer":
        """See :class:`~streamkit.broker.Broker`."""
        own = {"transactional.id": transactional_id, "transaction.timeout.ms": self._transaction_timeout_ms}
        return KafkaProducer({**self._common, **_PRODUCER, **own})

    def reader(self) -> "KafkaReader":
        """See :class:`~streamkit.broker.Broker`."""
        return KafkaReader({**self._common, **_READER})


_CONSUMER: Mapping[str, Any] = {
    "enable.partition.eof": True,  # the only way to know that nothing is left: see KafkaConsumer.behind
    "group.protocol": "consumer",
    "group.remote.assignor": "range",  # the same partitions of every topic: tasks need theirs complete
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "fetch.queue.backoff.ms": 5,  # with a limited prefetch the default of 1 s costs two orders of magnitude
}
_PRODUCER: Mapping[str, Any] = {
    "linger.ms": 1,
    "compression.type": "lz4",
    "message.max.bytes": MAX_DEAD_LETTER_BYTES,
    "queue.buffering.max.messages": 500_000,
    "delivery.report.only.error": True,
    "partitioner": "murmur2",
}
_READER: Mapping[str, Any] = {
    "group.id": "unused-by-readers",  # the client insists on one; nothing is joined or committed
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 10,
    "fetch.message.max.bytes": 16 * 1024 * 1024,
}


class KafkaConsumer:
    """See :class:`~streamkit.broker.Consumer`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._client = ck.Consumer(dict(config))
        self._listener: RebalanceListener | None = None
        self._ends: dict[TopicPartition, int] = {}  # where the end was last reached

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        self._client.assign(_at(positions))

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        self._listener = listener
        self._client.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def consume(self, max_records: int, timeout_s: float) -> list[Slice]:
        """See :class:`~streamkit.broker.Consumer`."""
        slices: list[Slice] = []
        records: list[Record] = []
        last: tuple[str, int] | None = None
        messages: list[Any] = self._client.consume(max_records, timeout_s)  # Any: typed optional for errors' sake
        for message in messages:
            error = message.error()
            if error is not None:
                self._take_event(message, error)
                continue
            here = (message.topic(), message.partition())
            if here != last:
                records, last = [], here
                slices.append(Slice(*here, records))
            records.append(Record(message.offset(), message.key(), message.timestamp()[1], message.value()))
        return slices

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        for partition in _at(positions):
            _call(self._client.seek, partition)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        _call(self._client.pause, _plain(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        _call(self._client.resume, _plain(partitions))

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """See :class:`~streamkit.broker.Consumer`."""
        answer = _until(RESOLVE_TIMEOUT_S, self._client.committed, _plain(partitions), timeout=REQUEST_TIMEOUT_S)
        return {TopicPartition(p.topic, p.partition): p.offset if p.offset >= 0 else None for p in answer}

    def group_metadata(self) -> Any:
        """See :class:`~streamkit.broker.Consumer`."""
        return self._client.consumer_group_metadata()

    def behind(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """See :class:`~streamkit.broker.Consumer`."""
        behind = {partition: self._behind(partition, offset) for partition, offset in positions.items()}
        return {partition: left for partition, left in behind.items() if left is not None}

    def close(self) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        self._client.close()

    def _take_event(self, message: Any, error: KafkaError) -> None:
        if error.code() == _PARTITION_EOF:
            self._ends[TopicPartition(message.topic(), message.partition())] = message.offset()
        else:
            _raise_consumed(error)

    def _behind(self, partition: TopicPartition, offset: int) -> int | None:
        # Control records and aborted data behind the last record are never delivered: only the end event passes them.
        end = self._ends.get(partition)
        known = self._client.get_watermark_offsets(ck.TopicPartition(*partition), cached=True)
        high = known[1] if known and known[1] >= 0 else end
        if high is None:
            return None
        return 0 if max(offset, end or 0) >= high else high - offset

    def _on_assign(self, client: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        assert self._listener is not None  # noqa: S101 - set before subscribing; for the type checker
        new = _ours(partitions)
        starts = self._listener.on_assign(new)
        client.incremental_assign(_at({partition: starts.get(partition, ck.OFFSET_BEGINNING) for partition in new}))
        held = [partition for partition in new if partition not in starts]
        if held:
            self.pause(held)
        earlier = {partition: offset for partition, offset in starts.items() if partition not in new}
        if earlier:
            self.seek(earlier)
            self.resume(list(earlier))

    def _on_revoke(self, client: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        assert self._listener is not None  # noqa: S101 - as above
        self._listener.on_revoke(_ours(partitions))
        client.incremental_unassign(partitions)

    def _on_lost(self, client: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
        assert self._listener is not None  # noqa: S101 - as above
        self._listener.on_lost(_ours(partitions))
        client.incremental_unassign(partitions)


class KafkaProducer:
    """See :class:`~streamkit.broker.Producer`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._client = ck.Producer(dict(config))

    def init(self, timeout_s: float) -> None:
        """See :class:`~streamkit.broker.Producer`."""
        _until(timeout_s, self._client.init_transactions, timeout_s)

    def begin(self) -> None:
        """See :class:`~streamkit.broker.Producer`."""
        _call(self._client.begin_transaction)

    def produce(self, partition: int, batch: Sequence[Outgoing]) -> None:
        """See :class:`~streamkit.broker.Producer`."""
        produce = self._client.produce
        for outgoing in batch:
            topic, key, value, timestamp_ms, headers = outgoing
            try:
                # Positionally: parsing keyword arguments costs as much again as queueing the record.
                if headers:
                    produce(topic, value, key, partition, None, None, timestamp_ms, list(headers))
                else:
                    produce(topic, value, key, partition, None, None, timestamp_ms)
            except BufferError:
                self._produce_when_room(partition, outgoing)
            except KafkaException as error:
                raise _refused(outgoing, error) from error

    def send_offsets(self, positions: Mapping[TopicPartition, int], group_metadata: Any, timeout_s: float) -> None:
        """See :class:`~streamkit.broker.Producer`."""
        _call(self._client.send_offsets_to_transaction, _at(positions), group_metadata, timeout_s)

    def commit(self, timeout_s: float) -> None:
        """See :class:`~streamkit.broker.Producer`."""
        _call(self._client.commit_transaction, timeout_s)

    def abort(self, timeout_s: float) -> None:
        """See :class:`~streamkit.broker.Producer`."""
        _call(self._client.abort_transaction, timeout_s)

    def _produce_when_room(self, partition: int, outgoing: Outgoing) -> None:
        deadline = time.monotonic() + RESOLVE_TIMEOUT_S
        while time.monotonic() < deadline:
            self._client.poll(QUEUE_FULL_WAIT_S)
            try:
                self._client.produce(
                    outgoing.topic,
                    outgoing.value,
                    outgoing.key,
                    partition,
                    timestamp=outgoing.timestamp_ms,
                    headers=list(outgoing.headers),
                )
            except BufferError:
                continue
            return
        raise Unresolved("queue_full", f"nothing written for {RESOLVE_TIMEOUT_S:.0f} s: is the broker there?")


class KafkaReader:
    """See :class:`~streamkit.broker.Reader`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._client = ck.Consumer(dict(config))

    def bounds(self, partition: TopicPartition) -> Bounds:
        """See :class:`~streamkit.broker.Reader`."""
        asked = ck.TopicPartition(*partition)
        # Not cached: the cached end is the high watermark, which open transactions keep out of reach.
        answer = _until(REQUEST_TIMEOUT_S, self._client.get_watermark_offsets, asked, timeout=REQUEST_TIMEOUT_S)
        if answer is None:
            raise Unresolved("timed_out", f"no answer on the bounds of {partition.topic}/{partition.partition}")
        return Bounds(*answer)

    def read(self, partition: TopicPartition, begin: int) -> Iterator[Record]:
        """See :class:`~streamkit.broker.Reader`."""
        self._client.assign([ck.TopicPartition(*partition, begin)])
        deadline = time.monotonic() + RESOLVE_TIMEOUT_S
        while time.monotonic() < deadline:
            message = self._client.poll(REQUEST_TIMEOUT_S)  # not consume(): that would wait for a full batch
            if message is None:
                continue
            error = message.error()
            if error is None:
                offset = message.offset()
                assert offset is not None  # noqa: S101 - a message without error has one; for the type checker
                yield Record(offset, message.key(), message.timestamp()[1], message.value())
                deadline = time.monotonic() + RESOLVE_TIMEOUT_S
            elif error.code() == _PARTITION_EOF:
                return
            else:
                _raise_consumed(error)
        raise Unresolved("timed_out", f"no end of {partition.topic}/{partition.partition} from offset {begin}")

    def close(self) -> None:
        """See :class:`~streamkit.broker.Reader`."""
        self._client.close()


def _at(positions: Mapping[TopicPartition, int]) -> list[ck.TopicPartition]:
    return [ck.TopicPartition(topic, partition, offset) for (topic, partition), offset in positions.items()]


def _plain(partitions: Sequence[TopicPartition]) -> list[ck.TopicPartition]:
    return [ck.TopicPartition(*partition) for partition in partitions]


def _ours(partitions: Sequence[ck.TopicPartition]) -> list[TopicPartition]:
    return [TopicPartition(partition.topic, partition.partition) for partition in partitions]


def _call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return function(*arguments, **options)
    except KafkaException as error:
        raise _classified(error.args[0]) from error


def _until(timeout_s: float, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call until it works, for at most ``timeout_s``; repeats what timed out or calls itself retriable."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return _call(function, *arguments, **options)
        except Unresolved:
            if time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_WAIT_S)


def _classified(error: KafkaError) -> BrokerError:
    """Return our error for the client's: the first rule that fits."""
    kind = next(kind for fits, kind in _RULES if fits(error))
    remedy = ": create the topics with python -m contracts.provision" if error.code() in _MISSING else ""
    return kind(error.name(), error.str() + remedy)


_RULES: Sequence[tuple[Callable[[KafkaError], bool], type[BrokerError]]] = (
    (lambda error: error.fatal(), Fenced),
    (lambda error: error.code() in _MISSING, Refused),
    (lambda error: error.code() == KafkaError.MSG_SIZE_TOO_LARGE, Refused),
    (lambda error: error.code() == _AUTO_OFFSET_RESET, Truncated),
    (lambda error: error.txn_requires_abort(), BrokerError),
    (lambda error: error.retriable() or error.code() in {_TIMED_OUT, *_LEADERLESS}, Unresolved),
    (lambda error: True, BrokerError),  # noqa: ARG005 - what no rule knows is final
)


def _raise_consumed(error: KafkaError) -> None:
    """Raise what the consumer cannot recover from by itself; transport errors it can."""
    found = _classified(error)
    if not (isinstance(found, Unresolved) or error.code() in _RECOVERED):
        raise found


_RECOVERED = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE}  # noqa: SLF001 - as above


def _refused(outgoing: Outgoing, error: KafkaException) -> BrokerError:
    found = _classified(error.args[0])
    size = len(outgoing.value or b"") + len(outgoing.key or b"")
    return type(found)(found.reason, f"{outgoing.topic}, key {outgoing.key!r}, {size} bytes: {found}")
