"""A query's answer on its way out: gathered until its status is certain, then sent piece by piece. Blocking parts."""

import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Final

import orjson

from stack.bridge.encodings import Encoder, encoder
from stack.bridge.engine import Result
from stack.bridge.errors import EngineError
from stack.bridge.query import Query

_GATHERED: Final = 1 << 20


def _nothing() -> Generator[Result, None, None]:
    yield from ()


@dataclass(slots=True)
class Answer:
    """Drives a :class:`Query`; its methods run on worker threads, one at a time.

    ``encoding``: how the body is encoded, or None. ``complete``: all of it has been gathered.
    """

    query: Query
    encoding: str | None
    spool_memory: int
    complete: bool = False
    _totals: dict[str, int] = field(default_factory=dict)
    _began: float = field(default_factory=time.perf_counter)
    _results: Generator[Result, None, None] = field(default_factory=_nothing)
    _gathered: "SpooledTemporaryFile[bytes] | None" = None
    _encoder: Encoder | None = None

    def begin(self) -> None:
        """Run the query until 1 MiB of its result, or all if the client waits for its end, is there.

        Raises :class:`EngineError`: nothing has been sent yet, so that it can be the response.
        """
        self.query.start()
        self._results = self.query.results()
        self._encoder = encoder(self.encoding) if self.encoding else None
        # Closed when read to its end, or by close().
        gathered = SpooledTemporaryFile(max_size=self.spool_memory, dir=str(self.query.spool))  # noqa: SIM115 - as said
        self._gathered = gathered
        while not self.complete and (self.query.request.wait_end_of_query or gathered.tell() < _GATHERED):
            gathered.write(self._next())
        gathered.seek(0)

    def read(self) -> bytes:
        """Return the next piece of the (encoded) body, b"" at its end. Raises :class:`EngineError` in mid-result."""
        if self._gathered is not None:
            piece = self._gathered.read(_GATHERED)
            if piece:
                return piece
            self._gathered.close()
            self._gathered = None
        while not self.complete:
            piece = self._next()
            if piece:
                return piece
        return b""

    def last_words(self, text: bytes) -> bytes:
        """Return a text encoded as the end of a body that broke off."""
        return text if self._encoder is None else self._encoder.compress(text) + self._encoder.flush()

    def summary(self) -> str:
        """Return the figures so far as ``X-ClickHouse-Summary`` has them: rows, bytes, nanoseconds."""
        names = ("read_rows", "read_bytes", "written_rows", "written_bytes", "result_rows", "result_bytes")
        figures = {name: str(self._totals.get(name, 0)) for name in names}
        figures |= {"total_rows_to_read": figures["read_rows"]}
        figures |= {"elapsed_ns": str(int((time.perf_counter() - self._began) * 1e9))}
        return orjson.dumps(figures).decode()

    def close(self) -> None:
        """End the query, cancelling what still runs of it."""
        if self._gathered is not None:
            self._gathered.close()
        with suppress(EngineError):
            self._results.close()
        with suppress(EngineError):
            self.query.finish()

    def _next(self) -> bytes:
        result = next(self._results, None)
        if result is None:
            self.complete = True
            return self._encoder.flush() if self._encoder else b""
        for name in ("read_rows", "read_bytes", "written_rows", "written_bytes", "result_rows"):
            self._totals[name] = self._totals.get(name, 0) + getattr(result, name)
        self._totals["result_bytes"] = self._totals.get("result_bytes", 0) + len(result.data)
        return self._encoder.compress(result.data) if self._encoder else result.data
