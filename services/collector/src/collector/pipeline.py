"""What goes where: a source's observations through the raw log into Kafka.

==========  ============================================================  ========================================
source      observations                                                  into ``raw.<venue>``
==========  ============================================================  ========================================
``live``    link (sockets, REST) ⇄ a venue's session (protocol, no I/O)    live_log → raw_log → raw_writer
``file``    recorded.catalog → recorded.timeline                          raw_log → raw_writer
``file``    archive.store → archive.playback                              as it was → raw_writer
==========  ============================================================  ========================================
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, takewhile
from pathlib import Path

from collector.archive.playback import archived_entries, archived_files
from collector.archive.store import Store
from collector.file_source import run_file_source
from collector.live_log import LiveLog
from collector.live_source import run_live_source
from collector.raw_log import Entry, RawLog, partitions_of
from collector.raw_writer import KafkaRawWriter, last_received, require_clock_ahead
from collector.receive_clock import ReceiveClock
from collector.recorded.catalog import find_recordings
from collector.recorded.timeline import first_received_ts, recorded_entries
from collector.reporting import Reporter
from collector.settings import Settings
from contracts.wire import Codecs

FLUSH_TIMEOUT_S = 30.0

# The log a file source writes, given the last receive time (µs) in each (topic, partition).
EntriesAbove = Callable[[Mapping[tuple[str, int], int]], Iterator[Entry]]


def run(settings: Settings, stopped: Callable[[], bool]) -> int:
    """Run until the source ends or ``stopped()``; returns how many records were written and acknowledged.

    Raises NoRecordings, RecordingError, ArchiveError, LogAhead, PortTaken, VenueRefused, NotProvisioned (a person must
    act), and PublishError, RegistryUnavailable (restart).
    """
    reporter = Reporter(
        health_file=settings.health_file, metrics_host=settings.metrics_host, metrics_port=settings.metrics_port
    )
    play = _play_file if settings.source == "file" else _play_live
    return play(settings, stopped, reporter)


def _play_file(settings: Settings, stopped: Callable[[], bool], reporter: Reporter) -> int:
    begins, entries_above = _archived(settings, stopped) if settings.archive else _recorded(settings, stopped)
    floors = last_received(settings.bootstrap_servers, partitions_of(settings.venues))
    writer = _writer(settings)
    counts = run_file_source(
        entries_above(floors),
        writer,
        begins=begins,
        floors=floors,
        speed=settings.speed,
        stopped=stopped,
        report=lambda written: reporter.tell(written, {}, state="running"),
    )
    writer.flush(FLUSH_TIMEOUT_S)
    reporter.tell(counts, {}, state="ended")
    return sum(counts.values())


def _recorded(settings: Settings, stopped: Callable[[], bool]) -> tuple[int, EntriesAbove]:
    """Return when the recordings begin, and how to get the log they lead to."""
    recordings = find_recordings(Path(settings.path or ""), settings.selection)
    begins = min(first_received_ts(recording) for recording in recordings)
    return begins, lambda floors: recorded_entries(recordings, RawLog(settings.venues, floors), stopped)


def _archived(settings: Settings, stopped: Callable[[], bool]) -> tuple[int, EntriesAbove]:
    """Return when the archive begins, and how to get its log as it was."""
    store = Store(settings.path or "")
    entries = archived_entries(store, archived_files(store, settings.venues))
    first = next(entries)
    return first.record.received_ts, lambda _: takewhile(lambda _: not stopped(), chain([first], entries))


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
