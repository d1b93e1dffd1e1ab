"""Writing log entries to Kafka: idempotent, acknowledged by all, bounded, and never dropping anything."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin import OffsetSpec as _OffsetSpec  # type: ignore[attr-defined]  # public, not in its stubs' __all__

from collector.raw_log import Entry
from contracts.topics import MAX_RECORD_BYTES
from contracts.wire import Codecs

QUEUED_RECORDS = 100_000
QUEUED_KILOBYTES = 128 * 1024
CLOCK_TOLERANCE_US = 60_000_000
_POLL_EVERY = 1000
_EMPTY = -1
_RETRY_S = 0.2
_PASSING = frozenset({"LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})
_CLIENT_LOG = logging.getLogger("librdkafka")
_NO_TOPIC = "run the provisioning job (./run up)"
_NO_BROKER = "check GAMMAFLOW_BOOTSTRAP_SERVERS and that the broker runs"
_REMEDIES = {
    "UNKNOWN_TOPIC_OR_PART": _NO_TOPIC,
    "_UNKNOWN_TOPIC": _NO_TOPIC,
    "MSG_SIZE_TOO_LARGE": "run the provisioning job, which sets the topic's max.message.bytes",
    "_TIMED_OUT": _NO_BROKER,
    "_TRANSPORT": _NO_BROKER,
}


class PublishError(Exception):
    """The log refused a record for good or cannot be reached: the process must stop, or it would lose data."""


class LogAhead(Exception):
    """The raw topics already hold later records than would be written: their time would run backwards."""


class RawWriter(Protocol):
    """Appends entries in the order they are offered."""

    def offer(self, entry: Entry) -> bool:
        """Take ``entry`` and return True, or return False if the queue is full: poll, then offer it again.

        Raises PublishError if any entry taken before has failed.
        """
        ...

    def poll(self, timeout_s: float) -> None:
        """Let acknowledgements in, waiting at most ``timeout_s``."""
        ...

    def flush(self, timeout_s: float) -> None:
        """Return when every entry taken is acknowledged; PublishError if that takes longer than ``timeout_s``."""
        ...


class KafkaRawWriter:
    """A RawWriter over one idempotent producer; records wait for a broker that is away as long as it takes."""

    def __init__(self, bootstrap_servers: str, codecs: Codecs) -> None:
        self._codecs = codecs
        self._failure: str | None = None
        self._until_poll = _POLL_EVERY
        self._producer = Producer(_producer_config(bootstrap_servers))

    def offer(self, entry: Entry) -> bool:
        """See :class:`RawWriter`."""
        self._until_poll -= 1
        if self._until_poll <= 0:
            self.poll(0)
        self._check()
        record = entry.record
        try:
            self._producer.produce(
                entry.topic,
                self._codecs.encode(entry.topic, record),
                (record.instrument or "").encode(),
                entry.partition,
                timestamp=record.received_ts // 1000,
                on_delivery=self._delivered,
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise PublishError(_explain(entry.topic, error.args[0])) from error
        return True

    def poll(self, timeout_s: float) -> None:
        """See :class:`RawWriter`."""
        self._until_poll = _POLL_EVERY
        self._producer.poll(timeout_s)
        self._check()

    def flush(self, timeout_s: float) -> None:
        """See :class:`RawWriter`."""
        waiting = self._producer.flush(timeout_s)
        self._check()
        if waiting:
            raise PublishError(
                f"{waiting} records not acknowledged within {timeout_s:g} s: the broker is away; start it and look at "
                "the connect record after the hole"
            )

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = _explain(str(message.topic()), error)

    def _check(self) -> None:
        if self._failure is not None:
            raise PublishError(self._failure)


def last_received(
    bootstrap_servers: str, topics: Mapping[str, int], *, timeout_s: float = 10.0
) -> dict[tuple[str, int], int]:
    """Return the last receive time (µs, rounded up to a millisecond's end) in each partition that has records.

    ``topics`` gives the number of partitions of each topic to look into. Raises PublishError if the broker cannot be
    asked or a topic does not exist.
    """
    config: dict[str, Any] = {"bootstrap.servers": bootstrap_servers, "logger": _CLIENT_LOG}
    admin = AdminClient(config)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return _ask_last(admin, topics, timeout_s)
        except TimeoutError as error:
            raise PublishError(f"{bootstrap_servers} does not answer within {timeout_s:g} s; {_NO_BROKER}") from error
        except KafkaException as error:
            # A topic just made has no leader for a moment.
            if time.monotonic() > deadline or (not error.args[0].retriable() and error.args[0].name() not in _PASSING):
                raise PublishError(_explain(bootstrap_servers, error.args[0])) from error
            time.sleep(_RETRY_S)


def _ask_last(admin: AdminClient, topics: Mapping[str, int], timeout_s: float) -> dict[tuple[str, int], int]:
    existing = admin.list_topics(timeout=timeout_s).topics
    if missing := sorted(topics.keys() - existing.keys()):
        raise PublishError(f"topics {', '.join(missing)} do not exist; {_NO_TOPIC}")
    places = [TopicPartition(topic, partition) for topic, count in topics.items() for partition in range(count)]
    latest_record = _OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]  # the client's stubs lack it
    answers = admin.list_offsets(dict.fromkeys(places, latest_record), request_timeout=timeout_s)
    # Without a broker the client itself never gives up: its request_timeout starts with a connection.
    latest = {place: answer.result(timeout=timeout_s) for place, answer in answers.items()}
    return {
        (place.topic, place.partition): found.timestamp * 1000 + 999
        for place, found in latest.items()
        if found.timestamp != _EMPTY
    }


def require_clock_ahead(now: int, floors: Mapping[tuple[str, int], int]) -> None:
    """Raise LogAhead if a raw partition already holds records over a minute after ``now`` (µs): one clock is wrong."""
    for (topic, partition), floor in floors.items():
        if floor - now > CLOCK_TOLERANCE_US:
            raise LogAhead(
                f"{topic} partition {partition} holds records {(floor - now) / 1e6:.0f} s in the future: set this "
                "machine's clock, or write to empty topics if they came from elsewhere"
            )


def _producer_config(bootstrap_servers: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap_servers,
        "client.id": "gammaflow-collector",
        "logger": _CLIENT_LOG,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": 5,
        "batch.size": 1_000_000,
        "message.max.bytes": MAX_RECORD_BYTES,
        "queue.buffering.max.messages": QUEUED_RECORDS,
        "queue.buffering.max.kbytes": QUEUED_KILOBYTES,
        "delivery.timeout.ms": 0,  # never give a record up: a full queue stops the reading instead
        "delivery.report.only.error": True,
        "topic.metadata.propagation.max.ms": 5_000,  # topics are made by the job before: a missing one is an error
    }


def _explain(topic: str, error: KafkaError) -> str:
    return f"{topic}: {error.str()}; {_REMEDIES.get(error.name(), 'restart the collector')}"
