"""Checkpoints: a task's whole state as records of a compacted topic, written in the transaction of its outputs.

Layout of a chunk: key ``<index>`` (four digits), value = header (big-endian, see ``_HEADER``) + a slice of at most
900 kB of the compressed snapshot. The snapshot is one line of JSON (positions, totals, sequence) and the core's bytes.
Chunks of older snapshots may lie between, before or behind those of the newest, whatever compaction has done so far:
id, index, count and CRC decide, nothing else.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import zstandard

from streamkit.barrier import Total
from streamkit.broker import Outgoing, Reader, Record, TopicPartition

CHUNK_BYTES_MAX = 900_000  # a default broker takes messages of 1 MB
STATE_BYTES_MAX = 1 << 30  # refuses a corrupt length before it is allocated
TAIL_RECORDS = 64
TAIL_GROWTH = 8
_MAGIC = b"gfck"
_FORMAT = 1
_HEADER = struct.Struct(">4sBQIII")  # magic, format, snapshot id, chunk index, chunk count, CRC-32 of all chunks


class CheckpointUnusable(Exception):
    """A snapshot was found whole, but it is not one that this service and version can start from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """State of one task between two units.

    ``sequence`` counts the snapshots of the task from 1; ``positions`` are the next offsets by logical topic;
    ``floor_second`` is the first whole second of logs that were truncated when the task first started, else None.
    """

    sequence: int
    positions: Mapping[str, int]
    floor_second: int | None = None
    totals: tuple[Total, ...]
    core: bytes


def encode(snapshot: Snapshot) -> list[bytes]:
    """Return the chunks of ``snapshot``, in order."""
    head = {
        "sequence": snapshot.sequence,
        "positions": dict(snapshot.positions),
        "floor_second": snapshot.floor_second,
        "totals": snapshot.totals,
    }
    payload = zstandard.compress(json.dumps(head, sort_keys=True).encode() + b"\n" + snapshot.core)
    crc = zlib.crc32(payload)
    pieces = [payload[i : i + CHUNK_BYTES_MAX] for i in range(0, len(payload), CHUNK_BYTES_MAX)]
    return [
        _HEADER.pack(_MAGIC, _FORMAT, snapshot.sequence, index, len(pieces), crc) + piece
        for index, piece in enumerate(pieces)
    ]


def outgoing(topic: str, snapshot: Snapshot, timestamp_ms: int) -> list[Outgoing]:
    """Return the records that store ``snapshot``; the key makes compaction keep the newest of each index."""
    return [
        Outgoing(topic, f"{index:04d}".encode(), chunk, timestamp_ms) for index, chunk in enumerate(encode(snapshot))
    ]


def newest(reader: Reader, partition: TopicPartition) -> Snapshot | None:
    """Return the newest complete snapshot of ``partition``, None if it holds none.

    Reads the last 64 offsets, then eight times as many, and so on: the cost does not depend on how far compaction is.
    Raises CheckpointUnusable for a snapshot in another format.
    """
    bounds = reader.bounds(partition)
    span = TAIL_RECORDS
    while True:
        begin = max(bounds.begin, bounds.end - span)
        found = newest_complete(reader.read(partition, begin))
        if found is not None or begin <= bounds.begin:
            return found
        span *= TAIL_GROWTH


def newest_complete(records: Iterable[Record]) -> Snapshot | None:
    """Return the last snapshot of which every chunk is there and the CRC holds, None if there is none."""
    chunks: dict[tuple[int, int, int], dict[int, tuple[int, bytes]]] = {}
    for record, identity, index, piece in _parsed(records):
        chunks.setdefault(identity, {})[index] = (record.offset, piece)
    complete = [
        (max(offset for offset, _ in pieces.values()), identity, pieces)
        for identity, pieces in chunks.items()
        if len(pieces) == identity[1]
    ]
    for _, (_, count, crc), pieces in sorted(complete, key=lambda found: found[0], reverse=True):
        payload = b"".join(pieces[index][1] for index in range(count))
        if zlib.crc32(payload) == crc:
            return _decode(payload)
    return None


def _parsed(records: Iterable[Record]) -> Iterator[tuple[Record, tuple[int, int, int], int, bytes]]:
    for record in records:
        if record.value is None or len(record.value) < _HEADER.size:
            continue
        magic, form, sequence, index, count, crc = _HEADER.unpack_from(record.value)
        if magic != _MAGIC or index >= count:
            continue
        if form != _FORMAT:
            raise CheckpointUnusable(
                f"checkpoint at offset {record.offset} has format {form}, this version reads {_FORMAT}: "
                "run the version that wrote it, or replay under a new run id"
            )
        yield record, (sequence, count, crc), index, record.value[_HEADER.size :]


def _decode(payload: bytes) -> Snapshot:
    if zstandard.frame_content_size(payload) > STATE_BYTES_MAX:
        raise CheckpointUnusable(f"checkpoint claims more than {STATE_BYTES_MAX} bytes: replay under a new run id")
    head, _, core = zstandard.decompress(payload).partition(b"\n")
    fields = json.loads(head)
    totals = tuple(Total(*total) for total in fields.pop("totals"))
    return Snapshot(**fields, totals=totals, core=core)
