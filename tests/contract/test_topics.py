"""Rules about topics, schemas and examples that no compiler enforces."""

import json
from pathlib import Path

import pytest
import yaml

from contracts.generated.schemas import SCHEMAS
from contracts.topics import TOPICS, Topic, logical, physical

SCHEMA_FOLDER = Path(__file__).parents[2] / "schemas"
SERVICES = {"collector", "normalizer", "greeks", "dealer-flow", "signals", "sink", "alerts"}
COMPACT = {"dealer.inventory", "market.instruments", "thresholds"}
WITH_RECORD = [topic for topic in TOPICS.values() if topic.record is not None]


def _fields(schema, path):
    for field in schema["fields"]:
        yield f"{path}.{field['name']}", field
        inner = field["type"]
        while isinstance(inner, dict) and inner["type"] == "array":
            inner = inner["items"]
        if isinstance(inner, dict) and inner["type"] == "record":
            yield from _fields(inner, f"{path}.{field['name']}")


FIELDS = [item for path in SCHEMA_FOLDER.glob("*.avsc") for item in _fields(json.loads(path.read_text()), path.stem)]


def test_table_holds_exactly_the_yaml_files():
    assert set(TOPICS) == {path.stem for path in (SCHEMA_FOLDER / "topics").glob("*.yaml")}


def test_embedded_schemas_are_exactly_the_avsc_files():
    files = {path.stem: json.loads(path.read_text("utf-8")) for path in SCHEMA_FOLDER.glob("*.avsc")}
    assert {record.__name__: json.loads(text) for record, text in SCHEMAS.items()} == files


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_names_are_free_of_underscores_and_services_are_known(topic: Topic):
    assert "_" not in topic.name
    assert topic.producers
    assert SERVICES.issuperset((*topic.producers, *topic.consumers))


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_all_topics_are_co_partitioned(topic: Topic):
    """Task n reads and writes partition n of everything, so the counts must agree."""
    assert topic.partitions == 4


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_only_current_state_is_compacted_and_all_else_is_bounded(topic: Topic):
    checkpoint = topic.name.endswith(".checkpoint")
    assert (topic.cleanup == "compact") == (topic.name in COMPACT or checkpoint)
    assert (topic.record is None) == checkpoint
    assert (topic.retention_bytes is None) == (topic.cleanup == "compact")


@pytest.mark.parametrize("topic", WITH_RECORD, ids=lambda topic: topic.name)
def test_every_record_reaches_clickhouse(topic: Topic):
    """All topics of records are sunk, but what the sink itself refused."""
    assert ("sink" in topic.consumers) == (topic.name != "sink.deadletter")


@pytest.mark.parametrize("service", sorted(SERVICES - {"collector"}))
def test_every_consuming_service_has_a_dead_letter_topic(service: str):
    assert TOPICS[f"{service}.deadletter"].producers == (service,)


@pytest.mark.parametrize("topic", WITH_RECORD, ids=lambda topic: topic.name)
def test_every_topic_of_records_has_an_example(topic: Topic):
    assert list((SCHEMA_FOLDER / "examples" / topic.name).glob("*.json"))


def test_every_example_folder_is_a_topic_of_records():
    folders = {path.name for path in (SCHEMA_FOLDER / "examples").iterdir()}
    assert folders == {topic.name for topic in WITH_RECORD}


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=[path for path, _ in FIELDS])
def test_every_field_has_a_doc_with_its_unit(path: str, field: dict):
    assert len(field["doc"]) > 2
    if path.endswith("_ts"):
        assert "microseconds" in field["doc"]
    if path.endswith("_ms"):
        assert "ms" in field["doc"]
    if field["type"] == "bytes" and path.startswith("OptionGreeks."):
        assert "packed" in field["doc"]


@pytest.mark.parametrize(("path", "field"), FIELDS, ids=[path for path, _ in FIELDS])
def test_nullable_and_repeated_fields_have_the_empty_default(path: str, field: dict):
    """Otherwise adding such a field later would break every reader of old records."""
    if isinstance(field["type"], list):
        assert field["default"] is None
    elif isinstance(field["type"], dict) and field["type"]["type"] == "array":
        assert field["default"] == []


def test_yaml_says_what_the_table_says():
    for name, topic in TOPICS.items():
        text = yaml.safe_load((SCHEMA_FOLDER / "topics" / f"{name}.yaml").read_text())
        assert text["description"] == topic.description
        assert text["record"] == (topic.record.__name__ if topic.record else None)
        assert text.get("retention_bytes_per_partition") == topic.retention_bytes
        assert (text["producers"], text["consumers"]) == (list(topic.producers), list(topic.consumers))


@pytest.mark.parametrize("name", TOPICS)
def test_a_run_prefixes_every_topic_but_raw_ones_and_can_be_undone(name: str):
    prefixed = physical(name, "r-7")
    assert prefixed == (name if name.startswith("raw.") else f"run-r-7.{name}")
    assert logical(prefixed) == name
    assert physical(name, "") == name
    assert logical(name) == name


@pytest.mark.parametrize("run_id", ["A", "a.b", "a_b", "-a", "a" * 33, "a/b"])
def test_a_run_id_that_would_garble_topic_names_is_refused(run_id: str):
    with pytest.raises(ValueError, match="run_id"):
        physical("market.trades", run_id)
