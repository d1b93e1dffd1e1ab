"""The two measurements of one contender: how fast it drains a backlog, how late its outputs are at a steady rate."""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.stream import topics
from bench.stream.job import Job
from bench.stream.machine import cpu_seconds
from bench.stream.reading import Reader, Seen
from bench.stream.roster import ROOT, Contender
from bench.stream.workload import INSTRUMENTS, Line

START_S = 90.0  # until the first output
DRAIN_S = 180.0
BEHIND_S = 60.0  # how long after the last input outputs are waited for
STOP_S = 20.0
FIRST_BURST_S = 0.1  # a commit interval
LOG_TAIL = 3


class Failed(Exception):
    """No figure: the contender died, stalled, or wrote something else than it had to; the message says which."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """``records`` outputs became visible in ``seconds``; ``cpu_us`` is the contender's processor time per record."""

    records: int
    seconds: float
    cpu_us: float | None

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.records / self.seconds

    def __str__(self) -> str:
        return f"{self.rate:,.0f} records/s"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from writing an input to seeing its output; ``offered`` is the rate that was really written.

    ``behind_s`` is the time from the last input to the last output.
    """

    p50: float
    p95: float
    p99: float
    worst: float
    offered: float
    behind_s: float

    def __str__(self) -> str:
        return f"p50 {self.p50:,.0f} ms, p99 {self.p99:,.0f} ms, worst {self.worst:,.0f} ms"


@dataclass(frozen=True, slots=True)
class Material:
    """Input and expected output, in the order of the input: a measurement takes the first so many of both."""

    inputs: Sequence[Line]
    outputs: Sequence[Line]


def throughput(contender: Contender, job: Job, material: Material, count: int, interpreter: str) -> Throughput:
    """Time the drain of the first ``count`` inputs. Raises Failed."""
    used: list[float | None] = []
    with topics.made(job), closing(Reader(job)) as reader:
        topics.fill(job, material.inputs[:count])
        with _running(contender, job, interpreter) as process:
            deadline = time.monotonic() + START_S + DRAIN_S
            done = reader.read_until(count, deadline, process.alive, lambda: used.append(cpu_seconds(process.pid)))
            used.append(cpu_seconds(process.pid))
            process.require(done, f"{reader.count:,} of {count:,} outputs visible after {START_S + DRAIN_S:.0f} s")
            reader.settle()
        seen = reader.seen()
    require_equal(seen, material.outputs[:count], timestamps=True)
    return drained(seen, used)


def latency(
    contender: Contender, job: Job, material: Material, interpreter: str, *, rate: float, seconds: float, drop_s: float
) -> Latency:
    """Time outputs at ``rate`` inputs a second for ``seconds`` but for the first ``drop_s``. Raises Failed."""
    count = INSTRUMENTS + int(rate * seconds)
    with topics.made(job), closing(Reader(job)) as reader, _running(contender, job, interpreter) as process:
        # One record per instrument: its output tells that the contender is there.
        topics.fill(job, [line._replace(timestamp_ms=None) for line in material.inputs[:INSTRUMENTS]])
        started = reader.read_until(INSTRUMENTS, time.monotonic() + START_S, process.alive, lambda: None)
        process.require(started, f"no output within {START_S:.0f} s")
        arguments = [str(count), str(rate), str(INSTRUMENTS)]
        pacer = subprocess.Popen([sys.executable, "-m", "bench.stream.pacer", *arguments], env=_environment(job))
        try:
            deadline = time.monotonic() + START_S + seconds + BEHIND_S
            done = reader.read_until(count, deadline, process.alive, lambda: None)
            process.require(
                done, f"{reader.count:,} of {count:,} outputs visible {BEHIND_S:.0f} s after the last input"
            )
        finally:
            _end(pacer)
        reader.settle()
        seen = reader.seen()
    require_equal(seen, material.outputs[:count], timestamps=False)
    return lateness(seen[INSTRUMENTS:], drop_s)


def require_equal(seen: Iterable[Seen], expected: Iterable[Line], *, timestamps: bool) -> None:
    """Compare keys, values and times per partition, in order. Raises Failed at the first difference."""
    got: dict[int, list[tuple[bytes, bytes, int | None]]] = defaultdict(list)
    want: dict[int, list[tuple[bytes, bytes, int | None]]] = defaultdict(list)
    for output in seen:
        got[output.partition].append((output.key, output.value, output.timestamp_ms if timestamps else None))
    for line in expected:
        want[line.partition].append((line.key, line.value, line.timestamp_ms if timestamps else None))
    for partition in sorted(got.keys() | want.keys()):
        have, must = got[partition], want[partition]
        if have != must:
            place = next((i for i, pair in enumerate(zip(have, must, strict=False)) if pair[0] != pair[1]), "the end")
            raise Failed(
                f"wrong outputs: partition {partition} has {len(have):,}, expected {len(must):,}; "
                f"they differ from number {place} on"
            )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of ascending values."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def drained(seen: Sequence[Seen], used: Sequence[float | None]) -> Throughput:
    """Count what became visible after the first burst, over the time since it came; ``used`` is CPU at both ends.

    A transaction becomes visible all at once, and was worked on before: the records of the first are not counted.
    Raises Failed if there was but one burst.
    """
    began, ended = seen[0].seen_s, seen[-1].seen_s
    records = sum(1 for output in seen if output.seen_s > began + FIRST_BURST_S)
    if not records:
        raise Failed("the backlog was drained within one burst: give it more records")
    first, last = used[0], used[-1]
    cpu_us = None if first is None or last is None else (last - first) / records * 1e6
    return Throughput(records, ended - began, cpu_us)


def lateness(seen: Sequence[Seen], drop_s: float) -> Latency:
    """Return the delays of what was written after the first ``drop_s``. Raises Failed if nothing was."""
    stamps = [output.timestamp_ms for output in seen]
    first, last = min(stamps), max(stamps)
    late = sorted(o.seen_s * 1000 - o.timestamp_ms for o in seen if o.timestamp_ms >= first + drop_s * 1000)
    if not late:
        raise Failed("nothing was written after the dropped start: pace for longer")
    p50, p95, p99 = (percentile(late, share) for share in (0.5, 0.95, 0.99))
    offered = (len(seen) - 1) / max(last - first, 1) * 1000
    return Latency(p50, p95, p99, late[-1], offered, max(o.seen_s for o in seen) - last / 1000)


class _Process:
    """A contender at work; its log is one file."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path) -> None:
        self._popen = popen
        self._log = log
        self.pid = popen.pid

    def alive(self) -> bool:
        """Return whether it still runs."""
        return self._popen.poll() is None

    def require(self, done: bool, otherwise: str) -> None:
        """Raise Failed unless ``done``: with the end of its log if it died, with ``otherwise`` if it stalled."""
        if done:
            return
        if self.alive():
            raise Failed(otherwise)
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise Failed(f"ended with code {self._popen.returncode}: {' / '.join(lines[-LOG_TAIL:])}")


@contextmanager
def _running(contender: Contender, job: Job, interpreter: str) -> Iterator[_Process]:
    """Run the contender in a directory of its own, which goes with it."""
    environment = _environment(job) | dict(contender.environment)
    with tempfile.TemporaryDirectory(prefix="gammaflow-bench-", ignore_cleanup_errors=True) as scratch:
        log = Path(scratch) / "log"
        with log.open("wb") as out:
            command = contender.command(interpreter)
            popen = subprocess.Popen(command, cwd=scratch, env=environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield _Process(popen, log)
        finally:
            _end(popen)


def _environment(job: Job) -> dict[str, str]:
    # The isolated environment has none of our packages; of those it needs only the contract's.
    paths = (ROOT, ROOT / "libs" / "contracts" / "src")
    return {**os.environ, **job.environment, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def _end(popen: "subprocess.Popen[bytes]") -> None:
    popen.terminate()
    try:
        popen.wait(STOP_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
