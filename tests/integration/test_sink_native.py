"""The Native writer against the engine: what it writes is what the engine reads, in one block and one part."""

import threading
import uuid

import clickhouse_connect
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sink import native
from sink.clickhouse import INSERT_SETTINGS, Store
from sink.entries import period_of
from sink.tables import TABLES

pytestmark = [pytest.mark.integration]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(allow_nan=False)
# Type of the column: type on the wire, values.
TYPES = {
    "String": ("String", TEXT),
    "LowCardinality(String)": ("String", TEXT),
    "LowCardinality(Nullable(String))": ("Nullable(String)", st.none() | TEXT),
    "Array(LowCardinality(String))": ("Array(String)", st.lists(TEXT, max_size=4)),
    "UInt8": ("UInt8", st.integers(0, 255)),
    "UInt16": ("UInt16", st.integers(0, 2**16 - 1)),
    "UInt64": ("UInt64", st.integers(0, 2**64 - 1)),
    "Int32": ("Int32", st.integers(-(2**31), 2**31 - 1)),
    "Nullable(Int64)": ("Nullable(Int64)", st.none() | INT64),
    "Nullable(Float64)": ("Nullable(Float64)", st.none() | FLOAT),
    "Nullable(Bool)": ("Nullable(Bool)", st.none() | st.booleans()),
    "Array(Nullable(Float64))": ("Array(Nullable(Float64))", st.lists(st.none() | FLOAT, max_size=4)),
    "Array(Array(Float64))": ("Array(Array(Float64))", st.lists(st.lists(FLOAT, max_size=3), max_size=3)),
}


@pytest.fixture
def client(stack):
    with clickhouse_connect.get_client(
        dsn=stack.clickhouse_url, autogenerate_session_id=False, dedicated_pool=True
    ) as client:
        yield client


@pytest.fixture
def table(client):
    """A table with every column type in use."""
    name = f"t_native_{uuid.uuid4().hex[:8]}"
    columns = ", ".join(f"c{i} {kind}" for i, kind in enumerate(TYPES))
    client.command(
        f"CREATE TABLE {name} (n UInt64, {columns}) ENGINE = MergeTree ORDER BY n PARTITION BY intDiv(n, 1000)"
    )
    yield name
    client.command(f"DROP TABLE {name} SYNC")


def send(client, table, rows, first=0):
    parts = [("n", "UInt64", native.encoder("UInt64")(range(first, first + len(rows))))]
    for i, (wire, _) in enumerate(TYPES.values()):
        parts.append((f"c{i}", wire, native.encoder(wire)([row[i] for row in rows])))
    body = native.block(parts, len(rows))
    client.raw_insert(table, insert_block=body, fmt="Native", settings=INSERT_SETTINGS)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(*(values for _, values in TYPES.values())), min_size=1, max_size=30))
def test_the_engine_reads_what_was_written(client, table, rows) -> None:
    client.command(f"TRUNCATE TABLE {table}")
    send(client, table, rows)
    names = ", ".join(f"c{i}" for i in range(len(TYPES)))
    assert client.query(f"SELECT {names} FROM {table} ORDER BY n").result_rows == [tuple(row) for row in rows]


def test_an_insert_of_many_rows_is_one_part(client, table) -> None:
    """One block in, one part out: rows and position become visible together."""
    wide = f"{table}_wide"
    client.command(f"CREATE TABLE {wide} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    try:
        client.command(f"SYSTEM STOP MERGES {wide}")
        for rows in (1, 65_536, 500_000):
            client.command(f"TRUNCATE TABLE {wide}")
            parts = [
                ("n", "UInt64", native.encoder("UInt64")(range(rows))),
                ("s", "String", native.strings(["some text of a row that makes it more than a few bytes"] * rows)),
            ]
            client.raw_insert(wide, insert_block=native.block(parts, rows), fmt="Native", settings=INSERT_SETTINGS)
            assert client.query(f"SELECT count(), uniqExact(_part) FROM {wide}").result_rows == [(rows, 1)]
    finally:
        client.command(f"DROP TABLE {wide} SYNC")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(second=st.integers(0, 2**32 - 1))
def test_chunks_are_cut_where_the_engine_cuts(client, second) -> None:
    """The month and day computed here are those of the tables' partition keys: an insert touches one partition."""
    month = "toYYYYMM(toDateTime({s:UInt32}, 'UTC'))"
    day = "toYYYYMMDD(fromUnixTimestamp64Micro({s:Int64} * 1000000, 'UTC'))"
    sql = f"SELECT {month}, {day}"
    ((month, day),) = client.query(sql, parameters={"s": second}).result_rows
    assert period_of(TABLES["market.tickers"], second) == month
    assert period_of(TABLES["raw.deribit"], second * 1_000_000) == day


def test_a_start_waits_for_the_insert_its_predecessor_left_running(client, table) -> None:
    """Killed after the last byte was sent: the rows land behind whoever reads positions too early."""
    slow = f"{table}_slow"
    client.command(
        f"CREATE TABLE {slow} (n UInt64, s UInt8 MATERIALIZED sleepEachRow(0.25)) ENGINE = MergeTree ORDER BY n"
    )
    body = native.block([("n", "UInt64", native.encoder("UInt64")(range(8)))], 8)
    asked = {"insert_block": body, "fmt": "Native", "settings": {"log_comment": "sink-test-0"}}
    insert = threading.Thread(target=client.raw_insert, args=(slow,), kwargs=asked)
    try:
        insert.start()
        while not client.command("SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'sink-test-0'"):
            assert insert.is_alive(), "the insert was over before it was seen"
        Store(client, owner="sink-test-0", stopping=lambda: False, log=Silent()).wait_for_predecessor()
        assert client.command(f"SELECT count() FROM {slow}") == 8
    finally:
        insert.join()
        client.command(f"DROP TABLE {slow} SYNC")


class Silent:
    def info(self, event, **fields):
        pass

    warning = error = info
