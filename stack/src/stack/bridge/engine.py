"""The one chdb engine of a process: open a data directory, run statements on connections of it.

chdb is the ClickHouse engine in process: one engine per process, one process per data directory, any number of
connections. A connection has its own settings, current database and temporary tables, runs one statement at a time and
releases Python's interpreter lock while it does; connections run in parallel.
"""

import fcntl
import importlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stack.bridge.errors import DataDirLockedError, EngineError, from_engine

_CONFIG: Final = """<clickhouse>
    <query_log>
        <database>system</database>
        <table>query_log</table>
        <flush_interval_milliseconds>1000</flush_interval_milliseconds>
    </query_log>
</clickhouse>
"""


@dataclass(frozen=True, slots=True)
class Result:
    """A whole result: ``data`` in the format asked for; what was read to get it and written by it, rows and bytes."""

    data: bytes = b""
    result_rows: int = 0
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0


class Connection:
    """One connection; not for two threads at once. Every method raises :class:`EngineError` if the engine does."""

    def __init__(self, connection: Any, version: str) -> None:
        self._connection = connection
        self._version = version

    def run(self, sql: bytes | str, fmt: str = "TabSeparated") -> Result:
        """Run one statement and return its whole result."""
        with self._errors():
            got = self._connection.query(sql, fmt)
        return Result(
            data=got.bytes(),
            result_rows=got.rows_read(),
            read_rows=got.storage_rows_read(),
            read_bytes=got.storage_bytes_read(),
            written_rows=got.rows_written(),
            written_bytes=got.bytes_written(),
        )

    def stream(self, sql: bytes, fmt: str) -> Iterator[Result]:
        """Run a SELECT and yield its result block by block (65,409 rows by default): a block at a time is in memory.

        Each block is a whole document of the format: only formats without head and foot can be joined. Closing the
        iterator cancels the query. ``read_rows`` of the blocks add up to the query's.
        """
        with self._errors():
            blocks = self._connection.send_query(sql, fmt)
        try:
            while True:
                with self._errors():
                    block = blocks.fetch()
                if block is None:
                    return
                read = (block.storage_rows_read(), block.storage_bytes_read())
                yield Result(block.bytes(), block.rows_read(), *read)
        finally:
            with suppress(Exception):
                blocks.close()

    def insert(self, sql: bytes, fmt: str, chunks: Iterable[bytes]) -> Result:
        """Insert a body that arrives in pieces; ``sql`` ends before its FORMAT clause.

        Nothing is held but the block being formed. The engine joins blocks into one up to
        ``min_insert_block_size_rows`` (1,048,449), so that many rows or fewer become visible together or not at all; if
        ``chunks`` raises, the insert is given up and what was not yet joined into a written block is dropped.
        """
        with self._errors():
            inserter = self._connection.send_insert(sql, fmt)
        try:
            for chunk in chunks:
                with self._errors():
                    inserter.append(chunk)
            with self._errors():
                done = inserter.finish()
        except BaseException:
            with suppress(Exception):
                inserter.cancel()
            raise
        return Result(written_rows=done.rows_written, written_bytes=done.bytes_written)

    def close(self) -> None:
        """Close the connection: its temporary tables and settings go with it."""
        self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001 - chdb raises RuntimeError and classes of its own, all of them text only
            raise from_engine(str(error), self._version) from None


class Engine:
    """The open engine. ``version`` and ``timezone`` are the engine's own words."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        # Loaded here because the engine takes its time zone from the environment of the moment it is loaded.
        self._chdb: Any = importlib.import_module("chdb")
        self._root = Connection(self._open(f"{data_dir}?config-file={data_dir / 'bridge.xml'}"), "unknown")
        self.version = self._root.run("SELECT version()").data.decode().strip()
        self.timezone = self._root.run("SELECT timezone()").data.decode().strip()

    def connect(self) -> Connection:
        """Return a new connection (about 0.1 ms): the caller closes it."""
        return Connection(self._chdb.connect(str(self.data_dir)), self.version)

    def query(self, sql: str, fmt: str = "TabSeparated") -> bytes:
        """Run one statement on a connection of its own and return its result in ``fmt``, e.g. ``PrettyCompact``."""
        connection = self.connect()
        try:
            return connection.run(sql, fmt).data
        finally:
            connection.close()

    def close(self) -> None:
        """Write the logs out and close the engine; every other connection has to be closed before."""
        with suppress(EngineError):
            self._root.run("SYSTEM FLUSH LOGS")
        self._root.close()

    def _open(self, target: str) -> Any:
        try:
            return self._chdb.connect(target)
        except RuntimeError as error:
            _refuse_if_locked(self.data_dir)
            raise EngineError(76, f"the engine cannot open data directory {self.data_dir}: {error}") from error


@contextmanager
def open_engine(data_dir: Path | str) -> Iterator[Engine]:
    """Open a data directory (made if missing) and close it at the end.

    Sets this process's ``TZ`` to UTC: the engine takes its time zone from there, and results must not depend on the
    machine. Raises :class:`DataDirLockedError` if another process has the directory open, :class:`EngineError` if the
    engine cannot start on it (also: it is already open elsewhere in this process on another directory).
    """
    path = Path(data_dir).resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
        _refuse_if_locked(path)
        os.environ["TZ"] = "UTC"
        # The engine cannot attach the log of its last run, and its parts would be in the way of the new one's.
        shutil.rmtree(path / "data" / "system" / "query_log", ignore_errors=True)
        (path / "bridge.xml").write_text(_CONFIG, encoding="utf-8")
    except OSError as error:
        raise EngineError(76, f"data directory {path} cannot be used: {error.strerror}. Choose another one") from error
    engine = Engine(path)
    try:
        yield engine
    finally:
        engine.close()


def _refuse_if_locked(path: Path) -> None:
    """Raise if the engine's status file is locked; its own message goes to standard error and names no process."""
    status = path / "status"
    if not status.exists():
        return
    with status.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _locked(path, status.read_text(errors="replace")) from None


def _locked(path: Path, status: str) -> DataDirLockedError:
    pid = next(
        (line.removeprefix("PID:").strip() for line in status.splitlines() if line.startswith("PID:")), "unknown"
    )
    return DataDirLockedError(
        76,
        f"data directory {path} is in use by another process (pid {pid}): "
        "send the query to the server that holds it, or stop that server first",
    )
