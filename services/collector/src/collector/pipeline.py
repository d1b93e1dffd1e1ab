"""What goes where: a source's observations through the raw log into Kafka.

==========  ============================================================  ========================================
source      observations                                                  into ``raw.<venue>``
==========  ============================================================  ========================================
``live``    link (sockets, REST) ⇄ deribit, binance (protocol, no I/O)    live_log → raw_log → raw_writer
``file``    recorded.catalog → recorded.timeline                          raw_log → raw_writer
==========  ============================================================  ========================================
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from collector.file_source import run_file_source
from collector.live_log import LiveLog
from collector.live_source import run_live_source
from collector.raw_log import RawLog, partitions_of
from collector.raw_writer import KafkaRawWriter, last_received, require_clock_ahead
from collector.receive_clock import ReceiveClock
from collector.recorded.catalog import find_recordings
from collector.reporting import Reporter
from collector.settings import Settings
from contracts.wire import Codecs

FLUSH_TIMEOUT_S = 30.0


def run(settings: Settings, stopped: Callable[[], bool]) -> int:
    """Run until the source ends or ``stopped()``; returns how many records were written and acknowledged.

    Raises NoRecordings, RecordingError, LogAhead, PortTaken, VenueRefused, NotProvisioned (a person must act), and
    PublishError, RegistryUnavailable (restart).
    """
    reporter = Reporter(
        health_file=settings.health_file, metrics_host=settings.metrics_host, metrics_port=settings.metrics_port
    )
    play = _play_file if settings.source == "file" else _play_live
    return play(settings, stopped, reporter)


def _play_file(settings: Settings, stopped: Callable[[], bool], reporter: Reporter) -> int:
    recordings = find_recordings(settings.path or Path(), settings.selection)
    floors = last_received(settings.bootstrap_servers, partitions_of(settings.venues))
    writer = _writer(settings)
    counts = run_file_source(
        recordings,
        writer,
        venues=settings.venues,
        floors=floors,
        speed=settings.speed,
        stopped=stopped,
        report=lambda written: reporter.tell(written, {}, state="running"),
    )
    writer.flush(FLUSH_TIMEOUT_S)
    reporter.tell(counts, {}, state="ended")
    return sum(counts.values())


def _play_live(settings: Settings, stopped: Callable[[], bool], reporter: Reporter) -> int:
    clock = ReceiveClock()
    floors = last_received(settings.bootstrap_servers, partitions_of(settings.venues))
    require_clock_ahead(clock(), floors)
    writer = _writer(settings)
    log = LiveLog(RawLog(settings.venues, floors), writer, clock)
    asyncio.run(
        run_live_source(
            settings,
            log,
            clock=clock,
            stopped=stopped,
            report=lambda connected: reporter.tell(log.counts, connected, state="running"),
        )
    )
    writer.flush(FLUSH_TIMEOUT_S)
    reporter.tell(log.counts, {}, state="ended")
    return log.counts.total()


def _writer(settings: Settings) -> KafkaRawWriter:
    return KafkaRawWriter(settings.bootstrap_servers, Codecs.connect(settings.registry_url))
