"""Inserts through clickhouse-connect: sizes, checksums, atomicity, deduplication, concurrency."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from .conftest import BridgeProcess

pytestmark = pytest.mark.integration

_SOURCE = "SELECT number AS n, number / 7 AS f, toString(number * 3) AS s, number % 5 AS p FROM numbers({rows})"
_COLUMNS = "n UInt64, f Float64, s String, p UInt8"


def _create(client: Client, table: str, settings: str = "") -> None:
    client.command(f"CREATE TABLE {table} ({_COLUMNS}) ENGINE = MergeTree ORDER BY n {settings}")


def _digest(client: Client, source: str) -> tuple[int, int]:
    count, digest = client.query(f"SELECT count(), sum(cityHash64(n, f, s, p)) FROM {source}").first_row
    return count, digest


def _native(client: Client, rows: int, block: int) -> bytes:
    sql = f"SELECT n, f, s, toUInt8(p) AS p FROM ({_SOURCE.format(rows=rows)})"
    return client.raw_query(sql, fmt="Native", settings={"max_block_size": block, "max_threads": 1})


@pytest.mark.parametrize("rows", [1, 2, 65_409, 65_410, 1_000_000])
@pytest.mark.parametrize("block", [16_384, 2_000_000])
def test_a_native_body_arrives_whole_whatever_its_blocks(client: Client, table: str, rows: int, block: int) -> None:
    _create(client, table)
    summary = client.raw_insert(table, insert_block=_native(client, rows, block), fmt="Native")
    assert summary.written_rows == rows
    assert _digest(client, table) == _digest(
        client, f"(SELECT n, f, s, toUInt8(p) AS p FROM ({_SOURCE.format(rows=rows)}))"
    )


def test_a_million_rows_become_one_part(client: Client, table: str) -> None:
    _create(client, table)
    client.raw_insert(table, insert_block=_native(client, 1_000_000, 16_384), fmt="Native")
    parts = client.query(f"SELECT rows FROM system.parts WHERE table = '{table}' AND level = 0 AND active").result_rows
    assert parts == [(1_000_000,)]


@pytest.mark.parametrize("rows", [1, 100_000])
@pytest.mark.parametrize("compress", [True, False, "lz4", "zstd", "gzip"])
def test_insert_of_python_columns_with_each_compression(
    bridge: BridgeProcess, client: Client, table: str, rows: int, compress: bool | str
) -> None:
    _create(client, table)
    numbers = np.arange(rows, dtype=np.uint64)
    columns = [numbers, numbers / 7, [str(n * 3) for n in range(rows)], (numbers % 5).astype(np.uint8)]
    with bridge.client(compress=compress) as writer:
        summary = writer.insert(table, columns, column_names=["n", "f", "s", "p"], column_oriented=True)
    assert summary.written_rows == rows
    assert _digest(client, table) == _digest(
        client, f"(SELECT n, f, s, toUInt8(p) AS p FROM ({_SOURCE.format(rows=rows)}))"
    )


@pytest.mark.parametrize(
    ("fmt", "body"),
    [
        ("CSV", '1,0.5,"a,b",1\n2,1.5,c,2\n'),
        ("CSVWithNames", 's,n,f,p\n"a,b",1,0.5,1\nc,2,1.5,2\n'),
        ("TSV", "1\t0.5\ta,b\t1\n2\t1.5\tc\t2\n"),
        ("JSONEachRow", '{"n":1,"f":0.5,"s":"a,b","p":1}\n{"n":2,"f":1.5,"s":"c","p":2}\n'),
        ("JSONCompactEachRow", '[1,0.5,"a,b",1]\n[2,1.5,"c",2]\n'),
        ("Values", "(1, 0.5, concat('a', ',b'), 1), (2, 1.5, 'c', 2)"),
    ],
)
def test_text_formats_arrive_as_they_are(client: Client, table: str, fmt: str, body: str) -> None:
    _create(client, table)
    client.raw_insert(table, insert_block=body, fmt=fmt)
    assert client.query(f"SELECT * FROM {table} ORDER BY n").result_rows == [(1, 0.5, "a,b", 1), (2, 1.5, "c", 2)]


@pytest.mark.parametrize(
    "fmt", ["RowBinary", "RowBinaryWithNamesAndTypes", "Parquet", "Arrow", "ArrowStream", "Avro", "ORC"]
)
def test_binary_formats_arrive_as_they_are(client: Client, table: str, fmt: str) -> None:
    _create(client, table)
    source = f"(SELECT n, f, s, toUInt8(p) AS p FROM ({_SOURCE.format(rows=1000)}))"
    client.raw_insert(table, insert_block=client.raw_query(f"SELECT * FROM {source}", fmt=fmt), fmt=fmt)
    assert _digest(client, table) == _digest(client, source)


def test_values_in_a_command_and_insert_select(client: Client, table: str) -> None:
    _create(client, table)
    client.command(f"INSERT INTO {table} (n, s) VALUES (1, 'a;b'), (2, 'VALUES')")
    client.command(f"INSERT INTO {table} SELECT * FROM ({_SOURCE.format(rows=3)})")
    assert client.command(f"SELECT count() FROM {table}") == 5


def test_insert_select_from_input_reads_the_body(client: Client, table: str) -> None:
    _create(client, table)
    sql = f"INSERT INTO {table} (n, s) SELECT a + 1, upper(b) FROM input('a UInt64, b String') WHERE a > 1 FORMAT CSV"
    client.raw_insert(None, insert_block=f"{sql}\n1,x\n2,y\n")
    assert client.query(f"SELECT n, s FROM {table}").result_rows == [(3, "Y")]


@pytest.mark.parametrize(
    ("body", "fmt", "codes"),
    [
        ("abc,0.5,a,1\n", "CSV", {27}),
        ('{"n": "abc"}\n', "JSONEachRow", {27, 26, 117}),
        ("1,0.5,a,1,9,9\n", "CSV", {117, 27}),
    ],
)
def test_bad_data_is_refused_with_its_code_and_nothing_is_kept(
    client: Client, table: str, body: str, fmt: str, codes: set[int]
) -> None:
    _create(client, table)
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert(table, insert_block=body, fmt=fmt)
    assert caught.value.code in codes
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_a_native_body_that_breaks_off_leaves_nothing(client: Client, table: str) -> None:
    _create(client, table)
    whole = _native(client, 200_000, 16_384)
    with pytest.raises(DatabaseError, match="33"):
        client.raw_insert(table, insert_block=whole[: len(whole) // 2], fmt="Native")
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_a_retry_with_its_token_is_kept_once(client: Client, table: str) -> None:
    _create(client, table, "SETTINGS non_replicated_deduplication_window = 100")
    before = _duplicates(client)
    body, token = _native(client, 5_000, 1_000), {"insert_deduplication_token": "topic-0-0-4999"}
    client.raw_insert(table, insert_block=body, fmt="Native", settings=token)
    client.raw_insert(table, insert_block=body, fmt="Native", settings=token)
    assert client.command(f"SELECT count() FROM {table}") == 5_000
    assert _duplicates(client) > before
    client.raw_insert(table, insert_block=body, fmt="Native", settings={"insert_deduplication_token": "another"})
    assert client.command(f"SELECT count() FROM {table}") == 10_000


def test_query_log_shows_which_insert_was_a_duplicate(client: Client, table: str) -> None:
    _create(client, table, "SETTINGS non_replicated_deduplication_window = 100")
    for query_id in ("first", "again"):
        settings = {"insert_deduplication_token": "one", "query_id": f"{table}-{query_id}"}
        client.raw_insert(table, insert_block=_native(client, 10, 10), fmt="Native", settings=settings)
    client.command("SYSTEM FLUSH LOGS")
    sql = """SELECT Settings['chdb_client_name'], ProfileEvents['DuplicatedInsertedBlocks'] > 0 FROM system.query_log
             WHERE query_kind = 'Insert' AND type = 'QueryFinish' AND has(tables, {t:String}) ORDER BY 1"""
    rows = client.query(sql, parameters={"t": f"default.{table}"}).result_rows
    assert dict(rows) == {f"{table}-again": True, f"{table}-first": False}


def test_without_a_window_the_same_token_is_kept_twice(client: Client, table: str) -> None:
    _create(client, table)
    for _ in range(2):
        body, token = _native(client, 5_000, 1_000), {"insert_deduplication_token": "topic-0-0-4999"}
        client.raw_insert(table, insert_block=body, fmt="Native", settings=token)
    assert client.command(f"SELECT count() FROM {table}") == 10_000


def test_an_insert_can_be_seen_by_all_as_soon_as_it_is_acknowledged(bridge: BridgeProcess, table: str) -> None:
    with bridge.client() as writer, bridge.client() as reader:
        _create(writer, table)
        for i in range(1, 20):
            writer.raw_insert(table, insert_block=f"{i},0,x,1\n", fmt="CSV")
            assert reader.command(f"SELECT count() FROM {table}") == i


def test_eight_clients_insert_and_select_at_once_and_nothing_is_lost(bridge: BridgeProcess, table: str) -> None:
    rounds, rows = 15, 2_000
    start = threading.Barrier(8)

    def work(worker: int) -> int:
        with bridge.client() as own:
            start.wait()
            for i in range(rounds):
                base = (worker * rounds + i) * rows
                numbers = np.arange(base, base + rows, dtype=np.uint64)
                columns = [numbers, numbers / 7, [str(n) for n in numbers], numbers % 5]
                own.insert(table, columns, column_names=["n", "f", "s", "p"], column_oriented=True)
                # A reader sees whole inserts only.
                assert own.command(f"SELECT count() % {rows} FROM {table}") == 0
            return rounds * rows

    with bridge.client() as owner:
        _create(owner, table)
        with ThreadPoolExecutor(8) as pool:
            written = sum(pool.map(work, range(8)))
        assert owner.query(f"SELECT count(), uniqExact(n), max(n) FROM {table}").first_row == (
            written,
            written,
            written - 1,
        )


def _duplicates(client: Client) -> int:
    return int(client.command("SELECT sum(value) FROM system.events WHERE event = 'DuplicatedInsertedBlocks'"))
