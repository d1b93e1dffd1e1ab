"""Where each observation goes in the raw topics: partition, sequence number, non-decreasing time, heartbeats.

Pure: the caller says what time it is. One instance is the only writer of its topics.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from collector.observation import Observation
from contracts.partitioning import partition_for
from contracts.records import RawMessage
from contracts.topics import MAX_RECORD_BYTES, TOPICS

SECOND_US = 1_000_000
# Room for the record's other fields, its key and the batch around it.
LARGEST_FRAME_BYTES = MAX_RECORD_BYTES - 64 * 1024


class Entry(NamedTuple):
    """A record and the partition it must be appended to; the Kafka timestamp is ``record.received_ts // 1000``."""

    topic: str
    partition: int
    record: RawMessage


def topic_of(venue: str) -> str:
    """Return the raw topic of ``venue``; KeyError if the contract has none."""
    return TOPICS[f"raw.{venue}"].name


def partitions_of(venues: Iterable[str]) -> dict[str, int]:
    """Return the raw topics of ``venues`` with their numbers of partitions."""
    return {topic_of(venue): TOPICS[topic_of(venue)].partitions for venue in venues}


class RawLog:
    """Turns observations into log entries.

    ``floors`` is the last receive time (µs) already in each (topic, partition): nothing is ever stamped below it, so
    time does not run backwards in a partition, not even across restarts.
    """

    def __init__(self, venues: Iterable[str], floors: Mapping[tuple[str, int], int] | None = None) -> None:
        self._venues = {topic_of(venue): venue for venue in venues}
        self._latest = {
            (topic, partition): (floors or {}).get((topic, partition), 0)
            for topic, count in partitions_of(self._venues.values()).items()
            for partition in range(count)
        }
        self._sequence: dict[str, int] = {}

    def append(self, seen: Observation) -> Entry:
        """Return the entry of ``seen``, stamped no earlier than anything before it in its partition."""
        topic = topic_of(seen.venue)
        partition = partition_for(seen.underlying)
        return self._entry(topic, partition, seen, f"{seen.venue}-{seen.connection}")

    def heartbeats(self, now: int) -> Iterator[Entry]:
        """Yield a heartbeat for each partition that has no record yet in the second of ``now`` (µs).

        Called right after a second has ended, it closes that second in every partition at once.
        """
        for (topic, partition), latest in self._latest.items():
            if latest // SECOND_US < now // SECOND_US:
                venue = self._venues[topic]
                beat = Observation(now, venue, 0, "heartbeat", "", None, "", None, b"")
                yield self._entry(topic, partition, beat, f"{venue}-heartbeat")

    def _entry(self, topic: str, partition: int, seen: Observation, conn_id: str) -> Entry:
        received_ts = max(seen.received_ts, self._latest[topic, partition])
        self._latest[topic, partition] = received_ts
        sequence = self._sequence.get(conn_id, 0)
        self._sequence[conn_id] = sequence + 1
        record = RawMessage(
            venue=seen.venue,
            channel=seen.channel,
            instrument=seen.instrument,
            underlying=seen.underlying,
            kind=seen.kind,
            conn_id=conn_id,
            seq=sequence,
            exchange_ts=seen.exchange_ts,
            received_ts=received_ts,
            payload=seen.payload,
        )
        return Entry(topic, partition, record)
