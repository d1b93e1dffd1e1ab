"""One task: partition n of every input through aligner and core to encoded outputs. No broker, no clock in here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from contracts.records import Clock
from contracts.wire import Codecs, WireError
from streamkit import deadletter
from streamkit.barrier import Ledger
from streamkit.broker import Outgoing, Record
from streamkit.checkpoint import Snapshot
from streamkit.core import ClockedSecond, CloseSecond, Input, Item, Output, RawSecond, Reject
from streamkit.pipeline import Pipeline
from streamkit.units import Aligned, Aligner, ClockedSeconds, InvariantBroken, RawSeconds, RecordUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a task begins, topics by logical name.

    ``positions``: next offset to read. ``committed``: up to where outputs exist already (None on a first start).
    ``snapshot``: state at ``positions`` (None: a new core). ``truncated``: topics of a first start that have lost
    their oldest records.
    """

    positions: Mapping[str, int]
    committed: Mapping[str, int] | None = None
    snapshot: Snapshot | None = None
    truncated: AbstractSet[str] = frozenset()


@dataclass(slots=True)
class Counters:
    """What a task has done since it started; ``refused`` by reason, those of replayed units left out."""

    records: int = 0
    units: int = 0
    replayed_records: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class Task:
    """State machine of one partition: :meth:`feed` records, :meth:`advance`, :meth:`take` what is to be written.

    Units that were committed before the start are computed again, for their effect on the state, but write nothing.
    ``place`` maps the logical names of the topics written to physical ones.
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        partition: int,
        codecs: Codecs,
        start: Start,
        place: Callable[[str], str] = str,
    ) -> None:
        self.pipeline = pipeline
        self.partition = partition
        self.counters = Counters()
        self.positions = dict(start.positions)
        self.fed = dict(start.positions)  # next offset to take in, ahead of positions by what is buffered
        self.sequence = start.snapshot.sequence if start.snapshot else 0
        self.watermark_second: int | None = None
        self._codecs = codecs
        self._aligner = _aligner(pipeline, codecs, start)
        self._core = pipeline.new_core(partition)
        self._ledger = Ledger(pipeline.outputs)
        self._places = {topic: place(topic) for topic in pipeline.writes}
        self._breaker = deadletter.Breaker()
        self._committed = dict(start.committed) if start.committed else None
        self._pending: Aligned | None = None
        self._outgoing: list[Outgoing] = []
        self._refused: dict[tuple[str, int], str] = {}  # of the unit at hand: reason by topic and offset
        if start.snapshot:
            self._core.restore(start.snapshot.core)
            self._ledger.restore(start.snapshot.totals)
        self._leave_replay()

    @property
    def replaying(self) -> bool:
        """True while units are computed whose outputs exist already."""
        return self._committed is not None

    @property
    def skipped(self) -> int:
        """Records left out at a first start because the logs begin in the middle of their second."""
        return self._aligner.skipped

    def feed(self, topic: str, records: Sequence[Record]) -> None:
        """Take the records of logical ``topic``; those taken before (a rewind's) are dropped."""
        expected = self.fed[topic]
        if records[0].offset < expected:
            records = [record for record in records if record.offset >= expected]
        if records:
            self.fed[topic] = records[-1].offset + 1
            self._aligner.feed(topic, records)

    def advance(self, max_records: int, expired: Callable[[], bool]) -> int:
        """Compute units until ``max_records`` are used up, no unit is whole, or ``expired`` (asked after each second).

        Returns the records used. Raises RegistryUnavailable to be tried again (nothing is lost), WireError never;
        InvariantBroken, BreakerOpen and whatever the core raises are final.
        """
        timed = self.pipeline.unit != "record"
        used = 0
        while used < max_records:
            aligned = self._pending or self._aligner.next()
            if aligned is None:
                break
            self._pending = aligned  # kept until it is computed: decoding may have to wait for the registry
            used += self._compute(aligned)
            self._pending = None
            if timed and expired():
                break
        return used

    def take(self) -> list[Outgoing]:
        """Return the records to write since the last call, in order."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def snapshot(self) -> Snapshot:
        """Return the state after the last unit, as the task's next snapshot."""
        self.sequence += 1
        return Snapshot(
            sequence=self.sequence,
            positions=dict(self.positions),
            floor_second=self._aligner.floor_second,
            totals=tuple(self._ledger.totals()),
            core=self._core.snapshot(),
        )

    def buffered(self) -> Mapping[str, int]:
        """Return how many records of each topic wait for their unit."""
        return self._aligner.buffered()

    def congested(self) -> AbstractSet[str]:
        """Return the topics not to be read for now."""
        return self._aligner.congested()

    def _compute(self, aligned: Aligned) -> int:
        inputs, refused = self._decode(aligned)
        emit = self._committed is None or self._is_new(aligned.ends, self._committed)
        for topic, record, error in refused:
            self._refuse(topic, record, reason=error.reason, detail=error.detail, underlying="", emit=emit)
        unit = _unit(aligned.head, inputs)
        if unit is not None:
            self._write(self._core.step(unit), aligned, emit)
        self.positions.update(aligned.ends)
        used = self._judge(aligned)
        self.counters.units += 1
        self.counters.records += used
        if not emit:
            self.counters.replayed_records += used
            self._leave_replay()
        return used

    def _decode(self, aligned: Aligned) -> tuple[dict[str, list[Input]], list[tuple[str, Record, WireError]]]:
        """Decode a unit; touches no state, so that it can be tried again."""
        decode, partition = self._codecs.decode, self.partition
        inputs: dict[str, list[Input]] = {}
        refused: list[tuple[str, Record, WireError]] = []
        for topic, records in aligned.records.items():
            inputs[topic] = decoded = []
            for record in records:
                offset, key, timestamp_ms, value = record
                try:
                    content = None if value is None else decode(topic, value)
                except WireError as error:
                    refused.append((topic, record, error))
                    continue
                decoded.append(Input(topic, partition, offset, key, timestamp_ms, content))
        return inputs, refused

    def _is_new(self, ends: Mapping[str, int], committed: Mapping[str, int]) -> bool:
        """Return whether a unit has no outputs yet; raises InvariantBroken if it is committed on some inputs only."""
        behind = [topic for topic, end in ends.items() if end <= committed[topic]]
        if len(behind) == len(ends):
            return False
        raise InvariantBroken(
            f"task {self.partition}: a unit ends at {dict(ends)}, in the middle of what was committed, {committed}: "
            "the logs differ from those first read; replay under a new run id"
        )

    def _leave_replay(self) -> None:
        if self._committed is not None and all(
            self.positions[topic] >= offset for topic, offset in self._committed.items()
        ):
            self._committed = None

    def _write(self, items: Iterable[Item], aligned: Aligned, emit: bool) -> None:
        places, encode, counted = self._places, self._codecs.encode, self.pipeline.clock_out is not None
        for item in items:
            if item.__class__ is Output:  # first and by class: this is the path of nearly every item
                topic, key, record, timestamp_ms = item
                place = places.get(topic)
                if place is None:
                    raise InvariantBroken(f"the core wrote to {topic}: name it in the pipeline's outputs")
                if not (emit or counted):
                    continue
                value = None if record is None else encode(topic, record)
                if counted:
                    self._ledger.count(topic, value)
                if emit:
                    self._outgoing.append(Outgoing(place, key.encode(), value, timestamp_ms))
            elif isinstance(item, CloseSecond):
                self._close(item, emit)
            elif isinstance(item, Reject):
                self._reject(item, aligned, emit)
            else:
                raise InvariantBroken(f"the core yielded {item!r}: an Output, a CloseSecond or a Reject is expected")
        if counted:
            self._ledger.require_closed()

    def _close(self, item: CloseSecond, emit: bool) -> None:
        clock_out = self.pipeline.clock_out
        if clock_out is None:
            raise InvariantBroken("the core closed a second, but the pipeline names no clock_out")
        clock = self._ledger.close(item)
        self.watermark_second = item.second
        if emit:
            value = self._codecs.encode(clock_out, clock)
            self._outgoing.append(
                Outgoing(self._places[clock_out], item.underlying.encode(), value, item.second * 1000)
            )

    def _reject(self, item: Reject, aligned: Aligned, emit: bool) -> None:
        source = item.source
        for record in aligned.records.get(source.topic, ()):
            if record.offset == source.offset:
                break
        else:
            raise InvariantBroken(f"the core refused {source.topic} offset {source.offset}, no input of this unit")
        self._refuse(
            source.topic, record, reason=item.reason, detail=item.detail, underlying=item.underlying, emit=emit
        )

    def _refuse(self, topic: str, record: Record, *, reason: str, detail: str, underlying: str, emit: bool) -> None:
        self._refused[topic, record.offset] = reason
        if not emit:
            return
        self.counters.refused[reason] = self.counters.refused.get(reason, 0) + 1
        note = deadletter.letter(
            service=self.pipeline.service,
            topic=topic,
            partition=self.partition,
            record=record,
            reason=reason,
            detail=detail,
            underlying=underlying,
        )
        target = self.pipeline.deadletter_topic
        value = self._codecs.encode(target, note)
        self._outgoing.append(
            Outgoing(self._places[target], record.key, value, record.timestamp_ms, deadletter.headers(note))
        )

    def _judge(self, aligned: Aligned) -> int:
        """Report the unit to the breaker, record by record where some were refused; returns how many it had."""
        count = 1 if aligned.head is None else sum(map(len, aligned.records.values()))
        if not self._refused:
            self._breaker.passed(count)
        else:
            for topic, records in aligned.records.items():
                for record in records:
                    self._breaker.note(self._refused.get((topic, record.offset)))
            self._refused = {}
        return count if aligned.head is None else count + 1  # a second without records is work, too


def _aligner(pipeline: Pipeline, codecs: Codecs, start: Start) -> Aligner:
    def decode_clock(topic: str, value: bytes) -> Clock:
        try:
            clock: Clock = codecs.decode(topic, value)
        except WireError as error:
            raise InvariantBroken(f"{topic}: a clock record cannot be decoded: {error}") from error
        return clock

    if pipeline.unit == "record":
        return RecordUnits(pipeline.inputs[0])
    if pipeline.unit == "raw_second":
        return RawSeconds(pipeline.inputs)
    return ClockedSeconds(
        pipeline.inputs,
        pipeline.clocks,
        decode_clock,
        truncated=start.truncated,
        floor_second=start.snapshot.floor_second if start.snapshot else None,
    )


def _unit(head: int | Clock | None, inputs: Mapping[str, Sequence[Input]]) -> Any:
    """Return what the core is handed; None when the only record of a unit was refused."""
    if head is None:
        (records,) = inputs.values()
        return records[0] if records else None
    if isinstance(head, Clock):
        return ClockedSecond(head, inputs)
    return RawSecond(head, inputs)
