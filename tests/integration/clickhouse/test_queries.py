"""Selects through clickhouse-connect: clients, parameters, settings, sessions, errors."""

import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

from .conftest import BridgeProcess

pytestmark = pytest.mark.integration


def test_a_client_learns_version_zone_and_settings_when_it_is_made(client: Client) -> None:
    assert client.server_version == client.command("SELECT version()")
    assert str(client.server_tz) in {"UTC", "Etc/UTC"}
    assert "max_threads" in client.server_settings
    assert client.ping()


def test_server_side_parameters_reach_the_engine_with_their_types(client: Client) -> None:
    values = {"n": -7, "s": "quote ' tab \t line \n back \\ é", "a": [1, 2], "d": date(2026, 1, 21)}
    result = client.query("SELECT {n:Int32}, {s:String}, {a:Array(UInt8)}, {d:Date}", parameters=values)
    assert result.result_rows == [(-7, values["s"], [1, 2], values["d"])]


def test_client_side_parameters_are_bound_before_the_statement_is_sent(client: Client) -> None:
    result = client.query("SELECT %(n)s + 1, %(s)s", parameters={"n": 41, "s": "it's"})
    assert result.result_rows == [(42, "it's")]


def test_a_parameter_can_name_a_table(client: Client, table: str) -> None:
    client.command(f"CREATE TABLE {table} (x UInt8) ENGINE = Memory")
    assert client.command("SELECT count() FROM {t:Identifier}", parameters={"t": table}) == 0


def test_a_parameter_is_not_found_by_the_sessions_next_query(client: Client) -> None:
    assert client.command("SELECT {x:UInt8}", parameters={"x": 5}) == 5
    with pytest.raises(DatabaseError, match=r"(?s)456.*Substitution 'x' is not set"):
        client.command("SELECT {x:UInt8}")


def test_a_querys_settings_hold_for_it_alone(client: Client) -> None:
    default = client.command("SELECT getSetting('max_block_size')")
    assert client.command("SELECT getSetting('max_block_size')", settings={"max_block_size": 77}) == 77
    assert client.command("SELECT getSetting('max_block_size')") == default


def test_set_holds_for_its_session_and_no_other(bridge: BridgeProcess) -> None:
    with bridge.client() as one, bridge.client() as two:
        default = two.command("SELECT getSetting('max_block_size')")
        one.command("SET max_block_size = 123")
        assert one.command("SELECT getSetting('max_block_size')") == 123
        assert one.command("SELECT getSetting('max_block_size')", settings={"max_block_size": 9}) == 9
        assert one.command("SELECT getSetting('max_block_size')") == 123
        assert two.command("SELECT getSetting('max_block_size')") == default


def test_a_refused_setting_leaves_the_session_usable(client: Client) -> None:
    default = client.command("SELECT getSetting('max_block_size')")
    with pytest.raises(DatabaseError):
        client.command("SELECT 1", settings={"max_block_size": 5, "max_threads": "many"})
    assert client.command("SELECT getSetting('max_block_size')") == default


def test_temporary_tables_live_in_their_session(bridge: BridgeProcess) -> None:
    with bridge.client() as one, bridge.client() as two:
        one.command("CREATE TEMPORARY TABLE mine (x UInt8)")
        one.insert("mine", [[1], [2]], column_names=["x"], column_type_names=["UInt8"])
        assert one.command("SELECT sum(x) FROM mine") == 3
        with pytest.raises(DatabaseError, match="60"):
            two.command("SELECT sum(x) FROM mine")


def test_use_and_the_database_of_a_client(bridge: BridgeProcess, client: Client) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS other")
    with bridge.client(database="other") as other, bridge.client() as plain:
        other.command("CREATE OR REPLACE TABLE here (x UInt8) ENGINE = MergeTree ORDER BY x")
        assert other.command("SELECT currentDatabase()") == "other"
        assert other.command("EXISTS TABLE here") == 1
        assert plain.command("SELECT currentDatabase()") == "default"
    client.command("DROP DATABASE other SYNC")


def test_without_a_session_settings_databases_and_tables_are_forgotten(bridge: BridgeProcess) -> None:
    with bridge.client(autogenerate_session_id=False) as client:
        default = client.command("SELECT getSetting('max_block_size')")
        client.command("SET max_block_size = 123")
        assert client.command("SELECT getSetting('max_block_size')") == default


