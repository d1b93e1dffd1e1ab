"""The shell of the ``file`` source: recorded entries into the writer, at recorded speed or as fast as it takes them."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from collector.raw_log import SECOND_US, Entry
from collector.raw_writer import LogAhead, RawWriter
from collector.recorded.timeline import HOLE_US

_FULL_QUEUE_POLL_S = 0.05
_LONGEST_SLEEP_S = 0.2
_REPORT_EVERY = 500


class Pace:
    """When entries are due: recorded time divided by ``speed``, holes left out; ``speed`` 0 is at once."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._played_us = 0
        self._latest: int | None = None

    def due_s(self, received_ts: int) -> float:
        """Return the seconds after the start at which an entry of ``received_ts`` is due."""
        passed = 0 if self._latest is None else received_ts - self._latest
        self._played_us += passed if passed <= HOLE_US else 0
        self._latest = received_ts
        return self._played_us / SECOND_US / self._speed if self._speed else 0.0


def run_file_source(
    entries: Iterable[Entry],
    writer: RawWriter,
    *,
    begins: int,
    floors: Mapping[tuple[str, int], int],
    speed: float,
    stopped: Callable[[], bool],
    report: Callable[[Mapping[tuple[str, str], int]], None] = lambda _: None,
) -> Counter[tuple[str, str]]:
    """Write all entries and return how many records of each (venue, kind).

    ``begins`` is the first receive time (µs); waiting for an entry's time ends once ``stopped()``. Raises LogAhead,
    PublishError, and what ``entries`` raise for a file that cannot be read.
    """
    _require_time_ahead(begins, floors)
    pace = Pace(speed)
    start = time.monotonic()
    written: Counter[tuple[str, str]] = Counter()
    for count, entry in enumerate(entries):
        if speed:
            _wait(start + pace.due_s(entry.record.received_ts), writer, stopped)
        _write(entry, writer)
        written[entry.record.venue, entry.record.kind] += 1
        if count % _REPORT_EVERY == 0:
            report(written)
    return written


def _require_time_ahead(begins: int, floors: Mapping[tuple[str, int], int]) -> None:
    for (topic, partition), floor in floors.items():
        if floor > begins:
            raise LogAhead(
                f"{topic} partition {partition} already holds records up to {floor // 1000} ms, after the recordings "
                f"begin ({begins // 1000} ms): time in a raw topic never runs backwards; write to empty topics"
            )


def _wait(until: float, writer: RawWriter, stopped: Callable[[], bool]) -> None:
    while (left := until - time.monotonic()) > 0 and not stopped():
        writer.poll(min(left, _LONGEST_SLEEP_S))


def _write(entry: Entry, writer: RawWriter) -> None:
    while not writer.offer(entry):
        writer.poll(_FULL_QUEUE_POLL_S)
