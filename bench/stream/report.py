"""The figures as Markdown: the same text goes to the terminal and into docs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from bench.stream.plan import DISTURBED, Plan, Results
from bench.stream.roster import OURSELVES, Contender

TARGET_RATE = 60_000
TARGET_P99_MS = 150
OFFERED_TOLERANCE = 0.98
BEHIND_S = 1.0  # an output that comes later than this after the last input tells of a queue
DASH = "–"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under what the figures were taken; ``others`` is the share of the machine other programs used, by measurement."""

    machine: str
    commit: str
    command: str
    date: str
    plan: Plan
    others: Sequence[float]


def tables(results: Sequence[Results], conditions: Conditions) -> str:
    """Return verdict and both tables."""
    ours = next((result.rate for result in results if result.contender.name == OURSELVES), None)
    parts = [_verdict(results), _throughput_table(results, ours, conditions), _latency_table(results, conditions)]
    problems = [f"* {result.contender.name}: {problem}" for result in results for problem in result.problems]
    if problems:
        parts.append("Without a figure:\n\n" + "\n".join(problems))
    return "\n\n".join(parts)


def page(results: Sequence[Results], conditions: Conditions) -> str:
    """Return the whole page."""
    return (
        "\n\n".join(
            (
                "# Benchmark: the run loop and its peers",
                f"Written by `{conditions.command}` on {conditions.date} at commit {conditions.commit}.",
                f"Machine: {conditions.machine}. {_load(conditions.others, conditions.plan)}",
                tables(results, conditions),
                _METHOD.format(c=conditions.plan),
                _settings_table(result.contender for result in results),
                _CAVEATS,
            )
        )
        + "\n"
    )


def _verdict(results: Sequence[Results]) -> str:
    ours = next((result for result in results if result.contender.name == OURSELVES), None)
    if ours is None or ours.rate is None or not ours.latencies:
        return f"No verdict: {OURSELVES} was not measured."
    p99 = median(result.p99 for result in ours.latencies)
    return (
        f"Targets for {OURSELVES}: ≥ {TARGET_RATE:,} records/s: {ours.rate:,.0f}, {_met(ours.rate >= TARGET_RATE)}; "
        f"p99 ≤ {TARGET_P99_MS} ms: {p99:,.0f} ms, {_met(p99 <= TARGET_P99_MS)}."
    )


def _met(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def _load(others: Sequence[float], plan: Plan) -> str:
    if not others:
        return "How much other programs used of it is not known."
    told = (
        f"During the measurements other programs used {median(others):.0%} of it (median; {max(others):.0%} at most)."
    )
    if plan.attempts == 1:
        return told
    return (
        f"{told} A measurement with more than {DISTURBED:.0%} was taken again, {plan.attempts} times at most, and the "
        "least disturbed counts."
    )


def _throughput_table(results: Sequence[Results], ours: float | None, conditions: Conditions) -> str:
    lines = [
        f"## Throughput: draining {conditions.plan.records:,} records",
        "",
        "| contender | guarantee | records/s (min–max) | of streamkit | CPU µs/record | records | runs, all verified |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        done = result.throughputs
        cpu = [one.cpu_us for one in done if one.cpu_us is not None]
        cells = (
            result.contender.name,
            result.contender.guarantee,
            _spread(done, lambda one: one.rate),
            f"{result.rate / ours:.2f}×" if result.rate and ours else DASH,
            f"{median(cpu):.1f}" if cpu else DASH,
            f"{int(conditions.plan.records * result.contender.backlog_share):,}",
            f"{len(done)} of {conditions.plan.repeat}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _latency_table(results: Sequence[Results], conditions: Conditions) -> str:
    lines = [
        f"## Latency: input written to output visible, at {conditions.plan.rate:,.0f} records/s",
        "",
        "| contender | p50 ms | p95 ms | p99 ms (min–max) | worst ms | offered/s | keeps up | runs, all verified |",
        "|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    for result in results:
        done = result.latencies
        behind = [one.behind_s for one in done if one.behind_s > BEHIND_S]
        cells = (
            result.contender.name,
            *(_middle(done, pick) for pick in (lambda one: one.p50, lambda one: one.p95)),
            _spread(done, lambda one: one.p99),
            f"{max(one.worst for one in done):,.0f}" if done else DASH,
            _middle(done, lambda one: one.offered),
            DASH if not done else f"no, {max(behind):,.0f} s behind" if behind else "yes",
            f"{len(done)} of {conditions.plan.repeat}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _settings_table(contenders: Iterable[Contender]) -> str:
    lines = ["## Settings", "", "| contender | state | settings |", "|---|---|---|"]
    lines += [f"| {one.name} | {one.state} | {one.settings} |" for one in contenders]
    return "\n".join(lines)


def _middle(done: Sequence[T], pick: Callable[[T], float]) -> str:
    return f"{median(map(pick, done)):,.0f}" if done else DASH


def _spread(done: Sequence[T], pick: Callable[[T], float]) -> str:
    if not done:
        return DASH
    values = [pick(one) for one in done]
    return f"{median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


_METHOD = """\
## Method

* One broker (replication 1, on the same machine), four partitions, 60 instruments, records of 95 bytes in and 76 out,
  Avro by the contract's own codecs for every contender. The step keeps count, sum and the last 16 rates of each
  instrument and answers with all three kinds of number.
* Every contender is a process of its own, one at a time, on topics of its own that hold the same bytes. All of
  them take their turn, {c.repeat} times over, after one drain that is not counted and warms the broker up. Figures are
  medians of the rounds, with the lowest and the highest. Each measurement waits for a while for a quiet machine.
* All outputs are read by one read_committed reader and compared with those computed without a broker: every key and
  value, per partition, in order (in the throughput runs the timestamps, too). A run with a difference has no figure.
* Throughput: the backlog is there before the contender starts. Counted is what becomes visible later than 100 ms (a
  commit interval) after the first output, over the time from the first to the last output: a transaction is worked on
  before it is visible.
  CPU is the contender's own, in the same window, per record counted.
* Latency: {c.rate:,.0f} inputs a second for {c.seconds:g} s from another process, after the contender has answered one
  record per instrument; the first {c.drop_s:g} s are left out. From the input's timestamp, taken as it is handed to the
  producer and cut to whole milliseconds, to the reader's clock: the writing producer's and the reader's own delays are
  in the figure."""

_CAVEATS = """\
## Caveats

* Broker, contender, reader and, for latency, writer share the machine's cores: a rate is that of the whole, and what
  takes little CPU per record would gain more from a machine of its own.
* One process each: every one of them scales to four, one per partition.
* The confluent-kafka loops keep their state in a dict that a restart loses. They are the floor, not an alternative.
* With one broker a commit is cheaper than in a cluster with three replicas, for every contender.
* Faust writes a changelog record per update, by design of its tables. It gets a tenth of the backlog, Quix Streams
  three tenths, so that the run ends; neither slows down with a longer one. Quix Streams runs with the confluent-kafka
  of its own choice in an environment made for the run.
* What happens after kill -9 is not measured here: the tests in `tests/faults` do that for streamkit."""