@pytest.mark.parametrize(
    ("sql", "code", "settings"),
    [
        ("SELECT * FROM no_such_table", 60, {}),
        ("SELEC 1", 62, {}),
        ("SELECT no_such_column", 47, {}),
        ("SELECT no_such_function(1)", 46, {}),
        ("SELECT toInt32('x')", 6, {}),
        ("SELECT 1", 115, {"no_such_setting": "1"}),
        ("SELECT 1 FROM no_such_database.t", 81, {}),
        ("SELECT sleep(3)", 159, {"max_execution_time": 1}),
        ("SELECT uniqExact(number) FROM numbers(10000000)", 241, {"max_memory_usage": 1_000_000}),
        ("SELECT 1; SELECT 2", 62, {}),
        ("", 62, {}),
        ("SELECT 1 INTO OUTFILE 'x'", 48, {}),
    ],
)
def test_errors_carry_clickhouses_code_and_text(bridge: BridgeProcess, sql: str, code: int, settings: dict) -> None:
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    connection = bridge.http()
    connection.request("POST", f"/?{query}", sql.encode())
    response = connection.getresponse()
    assert response.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert response.read().decode().startswith(f"Code: {code}. DB::")
    assert response.status == {60: 404, 47: 404, 46: 404, 81: 404, 115: 404, 159: 408, 241: 500, 48: 501}.get(code, 400)
    connection.close()


def test_the_client_raises_with_the_code(client: Client) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM no_such_table")
    assert caught.value.code == 60


