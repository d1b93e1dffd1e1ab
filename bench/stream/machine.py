"""What the figures were measured on, and how busy it was with other things."""

import os
import platform
import subprocess
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from bench.stream.roster import ROOT

STAT = Path("/proc/stat")
SAMPLE_S = 1.0
QUIET = 0.15  # share of all cores that others may use


def description(packages: Iterable[str], *programs: str) -> str:
    """Return one line: processor, cores, memory, versions."""
    versions = [f"{name} {version(name)}" for name in packages]
    python = f"Python {platform.python_version()}"
    system = f"{platform.system()} {platform.release()}"
    return ", ".join((_processor(), f"{os.cpu_count()} cores", system, python, *programs, *versions))


def commit() -> str:
    """Return the checkout's commit, with a word if the measured code differs from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", "libs", "bench", "stack")
    return f"{head} with uncommitted changes" if changed else head


def wait_until_quiet(patience_s: float) -> None:
    """Wait for others to finish, for at most ``patience_s``."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and (_busy() or 0.0) > QUIET:
        pass


class Others:
    """How much of the machine other programs use from now on: all that is used, less ours.

    Ours is this process, the children it has waited for by then, and ``pids``.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self._jiffies, self._ours = _jiffies(), self._our_seconds()

    def share(self) -> float | None:
        """Return their share since this was made, 0 to 1; None where the system does not tell."""
        now = _jiffies()
        if now is None or self._jiffies is None or now[1] == self._jiffies[1]:
            return None
        ours = (self._our_seconds() - self._ours) * os.sysconf("SC_CLK_TCK")
        return max(0.0, now[0] - self._jiffies[0] - ours) / (now[1] - self._jiffies[1])

    def _our_seconds(self) -> float:
        return sum(os.times()[:4]) + sum(cpu_seconds(pid) or 0.0 for pid in self._pids)


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time a process has used; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _busy() -> float | None:
    """Return the share of the machine used during the next second, 0 to 1; None where the system does not tell."""
    before = _jiffies()
    time.sleep(SAMPLE_S)
    after = _jiffies()
    if before is None or after is None or after[1] == before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def _jiffies() -> tuple[int, int] | None:
    """Return (busy, all) since boot."""
    if not STAT.exists():
        return None
    fields = [int(field) for field in STAT.read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
