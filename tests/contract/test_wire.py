"""Encoding and decoding: what fits round-trips, what does not fit is named, an outage is not the record's fault."""

import dataclasses
import io
import json
import pickle
import struct
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import WIRE_REASONS
from contracts.generated.schemas import SCHEMAS
from contracts.records import AlertEvent, Clock, Funding, RawMessage, TopicCount, from_dict, to_dict
from contracts.topics import TOPICS
from contracts.wire import WIRE_HEADER_BYTES, Codecs, NotProvisioned, RegistryUnavailable, WireError

CODECS = Codecs.offline()
PARSED = {record: fastavro.parse_schema(json.loads(text)) for record, text in SCHEMAS.items()}
TOPIC_OF = {topic.record: name for name, topic in TOPICS.items() if topic.record is not None}
_PRIMITIVES = {
    "string": st.text(max_size=100),
    "bytes": st.binary(max_size=100),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 20_000),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
}


def values(avro: Any) -> st.SearchStrategy[Any]:
    """Values of an Avro type, records as dicts."""
    match avro:
        case str():
            return _PRIMITIVES[avro]
        case ["null", inner]:
            return st.none() | values(inner)
        case {"type": "array", "items": items}:
            return st.lists(values(items), max_size=4)
        case {"type": "enum", "symbols": symbols}:
            return st.sampled_from(symbols)
        case _:
            return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in avro["fields"]})


def records(record_type: type, schema: Any) -> st.SearchStrategy[Any]:
    """Records of ``record_type``."""
    return values(schema).map(lambda fields: from_dict(record_type, fields))


ANY = st.sampled_from(list(SCHEMAS)).flatmap(
    lambda record: st.tuples(st.just(TOPIC_OF[record]), records(record, json.loads(SCHEMAS[record])))
)
FUNDING = Funding(
    venue="v",
    instrument="i",
    underlying="BTC",
    received_ts=1,
    settled_ts=1_767_225_600_000_000,
    rate=1e-4,
    period_hours=8.0,
)


class FakeRegistry:
    """Knows the schemas it is given by id and counts what it is asked."""

    def __init__(self, by_id: dict[int, str], *, own: bool = True):
        self.by_id = dict(by_id)
        self.own = own
        self.up = True
        self.asked: list[int] = []

    def id_of(self, subject: str, schema: str) -> int:
        if not self.own:
            raise NotProvisioned(subject)
        return 1_000 + list(SCHEMAS.values()).index(schema)

    def schema_of(self, schema_id: int) -> str | None:
        self.asked.append(schema_id)
        if not self.up:
            raise RegistryUnavailable("down")
        return self.by_id.get(schema_id)


def written_by(schema: dict, schema_id: int, fields: dict) -> bytes:
    """What another version's producer would have put on the wire."""
    stream = io.BytesIO()
    stream.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), fields)
    return stream.getvalue()


def changed(record: type, change) -> dict:
    schema = json.loads(SCHEMAS[record])
    change(schema["fields"])
    return schema


# Generated code against an independent implementation


@given(ANY)
@settings(max_examples=300, deadline=None)
def test_bytes_are_those_of_fastavro_and_decode_to_the_same_record(drawn):
    topic, record = drawn
    value = CODECS.encode(topic, record)
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, PARSED[type(record)], to_dict(record))
    assert value[WIRE_HEADER_BYTES:] == stream.getvalue()
    assert CODECS.decode(topic, value) == record


def test_a_decoded_record_is_frozen_like_a_made_one():
    """Decoders fill a mutable twin and relabel it; what leaves them must be the real class."""
    decoded = CODECS.decode("market.funding", CODECS.encode("market.funding", FUNDING))
    assert type(decoded) is Funding
    assert hash(decoded) == hash(FUNDING)
    with pytest.raises(dataclasses.FrozenInstanceError):
        decoded.rate = 0.0
    assert pickle.loads(pickle.dumps(decoded)) == FUNDING  # noqa: S301 - our own bytes


@given(ANY, st.data())
@settings(max_examples=300, deadline=None)
def test_a_value_cut_anywhere_is_an_error_of_the_wire(drawn, data):
    topic, record = drawn
    value = CODECS.encode(topic, record)
    cut = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises(WireError) as caught:
        CODECS.decode(topic, value[:cut])
    assert caught.value.reason == ("truncated" if cut < WIRE_HEADER_BYTES else "malformed")


