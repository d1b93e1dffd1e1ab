"""The process around the run loop: settings, logs, signals, exit codes. A service's ``__main__`` calls :func:`main`."""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TypeVar

from contracts.wire import Codecs, NotProvisioned, RegistryUnavailable
from streamkit.broker import Broker, BrokerError, Refused, Truncated
from streamkit.checkpoint import CheckpointUnusable
from streamkit.deadletter import BreakerOpen
from streamkit.kafka import KafkaBroker
from streamkit.logs import Log, logger
from streamkit.loop import RunLoop
from streamkit.metrics import Metrics
from streamkit.pipeline import Pipeline
from streamkit.recovery import Unrecoverable
from streamkit.settings import ServiceSettings, SettingsRefused, load
from streamkit.telemetry import Telemetry
from streamkit.transactions import Hooks
from streamkit.units import InvariantBroken
from streamkit.watchdog import Watchdog

DONE = 0  # stopped on request, everything committed
RESTART = 1  # start again: the broker's or a passing fault, nothing is lost
REFUSED = 2  # a person must act: settings, contracts or data do not allow to go on

REGISTRY_RETRY_S = 1.0
NEEDS_A_PERSON = (
    Refused,
    Truncated,
    InvariantBroken,
    BreakerOpen,
    Unrecoverable,
    CheckpointUnusable,
    NotProvisioned,
)

S = TypeVar("S", bound=ServiceSettings)


def main(settings_type: type[S], build: Callable[[S], Pipeline]) -> NoReturn:
    """Run a service to its end and exit. Anything but a clean stop leaves without closing the broker's clients:

    what is open is resolved by the next start, and closing can hang.
    """
    try:
        settings = load(settings_type)
    except SettingsRefused as refused:
        for line in refused.lines:
            print(line, file=sys.stderr)
        sys.exit(REFUSED)
    code = run(build(settings), settings)
    if code == DONE:
        sys.exit(DONE)
    _end_now(code)


def run(
    pipeline: Pipeline, settings: ServiceSettings, *, broker: Broker | None = None, hooks: Hooks | None = None
) -> int:
    """Run ``pipeline`` until SIGTERM or SIGINT; returns DONE, RESTART or REFUSED, the reason is the last log line.

    ``broker`` and ``hooks`` are for tests.
    """
    log = logger(pipeline.service, settings.log_format)
    stopping = _StopSignal()
    try:
        metrics = _metrics(pipeline.service, settings)
        codecs = _connect(settings.registry_url, stopping, log)
        if codecs is None:
            return DONE
        loop = RunLoop(
            pipeline=pipeline,
            codecs=codecs,
            broker=broker or _kafka(settings),
            config=settings.loop_config(),
            telemetry=Telemetry(service=pipeline.service, log=log, metrics=metrics, health_file=settings.health_file),
            watchdog=_watchdog(settings, log),
            hooks=hooks,
        )
        log.info("started", run_id=settings.run_id, assignment=settings.assignment)
        loop.run(stopping)
    except Exception as error:  # noqa: BLE001 - the end of the process: whatever it was, it is told, nothing is committed
        return _outcome(error, log)
    log.info("stopped", exit_code=DONE)
    return DONE


def _outcome(error: Exception, log: Log) -> int:
    """Say why it ended, in one line but for our own mistakes, and whether a restart can help."""
    if isinstance(error, NEEDS_A_PERSON):
        log.error("refused", reason=type(error).__name__, detail=str(error), exit_code=REFUSED)
        return REFUSED
    if isinstance(error, BrokerError):
        log.error("broker_failed", reason=error.reason, detail=str(error), exit_code=RESTART)
        return RESTART
    log.error("crashed", exc_info=error, exit_code=RESTART)
    return RESTART


class _StopSignal:
    """True once SIGTERM or SIGINT came."""

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    def __call__(self) -> bool:
        return self._came

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True


def _connect(registry_url: str, stopping: Callable[[], bool], log: Log) -> Codecs | None:
    """Return the codecs as soon as the registry answers; None if the service is stopped before."""
    told = False
    while not stopping():
        try:
            return Codecs.connect(registry_url)
        except RegistryUnavailable as error:
            if not told:
                log.warning("waiting", reason="registry", detail=str(error))
            told = True
            time.sleep(REGISTRY_RETRY_S)
    return None


def _kafka(settings: ServiceSettings) -> KafkaBroker:
    return KafkaBroker(settings.bootstrap_servers, transaction_timeout_ms=settings.transaction_timeout_ms)


def _metrics(service: str, settings: ServiceSettings) -> Metrics:
    metrics = Metrics(service)
    if settings.metrics_port:
        try:
            metrics.serve(settings.metrics_host, settings.metrics_port)
        except OSError as error:
            place = f"{settings.metrics_host}:{settings.metrics_port}"
            raise Refused("metrics_port", f"cannot serve metrics on {place} ({error}): choose another port") from error
    return metrics


def _watchdog(settings: ServiceSettings, log: Log) -> Watchdog:
    def overrun(name: str) -> None:
        log.error("stuck", call=name, limit_s=settings.watchdog_s, exit_code=RESTART)
        _end_now(RESTART)

    watchdog = Watchdog(settings.watchdog_s, overrun)
    watchdog.start()
    return watchdog


def _end_now(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
