"""The process around the pipeline: what is connected in which order, and how it ends."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import NoReturn, TypeVar

from clickhouse_connect.driver.exceptions import ClickHouseError

from contracts.errors import NotProvisioned, RegistryUnavailable
from contracts.topics import TOPICS, physical
from contracts.wire import Codecs
from sink.clickhouse import Address, Stopped, Store, StoreRefused, connect, passing
from sink.lane import Lane, Limits
from sink.migrate import MigrationRefused, prepare
from sink.pipeline import Pipeline
from sink.position import NOTHING, last_done
from sink.reporting import PortTaken, Reporter
from sink.settings import Settings
from sink.storing import CALL_TIMEOUT_S, Hooks, NoHooks, Storing, Transactions
from sink.tables import DEADLETTER_TABLE, TABLES
from streamkit.broker import Broker, BrokerError, Reader, Refused, TopicPartition, Truncated
from streamkit.deadletter import BreakerOpen
from streamkit.kafka import Fetching, KafkaBroker
from streamkit.logs import Log, logger
from streamkit.settings import SettingsRefused, load

DONE, RESTART, REFUSED = 0, 1, 2
RETRY_S = 0.5
# A hundred partitions, each a lane of its own that is stored by the hundred milliseconds: portions may be large.
FETCHING = Fetching(wait_ms=50, min_bytes=128 * 1024, partition_bytes=1024 * 1024, prefetch_records=20_000)
NEEDS_A_PERSON = (StoreRefused, MigrationRefused, PortTaken, BreakerOpen, NotProvisioned, Refused, Truncated)

T = TypeVar("T")


class StopSignal:
    """True once SIGTERM or SIGINT came."""

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._remember)

    def __call__(self) -> bool:
        """Return whether it came."""
        return self._came

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True


def main() -> NoReturn:
    """Run the sink to its end and exit; anything but a clean stop leaves without waiting for threads."""
    try:
        settings = load(Settings)
    except SettingsRefused as refused:
        for line in refused.lines:
            print(line, file=sys.stderr)
        sys.exit(REFUSED)
    code = run(settings)
    sys.stdout.flush()
    os._exit(code)


def run(settings: Settings, *, broker: Broker | None = None, hooks: Hooks | None = None) -> int:
    """Run until SIGTERM or SIGINT; return DONE, RESTART or REFUSED, the reason is the last log line.

    ``broker`` and ``hooks`` are for tests.
    """
    log = logger("sink", settings.log_format)
    for library in ("clickhouse_connect", "urllib3"):
        logging.getLogger(library).setLevel(logging.ERROR)  # they tell of every attempt; the sink tells of the wait
    stopping = StopSignal()
    try:
        pipeline = build(settings, broker or kafka(settings), stopping, log, hooks or NoHooks())
        log.info("started", run_id=settings.run_id, assignment=settings.assignment, topics=len(settings.topics))
        pipeline.run(stopping)
    except Stopped:
        log.info("stopped", exit_code=DONE)
        return DONE
    except Exception as error:  # noqa: BLE001 - the end of the process: whatever it was, it is told; tables say how far
        return _outcome(error, log)
    log.info("stopped", exit_code=DONE)
    return DONE


def kafka(settings: Settings) -> Broker:
    """Return the broker as the sink reads from it."""
    return KafkaBroker(settings.bootstrap_servers, fetching=FETCHING)


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


def build(settings: Settings, broker: Broker, stopping: Callable[[], bool], log: Log, hooks: Hooks) -> Pipeline:
    """Connect everything, bring the tables up to date and find the positions.

    Raises Stopped, MigrationRefused, StoreRefused, NotProvisioned, PortTaken and BrokerError.
    """
    reporter = Reporter(
        health_file=settings.health_file, metrics_host=settings.metrics_host, metrics_port=settings.metrics_port
    )
    store = _store(settings, stopping, log)
    codecs = _patiently(lambda: Codecs.connect(settings.registry_url), "registry", stopping, log)
    producer = broker.producer(_owner(settings))
    producer.init(CALL_TIMEOUT_S)  # fences a predecessor that still lives: its next transaction fails
    consumer = broker.consumer("sink" + (f"-{settings.run_id}" if settings.run_id else ""))
    transactions = Transactions(producer, consumer.group_metadata)
    limits = Limits(
        rows=settings.flush_rows,
        bytes=settings.flush_bytes,
        age_s=settings.flush_age_ms / 1000,
    )
    store.wait_for_predecessor()
    return Pipeline(
        consumer=consumer,
        lanes=_lanes(settings, store, broker.reader(), limits, log),
        storing=Storing(
            store=store,
            codecs=codecs,
            transactions=transactions,
            run_id=settings.run_id,
            stopping=stopping,
            log=log,
            hooks=hooks,
        ),
        store=store,
        transactions=transactions,
        reporter=reporter,
        buffer_bytes=settings.buffer_bytes,
    )


def _owner(settings: Settings) -> str:
    """Return what this process's transactions and inserts are known by; its successor has the same."""
    return "-".join(filter(None, ("sink", settings.run_id, settings.assignment.replace(",", "."))))


