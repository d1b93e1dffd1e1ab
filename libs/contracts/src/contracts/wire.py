"""Records to bytes and back, in Confluent's wire format: magic 0, schema id (4 bytes, big-endian), Avro binary.

The subject of a schema is always ``<logical topic>-value``. Nothing is ever registered from here.
"""

import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, cast

import fastavro
from fastavro.schema import SchemaParseException
from fastavro.validation import ValidationError

from contracts.errors import WIRE_REASONS, NotProvisioned, RegistryUnavailable, WireError
from contracts.generated.binary import DECODE, ENCODE
from contracts.generated.conversions import FROM_DICT, TO_DICT
from contracts.generated.schemas import SCHEMAS
from contracts.registry import Registry, same_schema
from contracts.topics import TOPICS, logical

__all__ = [
    "WIRE_HEADER_BYTES",
    "WIRE_REASONS",
    "Codecs",
    "NotProvisioned",
    "RegistryUnavailable",
    "SchemaSource",
    "WireError",
]

WIRE_HEADER_BYTES = 5
_MAGIC = 0
# What the decoders let out when bytes do not fit the schema: MalformedError and UnicodeDecodeError are ValueErrors.
_MALFORMED = (ValueError, IndexError, struct.error)
# The same of fastavro, which reads what other versions wrote.
_MALFORMED_ELSEWHERE = (*_MALFORMED, EOFError, KeyError, TypeError, OverflowError, MemoryError, StopIteration)
_UNENCODABLE = (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError, struct.error)


class SchemaSource(Protocol):
    """Where ids come from: the registry, or the embedded schemas alone."""

    def id_of(self, subject: str, schema: str) -> int:
        """Return the id ``schema`` has under ``subject``; raises NotProvisioned if it has none."""
        ...

    def schema_of(self, schema_id: int) -> str | None:
        """Return the schema text of an id, None if there is no such id."""
        ...


class _Embedded:
    """Ids 1, 2, … in the order of record names: for tests and file mode, where reader and writer are this build."""

    def __init__(self) -> None:
        self._by_id = dict(enumerate(SCHEMAS.values(), start=1))
        self._ids = {text: number for number, text in self._by_id.items()}

    def id_of(self, subject: str, schema: str) -> int:  # noqa: ARG002 - the protocol's signature
        return self._ids[schema]

    def schema_of(self, schema_id: int) -> str | None:
        return self._by_id.get(schema_id)


@dataclass(slots=True)
class _Codec:
    """What one topic needs: ``writers`` maps a schema id to its parsed writer schema (None: the reader's own)."""

    topic: str
    record: type[Any]
    header: bytes
    schema: Any
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int], tuple[Any, int]]
    writers: dict[int, Any] = field(default_factory=dict)


