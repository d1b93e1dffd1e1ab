"""The stream benchmark: runs end to end, and gives no figure to a contender that writes something else."""

import importlib
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(monkeypatch):
    """The benchmark's modules; the repository's root is no place tests import from otherwise."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"bench.stream.{name}")


@pytest.fixture
def outputs(bench):
    """Eight outputs as they should be seen, two per partition, 100 ms apart."""
    workload, reading = bench("workload"), bench("reading")
    lines = list(workload.expected_lines(workload.Codecs.offline(), 8))
    seen = [reading.Seen(*line, seen_s=1_000 + number / 10) for number, line in enumerate(lines)]
    return lines, seen


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_quick_run_measures_and_verifies_our_loop_and_a_plain_one(tmp_path):
    page = tmp_path / "page.md"
    command = [sys.executable, "-m", "bench.stream", "--quick", "--only", "streamkit,confluent-plain"]
    done = subprocess.run([*command, "--output", str(page)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = page.read_text(encoding="utf-8")
    for name in ("streamkit", "confluent-plain"):
        drained, paced = (re.findall(r"\d[\d,.]*", row) for row in rows(written, name)[:2])
        assert float(drained[0].replace(",", "")) > 0
        assert float(paced[0].replace(",", "")) > 0
        assert all(row.endswith("| 1 of 1 |") for row in rows(written, name)[:2]), "verified runs"
    assert "Without a figure" not in written
    assert str(tmp_path) not in written.replace(f"--output {page}", "")


def rows(page: str, name: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith(f"| {name} |")]


@pytest.mark.integration
@pytest.mark.timeout(180)
def test_a_contender_that_dies_has_no_figure_but_the_end_of_its_log(bench, stack):
    measure, roster, workload = bench("measure"), bench("roster"), bench("workload")
    dying = roster.Contender(name="dying", module="missing", guarantee="", state="", settings="")
    job = bench("job").Job(stack.bootstrap_servers, stack.registry_url, f"b{uuid.uuid4().hex[:10]}")
    codecs = job.codecs()
    inputs, expected = (list(make(codecs, 10)) for make in (workload.input_lines, workload.expected_lines))
    with pytest.raises(measure.Failed, match=r"ended with code 1: .*missing"):
        measure.throughput(dying, job, measure.Material(inputs, expected), 10, sys.executable)


def test_outputs_as_expected_pass_in_any_interleaving_of_the_partitions(bench, outputs):
    lines, seen = outputs
    by_partition = sorted(seen, key=lambda output: output.partition)
    bench("measure").require_equal(by_partition, lines, timestamps=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda seen: seen[:-1],
        lambda seen: [*seen, seen[-1]],
        lambda seen: [*seen[4:], *seen[:4]],
        lambda seen: [seen[0]._replace(value=seen[4].value), *seen[1:]],
        lambda seen: [seen[0]._replace(timestamp_ms=0), *seen[1:]],
        lambda seen: [seen[0]._replace(key=b"XRP"), *seen[1:]],
        lambda _: [],
    ],
    ids=["lost", "twice", "other order", "other value", "other time", "other key", "nothing"],
)
def test_outputs_that_differ_in_anything_have_no_figure(bench, outputs, spoil):
    measure, (lines, seen) = bench("measure"), outputs
    with pytest.raises(measure.Failed, match="wrong outputs: partition"):
        measure.require_equal(spoil(seen), lines, timestamps=True)


def test_what_was_visible_at_once_is_not_counted_as_drained(bench, outputs):
    _, seen = outputs
    burst = [output._replace(seen_s=seen[0].seen_s + 0.09) for output in seen[:4]]
    drained = bench("measure").drained([*burst, *seen[4:]], [1.0, 3.0])
    assert drained.records == 4
    assert drained.seconds == pytest.approx(0.61)
    assert drained.cpu_us == pytest.approx(2.0 / 4 * 1e6)


def test_latency_is_from_the_inputs_stamp_and_leaves_the_start_out(bench, outputs):
    _, seen = outputs
    late = [
        output._replace(timestamp_ms=number * 100, seen_s=number / 10 + 0.05 + number / 1000)
        for number, output in enumerate(seen)
    ]
    found = bench("measure").lateness(late, drop_s=0.4)
    assert (found.p50, found.worst) == (pytest.approx(55), pytest.approx(57))
    assert found.offered == pytest.approx(10)
    assert found.behind_s == pytest.approx(0.057)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_nearest_rank(bench, share, value):
    assert bench("measure").percentile(list(range(1, 101)), share) == value


def test_a_missed_target_and_a_missing_figure_are_said_in_the_tables(bench):
    measure, report, roster = bench("measure"), bench("report"), bench("roster")
    ours, other = (bench("plan").Results(contender) for contender in roster.CONTENDERS[:2])
    ours.throughputs.append(measure.Throughput(records=59_000, seconds=1.0, cpu_us=None))
    ours.latencies.append(measure.Latency(60.0, 100.0, 150.0, 200.0, 5_000.0, 0.1))
    other.problems.append("round 1: it died")
    quick = bench("__main__").QUICK
    conditions = report.Conditions(machine="m", commit="c", command="x", date="d", plan=quick, others=())
    text = report.tables([ours, other], conditions)
    assert "59,000, **missed**; p99 ≤ 150 ms: 150 ms, met" in text
    assert "* confluent-plain: round 1: it died" in text