@given(st.sampled_from(list(TOPIC_OF.values())), st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_arbitrary_bytes_are_a_record_or_an_error_of_the_wire(topic, body):
    header = CODECS.encode("market.funding", FUNDING)[:1] + CODECS._codecs[topic].header[1:]
    try:
        outcome = type(CODECS.decode(topic, header + body))
    except WireError as error:
        outcome = error.reason
    assert outcome in (TOPICS[topic].record, *WIRE_REASONS)


def test_arrays_in_several_blocks_with_sizes_are_read():
    """Other Avro libraries may write arrays in blocks, with a negative count and a size in bytes."""
    clock = Clock(venue="v", underlying="BTC", second=1, skipped_seconds=0, input_records=0, rejected_records=0)
    head = CODECS.encode("market.clock", clock)[:-1]
    entry = b"\x02t" + b"\x02" * 4
    blocks = b"\x02" + entry + b"\x01" + bytes([len(entry) << 1]) + entry + b"\x00"
    decoded = CODECS.decode("market.clock", head + blocks)
    count = TopicCount(topic="t", records=1, total_records=1, digest=1, running_digest=1)
    assert decoded == dataclasses.replace(clock, topics=(count, count))


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="count of 2**63 - 1"),
        pytest.param(b"\xff" * 9 + b"\x7f", id="number beyond 64 bits"),
        pytest.param(b"\xff" * 20, id="number without end"),
    ],
)
def test_a_hostile_count_ends_at_once(tail: bytes):
    clock = Clock(venue="v", underlying="BTC", second=1, skipped_seconds=0, input_records=0, rejected_records=0)
    with pytest.raises(WireError) as caught:
        CODECS.decode("market.clock", CODECS.encode("market.clock", clock)[:-1] + tail)
    assert caught.value.reason == "malformed"


# The header


def test_header_is_magic_zero_and_a_big_endian_id():
    codecs = Codecs(FakeRegistry({}))
    expected = struct.pack(">bI", 0, 1_000 + list(SCHEMAS).index(Funding))
    assert codecs.encode("market.funding", FUNDING)[:WIRE_HEADER_BYTES] == expected


def test_a_wrong_magic_byte_is_named():
    with pytest.raises(WireError, match="first byte is 123") as caught:
        CODECS.decode("market.funding", b'{"price": 1}')
    assert caught.value.reason == "bad_magic"


def test_bytes_after_the_record_are_refused():
    with pytest.raises(WireError, match="2 bytes after the record") as caught:
        CODECS.decode("market.funding", CODECS.encode("market.funding", FUNDING) + b"xx")
    assert caught.value.reason == "trailing_bytes"


def test_another_topics_record_is_refused():
    with pytest.raises(WireError, match=r"carries gammaflow\.Trade") as caught:
        CODECS.decode("market.trades", CODECS.encode("market.funding", FUNDING))
    assert caught.value.reason == "wrong_schema"


@pytest.mark.parametrize("name", ["market.funding", "run-r7.market.funding"])
def test_a_run_uses_the_schemas_of_the_logical_topic(name: str):
    value = CODECS.encode(name, FUNDING)
    assert value == CODECS.encode("market.funding", FUNDING)
    assert CODECS.decode(name, value) == FUNDING


@pytest.mark.parametrize("name", ["market.nothing", "normalizer.checkpoint"])
def test_a_topic_without_records_is_named(name: str):
    with pytest.raises(KeyError, match=name):
        CODECS.encode(name, FUNDING)


# Other versions


def test_an_older_writers_record_gets_the_default_of_the_new_field():
    """The reader's ``quality`` did not exist when this was written."""
    older = changed(Funding, lambda fields: fields.remove(next(f for f in fields if f["name"] == "quality")))
    codecs = Codecs(FakeRegistry({7: json.dumps(older)}))
    fields = {key: value for key, value in to_dict(FUNDING).items() if key != "quality"}
    assert codecs.decode("market.funding", written_by(older, 7, fields)) == FUNDING


def test_a_newer_writers_extra_field_is_skipped():
    newer = changed(Funding, lambda fields: fields.insert(0, {"name": "x", "type": ["null", "long"], "default": None}))
    codecs = Codecs(FakeRegistry({7: json.dumps(newer)}))
    assert codecs.decode("market.funding", written_by(newer, 7, to_dict(FUNDING) | {"x": 5})) == FUNDING


