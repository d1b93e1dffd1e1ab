"""The process around Faust: settings, logs, signals, heartbeat, exit codes."""

import asyncio
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

import faust
from faust.exceptions import ConsumerNotStarted

from alerts import read_committed
from alerts.desk import Desk, Outside
from alerts.pipeline import INPUTS, OUTPUTS, connect, group, new_app, writer
from alerts.read_back import read_back
from alerts.rules import memory_s
from alerts.settings import AlertSettings
from alerts.telemetry import SERVICE, Telemetry
from contracts.topics import physical
from contracts.wire import Codecs, RegistryUnavailable
from streamkit.broker import BrokerError, Record, Refused, TopicPartition, Unresolved
from streamkit.health import HEARTBEAT_INTERVAL_S
from streamkit.kafka import KafkaBroker
from streamkit.logs import Log, logger
from streamkit.metrics import Metrics
from streamkit.service import DONE, NEEDS_A_PERSON, REFUSED, RESTART
from streamkit.settings import SettingsRefused, load

RETRY_S: Final = 1.0
STOP_S: Final = 10.0


class Failed(Exception):
    """Faust gave up; the cause is what it said."""


def main() -> NoReturn:
    """Run the service to its end and exit: 0 stopped on request, 1 start it again, 2 a person must act."""
    try:
        settings = load(AlertSettings)
    except SettingsRefused as refused:
        for line in refused.lines:
            print(line, file=sys.stderr)
        sys.exit(REFUSED)
    code = asyncio.run(run(settings))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # Faust's threads may wait for a broker that is gone


async def run(settings: AlertSettings) -> int:
    """Run until SIGTERM or SIGINT; returns DONE, RESTART or REFUSED, the reason is the last log line."""
    log = logger(SERVICE, settings.log_format)
    logging.getLogger(read_committed.__name__).setLevel(logging.WARNING)  # Faust logs its steps under module names
    stopping = _stop_signal()
    try:
        telemetry = Telemetry(log, _metrics(settings), settings.health_file)
        _check_memory(settings, telemetry)
        codecs = await _provisioned(settings, stopping, telemetry)
        if codecs is not None:
            with tempfile.TemporaryDirectory(prefix="gammaflow-alerts-") as scratch:
                await _serve(settings, codecs, telemetry, stopping, Path(scratch))
    except Exception as error:  # noqa: BLE001 - the end of the process: whatever it was, it is told
        return _outcome(error, log)
    log.info("stopped", exit_code=DONE)
    return DONE


def _outcome(error: Exception, log: Log) -> int:
    """Say why it ended, and whether a restart can help."""
    if isinstance(error, NEEDS_A_PERSON):
        log.error("refused", reason=type(error).__name__, detail=str(error), exit_code=REFUSED)
        return REFUSED
    if isinstance(error, BrokerError):
        log.error("broker_failed", reason=error.reason, detail=str(error), exit_code=RESTART)
        return RESTART
    log.error("crashed", exc_info=error, exit_code=RESTART)
    return RESTART


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def _metrics(settings: AlertSettings) -> Metrics:
    metrics = Metrics(SERVICE)
    if settings.metrics_port:
        try:
            metrics.serve(settings.metrics_host, settings.metrics_port)
        except OSError as error:
            place = f"{settings.metrics_host}:{settings.metrics_port}"
            raise Refused("metrics_port", f"cannot serve metrics on {place} ({error}): choose another port") from error
    return metrics


def _check_memory(settings: AlertSettings, telemetry: Telemetry) -> None:
    needed = memory_s(settings.rules())
    if settings.read_back_s < needed:
        telemetry.log.warning(
            "short_memory",
            detail=f"GAMMAFLOW_ALERTS_READ_BACK_S={settings.read_back_s}: the rules look back {needed} s; alerts due "
            "soon after a restart can be missed",
        )


