"""From an Avro field to the ClickHouse columns it fills: type of the column, type on the wire, codec, comment.

What a column is called and means is the Avro field's; only the shapes differ. Times in microseconds (``*_ts``) become
``DateTime64(6, 'UTC')``, grid seconds (``second``, ``*_second``) ``DateTime('UTC')``; an array of records becomes one
array per field of the record; a packed column one value per row, null where it holds NaN.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

NUMBERS = {"int": "Int32", "long": "Int64", "double": "Float64", "boolean": "Bool"}
TIMESTAMP = "DateTime64(6, 'UTC')"
SECOND = "DateTime('UTC')"
# Strings with few values beside those that are enums. A name missing here costs space, not correctness.
FEW_VALUES = frozenset(
    {
        "channel",
        "conn_id",
        "forward_source",
        "greeks_model",
        "instrument",
        "metric",
        "model",
        "profile_dynamics",
        "quality",
        "quote_currency",
        "reason",
        "reasons",
        "rule",
        "service",
        "settlement_currency",
        "sign_model",
        "signal",
        "source_topic",
        "spot_source",
        "state",
        "threshold_source",
        "topic",
        "underlying",
        "underlying_index",
        "venue",
    }
)
PACKED = {"float64": ("Float64", "<f8"), "int64": ("Int64", "<i8"), "uint8": ("UInt8", "u1")}
_PACKED = re.compile(r"packed (\w+) little-endian")

Role = Literal["value", "nested", "packed", "per_row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    ``field`` is the Avro field it is filled from, ``inner`` the field of the record within (role nested). ``wire`` is
    the type in the Native block: the server casts String to LowCardinality. ``dtype`` is the packed element's.
    """

    name: str
    type: str
    wire: str
    codec: str
    comment: str
    field: str
    role: Role = "value"
    inner: str = ""
    dtype: str = ""

    def ddl(self) -> str:
        """Return the column's line of CREATE TABLE."""
        comment = self.comment.replace("\\", "\\\\").replace("'", "\\'")
        return f"`{self.name}` {self.type} CODEC({self.codec}) COMMENT '{comment}'"


def columns_of(field: Mapping[str, Any], *, explode: bool, nullable: bool) -> Iterator[Column]:
    """Yield the columns of a field. ``explode``: one row per packed element; ``nullable``: rows may lack the record."""
    name, avro, doc = field["name"], field["type"], field["doc"]
    packed = _PACKED.search(doc) if explode and avro == "bytes" else None
    if packed:
        yield _packed(name, doc, packed.group(1))
    elif explode and name == "instruments":
        yield _column("instrument", "String", doc, field=name, role="per_row", few=True)
    elif (record := _records(avro)) is not None:
        for inner in record["fields"]:
            wire = f"Array({_wire(inner['name'], inner['type'])})"
            yield _column(f"{name}.{inner['name']}", wire, inner["doc"], field=name, role="nested", inner=inner["name"])
    else:
        wire = _wire(name, avro)
        if nullable and not wire.startswith(("Array", "Nullable")):
            wire = f"Nullable({wire})"
        yield _column(name, wire, doc, field=name, few=name in FEW_VALUES or _is_enum(avro))


def _packed(name: str, doc: str, element: str) -> Column:
    wire, dtype = PACKED[element]
    if name.endswith("_ts"):
        wire = TIMESTAMP
    elif name.startswith("is_"):
        wire = "Bool"
    missing = "where unknown" if element == "float64" else "in the one row of a chain without options"
    comment = f"{doc.partition('; packed ')[0]}; null {missing}"
    return _column(name, f"Nullable({wire})", comment, field=name, role="packed", dtype=dtype)


def _column(
    name: str, wire: str, comment: str, *, field: str, role: Role = "value", inner: str = "", dtype: str = "",
    few: bool = False,
) -> Column:  # fmt: skip
    few = few or (role == "nested" and inner in FEW_VALUES)
    kind = re.sub(r"(Nullable\(String\)|\bString\b)", r"LowCardinality(\1)", wire) if few else wire
    return Column(
        name=name, type=kind, wire=wire, codec=codec_of(wire), comment=comment, field=field, role=role, inner=inner,
        dtype=dtype,
    )  # fmt: skip


def codec_of(wire: str) -> str:
    """Return the codec: times and counters of neighbouring rows differ little."""
    steady = re.fullmatch(r"(Nullable\()?(DateTime.*|U?Int64)\)?", wire) is not None
    return "Delta, ZSTD(1)" if steady else "ZSTD(1)"


def _wire(name: str, avro: Any) -> str:
    match avro:
        case ["null", inner]:
            return f"Nullable({_wire(name, inner)})"
        case {"type": "array", "items": items}:
            return f"Array({_wire(name, items)})"
        case {"type": "enum"} | "string" | "bytes":
            return "String"
        case "long" if name.endswith("_ts"):
            return TIMESTAMP
        case "long" if name == "second" or name.endswith("_second"):
            return SECOND
        case str():
            return NUMBERS[avro]
    raise ValueError(f"field {name}: no column type for {avro!r}; teach sink.columns about it")


def _records(avro: Any) -> Mapping[str, Any] | None:
    """Return the record schema if the field is an array of records."""
    match avro:
        case {"type": "array", "items": {"type": "record"} as record}:
            return record  # type: ignore[no-any-return]  # parsed JSON
    return None


def _is_enum(avro: Any) -> bool:
    match avro:
        case {"type": "enum"} | ["null", {"type": "enum"}]:
            return True
    return False
