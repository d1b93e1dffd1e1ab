"""What the run loop needs of a broker, as ports; :mod:`streamkit.kafka` and :mod:`streamkit.memory` implement them.

Both implementations pass one suite (``tests/libs/streamkit/broker_contract``). All reading is read_committed: records
of open and aborted transactions are never seen, and an *end* is always the last stable offset. Offsets are sparse
(control records, aborted data, compaction): positions are "last offset + 1", never a count.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Headers = tuple[tuple[str, bytes], ...]


class TopicPartition(NamedTuple):
    """A partition of a topic, under the topic's physical name."""

    topic: str
    partition: int


class Record(NamedTuple):
    """One record as it lies in a partition; ``value`` None is a tombstone."""

    offset: int
    key: bytes | None
    timestamp_ms: int
    value: bytes | None


class Slice(NamedTuple):
    """Consecutive records of one partition, offsets ascending, never empty."""

    topic: str
    partition: int
    records: list[Record]


class Outgoing(NamedTuple):
    """One record to write; the partition is the task's."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()


class Bounds(NamedTuple):
    """First offset still held and last stable offset (the next one a reader would get) of a partition."""

    begin: int
    end: int


class BrokerError(Exception):
    """A broker call failed: nothing since the last commit counts, the process must start again.

    ``reason`` is the client's short name of the error, for logs and metrics.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class Fenced(BrokerError):
    """Another process owns this transactional id now, or the transaction outlived its timeout (the two look alike)."""


class Unresolved(BrokerError):
    """The call timed out and may or may not have happened; only a commit may be repeated."""


class Refused(BrokerError):
    """What was asked cannot work however often it is tried: missing topic, record too large, misuse."""


class Truncated(BrokerError):
    """The position asked for is no longer in the log: data was deleted before it was read."""


class RebalanceListener(Protocol):
    """What a subscriber is told, from inside :meth:`Consumer.consume` and :meth:`Consumer.close`."""

    def on_assign(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return where to start: any of ``partitions`` or of those assigned before; the others are held, paused."""
        ...

    def on_revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Finish and commit the work on ``partitions``: they belong to someone else after this returns."""
        ...

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop ``partitions`` without committing: they already belong to someone else."""
        ...


class Consumer(Protocol):
    """Reads partitions, either fixed (:meth:`assign`) or as a member of a group (:meth:`subscribe`)."""

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these partitions from these offsets, without joining the group."""
        ...

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group; co-partitioned topics get the same partition numbers."""
        ...

    def consume(self, max_records: int, timeout_s: float) -> list[Slice]:
        """Return up to ``max_records``, waiting at most ``timeout_s`` for that many.

        Raises Truncated when a position has been deleted, Refused when a topic does not exist.
        """
        ...

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on at these offsets; the partitions are assigned."""
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Deliver nothing of these partitions until :meth:`resume`."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Deliver these partitions again."""
        ...

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """Return the group's committed offsets, None where there is none; waits out offsets of open transactions."""
        ...

    def group_metadata(self) -> Any:  # Any: opaque to all but the producer of the same implementation
        """Return the member's identity as of now, the fence for :meth:`Producer.send_offsets`; never keep it."""
        ...

    def behind(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """Return how many offsets lie between ``positions`` and the log ends last seen, without asking the broker.

        0 exactly when everything was delivered; otherwise an upper bound of the records to come, those of open
        transactions included. Partitions of which the end is not known yet are left out.
        """
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class Producer(Protocol):
    """One transactional id. After any error but :class:`Unresolved` of a commit, this object is of no more use."""

    def init(self, timeout_s: float) -> None:
        """Fence the id's predecessor and resolve its open transaction."""
        ...

    def begin(self) -> None:
        """Open a transaction."""
        ...

    def produce(self, partition: int, batch: Sequence[Outgoing]) -> None:
        """Queue ``batch``, in order; raises Refused for a record the client will not take."""
        ...

    def send_offsets(self, positions: Mapping[TopicPartition, int], group_metadata: Any, timeout_s: float) -> None:
        """Make ``positions`` part of the transaction."""
        ...

    def commit(self, timeout_s: float) -> None:
        """Flush and commit; Unresolved may be answered by calling again."""
        ...

    def abort(self, timeout_s: float) -> None:
        """Give up the open transaction."""
        ...


class Reader(Protocol):
    """Reads partitions to their end, outside any group: for checkpoints and bounds."""

    def bounds(self, partition: TopicPartition) -> Bounds:
        """Return what the partition holds; raises Refused if it does not exist."""
        ...

    def read(self, partition: TopicPartition, begin: int) -> Iterator[Record]:
        """Yield the records from ``begin`` to the last stable offset as of the end of the iteration."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class Broker(Protocol):
    """Makes the three kinds of client."""

    def consumer(self, group: str) -> Consumer:
        """Return a consumer that commits under ``group``."""
        ...

    def producer(self, transactional_id: str) -> Producer:
        """Return a producer; nothing is fenced before its ``init``."""
        ...

    def reader(self) -> Reader:
        """Return a reader."""
        ...
