"""The ClickHouse engine behind its HTTP interface (:mod:`stack.bridge`), on loopback only."""

import sys
from pathlib import Path

from stack.artifacts import Source
from stack.download import Progress
from stack.process import LOOPBACK, Launch, http_ok


def url(port: int) -> str:
    """Return the address of the HTTP interface."""
    return f"http://{LOOPBACK}:{port}"


def prepare(home: Path, ports: tuple[int, ...], source: Source, progress: Progress) -> Launch:
    """Return how to start the bridge over the database in ``home``; the engine is a Python package."""
    del source, progress
    address = ("--host", LOOPBACK, "--port", str(ports[0]))
    return Launch(
        name="clickhouse",
        command=(sys.executable, "-P", "-m", "stack.bridge", *address, "--data-dir", str(home)),
        directory=home,
        log=home.parent / "logs" / "clickhouse.log",
        ready=lambda: serves(ports[0]),
    )


def serves(port: int) -> bool:
    """Return whether the bridge answers a ping."""
    return http_ok(port, "/ping")
