"""What the collector tells about itself: the health file once a second, and metrics for Prometheus.

=====================================  ====================  ================================================
metric                                 labels                meaning
=====================================  ====================  ================================================
``gammaflow_raw_records_total``        venue, kind           Records written to the raw topics.
``gammaflow_connected``                connection            1 while the connection stands, else 0.
=====================================  ====================  ================================================
"""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client import Counter as CounterMetric

from streamkit import health

EVERY_S = 1.0


class PortTaken(Exception):
    """The metrics port cannot be served; the message names the setting."""


class Reporter:
    """Brings health file and metrics up to date at most once a second, however often it is called."""

    def __init__(self, *, health_file: Path | None, metrics_host: str, metrics_port: int) -> None:
        registry = CollectorRegistry()
        self._records = CounterMetric(
            "gammaflow_raw_records", "Records written to the raw topics.", ("venue", "kind"), registry=registry
        )
        self._connected = Gauge("gammaflow_connected", "1 while it stands, else 0.", ("connection",), registry=registry)
        self._health_file = health_file
        self._told: Counter[tuple[str, str]] = Counter()
        self._next = 0.0
        if metrics_port:
            try:
                start_http_server(metrics_port, metrics_host, registry)
            except OSError as error:
                raise PortTaken(f"GAMMAFLOW_METRICS_PORT={metrics_port}: {error}; choose another or 0") from error

    def tell(self, counts: Mapping[tuple[str, str], int], connected: Mapping[str, bool], *, state: str) -> None:
        """Report records written by (venue, kind) since the start, and which connections stand."""
        now = time.monotonic()
        if now < self._next and state == "running":
            return
        self._next = now + EVERY_S
        for key, count in counts.items():
            self._records.labels(*key).inc(count - self._told[key])
            self._told[key] = count
        for name, stands in connected.items():
            self._connected.labels(name).set(stands)
        if self._health_file is not None:
            beat = {
                "service": "collector",
                "state": state,
                "time": time.time(),
                "monotonic": now,
                "records": sum(counts.values()),
                "connected": dict(connected),
            }
            health.write(self._health_file, beat)
