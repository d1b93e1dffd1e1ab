"""Reads ``schemas/examples``: one JSON document per record, with packed and binary fields in a form one can read.

A ``bytes`` field is written as an object with one key: ``f8``, ``i8`` or ``u1`` (a list of float64, int64 or uint8,
packed little-endian; null in ``f8`` is NaN), ``text`` (UTF-8) or ``base64``. Fields with a default may be left out.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fastavro

from contracts.generated.schemas import SCHEMAS
from contracts.records import from_dict
from contracts.topics import TOPICS

_PACKED = {"f8": "d", "i8": "q", "u1": "B"}


class ExampleError(ValueError):
    """An example is not a record of its topic; the message names file and field."""


def load_examples(folder: Path, topic: str) -> Iterator[tuple[Path, Any]]:
    """Yield (file, record) of every example of ``topic`` under ``folder`` (``schemas/examples``), by file name."""
    record_type = TOPICS[topic].record
    if record_type is None:
        return
    schema = json.loads(SCHEMAS[record_type])
    for path in sorted((folder / topic).glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        fields = _filled(document, schema, path.name)
        try:
            fastavro.validation.validate(fields, fastavro.parse_schema(schema), strict=True)
        except fastavro.validation.ValidationError as error:
            raise ExampleError(f"{topic}/{path.name}: {' '.join(str(error).split())}") from error
        yield path, from_dict(record_type, fields)


def _filled(document: Any, schema: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Add the defaults and turn written forms into values."""
    if not isinstance(document, dict):
        raise ExampleError(f"{where}: {document!r} must be an object with the fields of {schema['name']}")
    known = {field["name"]: field for field in schema["fields"]}
    for name in document:
        if name not in known:
            raise ExampleError(f"{where}.{name}: {schema['name']} has no such field")
    missing = [name for name, field in known.items() if name not in document and "default" not in field]
    if missing:
        raise ExampleError(f"{where}.{missing[0]}: missing, and it has no default")
    return {
        name: _value(document[name], field["type"], f"{where}.{name}") if name in document else field["default"]
        for name, field in known.items()
    }


def _value(value: Any, avro: Any, where: str) -> Any:
    match avro:
        case ["null", inner]:
            return None if value is None else _value(value, inner, where)
        case {"type": "record"}:
            return _filled(value, avro, where)
        case {"type": "array", "items": items}:
            return [_value(item, items, f"{where}[{i}]") for i, item in enumerate(value)]
        case "bytes":
            return _bytes(value, where)
        case _:
            return value


def _bytes(value: Any, where: str) -> bytes:
    match value:
        case {"text": str(text), **rest} if not rest:
            return text.encode()
        case {"base64": str(text), **rest} if not rest:
            return base64.b64decode(text, validate=True)
        case dict() if len(value) == 1 and (code := _PACKED.get(next(iter(value)))):
            (items,) = value.values()
            return struct.pack(f"<{len(items)}{code}", *(float("nan") if item is None else item for item in items))
    raise ExampleError(f"{where}: write bytes as an object with one key of f8, i8, u1, text, base64")
