"""Reads a partition's recent past again, to restore what was known when its offset was committed."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from streamkit.broker import Record, Unresolved

TIMEOUT_S: Final = 10.0
STALL_S: Final = 60.0
_FIRST_STEP: Final = 16
_STEP_FACTOR: Final = 8


def read_back(bootstrap_servers: str, group: str, topic: str, partition: int, *, seconds: int) -> Iterator[Record]:
    """Yield the committed records of the last ``seconds`` of record time before the group's offset, in order.

    Record time ends with the last record before that offset, so a hole after it does not shorten what is read. Yields
    nothing for a group that has committed nothing. Joins no group, commits nothing. Raises Unresolved when the broker
    does not answer.
    """
    client = ck.Consumer({**_CONFIG, "bootstrap.servers": bootstrap_servers, "group.id": group})
    try:
        place = ck.TopicPartition(topic, partition)
        committed = client.committed([place], timeout=TIMEOUT_S)[0].offset
        low, _ = client.get_watermark_offsets(place, timeout=TIMEOUT_S, cached=False)
        last = _last_before(client, place, low, committed) if committed > low else None
        if last is not None:
            begin_ms = max(last.timestamp_ms - seconds * 1000, 0)
            asked = ck.TopicPartition(topic, partition, begin_ms)
            begin = client.offsets_for_times([asked], timeout=TIMEOUT_S)[0].offset
            yield from _records(client, place, max(begin, low), committed)
    except KafkaException as error:
        raise Unresolved(error.args[0].name(), f"reading back {topic}/{partition}: {error.args[0].str()}") from error
    finally:
        client.close()


_CONFIG: Final = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 10,
}


def _last_before(client: ck.Consumer, place: ck.TopicPartition, low: int, end: int) -> Record | None:
    """Return the last record before ``end``; transactions' markers and aborted records are none, so it may be far."""
    step = _FIRST_STEP
    while True:
        start = max(low, end - step)
        found = deque(_records(client, place, start, end), maxlen=1)
        if found or start == low:
            return found[0] if found else None
        step *= _STEP_FACTOR


def _records(client: ck.Consumer, place: ck.TopicPartition, begin: int, end: int) -> Iterator[Record]:
    """Yield the records with begin ≤ offset < end."""
    client.assign([ck.TopicPartition(place.topic, place.partition, begin)])
    deadline = time.monotonic() + STALL_S
    while time.monotonic() < deadline:
        message: Any = client.poll(1.0)
        if message is None:
            continue
        error = message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public name
            return
        if error is not None:
            raise Unresolved(error.name(), f"reading back {place.topic}/{place.partition}: {error.str()}")
        if message.offset() >= end:
            return
        deadline = time.monotonic() + STALL_S
        yield Record(message.offset(), message.key(), message.timestamp()[1], message.value())
    raise Unresolved("timed_out", f"no end of {place.topic}/{place.partition} from offset {begin}")
