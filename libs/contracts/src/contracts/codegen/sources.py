"""Reads ``schemas/*.avsc`` and ``schemas/topics/*.yaml`` into checked values.

The Avro used is a subset, so that the generated code stays simple: records, enums, arrays, ``["null", X]`` unions and
the primitives below. Anything else is refused here, with the file and the field.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PRIMITIVES = {"string": "str", "bytes": "bytes", "int": "int", "long": "int", "double": "float", "boolean": "bool"}
SERVICES = ("collector", "normalizer", "greeks", "dealer-flow", "signals", "sink", "alerts")
_TOPIC_KEYS = {
    "name",
    "record",
    "description",
    "key",
    "partition_by",
    "partitions",
    "cleanup",
    "producers",
    "consumers",
}
_RETENTION = "retention_bytes_per_partition"


class SourceError(ValueError):
    """A schema or topic file is not what the generator understands; the message names file, field and remedy."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``avro`` is its type as parsed JSON, ``default`` the Python source of its default or None."""

    name: str
    avro: Any
    doc: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """One record type, top-level or nested."""

    name: str
    doc: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Enum:
    """One enum; several schemas may define it, identically."""

    name: str
    doc: str
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """All of ``schemas/``: ``schemas`` are top-level schemas by name, ``records`` all records, nested before outer."""

    schemas: Mapping[str, Any]
    records: Sequence[Record]
    enums: Sequence[Enum]
    topics: Sequence[Mapping[str, Any]]


def load(folder: Path) -> Sources:
    """Read a ``schemas`` folder. Raises SourceError for anything outside the subset described above."""
    if not any(folder.glob("*.avsc")):
        raise SourceError(f"{folder}: no *.avsc files; run from a checkout or name it with --root")
    named: dict[str, Record | Enum] = {}
    schemas = {path.stem: _load_schema(path, named) for path in sorted(folder.glob("*.avsc"))}
    topics = [_load_topic(path, schemas) for path in sorted((folder / "topics").glob("*.yaml"))]
    unused = set(schemas) - {topic["record"] for topic in topics}
    if unused:
        raise SourceError(f"{min(unused)}.avsc: no topic carries it; name it in a schemas/topics file or delete it")
    return Sources(
        schemas=schemas,
        records=[item for item in named.values() if isinstance(item, Record)],
        enums=sorted((item for item in named.values() if isinstance(item, Enum)), key=lambda enum: enum.name),
        topics=topics,
    )


def _load_schema(path: Path, named: dict[str, Record | Enum]) -> Any:
    try:
        schema = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SourceError(f"{path.name}: not JSON: {error}") from error
    if not isinstance(schema, dict) or schema.get("type") != "record" or schema.get("name") != path.stem:
        raise SourceError(f"{path.name}: must be a record named {path.stem}, as its file is")
    _collect(schema, named, set(), path.name)
    return schema


def _collect(avro: Any, named: dict[str, Record | Enum], local: set[str], where: str) -> None:
    """Add the named types under ``avro`` to ``named``, inner first; ``local`` are the names this file has defined."""
    match avro:
        case str() if avro in PRIMITIVES or avro in local:
            return
        case ["null", inner] if inner != "null":
            _collect(inner, named, local, where)
        case {"type": "array", "items": items}:
            _collect(items, named, local, where)
        case {"type": "enum", "name": str(name), "symbols": list(symbols)}:
            _add(Enum(name, avro.get("doc", ""), tuple(symbols)), named, where)
            local.add(name)
        case {"type": "record", "name": str(name), "fields": list(fields)}:
            for field in fields:
                _collect(field.get("type"), named, local, f"{where} {name}.{field.get('name')}")
            _add(Record(name, avro.get("doc", ""), tuple(_field(f, f"{where} {name}") for f in fields)), named, where)
            local.add(name)
        case _:
            raise SourceError(
                f"{where}: type {json.dumps(avro)} is outside the subset; use a record, enum, array, "
                f'["null", X] or one of {", ".join(PRIMITIVES)}'
            )


def _add(item: Record | Enum, named: dict[str, Record | Enum], where: str) -> None:
    known = named.setdefault(item.name, item)
    if not item.doc:
        raise SourceError(f"{where}: {item.name} has no doc; say what it is")
    if known != item:
        raise SourceError(
            f"{where}: {item.name} is defined differently in another schema; rename one or make them equal"
        )


def _field(field: Mapping[str, Any], where: str) -> Field:
    name, avro = field["name"], field["type"]
    if not field.get("doc"):
        raise SourceError(f"{where}.{name}: no doc; give its meaning and unit")
    match avro:
        case ["null", _] if "default" in field and field["default"] is None:
            default: str | None = "None"
        case {"type": "array"} if field.get("default", ()) in ([], ()):
            default = "()"
        case _ if "default" in field:
            if avro == "bytes" or not isinstance(field["default"], str | int | float | bool):
                raise SourceError(f"{where}.{name}: default {field['default']!r} is outside the subset; use null or []")
            default = repr(field["default"])
        case ["null", _]:
            raise SourceError(f'{where}.{name}: a nullable field needs "default": null')
        case _:
            default = None
    return Field(name, avro, field["doc"], default)


def _load_topic(path: Path, schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    topic = yaml.safe_load(path.read_text("utf-8"))
    for problem in _topic_problems(topic, path.stem, schemas):
        raise SourceError(f"topics/{path.name}: {problem}")
    return {**topic, "retention_bytes": topic.get(_RETENTION)}


def _topic_problems(topic: Any, stem: str, schemas: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(topic, dict):
        yield "not a mapping; see schemas/README.md"
        return
    wrong_keys = _TOPIC_KEYS ^ (set(topic) - {_RETENTION})
    yield from (f"{key} is missing or not a known key; see schemas/README.md" for key in sorted(wrong_keys))
    services = [*topic["producers"], *topic["consumers"]]
    sized = isinstance(topic.get(_RETENTION), int)
    rules = (
        (
            "name",
            topic["name"] == stem and "_" not in stem,
            "the file's name, without underscore (a dot's twin in Kafka)",
        ),
        (
            "record",
            topic["record"] is None or topic["record"] in schemas,
            "the name of an .avsc, or null for opaque bytes",
        ),
        ("partition_by", topic["partition_by"] in ("underlying", "task"), "underlying or task"),
        ("partitions", isinstance(topic["partitions"], int) and topic["partitions"] > 0, "an integer of at least 1"),
        ("cleanup", topic["cleanup"] in ("delete", "compact"), "delete or compact"),
        (_RETENTION, sized == (topic["cleanup"] == "delete"), "an integer with cleanup: delete, absent with compact"),
        ("producers", bool(topic["producers"]), "at least one service"),
        *(("producers and consumers", service in SERVICES, f"of {', '.join(SERVICES)}") for service in services),
    )
    yield from (f"{key} {topic.get(key)!r} must be {rule}" for key, holds, rule in rules if not holds)