@pytest.mark.parametrize(("user", "password"), [("bob", ""), ("default", "secret")])
def test_any_user_but_default_without_password_is_refused(bridge: BridgeProcess, user: str, password: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        bridge.client(username=user, password=password)
    assert caught.value.code == 516


def test_a_large_result_arrives_whole_and_the_server_does_not_hold_it(starter: Callable[..., BridgeProcess]) -> None:
    running = starter()

    def peak() -> int:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

    with running.client() as client:
        client.command("SELECT count() FROM numbers(1000000)")
        before, rows, total = peak(), 0, 0
        sql = "SELECT number, number * 2, toString(number) FROM numbers(10000000)"
        with client.query_column_block_stream(sql, column_formats={}) as blocks:
            for block in blocks:
                rows += len(block[0])
                total += int(np.sum(np.asarray(block[0], dtype=np.uint64)))
        assert (rows, total) == (10_000_000, 10_000_000 * 9_999_999 // 2)
        # The body is about 240 MB; ten blocks of it are 16 MB.
        assert peak() - before < 100_000


def test_rows_stream_block_by_block(client: Client) -> None:
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(300000)") as blocks:
        sizes = [len(block) for block in blocks]
    assert sum(sizes) == 300_000
    assert len(sizes) > 1


def test_a_result_the_client_waits_for_may_be_larger_than_the_servers_memory_for_it(client: Client) -> None:
    result = client.query("SELECT number, repeat('x', 50) FROM numbers(1000000)")
    assert result.row_count == 1_000_000
    assert result.summary["result_rows"] == "1000000"


def test_an_error_in_mid_stream_reaches_the_client(client: Client) -> None:
    sql = "SELECT throwIf(number = 5000000, 'broken on purpose') FROM numbers(10000000)"
    with (
        pytest.raises((StreamFailureError, DatabaseError), match="broken on purpose"),
        client.query_row_block_stream(sql, settings={"max_threads": 1}) as blocks,
    ):
        for _ in blocks:
            pass
    assert client.command("SELECT 1") == 1


def test_an_error_in_mid_stream_ends_the_connection_without_an_end_of_body(bridge: BridgeProcess) -> None:
    connection = bridge.http()
    sql = "SELECT throwIf(number = 5000000, 'broken on purpose') FROM numbers(10000000) FORMAT RowBinary"
    connection.request("POST", "/?max_threads=1", sql.encode())
    response = connection.getresponse()
    assert response.status == 200
    with pytest.raises(Exception, match="IncompleteRead") as caught:
        response.read()
    tag = response.headers["X-ClickHouse-Exception-Tag"].encode()
    assert b"__exception__\r\n" + tag + b"\r\nCode: 395." in caught.value.partial[-2000:]
    connection.close()


def test_columns_come_as_numpy_arrays_and_frames(client: Client) -> None:
    array = client.query_np("SELECT number AS n, number / 2 AS half FROM numbers(1000)")
    np.testing.assert_array_equal(array["n"], np.arange(1000))
    np.testing.assert_array_equal(array["half"], np.arange(1000) / 2)
    pytest.importorskip("pandas")
    frame = client.query_df("SELECT number AS n, toString(number) AS s FROM numbers(10)")
    assert list(frame.columns) == ["n", "s"]
    assert int(frame["n"].sum()) == 45


def test_external_data_is_a_table_of_its_query_only(client: Client) -> None:
    data = ExternalData(file_name="ext.csv", data=b"1,one\n2,two\n", fmt="CSV", structure="id UInt8, name String")
    sql = "SELECT name FROM numbers(5) AS n INNER JOIN ext ON ext.id = n.number ORDER BY name"
    assert client.query(sql, external_data=data).result_rows == [("one",), ("two",)]
    assert client.query(sql, external_data=data, parameters={"unused": 1}).row_count == 2
    types = ExternalData(file_name="ext", data=b"7\t1.50\n", fmt="TSV", types=["UInt8", "Decimal(9, 2)"])
    assert client.command("SELECT toString(_1 + _2) FROM ext", external_data=types) == "8.5"
    with pytest.raises(DatabaseError, match="60"):
        client.query("SELECT * FROM ext")


def test_parameters_can_come_in_a_form(bridge: BridgeProcess) -> None:
    with bridge.client(form_encode_query_params=True) as client:
        assert client.query("SELECT {s:String}", parameters={"s": "x" * 100_000}).first_row == ("x" * 100_000,)


def test_a_statement_of_half_a_megabyte_is_taken_and_a_larger_one_refused(bridge: BridgeProcess) -> None:
    with bridge.client() as client:
        numbers = ",".join(str(n) for n in range(80_000))
        sql = f"SELECT length([{numbers}])"
        settings = {"max_query_size": 1 << 20, "max_parser_backtracks": 0}
        assert client.query(sql, settings=settings).first_row == (80_000,)
        with pytest.raises(DatabaseError) as caught:
            client.query("SELECT 1 -- " + "x" * (1 << 20))
        assert caught.value.code == 229


def test_kill_query_works_by_the_clients_query_id(bridge: BridgeProcess, client: Client) -> None:
    failed: list[DatabaseError] = []

    def run() -> None:
        with bridge.client() as other:
            try:
                other.query("SELECT count() FROM numbers(1000000000000)", settings={"query_id": "to-be-killed"})
            except DatabaseError as error:
                failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    _until(lambda: _running(client, "1000000000000") == 1)
    client.command("KILL QUERY WHERE query_id = 'to-be-killed' SYNC")
    thread.join(timeout=30)
    assert [error.code for error in failed] == [394]


def test_a_query_whose_client_went_away_is_cancelled(bridge: BridgeProcess, client: Client) -> None:
    connection = bridge.http()
    connection.request("POST", "/", b"SELECT count() FROM numbers(2000000000000)")
    _until(lambda: _running(client, "2000000000000") == 1)
    connection.close()
    _until(lambda: _running(client, "2000000000000") == 0)


def test_two_running_queries_cannot_have_one_id(bridge: BridgeProcess, client: Client) -> None:
    connection = bridge.http()
    connection.request("POST", "/?query_id=twice", b"SELECT count() FROM numbers(3000000000000)")
    _until(lambda: _running(client, "3000000000000") == 1)
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT 1", settings={"query_id": "twice"})
    assert caught.value.code == 216
    connection.close()


def test_query_log_names_the_clients_query_id(client: Client) -> None:
    client.command("SELECT 'find me'", settings={"query_id": "a-query-to-find"})
    client.command("SYSTEM FLUSH LOGS")
    sql = "SELECT type, query FROM system.query_log WHERE Settings['chdb_client_name'] = 'a-query-to-find'"
    assert ("QueryFinish", "SELECT 'find me'") in client.query(sql).result_rows


def _running(client: Client, part: str) -> int:
    sql = "SELECT countIf(query LIKE %(p)s AND query NOT LIKE '%%processes%%') FROM system.processes"
    return int(client.command(sql, parameters={"p": f"%{part}%"}))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true within 30 s"
        time.sleep(0.02)
