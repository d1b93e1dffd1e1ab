"""What alerts tells the world: one readable line per alert, metrics, the heartbeat file."""

import time
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from prometheus_client import Counter

from contracts.records import AlertEvent
from streamkit import health
from streamkit.logs import Log
from streamkit.metrics import Metrics

SERVICE = "alerts"


class Telemetry:
    """Lines, figures, heartbeat. Nothing here influences what is alerted."""

    def __init__(self, log: Log, metrics: Metrics, health_file: Path | None) -> None:
        self.log = log
        self._metrics = metrics
        self._health_file = health_file
        self._alerts = Counter(
            "gammaflow_alerts_total", "Alerts written.", ("service", "rule", "state"), registry=metrics.registry
        )

    def alerted(self, event: AlertEvent) -> None:
        """Print an alert that was written."""
        self._alerts.labels(SERVICE, event.rule, event.state).inc()
        level = {"info": self.log.info, "warning": self.log.warning, "critical": self.log.error}
        write = level[event.severity] if event.state == "fired" else self.log.info
        write(
            f"alert_{event.state}",
            rule=event.rule,
            underlying=event.underlying,
            severity=event.severity,
            second=event.second,
            message=event.message,
            alert_id=event.alert_id,
        )

    def taken(self, partition: int, second: int) -> None:
        """Count a record that was judged."""
        self._metrics.add("records_total", 1, partition=partition)
        self._metrics.set("watermark_second", second, partition=partition)

    def refused(self, partition: int, reason: str, detail: str) -> None:
        """Count and tell of a dead letter."""
        self._metrics.add("dead_letters_total", 1, partition=partition, reason=reason)
        self.log.warning("dead_letter", partition=partition, reason=reason, detail=detail)

    def restored(self, topic: str, partition: int, records: int, seconds: float) -> None:
        """Tell that a partition's past was read again."""
        self._metrics.add("task_starts_total", 1, partition=partition)
        self._metrics.add("replayed_records_total", records, partition=partition)
        self._metrics.observe("start_seconds", seconds)
        self.log.info(
            "partition_started", topic=topic, partition=partition, read_back=records, seconds=round(seconds, 3)
        )

    def beat(self, state: Literal["running", "waiting"], assigned: Collection[int], lag: int | None) -> None:
        """Write the heartbeat file."""
        if self._health_file is not None:
            beat = {"service": SERVICE, "state": state, "time": time.time(), "assigned": sorted(assigned), "lag": lag}
            health.write(self._health_file, beat)
