"""Records to bytes and back, in Confluent's wire format: magic 0, schema id (4 bytes, big-endian), Avro binary.

The subject of a schema is always ``<logical topic>-value``. Nothing is ever registered from here.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, cast

import fastavro
from fastavro.schema import SchemaParseException
from fastavro.validation import ValidationError

from contracts.errors import WIRE_REASONS, NotProvisioned, RegistryUnavailable, WireError
from contracts.generated.conversions import FROM_DICT, TO_DICT
from contracts.generated.schemas import SCHEMAS
from contracts.registry import Registry
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
# What fastavro lets out when bytes do not fit the schema.
_MALFORMED = (EOFError, IndexError, KeyError, ValueError, OverflowError, MemoryError, TypeError, StopIteration)


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
                header = bytes([_MAGIC]) + schema_id.to_bytes(4, "big")
                self._codecs[name] = _Codec(name, topic.record, header, parsed[topic.record], {schema_id: None})

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
        stream = io.BytesIO()
        stream.write(codec.header)
        fields = TO_DICT[codec.record](record)
        try:
            fastavro.schemaless_writer(stream, codec.schema, fields)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise _explained(topic, codec.schema, fields, error) from error
        return stream.getvalue()

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
        stream = io.BytesIO(value)
        stream.seek(WIRE_HEADER_BYTES)
        try:
            if writer is None:
                fields = fastavro.schemaless_reader(stream, codec.schema, None)
            else:
                fields = fastavro.schemaless_reader(stream, writer, codec.schema)
        except _MALFORMED as error:
            raise WireError("malformed", f"{topic}: not Avro of its schema: {error!r}") from error
        if stream.tell() != len(value):
            raise WireError("trailing_bytes", f"{topic}: {len(value) - stream.tell()} bytes after the record")
        return FROM_DICT[codec.record](cast("Mapping[str, Any]", fields))

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
        codec.writers[schema_id] = writer = _parse_writer(codec, schema_id, text)
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


def _explained(topic: str, schema: Any, fields: Mapping[str, Any], error: Exception) -> Exception:
    """Find the field at fault, which the fast writer does not tell."""
    try:
        fastavro.validation.validate(fields, schema)
    except ValidationError as invalid:
        return ValueError(f"{topic}: {' '.join(str(invalid).split())}")
    return ValueError(f"{topic}: {error!r}")
