"""The figures of docs/explanation/clickhouse-bridge.md: ``python tests/integration/clickhouse/measure.py``.

Inserts (16 numeric columns, Native) and selects through the bridge against the same engine without HTTP. The engine's
own figures come from a process of its own, because a process holds one engine and two would share the cores.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import clickhouse_connect
import numpy as np

from stack.bridge.engine import open_engine

_COLUMNS = ", ".join(f"c{i} {'UInt64' if i % 2 else 'Float64'}" for i in range(16))
_CREATE = f"CREATE TABLE t ({_COLUMNS}) ENGINE = MergeTree ORDER BY c1"
_ROWS = ", ".join(f"number * {i} AS c{i}" if i % 2 else f"number / {i + 1} AS c{i}" for i in range(16))
_SELECTS = {
    "one row": "SELECT 1",
    "100 rows of a table": "SELECT * FROM t WHERE c1 < 100",
    "sum over 1,000,000 rows": "SELECT sum(c0), max(c1) FROM t",
}
_BLOCKS = (1_000, 100_000, 1_000_000)
_REPEAT = 7


def _seconds(work: Callable[[], object], times: int) -> float:
    """The median of ``times`` runs after two that are not counted."""
    taken = []
    for _ in range(times + 2):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[2:])


def _direct(directory: str) -> dict[str, float]:
    found = {}
    with open_engine(directory) as engine:
        connection = engine.connect()
        connection.run(_CREATE)
        for rows in _BLOCKS:
            body = connection.run(
                f"SELECT {_ROWS} FROM numbers({rows}) SETTINGS max_block_size = {rows}", "Native"
            ).data
            took = _seconds(lambda body=body: connection.insert(b"INSERT INTO t", "Native", iter([body])), _REPEAT)
            found[f"insert {rows}"] = rows / took
        connection.run("TRUNCATE TABLE t")
        connection.run(f"INSERT INTO t SELECT {_ROWS} FROM numbers(1000000)")
        for name, sql in _SELECTS.items():
            found[name] = _seconds(lambda sql=sql: connection.run(sql, "Native"), 200) * 1e3
        connection.close()
    return found


def _bridged(port: int) -> dict[str, float]:
    found = {}
    client = clickhouse_connect.get_client(host="127.0.0.1", port=port, compress=False)
    client.command(_CREATE)
    for rows in _BLOCKS:
        sql = f"SELECT {_ROWS} FROM numbers({rows})"
        body = client.raw_query(sql, fmt="Native", settings={"max_block_size": rows})
        took = _seconds(lambda body=body: client.raw_insert("t", insert_block=body, fmt="Native"), _REPEAT)
        found[f"insert {rows}"] = rows / took
    names = [f"c{i}" for i in range(16)]
    columns = [np.arange(1_000_000, dtype=np.uint64 if i % 2 else np.float64) for i in range(16)]
    write = lambda: client.insert("t", columns, column_names=names, column_oriented=True)  # noqa: E731 - one use
    found["client.insert 1000000"] = 1_000_000 / _seconds(write, _REPEAT)
    client.command("TRUNCATE TABLE t")
    client.command(f"INSERT INTO t SELECT {_ROWS} FROM numbers(1000000)")
    for name, sql in _SELECTS.items():
        found[name] = _seconds(lambda sql=sql: client.raw_query(sql, fmt="Native"), 200) * 1e3
        found[f"{name} (query())"] = _seconds(lambda sql=sql: client.query(sql), 200) * 1e3
    client.close()
    return found


def main() -> None:
    """Print both sets of figures: rows/s for inserts, milliseconds (p50) for selects."""
    if len(sys.argv) > 1:
        print(json.dumps(_direct(sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, __file__, f"{directory}/direct"]
        direct = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        port_file = Path(directory, "port")
        serve = ["-m", "stack.bridge", "--port", "0", "--port-file", str(port_file), "--data-dir", f"{directory}/data"]
        server = subprocess.Popen([sys.executable, *serve], stderr=subprocess.DEVNULL)
        try:
            while not port_file.exists():
                time.sleep(0.05)
            bridged = _bridged(int(port_file.read_text()))
        finally:
            server.terminate()
            server.wait()
    for name, figure in bridged.items():
        print(f"{name:35} bridge {figure:14,.2f}   engine {direct.get(name, float('nan')):14,.2f}")


if __name__ == "__main__":
    main()
