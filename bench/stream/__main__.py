"""``python -m bench.stream``: the run loop and its peers on one broker, the same work, every output checked."""

import argparse
import datetime as dt
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from bench.stream import isolation, machine
from bench.stream.job import Job
from bench.stream.measure import Failed, Material
from bench.stream.plan import Plan, Results
from bench.stream.report import Conditions, page, tables
from bench.stream.roster import CONTENDERS, ROOT
from bench.stream.rounds import Rounds
from bench.stream.workload import INSTRUMENTS, expected_lines, input_lines

from contracts.provision import provision_schemas
from contracts.registry import Registry
from contracts.wire import Codecs
from stack import embedded
from stack.artifacts import programs
from stack.embedded import Endpoints
from stack.errors import StackError

PAGE = ROOT / "docs" / "reference" / "bench-stream.md"
PACKAGES = ("confluent-kafka", "faust-streaming", "aiokafka")
FULL = Plan(records=300_000, repeat=3, rate=5_000.0, seconds=15.0, drop_s=3.0, patience_s=30.0, attempts=3)
QUICK = Plan(records=30_000, repeat=1, rate=5_000.0, seconds=3.0, drop_s=1.0, patience_s=0.0, attempts=1)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write; returns 0, or 1 if a contender that was asked for has no figure."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started here is ended
    with tempfile.TemporaryDirectory(prefix="gammaflow-bench-", ignore_cleanup_errors=True) as home:
        directory = Path(home)
        try:
            endpoints = embedded.start(directory, _say, components=("kafka", "registry"), die_with_starter=True)
            results, others = _measure_all(options, endpoints, directory)
        except (StackError, Failed) as error:
            _say(str(error))
            return 2
        finally:
            embedded.stop(directory)
    conditions = _conditions(options, arguments, others)
    print(tables(results, conditions))
    if options.output is not None:
        options.output.write_text(page(results, conditions), encoding="utf-8")
    return 1 if any(result.problems for result in results) else 0


def _measure_all(
    options: argparse.Namespace, endpoints: Endpoints, directory: Path
) -> tuple[list[Results], list[float]]:
    """Return what the contenders have shown, and what other programs used of the machine meanwhile."""
    provision_schemas(Registry(endpoints.registry_url))
    results = [Results(contender) for contender in CONTENDERS if contender.name in options.only]
    rounds = Rounds(
        plan=options.plan,
        job=lambda run_id: Job(endpoints.bootstrap_servers, endpoints.registry_url, run_id),
        material=_material(options.plan, Codecs.connect(endpoints.registry_url)),
        interpreters=_interpreters(results, directory),
        broker_pids=[status.pid for status in embedded.status(directory)],
        say=_say,
    )
    rounds.warm_up()
    rounds.run(results)
    return results, rounds.others


def _material(plan: Plan, codecs: Codecs) -> Material:
    count = max(plan.records, INSTRUMENTS + int(plan.rate * plan.seconds))
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


def _conditions(options: argparse.Namespace, arguments: Sequence[str], others: Sequence[float]) -> Conditions:
    return Conditions(
        machine=machine.description(PACKAGES, programs()["kafka"].title),
        commit=machine.commit(),
        command=" ".join(["./run bench stream", *arguments]),
        date=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        plan=options.plan,
        others=others,
    )


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="./run bench stream", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run; no page unless --output is given")
    parser.add_argument("--only", default=",".join(names), help=f"contenders, of: {', '.join(names)}")
    parser.add_argument("--records", type=int, help="backlog to drain")
    parser.add_argument("--rate", type=float, help="records per second of the latency run")
    parser.add_argument("--seconds", type=float, help="length of the latency run")
    parser.add_argument("--drop-s", type=float, help="seconds of it to leave out at the start")
    parser.add_argument("--repeat", type=int, help="rounds")
    parser.add_argument("--patience-s", type=float, help="how long each measurement waits for a quiet machine")
    parser.add_argument("--attempts", type=int, help="how often a measurement that others disturb is taken")
    parser.add_argument("--output", type=Path, help="page to write; default: docs/reference/bench-stream.md")
    quick = "--quick" in arguments
    parser.set_defaults(**asdict(QUICK if quick else FULL), output=None if quick else PAGE)
    options = parser.parse_args(arguments)
    options.only = [name.strip() for name in options.only.split(",")]
    unknown = sorted(set(options.only) - set(names))
    if unknown:
        parser.error(f"--only {', '.join(unknown)}: no such contender; take some of {', '.join(names)}")
    options.plan = Plan(**{entry.name: getattr(options, entry.name) for entry in fields(Plan)})
    return options


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
