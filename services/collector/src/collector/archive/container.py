"""Avro object container files (Avro 1.12, "Object Container Files") of raw records, blocks compressed with Zstandard.

Why this and not JSON lines: payloads are bytes, which JSON would have to escape or encode; a record is stored as the
very bytes it has on the topic; each file carries its schema, so that any Avro reader opens it, this one after a change,
too.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import fastavro
import zstandard
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from contracts.avro import blob, long, read_long, string
from contracts.generated.binary import DECODE
from contracts.generated.conversions import FROM_DICT
from contracts.generated.schemas import SCHEMAS
from contracts.records import RawMessage
from contracts.registry import same_schema

MAGIC = b"Obj\x01"
CODEC = "zstandard"
SYNC_BYTES = 16
BLOCK_BYTES = 1024 * 1024
LARGEST_BLOCK_BYTES = 64 * 1024 * 1024
SCHEMA = SCHEMAS[RawMessage]
_LONGEST_LONG = 10
# What damaged bytes make of reading: ours, and fastavro's where the schema is not ours or no longer whole.
_DAMAGED = (
    ValueError,
    LookupError,
    EOFError,
    OverflowError,
    TypeError,
    AttributeError,
    MemoryError,
    zstandard.ZstdError,
    SchemaParseException,
    SchemaResolutionError,
)


class NotAContainer(Exception):
    """The bytes are no container file of raw records, or are cut short; says what is wrong."""


class ContainerWriter:
    """Writes encoded records (Avro binary, without any header) to ``out``; ``sync`` is 16 bytes unlike any data."""

    def __init__(self, out: BinaryIO, *, sync: bytes, metadata: Mapping[str, str]) -> None:
        self._out = out
        self._sync = sync
        self._compressor = zstandard.ZstdCompressor()
        self._block: list[bytes] = []
        self._block_bytes = 0
        self.bytes_written = out.write(_header(sync, metadata))

    def append(self, encoded: bytes) -> None:
        """Add a record; a block is written for each MiB."""
        self._block.append(encoded)
        self._block_bytes += len(encoded)
        if self._block_bytes >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the block begun, if there is one."""
        if self._block:
            packed = self._compressor.compress(b"".join(self._block))
            self.bytes_written += self._out.write(long(len(self._block)) + blob(packed) + self._sync)
            self._block, self._block_bytes = [], 0


def _header(sync: bytes, metadata: Mapping[str, str]) -> bytes:
    entries = {"avro.schema": SCHEMA, "avro.codec": CODEC, **metadata}
    packed = b"".join(string(name) + blob(value.encode()) for name, value in entries.items())
    return MAGIC + long(len(entries)) + packed + long(0) + sync


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says of itself: the schema it was written by, its metadata, its sync marker."""

    schema: str
    metadata: Mapping[str, str]
    sync: bytes


def read_container(file: BinaryIO) -> Iterator[RawMessage]:
    """Yield the records of a container file in their order, one block in memory at a time. Raises NotAContainer."""
    try:
        head = read_head(file)
        decode = _decoder(head.schema)
        for count, block in _blocks(file, head.sync):
            yield from decode(count, block)
    except _DAMAGED as error:
        raise NotAContainer(f"{type(error).__name__}: {error}"[:300]) from error


def read_head(file: BinaryIO) -> Head:
    """Read what stands before the blocks. Raises ValueError, EOFError."""
    if _take(file, len(MAGIC)) != MAGIC:
        raise ValueError("does not begin as an Avro container does")
    metadata: dict[str, str] = {}
    while count := _take_long(file):
        if count < 0:  # the count of a block may be negative, then its size in bytes follows
            count, _ = -count, _take_long(file)
        for _ in range(count):
            name = _take(file, _take_long(file)).decode()
            metadata[name] = _take(file, _take_long(file)).decode()
    if metadata.get("avro.codec") != CODEC:
        raise ValueError(f"codec {metadata.get('avro.codec')!r} is not {CODEC!r}")
    return Head(metadata["avro.schema"], metadata, _take(file, SYNC_BYTES))


def _blocks(file: BinaryIO, sync: bytes) -> Iterator[tuple[int, bytes]]:
    unpack = zstandard.ZstdDecompressor()
    while begins := file.read(1):
        count = _take_long(file, begins)
        packed = _take(file, _take_long(file))
        if _take(file, SYNC_BYTES) != sync:
            raise ValueError("a block does not end with the sync marker")
        yield count, unpack.decompress(packed, max_output_size=LARGEST_BLOCK_BYTES)


def _decoder(schema: str) -> Any:
    """Return how blocks written by ``schema`` are read: directly if it is ours, else by Avro's schema resolution."""
    if same_schema(schema, SCHEMA):
        return _decode_ours
    writer, reader = fastavro.parse_schema(json.loads(schema)), fastavro.parse_schema(json.loads(SCHEMA))

    def resolve(count: int, block: bytes) -> Iterator[RawMessage]:
        stream = io.BytesIO(block)
        for _ in range(count):
            fields: Any = fastavro.schemaless_reader(stream, writer, reader)
            yield FROM_DICT[RawMessage](fields)

    return resolve


def _decode_ours(count: int, block: bytes) -> Iterator[RawMessage]:
    decode, at = DECODE[RawMessage], 0
    for _ in range(count):
        record, at = decode(block, at)
        yield record
    if at != len(block):
        raise ValueError(f"{len(block) - at} bytes after a block's last record")


def _take(file: BinaryIO, count: int) -> bytes:
    if not 0 <= count <= LARGEST_BLOCK_BYTES:
        raise ValueError(f"a length of {count} bytes")
    taken = file.read(count)
    if len(taken) < count:
        raise EOFError("is cut short")
    return taken


def _take_long(file: BinaryIO, begun: bytes = b"") -> int:
    while len(begun) < _LONGEST_LONG and (not begun or begun[-1] & 0x80):
        begun += _take(file, 1)
    return read_long(begun, 0)[0]
