"""A bridge of its own for this suite: a process on a free port and a temporary data directory."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client


@dataclass
class BridgeProcess:
    """A running ``python -m stack.bridge``; ``log`` is what it printed."""

    process: subprocess.Popen[bytes]
    port: int
    data_dir: Path
    log: Path

    def client(self, **options: object) -> Client:
        # A pool of its own: connections kept open by one test must not outlive its server in another.
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, dedicated_pool=True, **options)

    def http(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


def start_bridge(data_dir: Path, *flags: str) -> BridgeProcess:
    """Start a bridge and wait until it answers; a failure shows what it printed."""
    log, port_file = data_dir.with_suffix(".log"), data_dir.with_suffix(".port")
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "stack.bridge", "--port", "0", "--port-file", str(port_file)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--data-dir", str(data_dir), *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
            # Not this machine's zone: the bridge has to answer in UTC all the same.
            env={**os.environ, "TZ": "Asia/Tokyo"},
        )
    deadline = time.monotonic() + 60
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            pytest.fail(f"the bridge did not start:\n{log.read_text()}")
        time.sleep(0.02)
    return BridgeProcess(process, int(port_file.read_text()), data_dir, log)


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    running = start_bridge(tmp_path_factory.mktemp("bridge") / "data")
    yield running
    assert running.stop() == 0
    # Whatever clients did, nothing was unexpected to the server.
    assert "Traceback" not in running.log.read_text()


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Callable[..., BridgeProcess]]:
    """Start bridges of a test's own; whatever still runs at its end is killed."""
    started: list[BridgeProcess] = []

    def start(name: str = "data", *flags: str) -> BridgeProcess:
        started.append(start_bridge(tmp_path / name, *flags))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture
def client(bridge: BridgeProcess) -> Iterator[Client]:
    with bridge.client() as opened:
        yield opened


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    """A table name of the test's own; dropped at its end."""
    name = f"t_{uuid.uuid4().hex[:10]}"
    yield name
    client.command(f"DROP TABLE IF EXISTS {name} SYNC")
