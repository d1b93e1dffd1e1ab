"""Can a reader of one Avro schema read what a writer of another wrote? The rules of Avro 1.12, "Schema Resolution".

The registry answers the same question with yes or no; this names the field, before anything is registered.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_PROMOTIONS = {
    "int": {"int", "long", "float", "double"},
    "long": {"long", "float", "double"},
    "float": {"float", "double"},
    "string": {"string", "bytes"},
    "bytes": {"bytes", "string"},
}


@dataclass(frozen=True, slots=True)
class _Side:
    """A schema with its named types, so that a reference by name can be followed."""

    schema: Any
    named: Mapping[str, Any]

    def at(self, avro: Any) -> "_Side":
        return _Side(self.named.get(avro, avro) if isinstance(avro, str) else avro, self.named)

    @property
    def kind(self) -> str:
        if isinstance(self.schema, list):
            return "union"
        return str(self.schema["type"] if isinstance(self.schema, dict) else self.schema)


def breaks(*, reader: Any, writer: Any) -> list[str]:
    """Return why ``reader`` (parsed schema JSON) cannot read what ``writer`` wrote, a clause each; empty if it can."""
    return list(_breaks(_Side(reader, _names(reader)), _Side(writer, _names(writer)), str(_name(reader))))


def _name(schema: Any) -> Any:
    """Unqualified name: resolution ignores namespaces."""
    return schema["name"].rpartition(".")[2] if isinstance(schema, dict) and "name" in schema else schema


def _names(schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    match schema:
        case list():
            for branch in schema:
                found |= _names(branch)
        case {"type": "array", "items": items}:
            found |= _names(items)
        case {"type": "enum"}:
            found[_name(schema)] = schema
        case {"type": "record", "fields": fields}:
            found[_name(schema)] = schema
            for field in fields:
                found |= _names(field["type"])
    return found


def _breaks(reader: _Side, writer: _Side, where: str) -> Iterator[str]:
    if writer.kind == "union":
        for branch in writer.schema:
            yield from _breaks(reader, writer.at(branch), where)
    elif reader.kind == "union":
        if not any(not list(_breaks(reader.at(branch), writer, where)) for branch in reader.schema):
            yield f"{where} no longer takes {writer.kind}"
    elif reader.kind not in _PROMOTIONS.get(writer.kind, {writer.kind}):
        yield f"{where} changes from {writer.kind} to {reader.kind}"
    elif reader.kind == "array":
        yield from _breaks(reader.at(reader.schema["items"]), writer.at(writer.schema["items"]), f"{where}[]")
    elif reader.kind == "enum":
        yield from _enum_breaks(reader.schema, writer.schema, where)
    elif reader.kind == "record":
        yield from _record_breaks(reader, writer, where)


def _enum_breaks(reader: Mapping[str, Any], writer: Mapping[str, Any], where: str) -> Iterator[str]:
    if _name(reader) != _name(writer):
        yield f"{where} changes from enum {_name(writer)} to {_name(reader)}"
    gone = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
    if gone and "default" not in reader:
        yield f"{where} loses the symbol {', '.join(gone)} and its enum has no default"


def _record_breaks(reader: _Side, writer: _Side, where: str) -> Iterator[str]:
    if _name(reader.schema) != _name(writer.schema):
        yield f"{where} changes from record {_name(writer.schema)} to {_name(reader.schema)}"
        return
    written = {field["name"]: field for field in writer.schema["fields"]}
    for field in reader.schema["fields"]:
        name = next((n for n in (field["name"], *field.get("aliases", ())) if n in written), None)
        if name is not None:
            yield from _breaks(reader.at(field["type"]), writer.at(written[name]["type"]), f"{where}.{field['name']}")
        elif "default" not in field:
            yield f"{where}.{field['name']} is new and has no default"


def removed_fields(*, reader: Any, writer: Any) -> list[str]:
    """Return the fields that ``writer`` has and ``reader`` lacks, as ``Record.field``, nested records included.

    Avro lets a reader skip them, but a consumer that still reads by the older schema would miss them.
    """
    kept = {
        f"{record}.{name}"
        for record, schema in _names(reader).items()
        if schema["type"] == "record"
        for field in schema["fields"]
        for name in (field["name"], *field.get("aliases", ()))
    }
    return [
        f"{record}.{field['name']}"
        for record, schema in _names(writer).items()
        if schema["type"] == "record"
        for field in schema["fields"]
        if f"{record}.{field['name']}" not in kept
    ]