def test_a_foreign_schema_id_is_asked_for_once():
    registry = FakeRegistry({7: SCHEMAS[Funding]})
    codecs = Codecs(registry)
    value = b"\0\0\0\0\x07" + codecs.encode("market.funding", FUNDING)[WIRE_HEADER_BYTES:]
    assert [codecs.decode("market.funding", value) for _ in range(3)] == [FUNDING] * 3
    assert registry.asked == [7]


def test_no_id_of_ours_is_ever_asked_for():
    registry = FakeRegistry({})
    codecs = Codecs(registry)
    codecs.decode("market.funding", codecs.encode("market.funding", FUNDING))
    assert registry.asked == []


def test_an_id_the_registry_does_not_know_is_the_records_fault():
    with pytest.raises(WireError, match="schema id 7") as caught:
        Codecs(FakeRegistry({})).decode("market.funding", b"\0\0\0\0\x07abc")
    assert caught.value.reason == "unknown_schema"


@pytest.mark.parametrize("text", ["nonsense", '{"type": "no"}', '"string"', SCHEMAS[Clock]])
def test_an_id_of_something_else_is_the_records_fault(text: str):
    with pytest.raises(WireError) as caught:
        Codecs(FakeRegistry({7: text})).decode("market.funding", b"\0\0\0\0\x07abc")
    assert caught.value.reason == "wrong_schema"


def test_a_malformed_record_of_another_version_is_refused():
    newer = changed(Funding, lambda fields: fields.append({"name": "x", "type": "long", "default": 0}))
    codecs = Codecs(FakeRegistry({7: json.dumps(newer)}))
    value = written_by(newer, 7, to_dict(FUNDING) | {"x": 5})
    for cut in range(WIRE_HEADER_BYTES, len(value)):
        with pytest.raises(WireError) as caught:
            codecs.decode("market.funding", value[:cut])
        assert caught.value.reason == "malformed"


def test_an_outage_is_retryable_and_not_the_records_fault():
    registry = FakeRegistry({7: SCHEMAS[Funding]})
    codecs = Codecs(registry)
    registry.up = False
    value = b"\0\0\0\0\x07" + codecs.encode("market.funding", FUNDING)[WIRE_HEADER_BYTES:]
    with pytest.raises(RegistryUnavailable):
        codecs.decode("market.funding", value)
    registry.up = True
    assert codecs.decode("market.funding", value) == FUNDING


def test_a_registry_that_does_not_answer_is_an_outage(unused_port: int):
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        Codecs.connect(f"http://127.0.0.1:{unused_port}")


def test_an_unprovisioned_registry_stops_the_start():
    with pytest.raises(NotProvisioned):
        Codecs(FakeRegistry({}, own=False))


# Our own mistakes


def test_a_record_of_another_topic_is_our_bug():
    with pytest.raises(TypeError, match=r"market\.trades carries Trade, not Funding"):
        CODECS.encode("market.trades", FUNDING)


RAW = RawMessage(
    venue="v", channel="c", underlying="", kind="heartbeat", conn_id="v-0", seq=0, received_ts=1, payload=b""
)
ALERT = AlertEvent(
    alert_id="a", rule="r", underlying="BTC", second=1, state="fired", severity="info", message="m", evidence="{}"
)


@pytest.mark.parametrize(
    ("topic", "record", "field", "wrong"),
    [
        ("market.funding", FUNDING, "rate", "0.1"),
        ("market.funding", FUNDING, "rate", None),
        ("market.funding", FUNDING, "mark_price", "1"),
        ("market.funding", FUNDING, "received_ts", 1.5),
        ("market.funding", FUNDING, "received_ts", 2**63),
        ("market.funding", FUNDING, "venue", 5),
        ("market.funding", FUNDING, "quality", (1,)),
        ("raw.deribit", RAW, "kind", "beat"),
        ("raw.deribit", RAW, "payload", "text"),
        ("raw.deribit", RAW, "payload", memoryview(struct.pack("<2d", 1.0, 2.0)).cast("d")),
        ("alerts.events", ALERT, "state", None),
    ],
)
def test_a_wrong_value_names_the_topic_and_the_field(topic, record, field: str, wrong):
    with pytest.raises(ValueError, match=rf"{topic}: .*\b{field}\b"):
        CODECS.encode(topic, dataclasses.replace(record, **{field: wrong}))


def test_offline_ids_do_not_depend_on_the_process():
    """Files written by one process are read by another: the ids are the order of record names."""
    value = CODECS.encode("market.funding", FUNDING)
    names = sorted(record.__name__ for record in SCHEMAS)
    assert int.from_bytes(value[1:WIRE_HEADER_BYTES], "big") == names.index("Funding") + 1
