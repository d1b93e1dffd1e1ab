"""``python -m bench.stream``: the run loop and its peers on one broker, the same work, every output checked."""

import argparse
import datetime as dt
import signal
import sys
import tempfile
import uuid
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from bench.stream import isolation, machine, measure
from bench.stream.job import Job
from bench.stream.measure import Failed, Material
from bench.stream.report import Conditions, Results, page, tables
from bench.stream.roster import CONTENDERS, ROOT
from bench.stream.workload import INSTRUMENTS, expected_lines, input_lines

from contracts.provision import provision_schemas
from contracts.registry import Registry
from stack import embedded
from stack.artifacts import programs
from stack.embedded import Endpoints
from stack.errors import StackError

PAGE = ROOT / "docs" / "reference" / "bench-stream.md"
WARMER = "confluent-transactions"  # uses all the broker is asked for later: fetches, transactions, group offsets
QUICK = {"records": 30_000, "repeat": 1, "seconds": 3.0, "drop": 1.0, "patience": 0.0}


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write; returns 0, or 1 if a contender that was asked for has no figure."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started here is ended
    with tempfile.TemporaryDirectory(prefix="gammaflow-bench-", ignore_cleanup_errors=True) as home:
        directory = Path(home)
        try:
            endpoints = embedded.start(directory, _say, components=("kafka", "registry"), die_with_starter=True)
            results, busy = _measure_all(options, endpoints, directory)
        except (StackError, Failed) as error:
            _say(str(error))
            return 2
        finally:
            embedded.stop(directory)
    conditions = _conditions(options, arguments, busy)
    print(tables(results, conditions))
    if options.output is not None:
        options.output.write_text(page(results, conditions), encoding="utf-8")
    return 1 if any(result.problems for result in results) else 0


def _measure_all(
    options: argparse.Namespace, endpoints: Endpoints, directory: Path
) -> tuple[list[Results], list[float]]:
    """Measure every contender ``options.repeat`` times in turn; returns their results and how busy the machine was."""
    provision_schemas(Registry(endpoints.registry_url))
    material = _material(options, endpoints)
    results = [Results(contender) for contender in CONTENDERS if contender.name in options.only]
    interpreters = _interpreters(results, directory)
    _warm_up(options, endpoints, material)
    busy: list[float] = []
    for number, result in product(range(1, options.repeat + 1), results):
        name = result.contender.name
        if name not in interpreters:
            continue
        for take in (_take_throughput, _take_latency):
            share = machine.wait_until_quiet(options.patience)
            busy += [] if share is None else [share]
            try:
                said = take(options, result, _new_job(endpoints), material, interpreters[name])
            except Failed as failed:
                said = str(failed)
                result.problems.append(f"round {number}: {said}")
            _say(f"round {number}, {name}: {said}")
    return results, busy


def _warm_up(options: argparse.Namespace, endpoints: Endpoints, material: Material) -> None:
    """Let the broker compile its own code on a drain that is not counted: the first contender shall not pay for it."""
    contender = next(contender for contender in CONTENDERS if contender.name == WARMER)
    job = _new_job(endpoints)
    taken = measure.throughput(contender, job, material, options.records, sys.executable)
    _say(f"warm-up, {WARMER}: {taken.rate:,.0f} records/s, not counted")


def _new_job(endpoints: Endpoints) -> Job:
    return Job(endpoints.bootstrap_servers, endpoints.registry_url, f"b{uuid.uuid4().hex[:10]}")


def _take_throughput(
    options: argparse.Namespace, result: Results, job: Job, material: Material, interpreter: str
) -> str:
    count = int(options.records * result.contender.backlog_share)
    taken = measure.throughput(result.contender, job, material, count, interpreter)
    result.throughputs.append(taken)
    return f"{taken.rate:,.0f} records/s"


def _take_latency(options: argparse.Namespace, result: Results, job: Job, material: Material, interpreter: str) -> str:
    taken = measure.latency(
        result.contender,
        job,
        material,
        interpreter,
        rate=options.rate,
        seconds=options.seconds,
        drop_s=options.drop,
    )
    result.latencies.append(taken)
    return f"p50 {taken.p50:,.0f} ms, p99 {taken.p99:,.0f} ms, worst {taken.worst:,.0f} ms"


def _material(options: argparse.Namespace, endpoints: Endpoints) -> Material:
    codecs = Job(endpoints.bootstrap_servers, endpoints.registry_url, "").codecs()
    count = max(options.records, INSTRUMENTS + int(options.rate * options.seconds))
    return Material(list(input_lines(codecs, count)), list(expected_lines(codecs, count)))


def _interpreters(results: Sequence[Results], directory: Path) -> dict[str, str]:
    """Return the interpreter of each contender; one that cannot be had is a problem of those that need it."""
    found = {result.contender.name: sys.executable for result in results if not result.contender.isolated}
    isolated = [result for result in results if result.contender.isolated]
    if isolated:
        try:
            interpreter = isolation.make(directory / "isolated")
            found |= {result.contender.name: interpreter for result in isolated}
        except isolation.NoEnvironment as error:
            for result in isolated:
                result.problems.append(str(error))
    return found


def _conditions(options: argparse.Namespace, arguments: Sequence[str], busy: Sequence[float]) -> Conditions:
    return Conditions(
        machine=machine.description(programs()["kafka"].title),
        commit=machine.commit(),
        command=" ".join(["./run bench stream", *arguments]),
        date=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        records=options.records,
        repeat=options.repeat,
        rate=options.rate,
        seconds=options.seconds,
        drop_s=options.drop,
        busy=busy,
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="./run bench stream", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run: small, once, no page unless --output is given"
    )
    parser.add_argument("--only", default=",".join(names), help=f"contenders, of: {', '.join(names)}")
    parser.add_argument("--records", type=int, default=300_000, help="backlog to drain")
    parser.add_argument("--rate", type=float, default=5_000.0, help="records per second of the latency run")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of the latency run")
    parser.add_argument("--drop", type=float, default=3.0, help="seconds of it to leave out at the start")
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds to wait for a quiet machine, each time")
    parser.add_argument("--output", type=Path, default=PAGE, help="page to write")
    if "--quick" in arguments:
        parser.set_defaults(**QUICK, output=None)
    options = parser.parse_args(arguments)
    options.only = [name.strip() for name in options.only.split(",")]
    unknown = sorted(set(options.only) - set(names))
    if unknown:
        parser.error(f"--only {', '.join(unknown)}: no such contender; take some of {', '.join(names)}")
    return options


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
