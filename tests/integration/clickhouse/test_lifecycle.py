"""Start, stop, kill and the data directory's lock."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from stack.bridge.engine import open_engine
from stack.bridge.errors import DataDirLockedError

from .conftest import BridgeProcess

pytestmark = pytest.mark.integration


def test_sigterm_ends_the_server_with_status_0_and_keeps_what_was_written(
    starter: Callable[..., BridgeProcess],
) -> None:
    first = starter()
    with first.client() as client:
        client.command("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
        client.insert("t", [[n] for n in range(1000)], column_names=["x"])
        assert first.stop() == 0
    with starter().client() as client:
        assert client.command("SELECT count(), sum(x) FROM t") == ["1000", "499500"]


def test_sigterm_lets_a_running_query_end(starter: Callable[..., BridgeProcess]) -> None:
    running = starter()
    results: list[object] = []
    asked = threading.Event()

    def ask() -> None:
        with running.client() as client:
            asked.set()
            results.append(
                client.command("SELECT sleep(2), 7", settings={"function_sleep_max_microseconds_per_block": 0})
            )

    thread = threading.Thread(target=ask)
    with running.client() as watcher:
        thread.start()
        asked.wait()
        while watcher.command("SELECT countIf(query LIKE 'SELECT sleep%') FROM system.processes") == 0:
            pass
        assert running.stop() == 0
    thread.join(timeout=30)
    assert results == [["0", "7"]]


def test_sigterm_cancels_a_query_that_does_not_end(starter: Callable[..., BridgeProcess]) -> None:
    running = starter("data", "--stop-grace", "1")
    connection = running.http()
    connection.request("POST", "/", b"SELECT count() FROM numbers(1000000000000)")
    with running.client() as watcher:
        while watcher.command("SELECT count() FROM system.processes") < 2:
            pass
    assert running.stop() == 0
    connection.close()


def test_acknowledged_inserts_survive_kill_9(starter: Callable[..., BridgeProcess]) -> None:
    first = starter()
    acknowledged = 0
    with first.client(query_retries=0) as client:
        client.command("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
        threading.Timer(0.5, first.process.kill).start()
        with suppress(ClickHouseError):
            while True:
                client.raw_insert("t", insert_block=f"{acknowledged}\n", fmt="TSV")
                acknowledged += 1
    assert first.process.wait() == -signal.SIGKILL
    with starter().client() as client:
        count, total = client.query("SELECT count(), sum(x) FROM t").first_row
    # The one in flight when the process died may or may not be there; none before it may be missing.
    assert count in {acknowledged, acknowledged + 1}
    assert total == sum(range(count))
    assert acknowledged > 0


def test_a_directory_in_use_is_refused_with_the_holders_pid(starter: Callable[..., BridgeProcess]) -> None:
    running = starter()
    with pytest.raises(DataDirLockedError, match=f"pid {running.process.pid}"), open_engine(running.data_dir):
        pass
    done = _bridge("--data-dir", str(running.data_dir), "--port", "0")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("bridge: data directory")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1"])  # noqa: S104 - that it is refused is what is tested
def test_no_address_but_loopback_is_served(tmp_path: object, host: str) -> None:
    done = _bridge("--data-dir", str(tmp_path), "--host", host)
    assert done.returncode == 2
    assert "--host" in done.stderr


def test_a_taken_port_is_one_line_and_status_2(bridge: BridgeProcess, tmp_path: object) -> None:
    done = _bridge("--data-dir", str(tmp_path), "--port", str(bridge.port))
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{bridge.port}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_engine_opens_a_stopped_servers_directory_without_http(starter: Callable[..., BridgeProcess]) -> None:
    running = starter()
    with running.client() as client:
        client.command("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
        client.insert("t", [[1], [2]], column_names=["x"])
    running.stop()
    # In a process of its own: an engine once opened by the test process would stay its only one.
    code = (
        "import sys; from stack.bridge.engine import open_engine\n"
        "with open_engine(sys.argv[1]) as engine:\n"
        "    print(engine.query('SELECT sum(x) AS s FROM t', 'JSONEachRow').decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(running.data_dir)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '{"s":3}'


def _bridge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stack.bridge", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
