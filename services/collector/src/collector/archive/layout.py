"""Names of archive files: ``<topic>/<partition>/<YYYY-MM-DD>T<HH>/<first offset>-<last offset>.avro``.

The hour is that of ``received_ts`` (UTC); offsets are those of the topic, twenty digits each, so that names sort in the
order of the log. What is recorded, and where to go on, can be read from the names alone.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

HOUR_MS = 3_600_000
UNFINISHED = ".part"
_NAME = re.compile(
    r"(?:.*/)?(?P<topic>raw\.[a-z0-9-]+)/(?P<partition>\d+)/(?P<hour>\d{4}-\d\d-\d\dT\d\d)/"
    r"(?P<first>\d{20})-(?P<last>\d{20})\.avro"
)


@dataclass(frozen=True, slots=True, order=True)
class ArchiveFile:
    """One file: offsets ``first`` to ``last``, both included, of a topic's partition; ``path`` is where it lies."""

    topic: str
    partition: int
    first: int
    last: int
    path: str


def file_name(topic: str, partition: int, timestamp_ms: int, first: int, last: int) -> str:
    """Return the name of a file below the archive's root."""
    hour = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return f"{topic}/{partition}/{hour:%Y-%m-%dT%H}/{first:020}-{last:020}.avro"


def recognise(path: str) -> ArchiveFile | None:
    """Return what ``path`` says it holds; None if it is no archive file's."""
    match = _NAME.fullmatch(path)
    if match is None:
        return None
    return ArchiveFile(match["topic"], int(match["partition"]), int(match["first"]), int(match["last"]), path)


def next_offsets(files: Iterable[ArchiveFile]) -> dict[tuple[str, int], int]:
    """Return where each recorded (topic, partition) goes on."""
    following: dict[tuple[str, int], int] = {}
    for file in files:
        place = (file.topic, file.partition)
        following[place] = max(following.get(place, 0), file.last + 1)
    return following