async def _provisioned(settings: AlertSettings, stopping: asyncio.Event, telemetry: Telemetry) -> Codecs | None:
    """Return the codecs once registry and broker answer, the topics checked; None if stopped before.

    Raises NotProvisioned or Refused if schemas or topics do not exist: Faust would wait for them without a word.
    """
    told = False
    while not stopping.is_set():
        try:
            codecs = await asyncio.to_thread(Codecs.connect, settings.registry_url)
            await asyncio.to_thread(_check_topics, settings)
        except (RegistryUnavailable, Unresolved) as error:
            if not told:
                telemetry.log.warning("waiting", reason=type(error).__name__, detail=str(error))
            told = True
            telemetry.beat("waiting", (), None)
            await _sleep(RETRY_S, stopping)
        else:
            return codecs
    return None


def _check_topics(settings: AlertSettings) -> None:
    reader = KafkaBroker(settings.bootstrap_servers).reader()
    try:
        for name in (*INPUTS, *OUTPUTS):
            reader.bounds(TopicPartition(physical(name, settings.run_id), 0))
    finally:
        reader.close()


async def _serve(
    settings: AlertSettings, codecs: Codecs, telemetry: Telemetry, stopping: asyncio.Event, scratch: Path
) -> None:
    """Run Faust until ``stopping``; raises what made a record fail, or Failed if Faust itself gave up."""
    app = new_app(settings, scratch)

    def past(place: TopicPartition) -> Iterable[Record]:
        servers, seconds = settings.bootstrap_servers, settings.read_back_s
        return read_back(servers, group(settings.run_id), place.topic, place.partition, seconds=seconds)

    outside = Outside(codecs=codecs, write=writer(app, settings.run_id), read_back=past, telemetry=telemetry)
    desk = Desk(settings.rules(), outside, remember=settings.remember_alerts, live=not settings.run_id)
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    connect(app, settings, desk, lambda error: None if failure.done() else failure.set_exception(error))
    telemetry.log.info("started", run_id=settings.run_id, rules=[rule.name for rule in settings.rules()])
    beat = _beat(app, desk, settings, telemetry)
    work: list[asyncio.Future[Any]] = [asyncio.ensure_future(part) for part in (stopping.wait(), _start(app), beat)]
    try:
        await _first_end([*work, failure])
    finally:
        await asyncio.wait([asyncio.ensure_future(app.stop())], timeout=STOP_S)


async def _first_end(work: "list[asyncio.Future[Any]]") -> None:
    """Wait until one of ``work`` ends, give up the others, raise what it raised."""
    done, rest = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    for task in done:
        task.result()


async def _start(app: faust.App) -> None:
    await app.start()
    await asyncio.Event().wait()


async def _beat(app: faust.App, desk: Desk, settings: AlertSettings, telemetry: Telemetry) -> None:
    """Once a second: wall-clock rules and the heartbeat, which stops when a record is stuck. Ends if Faust crashes."""
    while True:
        if app.crashed:
            raise Failed(f"Faust gave up: {app.crash_reason!r}") from app.crash_reason
        await desk.tick()
        if desk.busy_s() <= settings.watchdog_s:
            telemetry.beat("running" if desk.assigned else "waiting", desk.assigned, await _lag(app))
        await asyncio.sleep(HEARTBEAT_INTERVAL_S)


async def _lag(app: faust.App) -> int | None:
    """Return the records not yet judged, as far as the client knows the log's ends; None before it does."""
    consumer = app.consumer
    try:
        places = consumer.assignment()
        positions = {place: await consumer.position(place) for place in places}
    except ConsumerNotStarted:
        return None
    unread = [_unread(consumer.highwater(place), position) for place, position in positions.items()]
    known = [count for count in unread if count is not None]
    return sum(known) + len(consumer.unacked) if known and len(known) == len(unread) else None


def _unread(end: int | None, position: int | None) -> int | None:
    return None if end is None or position is None else max(0, end - position)


async def _sleep(seconds: float, stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
