"""Stores the records of one topic partition in order: chunks as inserts, what cannot be stored as dead letters."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

from contracts.errors import RegistryUnavailable
from contracts.records import DeadLetter
from contracts.topics import SINK_DEADLETTER, physical
from contracts.wire import Codecs
from sink.blocks import Blocks
from sink.clickhouse import Insert, Stopped, Store
from sink.entries import Chunk, Entry, Refusal, cut, read
from sink.lane import Lane
from sink.native import Unencodable
from sink.tables import DEADLETTER_TABLE, Table
from streamkit.broker import Outgoing, Producer, Record, TopicPartition
from streamkit.deadletter import Breaker, headers, letter
from streamkit.logs import Log

CALL_TIMEOUT_S = 10.0  # of one transactional call
REGISTRY_RETRY_S = 0.5
Failpoint = Literal["before-insert", "after-insert", "before-letter", "after-letter"]


class Hooks(Protocol):
    """Told where the sink is; tests kill the process there."""

    def at(self, point: Failpoint) -> None:
        """Return to let the sink go on."""
        ...


class NoHooks:
    """The hooks of a service: none."""

    def at(self, point: Failpoint) -> None:
        """Do nothing."""


class Transactions:
    """The sink's own writing to Kafka, dead letters and the hint of positions, one at a time from any thread."""

    def __init__(self, producer: Producer, group_metadata: Callable[[], object]) -> None:
        self._producer = producer
        self._group_metadata = group_metadata
        self._lock = threading.Lock()

    def write(self, partition: int, outgoing: Outgoing) -> None:
        """Write one record; it is in the log when this returns."""
        with self._lock:
            self._producer.begin()
            self._producer.produce(partition, [outgoing])
            self._producer.commit(CALL_TIMEOUT_S)

    def hint(self, positions: dict[TopicPartition, int]) -> None:
        """Commit offsets, for those who watch lag: nothing is ever read from there."""
        with self._lock:
            self._producer.begin()
            self._producer.send_offsets(positions, self._group_metadata(), CALL_TIMEOUT_S)
            self._producer.commit(CALL_TIMEOUT_S)


class Storing:
    """Stores one lane after the other; several threads may be at work, each on a lane of its own."""

    def __init__(
        self,
        *,
        store: Store,
        codecs: Codecs,
        transactions: Transactions,
        run_id: str,
        stopping: Callable[[], bool],
        log: Log,
        hooks: Hooks,
    ) -> None:
        self._store = store
        self._codecs = codecs
        self._transactions = transactions
        self._run_id = run_id
        self._stopping = stopping
        self._log = log
        self._hooks = hooks
        self._breakers: dict[TopicPartition, Breaker] = {}

    def store(self, lane: Lane, records: Sequence[Record]) -> "Stored":
        """Store ``records``, the next ones of the lane, moving ``lane.done`` as they land.

        Raises StoreRefused, Stopped, BreakerOpen, BrokerError; the lane then stands where its table does.
        """
        entries = [self._read(lane, record) for record in records]
        blocks = self._blocks(lane.table, lane.place)
        stored = Stored()
        for part in cut(entries):
            pieces = fitting(blocks, part) if isinstance(part, Chunk) else iter((part,))
            for piece in pieces:
                self._put(lane, piece, stored)
        return stored

    def _read(self, lane: Lane, record: Record) -> Entry | Refusal:
        while True:
            try:
                return read(self._codecs, lane.table, lane.place.topic, record)
            except RegistryUnavailable as error:
                self._log.warning("waiting", reason="registry", detail=str(error))
                if self._stopping():
                    raise Stopped("asked to stop while the registry did not answer") from error
                time.sleep(REGISTRY_RETRY_S)

    def _put(self, lane: Lane, piece: "Block | Refusal", stored: "Stored") -> None:
        breaker = self._breakers.setdefault(lane.place, Breaker())
        if isinstance(piece, Refusal):
            breaker.note(piece.reason)
            self._refuse(lane, piece)
            stored.refused += 1
            lane.done = piece.record.offset
            return
        self._insert(lane.table, lane.place, piece)
        breaker.passed(len(piece.chunk.entries))
        stored.rows += piece.rows
        stored.bytes += len(piece.body)
        lane.done = piece.chunk.last

    def _insert(self, table: Table, place: TopicPartition, block: "Block") -> None:
        chunk = block.chunk
        token = f"{place.topic}-{place.partition}-{chunk.first}-{chunk.last}-{table.version}"
        self._hooks.at("before-insert")
        self._store.insert(
            Insert(
                table=table.name,
                topic=place.topic,
                partition=place.partition,
                last=chunk.last,
                token=token,
                body=block.body,
            )
        )
        self._hooks.at("after-insert")

    def _refuse(self, lane: Lane, refusal: Refusal) -> None:
        """Write the dead letter, then the row that moves the position past it: a crash between repeats the letter."""
        place, record = lane.place, refusal.record
        note = letter(
            service="sink",
            topic=place.topic,
            partition=place.partition,
            record=record,
            reason=refusal.reason,
            detail=refusal.detail,
            underlying="",
        )
        self._log.warning("dead_letter", topic=place.topic, partition=place.partition, offset=record.offset,
                          reason=refusal.reason, detail=refusal.detail)  # fmt: skip
        self._hooks.at("before-letter")
        self._transactions.write(place.partition, self._outgoing(note))
        self._hooks.at("after-letter")
        blocks = self._blocks(DEADLETTER_TABLE, place)
        entry = Entry(record, note, 0)
        body, rows = blocks.build([entry], after_offset=[lane.done])
        self._insert(DEADLETTER_TABLE, place, Block(Chunk((entry,)), body, rows))

    def _outgoing(self, note: DeadLetter) -> Outgoing:
        topic = physical(SINK_DEADLETTER, self._run_id)
        value = self._codecs.encode(topic, note)
        return Outgoing(topic, note.source_key, value, note.source_timestamp_ms, headers(note))

    def _blocks(self, table: Table, place: TopicPartition) -> Blocks:
        return Blocks(table, topic=place.topic, partition=place.partition, run_id=self._run_id)


class Block:
    """A chunk and its bytes."""

    __slots__ = ("body", "chunk", "rows")

    def __init__(self, chunk: Chunk, body: bytes, rows: int) -> None:
        self.chunk, self.body, self.rows = chunk, body, rows


class Stored:
    """What one call has stored."""

    __slots__ = ("bytes", "refused", "rows")

    def __init__(self) -> None:
        self.rows = self.bytes = self.refused = 0


def fitting(blocks: Blocks, chunk: Chunk) -> Iterator[Block | Refusal]:
    """Yield the blocks of a chunk: one, unless a record in it does not fit its table; halving finds which."""
    try:
        body, rows = blocks.build(chunk.entries)
    except Unencodable as error:
        if len(chunk.entries) == 1:
            yield Refusal(chunk.entries[0].record, "does_not_fit", str(error))
            return
        middle = len(chunk.entries) // 2
        for half in (chunk.entries[:middle], chunk.entries[middle:]):
            yield from fitting(blocks, Chunk(half))
        return
    yield Block(chunk, body, rows)
