"""Every column type the tables use survives insert() and query(), and Native bytes as they are."""

import ipaddress
import math
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

pytestmark = pytest.mark.integration

_MOMENT = datetime(2026, 1, 21, 8, 0, 0, 123_456, tzinfo=UTC)
_INTS = {
    f"{'U' * (1 - signed)}Int{bits}": (bits, bool(signed)) for bits in (8, 16, 32, 64, 128, 256) for signed in (0, 1)
}

TYPES: dict[str, list[Any]] = {
    name: [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0] if signed else [0, 2**bits - 1, 1]
    for name, (bits, signed) in _INTS.items()
} | {
    "Float32": [0.5, math.inf, -0.0],
    "Float64": [1e-308, -math.inf, 0.1],
    "String": ["", "quote ' tab \t nul \0 é 漢", "x" * 100_000],
    "FixedString(4)": [b"abcd", b"\xff\x00\x01\xfe", b"\0\0\0\0"],
    "LowCardinality(String)": ["BTC", "ETH", "BTC"],
    "LowCardinality(Nullable(String))": ["BTC", None, ""],
    "Nullable(Float64)": [None, 0.0, 1.5],
    "Array(Float64)": [[], [1.0, 2.0], [math.inf]],
    "Array(Array(UInt16))": [[], [[1], []], [[2, 3]]],
    "Array(Nullable(Int64))": [[None], [], [5, None]],
    "Tuple(UInt8, String)": [(1, "a"), (2, ""), (255, "é")],
    "Tuple(strike Float64, side String)": [
        {"strike": 1.0, "side": "C"},
        {"strike": 2.0, "side": "P"},
        {"strike": 3.0, "side": ""},
    ],
    "Nested(k String, v Float64)": [[{"k": "a", "v": 1.0}], [], [{"k": "b", "v": 2.0}, {"k": "c", "v": 3.0}]],
    "Map(String, UInt64)": [{}, {"a": 1}, {"b": 2, "c": 3}],
    "Date": [date(1970, 1, 1), date(2026, 1, 21), date(2149, 6, 6)],
    "Date32": [date(1900, 1, 1), date(2026, 1, 21), date(2299, 12, 31)],
    "DateTime('UTC')": [_MOMENT.replace(microsecond=0)] * 3,
    "DateTime64(3, 'UTC')": [_MOMENT.replace(microsecond=123_000)] * 3,
    "DateTime64(6, 'UTC')": [_MOMENT] * 3,
    "Decimal(9, 2)": [Decimal("-1234567.89"), Decimal("0.00"), Decimal("0.01")],
    "Decimal(38, 10)": [Decimal("1234567890123456789.0123456789"), Decimal(0), Decimal(-1)],
    "Enum8('call' = 1, 'put' = 2)": ["call", "put", "call"],
    "Enum16('a' = -300, 'b' = 300)": ["a", "b", "a"],
    "UUID": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")],
    "Bool": [True, False, True],
    "IPv4": [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv4Address(0), ipaddress.IPv4Address("255.255.255.255")],
    "IPv6": [ipaddress.IPv6Address("::1"), ipaddress.IPv6Address(0), ipaddress.IPv6Address("2001:db8::1")],
    "JSON": [{"a": 1}, {"b": {"c": "x"}}, {}],
}


@pytest.mark.parametrize("name", TYPES)
def test_values_come_back_as_they_were_inserted(client: Client, table: str, name: str) -> None:
    values = TYPES[name]
    settings = "SETTINGS flatten_nested = 0" if name.startswith("Nested") else ""
    client.command("SET flatten_nested = 0")
    client.command(f"CREATE TABLE {table} (i UInt8, x {name}) ENGINE = MergeTree ORDER BY i")
    client.insert(table, [[i, value] for i, value in enumerate(values)], column_names=["i", "x"])
    got = [row[0] for row in client.query(f"SELECT x FROM {table} ORDER BY i {settings}").result_rows]
    assert [_plain(value) for value in got] == values


@pytest.mark.parametrize("name", TYPES)
def test_native_bytes_of_a_table_make_an_equal_table(client: Client, table: str, name: str) -> None:
    client.command("SET flatten_nested = 0")
    client.command(f"CREATE TABLE {table} (i UInt8, x {name}) ENGINE = MergeTree ORDER BY i")
    client.insert(table, [[i, value] for i, value in enumerate(TYPES[name])], column_names=["i", "x"])
    client.command(f"CREATE TEMPORARY TABLE copied AS {table}")
    native = client.raw_query(f"SELECT * FROM {table}", fmt="Native")
    client.raw_insert("copied", insert_block=native, fmt="Native")
    digest = "SELECT count(), groupArray(cityHash64(toString(x))) FROM (SELECT * FROM {t:Identifier} ORDER BY i)"
    source, copy = (client.query(digest, parameters={"t": t}).result_rows for t in (table, "copied"))
    assert copy == source
    assert source[0][0] == 3


def test_nan_stays_nan_and_is_not_null(client: Client, table: str) -> None:
    client.command(f"CREATE TABLE {table} (x Nullable(Float64)) ENGINE = MergeTree ORDER BY tuple()")
    client.insert(table, [[math.nan], [None]], column_names=["x"])
    assert client.query(f"SELECT countIf(isNaN(x)), countIf(x IS NULL) FROM {table}").first_row == (1, 1)


def test_strings_are_bytes_and_need_not_be_text(client: Client, table: str) -> None:
    client.command(f"CREATE TABLE {table} (x String) ENGINE = MergeTree ORDER BY tuple()")
    every = bytes(range(256))
    client.insert(table, [[every]], column_names=["x"])
    got = client.query(f"SELECT x FROM {table}", query_formats={"String": "bytes"}).first_row[0]
    assert got == every
    assert client.command(f"SELECT hex(x) FROM {table}") == every.hex().upper()


def test_nanoseconds_are_kept(client: Client, table: str) -> None:
    client.command(f"CREATE TABLE {table} (x DateTime64(9, 'UTC')) ENGINE = MergeTree ORDER BY tuple()")
    ticks = 1_768_982_400_123_456_789
    client.raw_insert(table, insert_block=f"{ticks // 10**9}.{ticks % 10**9:09d}\n", fmt="TSV")
    assert client.command(f"SELECT toUnixTimestamp64Nano(x) FROM {table}") == ticks


def _plain(value: Any) -> Any:
    """A value without the wrappers clickhouse-connect's rows have."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
