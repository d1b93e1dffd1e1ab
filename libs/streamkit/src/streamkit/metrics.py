"""Every Prometheus metric, each declared once with a sentence; ``python -m streamkit.metrics`` prints their page."""

import sys
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

SECONDS_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name without the prefix, its labels beside ``service``, and what it says."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


PREFIX = "gammaflow_"
METRICS = (
    Metric("records_total", "counter", ("partition",), "Input records computed, those of replayed units included."),
    Metric("units_total", "counter", ("partition",), "Units computed: records or seconds, replayed ones included."),
    Metric("replayed_records_total", "counter", ("partition",), "Records computed again at a start, without output."),
    Metric("dead_letters_total", "counter", ("partition", "reason"), "Input records written to the dead-letter topic."),
    Metric("skipped_records", "gauge", ("partition",), "Records left out because logs begin in mid-second."),
    Metric("lag_records", "gauge", ("topic", "partition"), "Offsets between the log end and the computed position."),
    Metric("buffered_records", "gauge", ("topic", "partition"), "Records read that wait for their unit to be whole."),
    Metric("watermark_second", "gauge", ("partition",), "Latest second computed, seconds since 1970 UTC."),
    Metric("task_starts_total", "counter", ("partition",), "Times a task was built: starts, restarts, rebalances."),
    Metric("start_seconds", "histogram", (), "Time to resolve the predecessor and restore a task, without replay."),
    Metric("transaction_seconds", "histogram", (), "Time from sending offsets to the end of the commit."),
    Metric("checkpoint_seconds", "histogram", (), "Time to snapshot, compress and queue a checkpoint."),
    Metric("checkpoint_bytes", "gauge", ("partition",), "Compressed size of the newest checkpoint."),
    Metric("waiting", "gauge", ("reason",), "1 while the service waits for something outside, by reason."),
)


class Metrics:
    """The metrics of one service process, in a registry of their own; names are those of ``METRICS``."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self._counters = {m.name: Counter(*_declared(m), registry=self.registry) for m in _of("counter")}
        self._gauges = {m.name: Gauge(*_declared(m), registry=self.registry) for m in _of("gauge")}
        self._histograms = {
            m.name: Histogram(*_declared(m), registry=self.registry, buckets=SECONDS_BUCKETS) for m in _of("histogram")
        }

    def add(self, name: str, amount: float, **labels: object) -> None:
        """Increase a counter."""
        self._counters[name].labels(self._service, *labels.values()).inc(amount)

    def set(self, name: str, value: float, **labels: object) -> None:
        """Set a gauge."""
        self._gauges[name].labels(self._service, *labels.values()).set(value)

    def observe(self, name: str, seconds: float) -> None:
        """Put a duration into a histogram."""
        self._histograms[name].labels(self._service).observe(seconds)

    def serve(self, host: str, port: int) -> None:
        """Answer scrapes on ``host``:``port`` from a thread; raises OSError if the port is taken."""
        start_http_server(port, host, self.registry)


def _of(kind: str) -> list[Metric]:
    return [metric for metric in METRICS if metric.kind == kind]


def _declared(metric: Metric) -> tuple[str, str, tuple[str, ...]]:
    return PREFIX + metric.name, metric.help, ("service", *metric.labels)


def reference_page() -> str:
    """Return docs/reference/metrics.md."""
    rows = [
        f"| `{PREFIX}{metric.name}` | {metric.kind} | {', '.join(('service', *metric.labels))} | {metric.help} |"
        for metric in METRICS
    ]
    return "\n".join([_PAGE_HEAD, *rows, ""])


_PAGE_HEAD = """# Metrics

Served by every service built on streamkit when `GAMMAFLOW_METRICS_PORT` is set (bound to `GAMMAFLOW_METRICS_HOST`,
default 127.0.0.1). This page is generated: `python -m streamkit.metrics > docs/reference/metrics.md`.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |"""


if __name__ == "__main__":
    sys.stdout.write(reference_page())
