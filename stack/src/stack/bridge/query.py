"""One query on a connection: from its text and body to a stream of results. Blocking: runs on a worker thread."""

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final
from uuid import uuid4

import orjson

from stack.bridge.engine import Connection, Result
from stack.bridge.errors import (
    BAD_ARGUMENTS,
    QUERY_IS_TOO_LARGE,
    READONLY,
    SYNTAX_ERROR,
    refusal,
)
from stack.bridge.request import Request
from stack.bridge.session import MARK, Scope, identifier, quoted
from stack.bridge.statement import Kind, Statement, parse

# Formats without head and foot: what the engine writes block by block can be joined. All others go through a file.
STREAMED: Final = frozenset(
    {"native", "rowbinary", "null", "csv", "tskv", "tsv", "tabseparated", "tsvraw", "tabseparatedraw", "raw"}
    | {"jsoneachrow", "jsonlines", "ndjson", "jsonstringseachrow", "jsoncompacteachrow", "jsoncompactstringseachrow"}
)
_HEAD: Final = 1 << 16
_PIECE: Final = 1 << 20


@dataclass(slots=True)
class Query:
    """A query being answered.

    ``body``: the decoded request body. ``files``: the external tables' data by name. ``spool``: a directory for results
    and bodies the engine can only write or read whole. After :meth:`start`, ``format`` and ``statement`` are known and
    :meth:`results` yields; then :meth:`finish`.
    """

    scope: Scope
    request: Request
    query_id: str
    spool: Path
    max_query_bytes: int
    body: Iterator[bytes]
    files: dict[str, bytes] = field(default_factory=dict)
    statement: Statement = field(default_factory=lambda: Statement(Kind.EMPTY, b""))
    format: str = ""

    def start(self) -> None:
        """Read the statement and make the connection ready for it. Raises :class:`EngineError`."""
        self.statement, self.body = self._read()
        if self.statement.kind is Kind.EMPTY:
            raise refusal(SYNTAX_ERROR, "SYNTAX_ERROR", "Syntax error: Empty query")
        if self.request.readonly and not self.statement.reads:
            message = (
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly: use POST"
            )
            raise refusal(READONLY, "READONLY", message)
        fallback = "Values" if self.statement.kind is Kind.INSERT else "TabSeparated"
        self.format = self.statement.format or self.request.default_format or fallback
        self.scope.enter(self.request, self.statement, self.query_id)
        for name, data in self.files.items():
            self._make_external(name, data)

    def results(self) -> Generator[Result, None, None]:
        """Run it. Raises :class:`EngineError`, also after results were given."""
        run: dict[Kind, Callable[[Connection], Iterator[Result]]] = {
            Kind.SELECT: self._select,
            Kind.INSERT: self._insert,
            Kind.INSERT_INPUT: self._insert_input,
            Kind.KILL: self._kill,
        }
        yield from run.get(self.statement.kind, self._plain)(self.scope.connection)

    def finish(self) -> None:
        """Leave the connection as the session's next query expects it."""
        for name in self.files if self.scope.lasting else ():
            self.scope.connection.run(b"DROP TEMPORARY TABLE IF EXISTS " + identifier(name))
        self.scope.leave(self.statement.kind)

    def _read(self) -> tuple[Statement, Iterator[bytes]]:
        """Return the statement and what of the body is its data."""
        if self.request.query:
            found = parse(self.request.query)
            if found.kind in {Kind.INSERT, Kind.INSERT_INPUT}:
                inline = [found.data + b"\n"] if found.data.strip() else []
                return found, chain(inline, self.body)
        head, ended = self.request.query + b"\n" if self.request.query else b"", False
        for size in (_HEAD, self.max_query_bytes):
            while len(head) < size and not ended:
                more = next(self.body, None)
                ended = more is None
                head += more or b""
            found = parse(head)
            if found.kind in {Kind.INSERT, Kind.INSERT_INPUT} and (ended or len(found.data) > 1):
                return found, chain([found.data] if found.data else [], self.body)
            if ended:
                return found, self.body
        message = f"The statement is longer than {self.max_query_bytes} bytes: shorten it or raise --max-query-bytes"
        raise refusal(QUERY_IS_TOO_LARGE, "QUERY_IS_TOO_LARGE", message)

    def _select(self, connection: Connection) -> Iterator[Result]:
        if self.format.lower() in STREAMED:
            yield from connection.stream(self.statement.text, self.format)
            return
        text, tail, path = self.statement.text, self.statement.tail, self._spooled()
        clause = b" INTO OUTFILE " + quoted(str(path))
        if self.statement.format is None:
            clause += b" FORMAT " + identifier(self.format)
        try:
            yield connection.run(text[:tail] + clause + b" " + text[tail:])
            yield from (Result(piece) for piece in _pieces(path))
        finally:
            path.unlink(missing_ok=True)

    def _insert(self, connection: Connection) -> Iterator[Result]:
        yield connection.insert(self.statement.text, self.format, self.body)

    def _insert_input(self, connection: Connection) -> Iterator[Result]:
        path, text = self._spooled(), self.statement.text
        start, end = self.statement.input_call or (0, 0)
        call = b"file(" + quoted(str(path)) + b", " + quoted(self.format) + b", "
        opening = text.index(b"(", end) + 1
        try:
            with path.open("wb") as file:
                file.writelines(self.body)
            yield connection.run(text[:start] + call + text[opening:])
        finally:
            path.unlink(missing_ok=True)

    def _kill(self, connection: Connection) -> Iterator[Result]:
        # Clients know their own query ids, the engine its: the former are in the mark.
        sql = b"SELECT Settings[" + quoted(MARK) + b"], query_id FROM system.processes"
        rows = connection.run(sql, "JSONCompactEachRow").data
        text = self.statement.text
        for mark, engine_id in map(orjson.loads, rows.splitlines()):
            text = text.replace(quoted(mark), quoted(engine_id)) if mark else text
        yield connection.run(text, self.format)

    def _plain(self, connection: Connection) -> Iterator[Result]:
        yield connection.run(self.statement.text, self.format)

    def _make_external(self, name: str, data: bytes) -> None:
        spec = self.request.external.get(name, {})
        columns = spec.get("structure") or _numbered(spec.get("types", ""))
        if not columns:
            message = f"External table {name!r} has no columns: send {name}_structure or {name}_types"
            raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", message)
        connection, table = self.scope.connection, identifier(name)
        connection.run(b"CREATE TEMPORARY TABLE " + table + b" (" + columns.encode() + b")")
        connection.insert(b"INSERT INTO " + table, spec.get("format", "TabSeparated"), iter([data]))

    def _spooled(self) -> Path:
        return self.spool / f"{uuid4().hex}.spool"


def kill(connection: Connection, query_id: str) -> None:
    """Cancel a running query by the client's id; nothing happens if there is none."""
    where = b"Settings[" + quoted(MARK) + b"] = " + quoted(query_id)
    connection.run(b"KILL QUERY WHERE query_id IN (SELECT query_id FROM system.processes WHERE " + where + b") ASYNC")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _numbered(types: str) -> str:
    """Name the columns of an external table given by types only: ``_1``, ``_2``, as ClickHouse does."""
    parts = [part.strip() for part in re.split(r",(?![^(]*\))", types) if part.strip()]
    return ", ".join(f"_{i} {part}" for i, part in enumerate(parts, 1))
