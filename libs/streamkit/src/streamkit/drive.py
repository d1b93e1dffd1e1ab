"""Runs a pipeline over records in memory, synchronously: for unit tests, file mode and oracles. No broker needed."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from contracts.wire import WIRE_HEADER_BYTES, Codecs
from streamkit.broker import Outgoing, Record
from streamkit.pipeline import Pipeline
from streamkit.task import Start, Task

FEED_RECORDS = 500


class Fed(NamedTuple):
    """One record to feed: a record of :mod:`contracts.records`, wire bytes, or None for a tombstone."""

    key: str | bytes | None
    record: Any
    timestamp_ms: int


def drive(
    pipeline: Pipeline,
    inputs: Mapping[str, Iterable[Fed]],
    codecs: Codecs,
    *,
    partition: int = 0,
    batch: int = FEED_RECORDS,
) -> dict[str, list[Outgoing]]:
    """Run one task over one partition of every input; returns what it writes, by logical topic, in order.

    Topics that have no output are absent. The outputs can be the inputs of the next pipeline (:func:`refeed`). Inputs
    are read in turns of ``batch`` records, which makes no difference to the result. What the core or the aligner
    raises comes out.
    """
    task = Task(pipeline=pipeline, partition=partition, codecs=codecs, start=Start(positions=_zeros(pipeline)))
    outputs: dict[str, list[Outgoing]] = {}
    iterators = {topic: enumerate(inputs.get(topic, ())) for topic in pipeline.reads}
    while iterators:
        for topic in list(iterators):
            fed = itertools.islice(iterators[topic], batch)
            records = [_record(codecs, topic, offset, item) for offset, item in fed]
            if records:
                task.feed(topic, records)
            else:
                del iterators[topic]
            _advance(task, outputs)
    return outputs


def refeed(outputs: Iterable[Outgoing]) -> list[Fed]:
    """Return outputs as inputs of another pipeline."""
    return [Fed(item.key, item.value, item.timestamp_ms) for item in outputs]


def decoded(codecs: Codecs, outputs: Sequence[Outgoing]) -> list[Any]:
    """Return the records in ``outputs``, None for tombstones."""
    return [None if item.value is None else codecs.decode(item.topic, item.value) for item in outputs]


def output_digest(records: Iterable[Outgoing | Record]) -> str:
    """Return the SHA-256 over (key, value without its wire header, timestamp) of one partition's records, in order.

    The header is left out because schema ids differ between registries, headers because they may.
    """
    digest = hashlib.sha256()
    for record in records:
        for part in (record.key, None if record.value is None else record.value[WIRE_HEADER_BYTES:]):
            digest.update(b"-" if part is None else len(part).to_bytes(8, "big") + part)
        digest.update(record.timestamp_ms.to_bytes(8, "big", signed=True))
    return digest.hexdigest()


def _zeros(pipeline: Pipeline) -> dict[str, int]:
    return dict.fromkeys(pipeline.reads, 0)


def _record(codecs: Codecs, topic: str, offset: int, fed: Fed) -> Record:
    key = fed.key.encode() if isinstance(fed.key, str) else fed.key
    raw = fed.record is None or isinstance(fed.record, bytes)
    return Record(offset, key, fed.timestamp_ms, fed.record if raw else codecs.encode(topic, fed.record))


def _advance(task: Task, outputs: dict[str, list[Outgoing]]) -> None:
    while task.advance(FEED_RECORDS, lambda: False):
        pass
    for item in task.take():
        outputs.setdefault(item.topic, []).append(item)
