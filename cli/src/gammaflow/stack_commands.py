"""``up``, ``down``, ``status``, ``logs``: the embedded stack of this checkout."""

import argparse
import json
import sys
import time
from pathlib import Path

from contracts.provision import provision
from gammaflow import paths
from gammaflow.errors import UserError
from gammaflow.interface import Command, no_arguments
from stack import embedded


def say(text: str) -> None:
    """Show progress on stderr."""
    print(f"gammaflow: {text}", file=sys.stderr, flush=True)


def up(args: argparse.Namespace) -> int:
    """Start the stack, create topics, register schemas, and say where everything is."""
    del args
    began = time.monotonic()
    endpoints = embedded.start(paths.UP, say)
    say("creating topics and registering schemas")
    provision(bootstrap_servers=endpoints.bootstrap_servers, registry_url=endpoints.registry_url)
    say(f"up after {time.monotonic() - began:.1f} s; ./run down stops it")
    print_endpoints(endpoints)
    return 0


def print_endpoints(endpoints: embedded.Endpoints) -> None:
    """Print the addresses as the variables that services read."""
    print(f"GAMMAFLOW_BOOTSTRAP_SERVERS={endpoints.bootstrap_servers}")
    print(f"GAMMAFLOW_REGISTRY_URL={endpoints.registry_url}")
    print(f"GAMMAFLOW_CLICKHOUSE_URL={endpoints.clickhouse_url}")


def down(args: argparse.Namespace) -> int:
    """Stop whatever runs for this checkout; data stays."""
    del args
    embedded.stop(paths.current())
    say("down; data kept")
    return 0


def status(args: argparse.Namespace) -> int:
    """Print the components and the services' last health reports."""
    del args
    directory = paths.current()
    components = embedded.status(directory)
    if not components:
        print("not running: ./run up starts the stack, ./run sql works without")
        return 0
    for component in components:
        print(component)
    for file in sorted(directory.glob("health/*.json")):
        print(f"{file.stem:12} {age_s(file):6.0f} s ago  {compact(file)}")
    return 0


def age_s(file: Path) -> float:
    """Return how long ago a health file was written."""
    return time.time() - file.stat().st_mtime


def compact(file: Path) -> str:
    """Return a health report on one line."""
    return json.dumps(json.loads(file.read_text()), separators=(",", ":"))


def add_logs_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose log, how much of it."""
    parser.add_argument("name", nargs="?", help="component or service; without it the names are listed")
    parser.add_argument("--lines", type=int, default=50, help="how many of the last lines")


def logs(args: argparse.Namespace) -> int:
    """Print the end of one log, or the names there are."""
    files = {file.stem: file for file in sorted(paths.current().glob("logs/*.log"))}
    if args.name is None:
        print("\n".join(files) or "no logs yet: ./run up or ./run demo first")
        return 0
    if args.name not in files:
        raise UserError(f"log {args.name!r} is not there: choose one of {', '.join(files) or 'none yet'}")
    print("\n".join(files[args.name].read_text(errors="replace").splitlines()[-args.lines :]))
    return 0


UP = Command("up", "start Kafka, registry and ClickHouse on free loopback ports", no_arguments, up)
DOWN = Command("down", "stop them; data stays", no_arguments, down)
STATUS = Command("status", "what runs, and each service's last health report", no_arguments, status)
LOGS = Command("logs", "the end of a component's or service's log", add_logs_arguments, logs)
