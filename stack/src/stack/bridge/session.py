"""A connection with the settings, database and parameters of one request in force, and sessions that keep theirs.

In ClickHouse what comes with a request (URL settings, ``database``) holds for that request; what a statement sets
(``SET``, ``USE``, temporary tables) holds for the session. An engine connection knows only the latter, so the former is
put on before a statement and taken off before the next one that needs it off: a client that sends the same settings
with each request, as clickhouse-connect does, costs nothing extra.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

import orjson

from stack.bridge.engine import Connection
from stack.bridge.errors import (
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    UNKNOWN_QUERY_PARAMETER,
    refusal,
)
from stack.bridge.request import Request
from stack.bridge.statement import Kind, Statement

# A text setting no statement of ours depends on (it names the application to remote servers): it carries the client's
# query id into system.processes and system.query_log, because the engine gives each query an id of its own.
MARK = "chdb_client_name"
_UNLIMITED = b" SETTINGS max_rows_to_read = 0, max_bytes_to_read = 0, max_result_rows = 0, max_execution_time = 0"


def quoted(value: str | bytes) -> bytes:
    """Return a value as an SQL string literal."""
    raw = value.encode() if isinstance(value, str) else value
    return b"'" + raw.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def identifier(name: str) -> bytes:
    """Return a name as a quoted SQL identifier."""
    return b"`" + name.replace("\\", "\\\\").replace("`", "\\`").encode() + b"`"


@dataclass(slots=True)
class Scope:
    """A connection and what requests have put on it; ``lasting`` if there will be more than one."""

    connection: Connection
    lasting: bool = False
    _settings: dict[str, str | None] = field(default_factory=dict)  # put on by requests; None: perhaps
    _before: dict[str, str | None] = field(default_factory=dict)  # the session's own values; None: the default
    _parameters: set[str] = field(default_factory=set)
    _database: str = "default"  # in force
    _session_database: str = "default"

    def enter(self, request: Request, statement: Statement, mark: str) -> None:
        """Put on what the request brings; ``SET`` and ``USE`` act on the session's own values.

        Raises :class:`EngineError` for an unknown setting or database and a value that is missing or wrong.
        """
        self._refuse_stale(request, statement)
        wanted = {} if statement.kind is Kind.SET else dict(request.settings)
        self._take_off(wanted)
        changed = {name: value for name, value in wanted.items() if self._settings.get(name) != value}
        if self.lasting:
            self._remember(changed)
        given: dict[str, str | bytes] = {**changed, **request.parameters, MARK: mark}
        self.connection.run(b"SET " + b", ".join(name.encode() + b"=" + quoted(value) for name, value in given.items()))
        self._settings |= changed
        self._parameters |= set(request.parameters)
        database = "" if statement.kind is Kind.USE else request.database
        self._use(database or self._session_database)

    def leave(self, kind: Kind) -> None:
        """Note what the statement changed for the session."""
        if kind is Kind.USE:
            self._session_database = self.connection.run("SELECT currentDatabase()").data.decode().rstrip("\n")
            self._database = self._session_database

    def _use(self, database: str) -> None:
        if database != self._database:
            self.connection.run(b"USE " + identifier(database))
            self._database = database

    def _refuse_stale(self, request: Request, statement: Statement) -> None:
        # The engine keeps parameters of earlier statements: one that was not sent again must not be found.
        for name in self._parameters - set(request.parameters):
            if re.search(rb"\{\s*" + name.removeprefix("param_").encode() + rb"\s*:", statement.text):
                message = f"Substitution {name.removeprefix('param_')!r} is not set: send it as {name}=…"
                raise refusal(UNKNOWN_QUERY_PARAMETER, "UNKNOWN_QUERY_PARAMETER", message)

    def _take_off(self, wanted: Mapping[str, str]) -> None:
        for name in [name for name in self._settings if name not in wanted]:
            before = self._before.pop(name)
            self.connection.run(f"SET {name}=".encode() + (b"DEFAULT" if before is None else quoted(before)))
            del self._settings[name]

    def _remember(self, changed: Mapping[str, str]) -> None:
        new = [name for name in changed if name not in self._before]
        if new:
            names = b", ".join(quoted(name) for name in new)
            sql = b"SELECT name, if(changed, value, NULL) FROM system.settings WHERE name IN (" + names + b")"
            rows = self.connection.run(sql + _UNLIMITED, "JSONCompactEachRow").data.splitlines()
            self._before |= dict(orjson.loads(row) for row in rows)
        # Should the engine refuse one of them, the others may be on: they count as such until taken off.
        self._settings |= {name: None for name in changed if name in self._before}


@dataclass(slots=True)
class _Session:
    scope: Scope
    deadline: float
    busy: bool = True


class Sessions:
    """The sessions by id: made when first named, closed when idle for longer than the client asked."""

    def __init__(self, connect: Callable[[], Connection], limit: int) -> None:
        self._connect = connect
        self._limit = limit
        self._sessions: dict[str, _Session] = {}
        self._lock = Lock()

    def acquire(self, request: Request, now: float) -> Scope:
        """Return the session's scope, held for the caller; ``now`` in seconds of a clock that does not jump.

        Raises :class:`EngineError` 372 if ``session_check`` is set and there is none, 373 if another request holds it,
        202 if there are too many.
        """
        with self._lock:
            self._drop_idle(now)
            session = self._sessions.get(request.session_id)
            if session is None:
                return self._make(request)
            if session.busy:
                message = f"Session {request.session_id} is locked by a concurrent client"
                raise refusal(SESSION_IS_LOCKED, "SESSION_IS_LOCKED", message)
            session.busy = True
            return session.scope

    def release(self, request: Request, now: float) -> None:
        """Give a session back; it is closed if the request asked for that."""
        with self._lock:
            session = self._sessions[request.session_id]
            session.busy = False
            session.deadline = now + request.session_timeout
            if request.close_session:
                self._sessions.pop(request.session_id).scope.connection.close()

    def close_idle(self, now: float) -> None:
        """Close every session whose time is over."""
        with self._lock:
            self._drop_idle(now)

    def close(self) -> None:
        """Close all sessions; none may be held."""
        with self._lock:
            for session in self._sessions.values():
                session.scope.connection.close()
            self._sessions.clear()

    def _make(self, request: Request) -> Scope:
        if request.session_check:
            raise refusal(SESSION_NOT_FOUND, "SESSION_NOT_FOUND", f"Session {request.session_id} not found")
        if len(self._sessions) >= self._limit:
            message = f"Too many sessions: {self._limit} are open; close some or wait for their session_timeout"
            raise refusal(TOO_MANY_SIMULTANEOUS_QUERIES, "TOO_MANY_SIMULTANEOUS_QUERIES", message)
        scope = Scope(self._connect(), lasting=True)
        self._sessions[request.session_id] = _Session(scope, deadline=0.0)
        return scope

    def _drop_idle(self, now: float) -> None:
        for name in [name for name, s in self._sessions.items() if not s.busy and s.deadline < now]:
            self._sessions.pop(name).scope.connection.close()
