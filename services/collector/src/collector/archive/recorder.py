"""Raw topics from the broker into archive files, resumed where the files end.

A file is closed when the hour of its records is over, when it is large enough, and at the end. It appears under its
name only then, whole; what a crash loses is read from the topic again. Delivery: every record once, in the order of its
partition, as long as the topic still has what the archive lacks; a hole is told, never passed over in silence.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from collector.archive.container import ContainerWriter
from collector.archive.layout import HOUR_MS, file_name, next_offsets
from collector.archive.store import ArchiveError, Store
from contracts.topics import TOPICS
from contracts.wire import WIRE_HEADER_BYTES, Codecs, WireError

POLL_S = 0.5
BATCH = 5_000
TIMEOUT_S = 15.0
_CLIENT_LOG = logging.getLogger("librdkafka")

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A file that was finished."""

    name: str
    records: int
    size_bytes: int


@dataclass(slots=True)
class _Open:
    first: int
    last: int
    timestamp_ms: int
    content: BinaryIO
    writer: ContainerWriter


class FileSet:
    """The files being written, one for each partition. ``finished`` is told of each when it is in the store."""

    def __init__(self, store: Store, max_bytes: int, finished: Callable[[Recorded], None]) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._finished = finished
        self._open: dict[Place, _Open] = {}

    def append(self, place: Place, offset: int, timestamp_ms: int, encoded: bytes) -> None:
        """Add the record at ``offset`` of ``place``. Raises ArchiveError."""
        file = self._open.get(place)
        if file is not None and (
            offset != file.last + 1
            or timestamp_ms // HOUR_MS != file.timestamp_ms // HOUR_MS
            or file.writer.bytes_written >= self._max_bytes
        ):
            self._close(place)
            file = None
        if file is None:
            file = self._open[place] = _begin(place, offset, timestamp_ms)
        file.writer.append(encoded)
        file.last = offset

    def close(self) -> None:
        """Finish every file. Raises ArchiveError."""
        for place in list(self._open):
            self._close(place)

    def _close(self, place: Place) -> None:
        file = self._open.pop(place)
        with file.content as content:
            file.writer.flush()
            content.seek(0)
            name = file_name(*place, file.timestamp_ms, file.first, file.last)
            size = self._store.put(name, content)
        self._finished(Recorded(name, file.last - file.first + 1, size))


def _begin(place: Place, offset: int, timestamp_ms: int) -> _Open:
    topic, partition = place
    # The same records make the same bytes: the marker is drawn from where the file begins.
    sync = hashlib.md5(f"{topic}/{partition}/{offset}".encode(), usedforsecurity=False).digest()
    metadata = {"gammaflow.topic": topic, "gammaflow.partition": str(partition), "gammaflow.first_offset": str(offset)}
    content = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed with the file set
    writer = ContainerWriter(content, sync=sync, metadata=metadata)
    return _Open(offset, offset - 1, timestamp_ms, content, writer)


class Unwrapper:
    """Takes Confluent's header off values; one that another schema wrote is encoded anew by ours."""

    def __init__(self, codecs: Codecs) -> None:
        self._codecs = codecs
        self._ours: set[tuple[str, bytes]] = set()

    def __call__(self, topic: str, value: bytes) -> bytes:
        """Return the record's Avro bytes. Raises WireError for what is no record of ``topic``."""
        header = value[:WIRE_HEADER_BYTES]
        if (topic, header) in self._ours:
            return value[WIRE_HEADER_BYTES:]
        encoded = self._codecs.encode(topic, self._codecs.decode(topic, value))
        if encoded[:WIRE_HEADER_BYTES] == header:
            self._ours.add((topic, header))
        return encoded[WIRE_HEADER_BYTES:]


def record(
    store: Store,
    *,
    bootstrap_servers: str,
    codecs: Codecs,
    topics: Iterable[str],
    max_bytes: int,
    until_end: bool,
    stopped: Callable[[], bool],
    finished: Callable[[Recorded], None],
    warn: Callable[[str], None],
) -> int:
    """Record until ``stopped()`` or, with ``until_end``, up to the topics' present end; returns how many records.

    Raises ArchiveError for a store that fails, a record that cannot be read, and a broker that does not answer.
    """
    consumer = Consumer(_config(bootstrap_servers))
    files = FileSet(store, max_bytes, finished)
    try:
        begin, end = _span(consumer, topics, next_offsets(store.files()), warn)
        left = {place for place in begin if not until_end or begin[place] < end[place]}
        consumer.assign([TopicPartition(*place, offset) for place, offset in begin.items() if place in left])
        count = 0
        unwrap = Unwrapper(codecs)
        while left and not stopped():
            for message in consumer.consume(BATCH, timeout=POLL_S):
                place, offset = _append(files, unwrap, message)
                count += 1
                if until_end and offset + 1 >= end[place]:
                    left.discard(place)
        files.close()
    except (KafkaException, WireError) as error:
        raise ArchiveError(f"{bootstrap_servers}: {error}; check that the broker runs and has our topics") from error
    finally:
        consumer.close()
    return count


def _append(files: FileSet, unwrap: Unwrapper, message: Message) -> tuple[Place, int]:
    if (error := message.error()) is not None:
        raise KafkaException(error)
    topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
    files.append((topic, partition), offset, message.timestamp()[1], unwrap(topic, message.value() or b""))
    return (topic, partition), offset


def _span(
    consumer: Consumer, topics: Iterable[str], following: Mapping[Place, int], warn: Callable[[str], None]
) -> tuple[dict[Place, int], dict[Place, int]]:
    """Return where to begin and where each partition ends now; tells of records that are gone from the topic."""
    begin, end = {}, {}
    for place in ((topic, number) for topic in topics for number in range(TOPICS[topic].partitions)):
        low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=TIMEOUT_S, cached=False)
        wanted = following.get(place, low)
        if wanted < low:
            warn(f"{place[0]} partition {place[1]}: offsets {wanted} to {low - 1} are gone, the archive has a hole")
        if wanted > high:
            raise ArchiveError(
                f"{place[0]} partition {place[1]} ends at offset {high}, the archive at {wanted}: it is of another "
                "broker; record into another place"
            )
        begin[place], end[place] = max(wanted, low), high
    return begin, end


def _config(bootstrap_servers: str) -> dict[str, str | bool | logging.Logger]:
    return {
        "bootstrap.servers": bootstrap_servers,
        "group.id": "gammaflow-record",  # required by the client; no offset is committed, the files are the position
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "logger": _CLIENT_LOG,
    }
