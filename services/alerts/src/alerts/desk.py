"""Where records become alerts: one engine per partition, what they find written and printed once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from alerts.engine import Engine
from alerts.recent import Recent
from alerts.rules import Rule
from alerts.telemetry import SERVICE, Telemetry
from contracts.errors import RegistryUnavailable, WireError
from contracts.partitioning import partition_for
from contracts.records import AlertEvent
from contracts.wire import Codecs
from streamkit.broker import Headers, Outgoing, Record, TopicPartition
from streamkit.deadletter import Breaker, headers, letter

REGISTRY_RETRY_S: Final = 1.0
ALERTS: Final = "alerts.events"
DEAD_LETTERS: Final = "alerts.deadletter"

Write = Callable[[int, Outgoing], Awaitable[None]]
"""Writes a record of a logical topic to a partition and returns when the broker has it."""

ReadBack = Callable[[TopicPartition], Iterable[Record]]
"""Returns the records of a partition's recent past, before its committed offset; called in a thread."""


class Refusal(NamedTuple):
    """Why a record cannot be judged."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the desk needs of the outside world."""

    codecs: Codecs
    write: Write
    read_back: ReadBack
    telemetry: Telemetry
    now: Callable[[], float] = time.monotonic


class Desk:
    """Judges records partition by partition. One event loop owns it; only reading back happens in a thread."""

    def __init__(self, rules: tuple[Rule, ...], outside: Outside, *, remember: int, live: bool) -> None:
        self._rules = rules
        self._live = live  # a replay's wall clock says nothing about its data
        self._outside = outside
        self._engines: dict[TopicPartition, asyncio.Task[Engine]] = {}
        self._recent = Recent(remember)
        self._delivering = asyncio.Lock()
        self._breaker = Breaker()
        self._at_hand: dict[TopicPartition, float] = {}

    def assign(self, places: Collection[TopicPartition]) -> None:
        """Begin partitions anew: forget all, read back what preceded their offsets."""
        self.revoke()
        for place in places:
            self._engines[place] = asyncio.create_task(self._restored(place))

    def revoke(self) -> None:
        """Forget every partition: Faust takes all away in each rebalance."""
        self._engines.clear()  # not cancelled: an agent may be waiting for one, and would end with it

    @property
    def assigned(self) -> set[int]:
        """The partitions at hand."""
        return {place.partition for place in self._engines}

    def busy_s(self) -> float:
        """Return how long the longest of the records at hand has been at hand; 0 when idle."""
        now = self._outside.now()
        return max((now - since for since in self._at_hand.values()), default=0.0)

    async def take(self, place: TopicPartition, record: Record) -> None:
        """Judge a record; returns when everything it leads to is with the broker.

        Raises BreakerOpen if too many cannot be judged, and whatever stops writing or reading back.
        """
        if place not in self._engines:
            self._engines[place] = asyncio.create_task(self._restored(place))
        engine = await self._engines[place]
        self._at_hand[place] = self._outside.now()
        found = await self._decoded(place.topic, record)
        if isinstance(found, Refusal):
            await self._refuse(place, record, found)
        else:
            await self._deliver(engine.take(found, self._outside.now()))
            self._breaker.passed(1)
            self._outside.telemetry.taken(place.partition, found.second)
        del self._at_hand[place]

    async def tick(self) -> None:
        """Let the wall clock speak: tells of clocks that have stopped. Raises what stopped reading a partition back."""
        engines = [task.result() for task in self._engines.values() if task.done() and not task.cancelled()]
        for engine in engines if self._live else ():
            await self._deliver(engine.tick(self._outside.now()))

    async def _restored(self, place: TopicPartition) -> Engine:
        begin = self._outside.now()
        engine, records = await asyncio.to_thread(self._replay, place)
        self._outside.telemetry.restored(place.topic, place.partition, records, self._outside.now() - begin)
        return engine

    def _replay(self, place: TopicPartition) -> tuple[Engine, int]:
        """Return an engine that has seen the recent past, and how many records that was; its alerts were given out."""
        engine, records = Engine(self._rules), 0
        for record in self._outside.read_back(place):
            records += 1
            try:
                found = self._outside.codecs.decode(place.topic, record.value or b"")
            except WireError:
                continue  # it is in the dead letters
            engine.take(found, self._outside.now())
        return engine, records

    async def _decoded(self, topic: str, record: Record) -> Any:  # Any: the topic's record
        while True:
            try:
                return self._outside.codecs.decode(topic, record.value or b"")
            except WireError as error:
                return Refusal(error.reason, error.detail)
            except RegistryUnavailable as error:
                self._outside.telemetry.log.warning("waiting", reason="registry", detail=str(error))
                await asyncio.sleep(REGISTRY_RETRY_S)

    async def _refuse(self, place: TopicPartition, record: Record, refusal: Refusal) -> None:
        note = letter(
            service=SERVICE,
            topic=place.topic,
            partition=place.partition,
            record=record,
            reason=refusal.reason,
            detail=refusal.detail,
            underlying="",
        )
        value = self._outside.codecs.encode(DEAD_LETTERS, note)
        outgoing = Outgoing(DEAD_LETTERS, record.key, value, record.timestamp_ms, headers(note))
        await self._outside.write(place.partition, outgoing)
        self._outside.telemetry.refused(place.partition, refusal.reason, refusal.detail)
        self._breaker.note(refusal.reason)

    async def _deliver(self, events: Iterable[AlertEvent]) -> None:
        async with self._delivering:
            for event in events:
                if event.alert_id in self._recent:
                    continue
                value = self._outside.codecs.encode(ALERTS, event)
                outgoing = Outgoing(ALERTS, event.underlying.encode(), value, event.second * 1000, _NO_HEADERS)
                await self._outside.write(partition_for(event.underlying), outgoing)
                self._recent.add(event.alert_id)
                self._outside.telemetry.alerted(event)


_NO_HEADERS: Headers = ()
