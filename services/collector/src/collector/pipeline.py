"""What goes where: a source's observations through the raw log into Kafka.

=============================  ===============================================  =====================================
from                           by                                               to
=============================  ===============================================  =====================================
recordings (``file``)          recorded.catalog → recorded.timeline → raw_log   raw_writer → ``raw.<venue>``
=============================  ===============================================  =====================================
"""

from collections.abc import Callable
from pathlib import Path

from collector.file_source import run_file_source
from collector.raw_writer import KafkaRawWriter, last_received
from collector.recorded.catalog import find_recordings
from collector.settings import Settings
from contracts.wire import Codecs

FLUSH_TIMEOUT_S = 30.0


def run(settings: Settings, stopped: Callable[[], bool]) -> int:
    """Run until the source ends or ``stopped()``; returns how many records were written and acknowledged.

    Raises what the source raises: see :func:`collector.file_source.run_file_source`.
    """
    recordings = find_recordings(settings.path or Path(), settings.selection)
    floors = last_received(settings.bootstrap_servers, settings.venues)
    writer = KafkaRawWriter(
        settings.bootstrap_servers, Codecs.connect(settings.registry_url), max_frame_bytes=settings.max_frame_bytes
    )
    written = run_file_source(
        recordings, writer, venues=settings.venues, floors=floors, speed=settings.speed, stopped=stopped
    )
    writer.flush(FLUSH_TIMEOUT_S)
    return written
