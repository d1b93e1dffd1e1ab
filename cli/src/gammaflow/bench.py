"""``bench``: runs one of the benchmarks under ``bench/``, each with its peers in the same run."""

import argparse
import subprocess
import sys

from gammaflow.errors import UserError
from gammaflow.interface import Command
from gammaflow.paths import ROOT

BENCH = ROOT / "bench"


def available() -> list[str]:
    """Return the names of the benchmarks: the directories under ``bench/`` that can be run."""
    return sorted(path.parent.name for path in BENCH.glob("*/__main__.py"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Name of the benchmark, the rest is its own."""
    parser.add_argument("name", help=f"one of: {', '.join(available())}")


def run(args: argparse.Namespace) -> int:
    """Run it as a module, from the root, in a process of its own."""
    if args.name not in available():
        raise UserError(f"bench {args.name!r} is not known: choose one of {', '.join(available())}")
    command = [sys.executable, "-m", f"bench.{args.name}", *args.passed_on]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


COMMAND = Command("bench", "run a benchmark with its peers and print the table", add_arguments, run, passes_on=True)