def _store(settings: Settings, stopping: Callable[[], bool], log: Log) -> Store:
    address = Address(
        url=settings.clickhouse_url,
        database=settings.clickhouse_database,
        user=settings.clickhouse_user,
        password=settings.password(),
    )
    for line in _patiently(lambda: prepare(address), "clickhouse", stopping, log):
        log.info("migrated", step=line)
    client = _patiently(lambda: connect(address), "clickhouse", stopping, log)
    return Store(client, owner=_owner(settings), stopping=stopping, log=log)


def _patiently(attempt: Callable[[], T], what: str, stopping: Callable[[], bool], log: Log) -> T:
    """Repeat ``attempt`` while nobody answers."""
    told = False
    while not stopping():
        try:
            return attempt()
        except (ClickHouseError, RegistryUnavailable) as error:
            if isinstance(error, ClickHouseError) and not passing(error):
                raise StoreRefused(" ".join(str(error).split())) from error
            if not told:
                log.warning("waiting", reason=what, detail=" ".join(str(error).split()))
            told = True
            time.sleep(RETRY_S)
    raise Stopped(f"asked to stop while waiting for {what}")


def _lanes(settings: Settings, store: Store, reader: Reader, limits: Limits, log: Log) -> dict[TopicPartition, Lane]:
    refused = store.refused(DEADLETTER_TABLE.name)
    lanes = {}
    for topic in _topics(settings):
        name = physical(topic, settings.run_id)
        stored = store.last_offsets(TABLES[topic].name, name)
        for partition in settings.partitions():
            if partition < TOPICS[topic].partitions:
                place = TopicPartition(name, partition)
                own = [r for r in refused if (r.topic, r.partition) == place]
                done = last_done(stored.get(partition, NOTHING), own)
                lanes[place] = Lane(place, TABLES[topic], limits, done, _start(reader, place, done, log))
    reader.close()
    return lanes


def _topics(settings: Settings) -> Iterable[str]:
    """Return the topics to store: a replay shares the raw ones with the live run, which has stored them."""
    return [topic for topic in settings.topics if not (settings.run_id and topic.startswith("raw."))]


def _start(reader: Reader, place: TopicPartition, done: int, log: Log) -> int:
    """Return the offset to read from; what retention has deleted unread is told, it cannot be had any more."""
    begin, end = reader.bounds(place)
    if done != NOTHING and done + 1 < begin:
        log.error("lost", topic=place.topic, partition=place.partition, first=done + 1, last=begin - 1)
    if done + 1 > end:
        raise Refused(
            "table_ahead",
            f"{place.topic}/{place.partition} ends at {end}, its table holds offset {done}: the topic was made anew; "
            "use a fresh database (GAMMAFLOW_CLICKHOUSE_DATABASE) or another run id",
        )
    return max(begin, done + 1)
