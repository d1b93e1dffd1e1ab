"""Which changes of a schema a running consumer survives."""

import copy
import io
import json

import fastavro
import pytest

from contracts.compatibility import breaks, removed_fields
from contracts.generated.schemas import SCHEMAS
from contracts.records import Clock, DealerExposure, Instrument, Trade

TRADE = json.loads(SCHEMAS[Trade])


def _changed(schema, change):
    new = copy.deepcopy(schema)
    change(new)
    return new


def _field(schema, name: str):
    return next(field for field in schema["fields"] if field["name"] == name)


@pytest.mark.parametrize("record", SCHEMAS, ids=lambda record: record.__name__)
def test_every_schema_is_compatible_with_itself(record):
    schema = json.loads(SCHEMAS[record])
    assert breaks(reader=schema, writer=schema) == []
    assert removed_fields(reader=schema, writer=schema) == []


COMPATIBLE = {
    "new field with default": lambda schema: schema["fields"].append(
        {"name": "fee", "type": ["null", "double"], "default": None}
    ),
    "long widened to double": lambda schema: _field(schema, "received_ts").update(type="double"),
    "field made nullable": lambda schema: _field(schema, "price").update(type=["null", "double"]),
    "enum symbol added": lambda schema: _field(schema, "kind")["type"]["symbols"].append("warrant"),
    "fields reordered": lambda schema: schema["fields"].reverse(),
    "renamed with alias": lambda schema: _field(schema, "price").update(name="price_quote", aliases=["price"]),
}


@pytest.mark.parametrize("change", COMPATIBLE.values(), ids=COMPATIBLE)
def test_compatible_changes_pass(change):
    assert breaks(reader=_changed(TRADE, change), writer=TRADE) == []


BREAKING = {
    "new field without default": (
        lambda schema: schema["fields"].append({"name": "fee", "type": "double"}),
        "Trade.fee is new and has no default",
    ),
    "double narrowed to long": (
        lambda schema: _field(schema, "price").update(type="long"),
        "Trade.price changes from double to long",
    ),
    "null no longer allowed": (
        lambda schema: _field(schema, "iv").update(type="double"),
        "Trade.iv changes from null to double",
    ),
    "nullable retyped": (
        lambda schema: _field(schema, "iv").update(type=["null", "string"]),
        "Trade.iv no longer takes double",
    ),
    "enum symbol lost": (
        lambda schema: _field(schema, "kind")["type"]["symbols"].remove("spot"),
        "Trade.kind loses the symbol spot and its enum has no default",
    ),
    "enum renamed": (
        lambda schema: _field(schema, "kind")["type"].update(name="Kind"),
        "Trade.kind changes from enum InstrumentKind to Kind",
    ),
    "array retyped": (
        lambda schema: _field(schema, "quality")["type"].update(items="long"),
        "Trade.quality[] changes from string to long",
    ),
}


@pytest.mark.parametrize(("change", "says"), BREAKING.values(), ids=BREAKING)
def test_breaking_changes_are_named_by_field(change, says: str):
    assert breaks(reader=_changed(TRADE, change), writer=TRADE) == [says]


def test_a_break_in_a_nested_record_is_found():
    clock = json.loads(SCHEMAS[Clock])
    new = _changed(clock, lambda schema: _field(schema, "topics")["type"]["items"]["fields"][1].update(type="string"))
    assert breaks(reader=new, writer=clock) == ["Clock.topics[].records changes from long to string"]


def test_another_record_is_never_compatible():
    assert breaks(reader=json.loads(SCHEMAS[Instrument]), writer=TRADE) == [
        "Instrument changes from record Trade to Instrument"
    ]


def test_removed_fields_are_found_nested_ones_too_and_aliases_count_as_kept():
    exposure = json.loads(SCHEMAS[DealerExposure])
    new = _changed(exposure, lambda schema: schema["fields"].remove(_field(schema, "spot")))
    _field(new, "flips")["type"]["items"]["fields"].pop(0)
    assert sorted(removed_fields(reader=new, writer=exposure)) == ["DealerExposure.spot", "Flip.spot"]
    renamed = _changed(TRADE, COMPATIBLE["renamed with alias"])
    assert removed_fields(reader=renamed, writer=TRADE) == []


@pytest.mark.parametrize("change", COMPATIBLE.values(), ids=COMPATIBLE)
def test_an_independent_reader_can_read_what_is_called_compatible(change):
    """fastavro's resolution is the second opinion."""
    value = {"venue": "v", "instrument": "i", "underlying": "BTC", "kind": "spot", "received_ts": 1, "trade_id": "t"}
    value |= {"taker_side": "buy", "price": 1.5, "liquidation": "none"}
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, TRADE, value)
    stream.seek(0)
    read = fastavro.schemaless_reader(stream, TRADE, _changed(TRADE, change))
    assert read["trade_id"] == "t"
