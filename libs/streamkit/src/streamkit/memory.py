"""The broker in memory, for tests: the same rules as Kafka's, and the traps that follow from them.

Offsets are taken by control records and aborted data, too; readers see committed data below the last stable offset;
a transactional id has one owner; group members hand partitions over one by one. Single-threaded, but for producers of
different partitions, which may be used at the same time.
"""

import itertools
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from contracts.topics import MAX_DEAD_LETTER_BYTES
from streamkit.broker import (
    Bounds,
    BrokerError,
    Fenced,
    Outgoing,
    RebalanceListener,
    Record,
    Refused,
    Slice,
    TopicPartition,
    Truncated,
)

State = Literal["open", "committed", "aborted", "control"]


@dataclass(slots=True)
class _Entry:
    record: Record
    outgoing: Outgoing | None
    state: State


class Stored(NamedTuple):
    """One visible record with its headers, as tests look at it."""

    record: Record
    headers: tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class _Log:
    entries: list[_Entry] = field(default_factory=list)
    unresolved: set[int] = field(default_factory=set)
    next_offset: int = 0
    begin: int = 0

    def append(self, outgoing: Outgoing | None, state: State) -> _Entry:
        item = outgoing or Outgoing("", None, None, 0)
        entry = _Entry(Record(self.next_offset, item.key, item.timestamp_ms, item.value), outgoing, state)
        self.entries.append(entry)
        if state == "open":
            self.unresolved.add(self.next_offset)
        self.next_offset += 1
        return entry

    @property
    def stable_end(self) -> int:
        return min(self.unresolved, default=self.next_offset)

    def resolve(self, entry: _Entry, state: State) -> None:
        entry.state = state
        self.unresolved.discard(entry.record.offset)

    def visible(self, begin: int) -> Iterator[_Entry]:
        end = self.stable_end
        for entry in itertools.islice(self.entries, self._index(begin), None):
            if entry.record.offset >= end:
                return
            if entry.state == "committed":
                yield entry

    def left_from(self, offset: int) -> int:
        left = any(entry.state in ("open", "committed") for entry in self.entries[self._index(offset) :])
        return self.next_offset - offset if left else 0

    def _index(self, offset: int) -> int:
        return bisect_left(self.entries, offset, key=lambda entry: entry.record.offset)


@dataclass(slots=True)
class _Group:
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    members: dict[int, "MemoryConsumer"] = field(default_factory=dict)
    owners: dict[TopicPartition, int] = field(default_factory=dict)
    generation: int = 0


class MemoryBroker:
    """Topics, groups and transactional ids of one broker. ``topics`` maps each name to its number of partitions."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._logs = {TopicPartition(t, n): _Log() for t, count in topics.items() for n in range(count)}
        self._groups: dict[str, _Group] = {}
        self._owners: dict[str, MemoryProducer] = {}
        self._members = itertools.count(1)

    def consumer(self, group: str) -> "MemoryConsumer":
        """See :class:`~streamkit.broker.Broker`."""
        return MemoryConsumer(self, self.group(group), next(self._members))

    def producer(self, transactional_id: str) -> "MemoryProducer":
        """See :class:`~streamkit.broker.Broker`."""
        return MemoryProducer(self, transactional_id)

    def reader(self) -> "MemoryReader":
        """See :class:`~streamkit.broker.Broker`."""
        return MemoryReader(self)

    def visible(self, topic: str, partition: int) -> list[Stored]:
        """Return what a read_committed reader sees of a partition."""
        entries = self.log(TopicPartition(topic, partition)).visible(0)
        return [Stored(entry.record, entry.outgoing.headers if entry.outgoing else ()) for entry in entries]

    def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Delete records below ``offset``, as retention does."""
        log = self.log(partition)
        log.begin = offset
        log.entries = [entry for entry in log.entries if entry.record.offset >= offset]

    def compact(self, partition: TopicPartition) -> None:
        """Keep the newest committed record of each key, and nothing else; the log end stays."""
        log = self.log(partition)
        newest = {entry.record.key: entry for entry in log.entries if entry.state == "committed"}
        log.entries = sorted(newest.values(), key=lambda entry: entry.record.offset)

    def log(self, partition: TopicPartition) -> _Log:
        """Return a partition's log; raises Refused for one that does not exist."""
        try:
            return self._logs[partition]
        except KeyError:
            raise Refused("unknown_topic", f"{partition.topic}/{partition.partition} does not exist") from None

    def group(self, name: str) -> _Group:
        """Return a group, made when first named."""
        return self._groups.setdefault(name, _Group())

    def own(self, producer: "MemoryProducer") -> None:
        """Make ``producer`` the owner of its id and abort what its predecessor left open."""
        predecessor = self._owners.get(producer.transactional_id)
        if predecessor is not None:
            predecessor.finish("aborted")
        self._owners[producer.transactional_id] = producer

    def owner(self, transactional_id: str) -> "MemoryProducer | None":
        """Return the id's owner."""
        return self._owners.get(transactional_id)

    def partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        """Return all partitions of ``topics``."""
        return [partition for partition in sorted(self._logs) if partition.topic in topics]