class Codecs:
    """Encoder and decoder of every topic that carries records. Ids are fetched when it is made, not on the hot path.

    Build it with :meth:`connect` or :meth:`offline`. Topic names may carry the prefix of a replay run.
    """

    def __init__(self, source: SchemaSource) -> None:
        self._source = source
        parsed = {record: fastavro.parse_schema(json.loads(text)) for record, text in SCHEMAS.items()}
        self._codecs: dict[str, _Codec] = {}
        for name, topic in TOPICS.items():
            if topic.record is not None:
                schema_id = source.id_of(topic.subject, SCHEMAS[topic.record])
                self._codecs[name] = _Codec(
                    topic=name,
                    record=topic.record,
                    header=bytes([_MAGIC]) + schema_id.to_bytes(4, "big"),
                    schema=parsed[topic.record],
                    encode=ENCODE[topic.record],
                    decode=DECODE[topic.record],
                    writers={schema_id: None},
                )

    @classmethod
    def connect(cls, registry_url: str) -> Self:
        """Preload the ids of all subjects. Raises RegistryUnavailable (retry) or NotProvisioned (run the job)."""
        return cls(Registry(registry_url))

    @classmethod
    def offline(cls) -> Self:
        """Use deterministic ids of the embedded schemas, without a registry."""
        return cls(_Embedded())

    def encode(self, topic: str, record: Any) -> bytes:
        """Return the wire bytes of ``record``. Raises TypeError or ValueError naming topic and field: our own bug."""
        codec = self._codecs.get(topic) or self._codec(topic)
        if type(record) is not codec.record:
            raise TypeError(f"{topic} carries {codec.record.__name__}, not {type(record).__name__}")
        try:
            return codec.header + codec.encode(record)
        except _UNENCODABLE as error:
            raise _explained(topic, codec.schema, record, error) from error

    def decode(self, topic: str, value: bytes) -> Any:
        """Return the record in ``value``, resolved to this build's schema if another version wrote it.

        Raises WireError if the value is not a record of ``topic``, RegistryUnavailable if its schema id is new here and
        the registry cannot be asked, KeyError for a topic that carries no records.
        """
        codec = self._codecs.get(topic) or self._codec(topic)
        if len(value) < WIRE_HEADER_BYTES:
            raise WireError("truncated", f"{topic}: {len(value)} bytes, less than the header's {WIRE_HEADER_BYTES}")
        if value[0] != _MAGIC:
            raise WireError("bad_magic", f"{topic}: first byte is {value[0]}, not 0; write with this project's codecs")
        writer = self._writer(codec, int.from_bytes(value[1:WIRE_HEADER_BYTES], "big"))
        if writer is not None:
            return _resolved(codec, writer, value)
        try:
            record, end = codec.decode(value, WIRE_HEADER_BYTES)
        except _MALFORMED as error:
            raise WireError("malformed", f"{topic}: not Avro of its schema: {error}") from error
        _check_end(topic, value, end)
        return record

    def _codec(self, topic: str) -> _Codec:
        codec = self._codecs.get(logical(topic))
        if codec is None:
            raise KeyError(f"{topic}: no such topic of records; topics are listed in docs/reference/topics.md")
        self._codecs[topic] = codec
        return codec

    def _writer(self, codec: _Codec, schema_id: int) -> Any:
        try:
            return codec.writers[schema_id]
        except KeyError:
            pass
        text = self._source.schema_of(schema_id)
        if text is None:
            raise WireError("unknown_schema", f"{codec.topic}: schema id {schema_id} is not in the registry")
        # The same schema under another id (a restored registry) needs no resolution.
        writer = None if same_schema(text, SCHEMAS[codec.record]) else _parse_writer(codec, schema_id, text)
        codec.writers[schema_id] = writer
        return writer


def _parse_writer(codec: _Codec, schema_id: int, text: str) -> Any:
    """Parse another version's schema; raises WireError if it is of another record."""
    try:
        writer = fastavro.parse_schema(json.loads(text))
    except (ValueError, SchemaParseException) as error:
        raise WireError("wrong_schema", f"{codec.topic}: schema id {schema_id} is no Avro schema: {error}") from error
    if not isinstance(writer, dict) or writer.get("name") != codec.schema["name"]:
        raise WireError(
            "wrong_schema", f"{codec.topic} carries {codec.schema['name']}; schema id {schema_id} is another's"
        )
    return writer


def _resolved(codec: _Codec, writer: Any, value: bytes) -> Any:
    """Decode what another version wrote, by Avro's rules of schema resolution."""
    stream = io.BytesIO(value)
    stream.seek(WIRE_HEADER_BYTES)
    try:
        fields = fastavro.schemaless_reader(stream, writer, codec.schema)
    except _MALFORMED_ELSEWHERE as error:
        raise WireError("malformed", f"{codec.topic}: not Avro of the schema it names: {error!r}") from error
    _check_end(codec.topic, value, stream.tell())
    return FROM_DICT[codec.record](cast("Mapping[str, Any]", fields))


def _check_end(topic: str, value: bytes, end: int) -> None:
    if end < len(value):
        raise WireError("trailing_bytes", f"{topic}: {len(value) - end} bytes after the record")
    if end > len(value):
        raise WireError("malformed", f"{topic}: the record ends {end - len(value)} bytes before its last field does")


def _explained(topic: str, schema: Any, record: Any, error: Exception) -> Exception:
    """Find the field at fault, which the fast encoder does not tell."""
    try:
        fastavro.validation.validate(TO_DICT[type(record)](record), schema)
    except ValidationError as invalid:
        return ValueError(f"{topic}: {' '.join(str(invalid).split())}")
    except (TypeError, AttributeError):
        pass  # A nested value is not even a record: the encoder's own error says so.
    return ValueError(f"{topic}: {error!r}")
