"""What the sink tells about itself: the health file once a second, and metrics for Prometheus.

=====================================  ====================  ====================================================
metric                                 labels                meaning
=====================================  ====================  ====================================================
``gammaflow_sink_rows_total``          table                 Rows inserted.
``gammaflow_sink_bytes_total``         table                 Bytes of the blocks inserted.
``gammaflow_sink_refused_total``       table                 Records written to the dead letters.
``gammaflow_sink_inserts_total``       –                     Inserts acknowledged.
``gammaflow_sink_retries_total``       –                     Attempts that failed and were repeated.
``gammaflow_sink_found_stored_total``  –                     Inserts whose answer was lost and whose rows were there.
``gammaflow_sink_position``            topic, partition      Last offset stored or refused.
``gammaflow_sink_lag_records``         topic, partition      Offsets between the log end and the position.
``gammaflow_sink_buffered_bytes``      –                     Record values held in memory.
``gammaflow_sink_paused_partitions``   –                     Partitions not read because their rows wait.
=====================================  ====================  ====================================================
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from sink.clickhouse import Counters
from sink.lane import Lane
from sink.storing import Stored
from streamkit import health
from streamkit.broker import TopicPartition

State = Literal["running", "waiting", "stopping"]


class PortTaken(Exception):
    """The metrics port cannot be served; the message names the setting."""


class Reporter:
    """Metrics as they happen, the health file when :meth:`beat` is called."""

    def __init__(self, *, health_file: Path | None, metrics_host: str, metrics_port: int) -> None:
        registry = CollectorRegistry()
        place = ("topic", "partition")
        self._rows = Counter("gammaflow_sink_rows", "Rows inserted.", ("table",), registry=registry)
        self._bytes = Counter("gammaflow_sink_bytes", "Bytes inserted.", ("table",), registry=registry)
        self._refused = Counter("gammaflow_sink_refused", "Dead letters.", ("table",), registry=registry)
        self._position = Gauge("gammaflow_sink_position", "Last offset done.", place, registry=registry)
        self._lag = Gauge("gammaflow_sink_lag_records", "Offsets not stored yet.", place, registry=registry)
        self._buffered = Gauge("gammaflow_sink_buffered_bytes", "Record values held.", registry=registry)
        self._paused = Gauge("gammaflow_sink_paused_partitions", "Partitions paused.", registry=registry)
        self._counters = {
            name: Counter(f"gammaflow_sink_{name}", text, registry=registry)
            for name, text in (
                ("inserts", "Inserts acknowledged."),
                ("retries", "Attempts repeated."),
                ("found_stored", "Inserts found after their answer was lost."),
            )
        }
        self._told = dict.fromkeys(self._counters, 0)
        self._health_file = health_file
        self._last_insert: float | None = None
        if metrics_port:
            try:
                start_http_server(metrics_port, metrics_host, registry)
            except OSError as error:
                raise PortTaken(f"GAMMAFLOW_METRICS_PORT={metrics_port}: {error}; choose another or 0") from error

    def stored(self, table: str, stored: Stored) -> None:
        """Count what was stored."""
        self._rows.labels(table).inc(stored.rows)
        self._bytes.labels(table).inc(stored.bytes)
        self._refused.labels(table).inc(stored.refused)
        self._last_insert = time.time()

    def beat(
        self, lanes: Iterable[Lane], behind: Mapping[TopicPartition, int], counters: Counters, *, state: State
    ) -> None:
        """Bring gauges and the health file up to date."""
        lanes = list(lanes)
        unstored = {lane.place: behind.get(lane.place, 0) + lane.unstored() for lane in lanes}
        for lane in lanes:
            self._position.labels(*lane.place).set(lane.done)
            self._lag.labels(*lane.place).set(unstored[lane.place])
        counts = {"inserts": counters.inserts, "retries": counters.retries, "found_stored": counters.skipped}
        for name, count in counts.items():
            self._counters[name].inc(count - self._told[name])
        self._told = counts
        held, paused = sum(lane.bytes for lane in lanes), sum(lane.paused for lane in lanes)
        self._buffered.set(held)
        self._paused.set(paused)
        if self._health_file is not None:
            beat = {
                "service": "sink",
                "state": state,
                "time": time.time(),
                "assigned": sorted({lane.place.partition for lane in lanes}),
                "lag": sum(unstored.values()) if len(behind) == len(lanes) else None,
                "lag_by_topic": {f"{p.topic}/{p.partition}": n for p, n in unstored.items() if n},
                "last_commit": self._last_insert,
                "buffered_bytes": held,
                "paused_partitions": paused,
                **counts,
            }
            health.write(self._health_file, beat)
