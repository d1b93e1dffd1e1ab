"""``sql``: one query against the data of this checkout, whether the stack runs or not."""

import argparse
import sys
from contextlib import closing
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from gammaflow import paths
from gammaflow.errors import UserError
from gammaflow.interface import Command
from stack import embedded
from stack.bridge.engine import open_engine
from stack.bridge.errors import EngineError

DATABASE = "gammaflow"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The query and how to print it."""
    parser.add_argument("query", help='e.g. "SELECT count() FROM dealer_exposure"')
    parser.add_argument(
        "--format", default="PrettyCompactMonoBlock", help="any ClickHouse output format: CSVWithNames, JSON, …"
    )


def run(args: argparse.Namespace) -> int:
    """Print the result; an error of the query is one line and exit code 2."""
    directory = paths.current()
    endpoints = embedded.running(directory)
    if endpoints is not None:
        result = ask_server(endpoints.clickhouse_url, args.query, args.format)
    else:
        result = ask_files(directory / "clickhouse", args.query, args.format)
    sys.stdout.buffer.write(result)
    return 0


def connect(clickhouse_url: str, *, database: str = DATABASE) -> Client:
    """Return a client of the running engine."""
    return clickhouse_connect.get_client(dsn=clickhouse_url, database=database, autogenerate_session_id=False)


def ask_server(clickhouse_url: str, query: str, output_format: str) -> bytes:
    """Ask the running engine over HTTP."""
    try:
        with connect(clickhouse_url) as client:
            return bytes(client.raw_query(query, fmt=output_format))
    except ClickHouseError as error:
        raise UserError(first_line(error)) from error


def ask_files(data_dir: Path, query: str, output_format: str) -> bytes:
    """Open the engine on the stopped stack's data and ask it."""
    if not data_dir.exists():
        raise UserError("there is no data yet: ./run demo makes some")
    try:
        with open_engine(data_dir) as engine, closing(engine.connect()) as connection:
            connection.run(f"USE {DATABASE}")
            return connection.run(query, output_format).data
    except EngineError as error:
        raise UserError(first_line(error)) from error


def first_line(error: Exception) -> str:
    """Return the part of an engine's message a person needs."""
    line = str(error).strip().splitlines()[0]
    return f"there is no data yet: ./run demo makes some ({line})" if "UNKNOWN_DATABASE" in line else line


COMMAND = Command("sql", "run one SQL query, whether the stack runs or not", add_arguments, run)
