"""``test`` and ``check``: what CI runs, for everyone."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from gammaflow.interface import Command, no_arguments
from gammaflow.paths import ROOT

BIN = ROOT / ".venv" / "bin"
# Fault tests mostly wait: two at a time keep two cores busy. A file stays with one worker, and so does its stack.
TWO_WORKERS = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
SOURCES = ("libs/*/src", "services/*/src", "stack/src", "cli/src")


def test(args: argparse.Namespace) -> int:
    """Run the tests; what follows ``test`` goes to pytest, e.g. ``tests/greeks -k parity``."""
    whole = not any((ROOT / argument.partition("::")[0]).exists() for argument in args.passed_on)
    command = [sys.executable, "-m", "pytest", *(TWO_WORKERS if whole else ()), *args.passed_on]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def check(args: argparse.Namespace) -> int:
    """Run every static check, also after one has failed, so that one call shows all there is to mend."""
    del args
    failed = [name for name, command in static_checks() if not passes(name, command)]
    print("all checks passed" if not failed else f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def static_checks() -> list[tuple[str, Sequence[str]]]:
    """Return the checks as (name, command)."""
    sources = sorted(str(path.relative_to(ROOT)) for pattern in SOURCES for path in ROOT.glob(pattern))
    python = sys.executable
    return [
        ("lock", [str(BIN / "uv"), "lock", "--check", "--quiet"]),
        ("ruff check", [python, "-m", "ruff", "check", ".", "run"]),
        ("ruff format", [python, "-m", "ruff", "format", "--check", "--quiet", ".", "run"]),
        ("mypy", [python, "-m", "mypy", *sources]),
        ("generated contracts", [python, "-m", "contracts.generate", "--check"]),
        ("generated migrations", [python, "-m", "sink.generate", "--check"]),
    ]


def passes(name: str, command: Sequence[str]) -> bool:
    """Run one check, its output shown only if it fails."""
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {name}", flush=True)
    if done.returncode != 0:
        print(done.stdout + done.stderr)
    return done.returncode == 0


TEST = Command("test", "run the tests (arguments go to pytest)", no_arguments, test, passes_on=True)
CHECK = Command("check", "lint, types, generated files: all static checks", no_arguments, check)
