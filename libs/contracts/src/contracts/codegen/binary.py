"""Renders ``generated/binary.py``: an encoder and a decoder per record, field after field, without a dict between.

Decoders keep the position in ``at`` and read one-byte numbers, which most are, in place: a call would cost more.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from contracts.codegen.python import HEAD, record_name, snake
from contracts.codegen.sources import Field, Record, Sources

_ENCODERS = {"string": "string", "bytes": "blob", "int": "int32", "long": "long", "double": "DOUBLE.pack"}


class _Symbols:
    """Names of the two tables of every enum met."""

    def __init__(self) -> None:
        self.tables: dict[str, tuple[str, ...]] = {}

    def add(self, avro: Mapping[str, Any]) -> str:
        name = snake(avro["name"]).upper()
        self.tables[name] = tuple(avro["symbols"])
        return name

    def lines(self) -> Iterator[str]:
        for name, symbols in sorted(self.tables.items()):
            yield f"_{name}: tuple[Any, ...] = {symbols!r}"
            yield f"_{name}_BYTES = {{symbol: long(index) for index, symbol in enumerate(_{name})}}"


def binary_module(sources: Sources) -> str:
    """Source of ``generated/binary.py``."""
    by_name = {record.name: record for record in sources.records}
    symbols = _Symbols()
    functions = []
    for record in sources.records:
        functions += ["\n".join(_encoder(record, by_name, symbols)), "\n".join(_decoder(record, by_name, symbols))]
    head = HEAD.format(doc="Records to Avro binary and back.") + (
        "from collections.abc import Callable, Mapping\nfrom struct import Struct\nfrom typing import Any, cast\n\n"
        "from contracts.avro import (\n    ABSENT,\n    BOOLEANS,\n    DOUBLE,\n    END,\n    FALSE_TRUE,\n"
        "    PRESENT,\n    PRESENT_DOUBLE,\n    MalformedError,\n    blob,\n    doubles,\n    int32,\n    long,\n"
        "    read_count,\n    read_doubles,\n    read_long,\n    read_size,\n    string,\n)\n"
        "from contracts.generated import conversions, records\n"
    )
    tables = [
        "ENCODE: Mapping[type[Any], Callable[[Any], bytes]] = {\n"
        + "".join(f"    records.{r.name}: encode_{snake(r.name)},\n" for r in sources.records)
        + "}",
        "DECODE: Mapping[type[Any], Callable[[bytes, int], tuple[Any, int]]] = {\n"
        + "".join(f"    records.{r.name}: decode_{snake(r.name)},\n" for r in sources.records)
        + "}\n",
    ]
    return "\n\n".join([head, "\n".join(symbols.lines()) + "\n", *(f + "\n" for f in functions), *tables])


def _encoder(record: Record, records: Mapping[str, Record], symbols: _Symbols) -> Iterator[str]:
    name = snake(record.name)
    if _packed(record):
        yield f"_{name.upper()} = Struct('<{len(record.fields)}d')\n\n"
        yield f"def encode_{name}(r: records.{record.name}) -> bytes:"
        yield f"    return _{name.upper()}.pack({', '.join(f'r.{field.name}' for field in record.fields)})"
        return
    yield f"def encode_{name}(r: records.{record.name}) -> bytes:"
    yield '    return b"".join(('
    yield from (f"        {_encoded(field.avro, f'r.{field.name}', records, symbols)}," for field in record.fields)
    yield "    ))"


def _packed(record: Record) -> bool:
    """A record of doubles alone is one struct: exposures carry hundreds of them."""
    return all(field.avro == "double" for field in record.fields)


def _encoded(avro: Any, value: str, records: Mapping[str, Record], symbols: _Symbols) -> str:
    if name := record_name(avro, records):
        return f"encode_{snake(name)}({value})"
    match avro:
        case "boolean":
            code = f"FALSE_TRUE[{value}]"
        case str():
            code = f"{_ENCODERS[avro]}({value})"
        case ["null", "double"]:
            code = f"ABSENT if {value} is None else PRESENT_DOUBLE.pack(2, {value})"
        case ["null", inner]:
            code = f"ABSENT if {value} is None else PRESENT + {_encoded(inner, value, records, symbols)}"
        case {"type": "array", "items": "double"}:
            code = f"doubles({value})"
        case {"type": "array", "items": items}:
            one = _encoded(items, "x", records, symbols)
            code = f'END if not len({value}) else long(len({value})) + b"".join([{one} for x in {value}]) + END'
        case _:
            code = f"_{symbols.add(avro)}_BYTES[{value}]"
    return code


def _decoder(record: Record, records: Mapping[str, Record], symbols: _Symbols) -> Iterator[str]:
    name = snake(record.name)
    yield f"def decode_{name}(b: bytes, at: int) -> tuple[records.{record.name}, int]:"
    variables = [f"v{i}" for i in range(len(record.fields))]
    if _packed(record):
        yield f"    r: Any = conversions._{record.name}(*_{name.upper()}.unpack_from(b, at))"
        yield f"    at += {8 * len(record.fields)}"
    else:
        for variable, field in zip(variables, record.fields, strict=True):
            yield from ("    " + line for line in _decoded_field(field, variable, records, symbols))
        yield f"    r: Any = conversions._{record.name}({', '.join(variables)})"
    yield f"    r.__class__ = records.{record.name}"
    yield f"    return cast(records.{record.name}, r), at"


def _decoded_field(field: Field, v: str, records: Mapping[str, Record], symbols: _Symbols) -> Iterator[str]:
    yield f"{v}: Any = None  # {field.name}"
    yield from _decoded(field.avro, v, records, symbols)


def _decoded(avro: Any, v: str, records: Mapping[str, Record], symbols: _Symbols) -> Iterator[str]:
    """Lines that read a value at ``at`` into ``v``; nullable values leave the None that is there."""
    if name := record_name(avro, records):
        yield f"{v}, at = decode_{snake(name)}(b, at)"
        return
    match avro:
        case "boolean":
            yield from (f"{v} = BOOLEANS[b[at]]", "at += 1")
        case "double":
            yield from (f"({v},) = DOUBLE.unpack_from(b, at)", "at += 8")
        case "int" | "long":
            yield from ("n = b[at]", "if n < 128:", f"    {v} = n >> 1 ^ -(n & 1)", "    at += 1")
            yield from ("else:", f"    {v}, at = read_long(b, at)")
        case "string" | "bytes":
            # A short one that runs past the end is caught where ``at`` is compared with the length.
            yield from ("n = b[at]", "if n & 129:", "    n, at = read_size(b, at)")
            yield from ("else:", "    n >>= 1", "    at += 1")
            part = "b[at : at + n]"
            yield from (f"{v} = str({part}, 'utf-8')" if avro == "string" else f"{v} = {part}", "at += n")
        case {"type": "enum"}:
            yield from ("n = b[at]", "if n & 129:", '    raise MalformedError(f"no symbol at byte {at}")')
            yield from (f"{v} = _{symbols.add(avro)}[n >> 1]", "at += 1")
        case ["null", inner]:
            yield from ("k = b[at]", "at += 1", "if k == 2:")
            yield from ("    " + line for line in _decoded(inner, v, records, symbols))
            yield from ("elif k:", '    raise MalformedError(f"no branch {k} at byte {at - 1}")')
        case {"type": "array", "items": "double"}:
            yield f"{v}, at = read_doubles(b, at)"
        case {"type": "array", "items": items}:
            yield from ("if b[at] == 0:", f"    {v} = ()", "    at += 1", "else:")
            one, some = f"{v}x", f"{v}s"
            yield from (
                f"    {some}: list[Any] = []",
                f"    {one}: Any",
                "    c, at = read_count(b, at)",
                "    while c:",
                "        for _ in range(c):",
            )
            yield from ("            " + line for line in _decoded(items, one, records, symbols))
            yield from (
                f"            {some}.append({one})",
                "        c, at = read_count(b, at)",
                f"    {v} = tuple({some})",
            )