class MemoryReader:
    """See :class:`~streamkit.broker.Reader`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def bounds(self, partition: TopicPartition) -> Bounds:
        """See :class:`~streamkit.broker.Reader`."""
        log = self._broker.log(partition)
        return Bounds(log.begin, log.stable_end)

    def read(self, partition: TopicPartition, begin: int) -> Iterator[Record]:
        """See :class:`~streamkit.broker.Reader`."""
        for entry in self._broker.log(partition).visible(begin):
            yield entry.record

    def close(self) -> None:
        """See :class:`~streamkit.broker.Reader`."""


class MemoryConsumer:
    """See :class:`~streamkit.broker.Consumer`. A rebalance takes effect in the members' next ``consume``."""

    def __init__(self, broker: MemoryBroker, group: _Group, member: int) -> None:
        self._broker = broker
        self._group = group
        self.member = member
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._held: set[TopicPartition] = set()
        self._turn = 0
        self._topics: tuple[str, ...] = ()
        self._listener: RebalanceListener | None = None

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        self._positions = dict(positions)

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        self._topics, self._listener = tuple(topics), listener
        self._group.members[self.member] = self
        self._group.generation += 1

    def consume(self, max_records: int, timeout_s: float) -> list[Slice]:  # noqa: ARG002 - nothing to wait for
        """See :class:`~streamkit.broker.Consumer`."""
        self._rebalance()
        slices = []
        partitions = deque(sorted(self._positions))
        self._turn += 1
        partitions.rotate(self._turn)  # so that a small batch does not always favour the same one
        for partition in partitions:
            if partition in self._paused or partition in self._held or max_records <= 0:
                continue
            position, log = self._positions[partition], self._broker.log(partition)
            if not log.begin <= position <= log.next_offset:
                raise Truncated("offset_out_of_range", f"{partition}: position {position}, log begins at {log.begin}")
            records = [entry.record for entry in itertools.islice(log.visible(position), max_records)]
            if records:
                max_records -= len(records)
                self._positions[partition] = records[-1].offset + 1
                slices.append(Slice(*partition, records))
        return slices

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        self._require_assigned(positions)
        self._positions.update(positions)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        self._require_assigned(partitions)
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        self._require_assigned(partitions)
        self._paused.difference_update(partitions)

    def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """See :class:`~streamkit.broker.Consumer`."""
        return {partition: self._group.offsets.get(partition) for partition in partitions}

    def group_metadata(self) -> tuple[_Group, int]:
        """See :class:`~streamkit.broker.Consumer`."""
        return self._group, self.member if self._topics else 0

    def behind(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """See :class:`~streamkit.broker.Consumer`."""
        return {partition: self._broker.log(partition).left_from(offset) for partition, offset in positions.items()}

    def close(self) -> None:
        """See :class:`~streamkit.broker.Consumer`."""
        if self._group.members.pop(self.member, None) is not None:
            self._release([partition for partition, owner in self._group.owners.items() if owner == self.member])

    def expel(self) -> None:
        """Remove this member as the broker does when its session ends: it is not told before its next call."""
        del self._group.members[self.member]
        for partition in [p for p, owner in self._group.owners.items() if owner == self.member]:
            del self._group.owners[partition]

    def _rebalance(self) -> None:
        if self._listener is None:
            return
        if self.member not in self._group.members:
            lost, self._positions = list(self._positions), {}
            self._listener.on_lost(lost)
            raise BrokerError("unknown_member", f"member {self.member} was removed from the group")
        target = self._target()
        owned = {partition for partition, owner in self._group.owners.items() if owner == self.member}
        if owned - target:
            self._release(sorted(owned - target))
        free = sorted(partition for partition in target - owned if partition not in self._group.owners)
        if free:
            self._take(free)

    def _target(self) -> set[TopicPartition]:
        """Range assignment by partition number, so that topics are co-partitioned."""
        members = sorted(self._group.members)
        partitions = self._broker.partitions(self._topics)
        count = max(partition.partition for partition in partitions) + 1
        mine = members.index(self.member)
        return {p for p in partitions if p.partition * len(members) // count == mine}

    def _release(self, partitions: Sequence[TopicPartition]) -> None:
        assert self._listener is not None  # noqa: S101 - only members release; for the type checker
        self._listener.on_revoke(partitions)
        for partition in partitions:
            del self._group.owners[partition]
            self._positions.pop(partition, None)
            self._held.discard(partition)
            self._paused.discard(partition)

    def _take(self, partitions: Sequence[TopicPartition]) -> None:
        assert self._listener is not None  # noqa: S101 - only members take; for the type checker
        self._group.owners.update(dict.fromkeys(partitions, self.member))
        self._positions.update(dict.fromkeys(partitions, 0))
        starts = self._listener.on_assign(partitions)
        self._held.update(partitions)
        self._held.difference_update(starts)
        self._positions.update(starts)

    def _require_assigned(self, partitions: Sequence[TopicPartition] | Mapping[TopicPartition, int]) -> None:
        strangers = [partition for partition in partitions if partition not in self._positions]
        if strangers:
            raise Refused("not_assigned", f"{strangers} are not assigned")


class MemoryProducer:
    """See :class:`~streamkit.broker.Producer`."""

    def __init__(self, broker: MemoryBroker, transactional_id: str) -> None:
        self._broker = broker
        self.transactional_id = transactional_id
        self._open = False
        self._entries: dict[TopicPartition, list[_Entry]] = {}
        self._offsets: list[tuple[_Group, dict[TopicPartition, int]]] = []

    def init(self, timeout_s: float) -> None:  # noqa: ARG002 - immediate
        """See :class:`~streamkit.broker.Producer`."""
        self._broker.own(self)

    def begin(self) -> None:
        """See :class:`~streamkit.broker.Producer`."""
        self._require_owner()
        if self._open:
            raise Refused("state", "a transaction is open already")
        self._open = True

    def produce(self, partition: int, batch: Sequence[Outgoing]) -> None:
        """See :class:`~streamkit.broker.Producer`."""
        self._require_open()
        for outgoing in batch:
            size = len(outgoing.value or b"") + len(outgoing.key or b"")
            if size > MAX_DEAD_LETTER_BYTES:
                raise Refused("too_large", f"{outgoing.topic}: record of {size} bytes, key {outgoing.key!r}")
            target = TopicPartition(outgoing.topic, partition)
            entry = self._broker.log(target).append(outgoing, "open")
            self._entries.setdefault(target, []).append(entry)

    def send_offsets(
        self,
        positions: Mapping[TopicPartition, int],
        group_metadata: tuple[_Group, int],
        timeout_s: float,  # noqa: ARG002 - immediate
    ) -> None:
        """See :class:`~streamkit.broker.Producer`."""
        self._require_open()
        group, member = group_metadata
        if member and member not in group.members:
            raise BrokerError("unknown_member", f"member {member} is not in the group any more")
        self._offsets.append((group, dict(positions)))

    def commit(self, timeout_s: float) -> None:  # noqa: ARG002 - immediate
        """See :class:`~streamkit.broker.Producer`."""
        self._require_open()
        for group, positions in self._offsets:
            group.offsets.update(positions)
        self.finish("committed")

    def abort(self, timeout_s: float) -> None:  # noqa: ARG002 - immediate
        """See :class:`~streamkit.broker.Producer`."""
        self._require_open()
        self.finish("aborted")

    def finish(self, state: State) -> None:
        """Resolve what is open, if anything, and write the control records."""
        for partition, entries in self._entries.items():
            log = self._broker.log(partition)
            for entry in entries:
                log.resolve(entry, state)
            log.append(None, "control")
        self._open, self._entries, self._offsets = False, {}, []

    def _require_owner(self) -> None:
        if self._broker.owner(self.transactional_id) is not self:
            raise Fenced("fenced", f"transactional id {self.transactional_id} has another owner")

    def _require_open(self) -> None:
        self._require_owner()
        if not self._open:
            raise Refused("state", "no transaction is open")
