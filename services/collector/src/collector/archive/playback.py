"""Archive files as log entries: the records as they were, partition by partition, in the order they were received."""

import heapq
from collections.abc import Collection, Iterator
from itertools import groupby, pairwise

from collector.archive.layout import ArchiveFile
from collector.archive.store import ArchiveError, Store
from collector.raw_log import Entry, topic_of


def archived_files(store: Store, venues: Collection[str]) -> list[ArchiveFile]:
    """Return the files of ``venues``' topics. Raises ArchiveError if there are none, or two that overlap."""
    topics = {topic_of(venue) for venue in venues}
    files = [file for file in store.files() if file.topic in topics]
    if not files:
        raise ArchiveError(
            f"archive {store.url!r} holds nothing of {', '.join(sorted(topics))}; name another, or VENUES"
        )
    for one, other in pairwise(files):
        if (one.topic, one.partition) == (other.topic, other.partition) and other.first <= one.last:
            raise ArchiveError(f"{one.path} and {other.path} overlap; leave one of them out")
    return files


def archived_entries(store: Store, files: Collection[ArchiveFile]) -> Iterator[Entry]:
    """Yield every record, each partition in the order of its log, merged by receive time. Raises ArchiveError."""
    partitions = groupby(sorted(files), key=lambda file: (file.topic, file.partition))
    streams = [_partition(store, list(group)) for _, group in partitions]
    return heapq.merge(*streams, key=lambda entry: entry.record.received_ts)


def _partition(store: Store, files: list[ArchiveFile]) -> Iterator[Entry]:
    for file in files:
        for record in store.read(file):
            yield Entry(file.topic, file.partition, record)
