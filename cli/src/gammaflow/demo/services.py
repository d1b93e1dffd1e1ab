"""Starts the services as processes, restarts what crashes, stops all of them in the order of the data."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gammaflow.errors import UserError
from stack.guard import Guard
from stack.process import Identity, Launch, exit_code, spawn, terminate

PIPELINE = ("normalizer", "greeks", "dealer_flow", "sink", "alerts")
REFUSED_SETTINGS = 2
MAX_RESTARTS = 5
STOP_GRACE_S = 15.0
# Two cores are shared by all: a library's thread pool per service would only make them wait for each other.
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@dataclass(slots=True)
class Services:
    """The running services of one demo; crash-only: a pipeline service that dies is started again and recovers."""

    directory: Path
    environment: Mapping[str, str]
    guard: Guard
    running: dict[str, Identity] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, extra: Mapping[str, str] | None = None) -> None:
        """Start one service; its log and health file lie in the demo's directory."""
        health = self.health_file(name)
        health.parent.mkdir(parents=True, exist_ok=True)
        environment = {**ONE_THREAD, **self.environment, **(extra or {}), "GAMMAFLOW_HEALTH_FILE": str(health)}
        command = [sys.executable, "-m", name, *arguments]
        launch = Launch(name, command, self.directory, self.log(name), ready=lambda: True, environment=environment)
        self.running[name] = spawn(launch, self.guard.watch)

    def health_file(self, name: str) -> Path:
        """Return where a service reports its health."""
        return self.directory / "health" / f"{name}.json"

    def log(self, name: str) -> Path:
        """Return where a service's output goes."""
        return self.directory / "logs" / f"{name}.log"

    def lag(self) -> int | None:
        """Return the records that all services together have still to read, by their last health reports."""
        reports = [read_health(self.health_file(name)) for name in PIPELINE]
        lags = [report["lag"] for report in reports if isinstance(report.get("lag"), int)]
        return sum(lags) if lags else None

    def is_running(self, name: str) -> bool:
        """Return whether a service says that it has started."""
        return read_health(self.health_file(name)).get("state") == "running"

    def revive(self) -> None:
        """Start again what has crashed.

        Raises:
            UserError: a service refused its settings, or keeps crashing.
        """
        for name in PIPELINE:
            code = self.exit_code(name)
            if code is None:
                continue
            self.restarts[name] = self.restarts.get(name, 0) + 1
            if code == REFUSED_SETTINGS or self.restarts[name] > MAX_RESTARTS:
                raise UserError(f"{name} ended with exit code {code}: {self.last_line(name)} (./run logs {name})")
            self.start(name)

    def exit_code(self, name: str) -> int | None:
        """Return the exit code of a service that has ended; None if it runs or was never started."""
        identity = self.running.get(name)
        return None if identity is None else exit_code(identity)

    def last_line(self, name: str) -> str:
        """Return the last line of a service's log."""
        lines = self.log(name).read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it wrote nothing"

    def stop(self, name: str) -> None:
        """Stop one service and wait for it."""
        identity = self.running.pop(name, None)
        if identity is not None:
            terminate([identity], grace_s=STOP_GRACE_S)

    def stop_all(self) -> None:
        """Stop the sources first, then along the data, so that each can still write what it holds."""
        for name in [name for name in self.running if name not in PIPELINE] + list(PIPELINE):
            self.stop(name)


def read_health(file: Path) -> dict[str, Any]:
    """Return a health report; empty before the first, or while it is being replaced."""
    try:
        report: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return report
