"""Many recordings as one stretch of recorded time: merged, with its holes marked, with the heartbeats it implies.

A hole is recorded time in which a venue sent nothing for over five seconds: the recorder was off. Its connection is
lost at the next full second and opened again by the next frame::

    ... frame | heartbeats, disconnect | heartbeats | (hole) | connect, frame ...
        second s        s + 1              s + 2

so that second s and the disconnect's own second are closed in every partition, and the hole costs two seconds.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile

from collector.observation import Observation, connection_event
from collector.raw_log import SECOND_US, Entry, RawLog
from collector.recorded.catalog import Recording
from collector.recorded.rows import RecordingError

HOLE_US = 5 * SECOND_US


def recorded_entries(
    recordings: Sequence[Recording], log: RawLog, stopped: Callable[[], bool] = lambda: False
) -> Iterator[Entry]:
    """Yield every log entry the recordings lead to, in receive order; ends with the seconds closed.

    Once ``stopped()`` the recordings are taken to end here. Files are opened when recorded time reaches them. Raises
    RecordingError for a file that cannot be read.
    """
    venues = sorted({recording.venue for recording in recordings})
    streams = [with_connection_events([r for r in recordings if r.venue == venue], stopped) for venue in venues]
    yield from with_heartbeats(heapq.merge(*streams, key=lambda seen: seen.received_ts), log)


def merge_lazily(recordings: Iterable[Recording]) -> Iterator[Observation]:
    """Merge recordings by receive time, holding open only those that overlap."""
    waiting = sorted(((first_received_ts(r), r.read) for r in recordings), key=lambda pair: pair[0], reverse=True)
    heap: list[tuple[int, int, Observation, Iterator[Observation]]] = []
    while waiting or heap:
        while waiting and (not heap or waiting[-1][0] <= heap[0][0]):
            _push(heap, len(waiting), waiting.pop()[1]())
        _, order, seen, rest = heapq.heappop(heap)
        yield seen
        _push(heap, order, rest)


def first_received_ts(recording: Recording) -> int:
    """Return when a recording begins; RecordingError if it is empty."""
    for seen in recording.read():
        return seen.received_ts
    raise RecordingError(
        recording.path, f"holds no rows of {', '.join(recording.underlyings)}", "leave out the file (FILES)", row=1
    )


def with_connection_events(
    recordings: Sequence[Recording], stopped: Callable[[], bool] = lambda: False
) -> Iterator[Observation]:
    """Yield one venue's recordings merged, with connect and disconnect where recorded time begins, breaks and ends."""
    venue = recordings[0].venue
    underlyings = sorted({underlying for recording in recordings for underlying in recording.underlyings})
    latest: int | None = None
    for seen in takewhile(lambda _: not stopped(), merge_lazily(recordings)):
        if latest is None or seen.received_ts - latest > HOLE_US:
            if latest is not None:
                yield from _lost(latest, venue, underlyings)
            for underlying in underlyings:
                yield connection_event(
                    "connect", "recording begins", received_ts=seen.received_ts, venue=venue, connection=0,
                    underlying=underlying,
                )  # fmt: skip
        yield seen
        latest = seen.received_ts
    if latest is not None:
        yield from _lost(latest, venue, underlyings)


def with_heartbeats(observations: Iterable[Observation], log: RawLog) -> Iterator[Entry]:
    """Append observations to ``log``, with heartbeats at each full second in between and two seconds into a hole."""
    latest: int | None = None
    for seen in observations:
        if latest is not None:
            until = seen.received_ts
            yield from _beats(latest, until if until - latest <= HOLE_US else latest + SECOND_US, log)
        yield log.append(seen)
        latest = seen.received_ts
    if latest is not None:
        yield from _beats(latest, latest + SECOND_US, log)


def _beats(after: int, until: int, log: RawLog) -> Iterator[Entry]:
    for boundary in range((after // SECOND_US + 1) * SECOND_US, until + 1, SECOND_US):
        yield from log.heartbeats(boundary)


def _lost(latest: int, venue: str, underlyings: Sequence[str]) -> Iterator[Observation]:
    at = (latest // SECOND_US + 1) * SECOND_US
    for underlying in underlyings:
        yield connection_event(
            "disconnect", "recording ends", received_ts=at, venue=venue, connection=0, underlying=underlying
        )


def _push(
    heap: list[tuple[int, int, Observation, Iterator[Observation]]], order: int, rest: Iterator[Observation]
) -> None:
    if (seen := next(rest, None)) is not None:
        heapq.heappush(heap, (seen.received_ts, order, seen, rest))
