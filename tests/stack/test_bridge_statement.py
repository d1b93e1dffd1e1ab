"""Routing of statements: their kind, format, and where an INSERT's data begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.bridge.errors import EngineError
from stack.bridge.statement import Kind, parse

_BYTES = st.binary(max_size=200)


@given(data=_BYTES)
def test_data_after_a_format_clause_is_kept_byte_for_byte(data: bytes) -> None:
    statement = parse(b"INSERT INTO t (a, b) FORMAT Native\n" + data)
    assert (statement.kind, statement.format, statement.data) == (Kind.INSERT, "Native", data)
    assert statement.text == b"INSERT INTO t (a, b) "


@given(text=_BYTES)
def test_any_bytes_are_routed_or_refused_with_a_code(text: bytes) -> None:
    try:
        assert parse(text).kind in Kind
    except EngineError as error:
        assert error.code in {48, 62}  # noqa: PT017 - both ends are allowed


@pytest.mark.parametrize(
    ("text", "fmt", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\r\n1,2", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV;\n1,2", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV 1,2", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT RowBinary\n\n\x01", "RowBinary", b"\n\x01"),
        (b"insert into db.t format JSONEachRow\n{}", "JSONEachRow", b"{}"),
        (b"INSERT INTO t VALUES (1, ';')", "Values", b" (1, ';')"),
        (b"INSERT INTO `format` (`values`) VALUES (1)", "Values", b" (1)"),
        (b"INSERT INTO values FORMAT CSV\n1", "CSV", b"1"),
        (b"INSERT INTO TABLE FUNCTION null('x UInt8') FORMAT CSV\n1", "CSV", b"1"),
        (b"INSERT INTO {t:Identifier} FORMAT CSV\n1", "CSV", b"1"),
        (b"/* a ; FORMAT X */ INSERT INTO t -- VALUES\n SETTINGS a = 'FORMAT CSV' FORMAT TSV\n1", "TSV", b"1"),
        (b"INSERT INTO t", None, b""),
    ],
)
def test_an_inserts_data_begins_after_its_clause(text: bytes, fmt: str | None, data: bytes) -> None:
    statement = parse(text)
    assert (statement.kind, statement.format, statement.data) == (Kind.INSERT, fmt, data)


def test_an_insert_that_selects_from_input_keeps_its_call_and_data() -> None:
    text = b"INSERT INTO t SELECT a FROM input('a UInt8') WHERE a > 1 FORMAT CSV\n7\n"
    statement = parse(text)
    assert (statement.kind, statement.format, statement.data) == (Kind.INSERT_INPUT, "CSV", b"7\n")
    assert statement.input_call is not None
    assert text[slice(*statement.input_call)] == b"input"


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT INTO t SELECT * FROM values('a UInt8', 1)",
        b"INSERT INTO t (a) (SELECT 1)",
        b"INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x",
        b"INSERT INTO t FROM INFILE 'f' FORMAT CSV",
        b"CREATE TABLE t (x UInt8) ENGINE = Memory",
    ],
)
def test_statements_without_a_body_go_to_the_engine_whole(text: bytes) -> None:
    statement = parse(text)
    assert (statement.kind, statement.text, statement.reads) == (Kind.OTHER, text, False)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"SELECT 1", Kind.SELECT),
        (b" ( (SELECT 1) )", Kind.SELECT),
        (b"WITH x AS (SELECT 1) SELECT * FROM x", Kind.SELECT),
        (b"FROM t SELECT *", Kind.SELECT),
        (b"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Kind.OTHER),
        (b"SET a = 1", Kind.SET),
        (b"use db", Kind.USE),
        (b"KILL QUERY WHERE 1", Kind.KILL),
        (b"SHOW TABLES", Kind.OTHER),
        (b"", Kind.EMPTY),
        (b" -- only a comment", Kind.EMPTY),
    ],
)
def test_kinds(text: bytes, kind: Kind) -> None:
    assert parse(text).kind is kind


@pytest.mark.parametrize(
    ("text", "fmt", "rest"),
    [
        (b"SELECT 1 FORMAT JSON", "JSON", b"FORMAT JSON"),
        (b"SELECT 1 FORMAT JSON SETTINGS a = 1", "JSON", b"FORMAT JSON SETTINGS a = 1"),
        (b"SELECT 1 FORMAT JSON -- CSV", "JSON", b"FORMAT JSON"),
        (b"SELECT format('{}', 1)", None, b""),
        (b"SELECT 'FORMAT JSON'", None, b""),
        (b"SELECT 1; -- done", None, b""),
        (b"SELECT x FROM (SELECT 1 AS x FORMAT CSV)", None, b""),
    ],
)
def test_the_format_of_a_result_and_where_its_clause_begins(text: bytes, fmt: str | None, rest: bytes) -> None:
    statement = parse(text)
    assert (statement.format, statement.text[statement.tail :]) == (fmt, rest)


def test_a_quote_or_comment_hides_a_semicolon() -> None:
    assert parse(b"SELECT ';' /* ; */ -- ;\n").kind is Kind.SELECT


@pytest.mark.parametrize(
    ("text", "code"),
    [(b"SELECT 1; SELECT 2", 62), (b"SELECT 1 INTO OUTFILE 'x'", 48), (b"SET a = 1; DROP TABLE t", 62)],
)
def test_what_a_server_does_not_take_is_refused(text: bytes, code: int) -> None:
    with pytest.raises(EngineError) as caught:
        parse(text)
    assert caught.value.code == code
