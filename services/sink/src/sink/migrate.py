"""Numbered migrations: ``python -m sink.migrate --clickhouse-url http://host:port [--to N]``; each start runs them.

``migrations/NNNN_name.up.sql`` goes forwards, ``NNNN_name.down.sql`` back. What was applied is recorded with its
checksum in ``schema_migrations``; a released file never changes. ClickHouse has no transactions over statements, so
each statement must bear being repeated (IF NOT EXISTS): a migration that was interrupted is simply run again.
"""

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from sink.clickhouse import Address, connect

PASSWORD_VARIABLE = "GAMMAFLOW_CLICKHOUSE_PASSWORD"  # noqa: S105 - the name of a variable
_NAME = re.compile(r"(\d{4})_(\w+)\.up\.sql")
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number UInt16 COMMENT 'Number of the migration',
    name String COMMENT 'Its name',
    checksum String COMMENT 'SHA-256 of its forward and backward statements',
    applied UInt8 COMMENT '1 applied, 0 taken back',
    at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'When'
) ENGINE = MergeTree ORDER BY (number, at)
"""


class MigrationRefused(Exception):
    """The database does not fit the migrations; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema, with the way back."""

    number: int
    name: str
    up: str
    down: str

    @property
    def checksum(self) -> str:
        """SHA-256 of both directions."""
        return hashlib.sha256(f"{self.up}\0{self.down}".encode()).hexdigest()


def shipped() -> list[Migration]:
    """Return the migrations of this version, by number."""
    folder = files("sink") / "migrations"
    found = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            down = folder / path.name.replace(".up.", ".down.")
            found.append(Migration(int(match[1]), match[2], path.read_text("utf-8"), down.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def statements(sql: str) -> Iterator[str]:
    """Yield the statements of a migration: each ends with a semicolon at the end of a line."""
    code = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    for statement in re.split(r";[ \t]*(?:\n|$)", code):
        if statement.strip():
            yield statement.strip()


def migrate(client: Client, migrations: Sequence[Migration], *, to: int | None = None) -> list[str]:
    """Bring the client's database to migration ``to`` (the last one if None); return what was done, in words.

    Raises MigrationRefused if an applied migration is not the one of its number here.
    """
    client.command(_LEDGER)
    applied = _applied(client)
    _check(applied, {migration.number: migration for migration in migrations})
    target = max((m.number for m in migrations), default=0) if to is None else to
    done = []
    for migration in migrations:
        if migration.number <= target and migration.number not in applied:
            _run(client, migration, migration.up, applied=True)
            done.append(f"applied {migration.number:04d} {migration.name}")
    for migration in reversed(migrations):
        if migration.number > target and migration.number in applied:
            _run(client, migration, migration.down, applied=False)
            done.append(f"took back {migration.number:04d} {migration.name}")
    return done


def _applied(client: Client) -> dict[int, str]:
    rows = client.query(
        "SELECT number, argMax(checksum, at) FROM schema_migrations GROUP BY number HAVING argMax(applied, at) = 1"
    ).result_rows
    return {int(number): str(checksum) for number, checksum in rows}


def _check(applied: Mapping[int, str], known: Mapping[int, Migration]) -> None:
    for number, checksum in sorted(applied.items()):
        if number not in known:
            raise MigrationRefused(
                f"migration {number:04d} is applied but not part of this version: run the newer version, or go back "
                f"with it first (python -m sink.migrate --to {max(known, default=0)})"
            )
        if known[number].checksum != checksum:
            raise MigrationRefused(
                f"migration {number:04d}_{known[number].name} was changed after it had been applied: restore the file "
                "and put the change into a new migration, or start with an empty database"
            )


def _run(client: Client, migration: Migration, sql: str, *, applied: bool) -> None:
    for statement in statements(sql):
        client.command(statement)
    # A statement: the client's own insert would load pandas, where it is installed, into a process that never needs it.
    client.command(
        "INSERT INTO schema_migrations (number, name, checksum, applied) "
        "SELECT {number:UInt32}, {name:String}, {checksum:String}, {applied:UInt8}",
        parameters={
            "number": migration.number,
            "name": migration.name,
            "checksum": migration.checksum,
            "applied": int(applied),
        },
    )


def prepare(address: Address, *, to: int | None = None) -> list[str]:
    """Create the database if there is none and migrate it. Raises MigrationRefused, ClickHouseError."""
    with connect(address, database="default") as client:
        client.command(f"CREATE DATABASE IF NOT EXISTS {address.database}")
    with connect(address) as client:
        return migrate(client, shipped(), to=to)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 done, 2 refused or unreachable."""
    parser = argparse.ArgumentParser(prog="python -m sink.migrate", description=__doc__)
    parser.add_argument("--clickhouse-url", required=True, help="http://host:port")
    parser.add_argument("--database", default="gammaflow", help="default: gammaflow")
    parser.add_argument("--user", default="default", help=f"default: default; password: {PASSWORD_VARIABLE}")
    parser.add_argument("--to", type=int, default=None, metavar="N", help="go to migration N, also back; 0: nothing")
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"[A-Za-z_]\w{0,63}", options.database):
        parser.error(f"--database {options.database}: use letters, digits and underscores")
    password = os.environ.get(PASSWORD_VARIABLE, "")
    address = Address(url=options.clickhouse_url, database=options.database, user=options.user, password=password)
    try:
        done = prepare(address, to=options.to)
    except (MigrationRefused, ClickHouseError) as error:
        sys.stderr.write(f"sink.migrate: {' '.join(str(error).split())}\n")
        return 2
    sys.stdout.write("".join(f"{line}\n" for line in done or ["nothing to do"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
