"""The HTTP side: ClickHouse's paths, headers and statuses over one engine."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

from aiohttp import web

from stack.bridge.answer import Answer
from stack.bridge.body import first_piece, pieces, read_form
from stack.bridge.encodings import decode, negotiate
from stack.bridge.engine import Engine
from stack.bridge.errors import (
    ABORTED,
    QUERY_ID_RUNNING,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    EngineError,
    refusal,
)
from stack.bridge.query import Query, kill
from stack.bridge.request import Request, check_origin, check_user, query_pairs, read_request
from stack.bridge.session import Scope, Sessions
from stack.bridge.settings import Limits

_LOG: Final = logging.getLogger(__name__)
_T = TypeVar("_T")
_CONTENT_TYPES: Final = {
    "json": "application/json; charset=UTF-8",
    "jsoncompact": "application/json; charset=UTF-8",
    "jsoneachrow": "application/x-ndjson; charset=UTF-8",
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "native": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "parquet": "application/octet-stream",
}


class Bridge:
    """Answers requests; one worker thread per running query."""

    def __init__(self, engine: Engine, limits: Limits, spool: Path) -> None:
        self._engine = engine
        self._limits = limits
        self._spool = spool
        self._sessions = Sessions(engine.connect, limits.max_sessions)
        self._workers = ThreadPoolExecutor(limits.max_queries, thread_name_prefix="query")
        self._running: set[str] = set()
        self._stopping = False

    def routes(self) -> list[web.RouteDef]:
        """Return ClickHouse's paths; any other is a 404."""
        return [
            web.get("/ping", self._ok),
            web.get("/replicas_status", self._ok),
            web.get("/", self.answer),
            web.post("/", self.answer),
        ]

    async def _ok(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="Ok.\n")

    async def answer(self, http: web.Request) -> web.StreamResponse:
        """Answer one query; whatever goes wrong before the first byte is an HTTP error with ClickHouse's code."""
        query_id = http.query.get("query_id") or str(uuid4())
        try:
            check_origin(http.headers)
            check_user(http.headers, query_pairs(http.rel_url.raw_query_string))
            self._admit(query_id)
        except EngineError as error:
            return self._error(error, query_id)
        try:
            request, files = await self._read(http)
            if not request.query and http.method != "POST":
                return await self._ok(http)
            return await self._run(http, request, files, query_id)
        except EngineError as error:
            return self._error(error, query_id)
        finally:
            self._running.discard(query_id)

    async def sweep(self) -> None:
        """Close idle sessions, once a second, until cancelled."""
        while True:
            await asyncio.sleep(1)
            await asyncio.to_thread(self._sessions.close_idle, time.monotonic())

    async def stop(self) -> None:
        """Let running queries end for a while, cancel the rest, close sessions and workers."""
        self._stopping = True
        for waited in range(self._limits.stop_grace * 10 + 50):
            if not self._running:
                break
            if waited >= self._limits.stop_grace * 10:
                await asyncio.to_thread(self._kill, list(self._running))
            await asyncio.sleep(0.1)
        self._workers.shutdown()
        self._sessions.close()

    async def _read(self, http: web.Request) -> tuple[Request, dict[str, bytes]]:
        pairs = query_pairs(http.rel_url.raw_query_string)
        files: dict[str, bytes] = {}
        if http.content_type == "multipart/form-data":
            fields, files = await read_form(http, self._limits.max_form_bytes)
            pairs += fields
        longest = self._limits.max_session_timeout
        get = http.method != "POST"
        return read_request(pairs, http.headers, get=get, tables=files, max_session_timeout=longest), files

    def _admit(self, query_id: str) -> None:
        if self._stopping:
            raise refusal(ABORTED, "ABORTED", "The server is stopping: start it again and repeat the query")
        if query_id in self._running:
            message = f"Query with id = {query_id} is already running."
            raise refusal(QUERY_ID_RUNNING, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", message)
        if len(self._running) >= self._limits.max_queries:
            message = f"Too many simultaneous queries. Maximum: {self._limits.max_queries}"
            raise refusal(TOO_MANY_SIMULTANEOUS_QUERIES, "TOO_MANY_SIMULTANEOUS_QUERIES", message)
        self._running.add(query_id)

    async def _run(
        self, http: web.Request, request: Request, files: dict[str, bytes], query_id: str
    ) -> web.StreamResponse:
        scope = self._acquire(request)
        answer: Answer | None = None
        try:
            answer = await self._prepare(http, request, files, query_id, scope)
            await self._work(answer.begin, answer)
            response, whole = await self._send(http, answer)
        finally:
            await asyncio.shield(self._end(request, scope, answer))
        if whole:
            # Last, when the session is free again: the client's next query in it may follow at once.
            with suppress(ConnectionError):
                await response.write_eof()
        return response

    def _acquire(self, request: Request) -> Scope:
        if request.session_id:
            return self._sessions.acquire(request, time.monotonic())
        return Scope(self._engine.connect())

    async def _prepare(
        self, http: web.Request, request: Request, files: dict[str, bytes], query_id: str, scope: Scope
    ) -> Answer:
        form = http.content_type == "multipart/form-data"
        first, ended = (b"", True) if form else await first_piece(http.content)
        raw = pieces(first, None if ended else http.content, asyncio.get_running_loop())
        encoding = "" if form else http.headers.get("Content-Encoding", "")
        query = Query(
            scope=scope,
            request=request,
            query_id=query_id,
            spool=self._spool,
            max_query_bytes=self._limits.max_query_bytes,
            body=decode(raw, encoding, limit=self._limits.max_body_bytes),
            files=files,
        )
        accepted = negotiate(http.headers.get("Accept-Encoding", "")) if request.compress_response else None
        return Answer(query, accepted, self._limits.max_spool_memory)

    async def _work(self, step: Callable[[], _T], answer: Answer) -> _T:
        """Run a step on a worker; if the client goes away meanwhile, cancel what only reads, let a write end."""
        future = asyncio.get_running_loop().run_in_executor(self._workers, step)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.shield(self._abandon(future, answer))
            raise

    async def _abandon(self, future: "asyncio.Future[_T]", answer: Answer) -> None:
        while not future.done():
            if answer.query.statement.reads:
                await asyncio.to_thread(self._kill, [answer.query.query_id])
            await asyncio.wait([future], timeout=0.2)
        with suppress(Exception):
            future.result()

    def _kill(self, query_ids: list[str]) -> None:
        connection = self._engine.connect()
        try:
            for query_id in query_ids:
                kill(connection, query_id)
        except EngineError as error:
            _LOG.warning("a query could not be cancelled: %s", error)
        finally:
            connection.close()

    async def _send(self, http: web.Request, answer: Answer) -> tuple[web.StreamResponse, bool]:
        """Send the body but for its end; return the response and whether its end may follow."""
        headers = self._headers(answer.query.query_id, answer.query.format)
        headers["X-ClickHouse-Summary"] = answer.summary()
        if answer.encoding:
            headers["Content-Encoding"] = answer.encoding
        tag = secrets.token_hex(8)
        headers["X-ClickHouse-Exception-Tag"] = tag
        response = web.StreamResponse(headers=headers)
        await response.prepare(http)
        try:
            while piece := await self._work(answer.read, answer):
                await response.write(piece)
        except EngineError as error:
            await self._break_off(http, response, answer.last_words(_framed(error, tag)))
            return response, False
        return response, True

    async def _break_off(self, http: web.Request, response: web.StreamResponse, words: bytes) -> None:
        """End a response that has begun: the error in ClickHouse's frame, then no end of body, so none can miss it."""
        with suppress(ConnectionError):
            await response.write(words)
        if http.transport is not None:
            http.transport.close()

    async def _end(self, request: Request, scope: Scope, answer: Answer | None) -> None:
        if answer is not None:
            await asyncio.get_running_loop().run_in_executor(self._workers, answer.close)
        if request.session_id:
            self._sessions.release(request, time.monotonic())
        else:
            scope.connection.close()

    def _headers(self, query_id: str, fmt: str) -> dict[str, str]:
        return {
            "Content-Type": _CONTENT_TYPES.get(fmt.lower(), "text/plain; charset=UTF-8"),
            "X-ClickHouse-Format": fmt,
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Server-Display-Name": "gammaflow-bridge",
        }

    def _error(self, error: EngineError, query_id: str) -> web.Response:
        headers: Mapping[str, str] = self._headers(query_id, "TabSeparated")
        headers = {**headers, "X-ClickHouse-Exception-Code": str(error.code)}
        return web.Response(status=error.http_status, headers=headers, body=f"{error}\n".encode())


def _framed(error: EngineError, tag: str) -> bytes:
    """Frame an error that comes after the body has begun, as ClickHouse ≥ 25.11 does."""
    text = f"{error}\n"
    size = len(text.encode())
    return f"\r\n__exception__\r\n{tag}\r\n{text}{size} {tag}\r\n__exception__\r\n".encode()


def application(bridge: Bridge) -> web.Application:
    """Return the aiohttp application of a bridge."""
    app = web.Application()
    app.add_routes(bridge.routes())
    return app
