"""Tables follow from the schemas: every topic has one, nothing drifts, keys make sense."""

import re

import pytest

from contracts.topics import TOPICS
from sink.columns import columns_of
from sink.generate import drift, main, render
from sink.tables import DEADLETTER_TABLE, TABLES, table_name

ALL = [*TABLES.values(), DEADLETTER_TABLE]


def test_every_topic_that_names_the_sink_has_a_table_of_its_own() -> None:
    assert set(TABLES) == {name for name, topic in TOPICS.items() if "sink" in topic.consumers}
    assert len({table.name for table in ALL}) == len(ALL)


def test_the_committed_migration_is_the_generated_one() -> None:
    """After a change of schemas/: python -m sink.generate, or a new migration once 0001 has been released."""
    assert drift() == ""
    assert main(["--check"]) == 0


def test_drift_is_seen(monkeypatch, tmp_path) -> None:
    for name, text in render().items():
        (tmp_path / name).write_text(text.replace("`price` Float64", "`price` Float32"))
    monkeypatch.setattr("sink.generate.MIGRATIONS", tmp_path)
    assert "Float32" in drift()
    assert main(["--check"]) == 1


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_a_row_is_identified_by_its_place_in_the_log(table) -> None:
    """The sorting key ends with run, partition and offset: equal keys are the same row, stored twice."""
    tail = ("run_id", "_partition", "_offset", *(("_row",) if table.exploded else ()))
    assert table.order_by[-len(tail) :] == tail
    names = {column.name: column for column in table.columns}
    assert set(table.order_by) <= set(names)
    assert not [name for name in table.order_by if names[name].wire.startswith("Nullable")]


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_tables_remember_tokens_and_keep_runs_apart(table) -> None:
    ddl = table.ddl()
    assert "non_replicated_deduplication_window = 10000" in ddl
    assert re.search(r"PARTITION BY \(run_id, toYYYYMM(DD)?\(", ddl)
    assert "`_inserted_ts` DateTime64(6, 'UTC') MATERIALIZED" in ddl


def test_columns_are_the_fields_with_their_docs() -> None:
    columns = {column.name: column for column in TABLES["market.trades"].columns}
    assert columns["price"].type == "Float64"
    assert columns["taker_side"].type == "LowCardinality(String)"
    assert columns["liquidated_side"].type == "LowCardinality(Nullable(String))"
    assert columns["exchange_ts"].type == "Nullable(DateTime64(6, 'UTC'))"
    assert columns["trade_id"].type == "String"
    assert columns["iv"].comment.startswith("Implied vol of the print")
    assert TABLES["dealer.exposure"].columns[2].type == "DateTime('UTC')"


def test_only_compacted_topics_have_keys_and_tombstones() -> None:
    for topic, table in TABLES.items():
        names = {column.name for column in table.columns}
        assert ({"_key", "_tombstone"} <= names) == (TOPICS[topic].cleanup == "compact")


def test_the_version_changes_with_the_layout() -> None:
    """A token of another layout must not swallow rows of this one."""
    assert len({table.version for table in ALL if not table.name.startswith("raw")}) > 10
    assert re.fullmatch(r"[0-9a-f]{8}", TABLES["market.trades"].version)


def test_a_type_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match="field odd"):
        list(columns_of({"name": "odd", "type": {"type": "map"}, "doc": ""}, explode=False, nullable=False))


def test_names_hold_no_characters_sql_would_trip_over() -> None:
    assert table_name("dealer-flow.deadletter") == "dealer_flow_deadletter"
