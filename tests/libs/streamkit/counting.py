"""A small deterministic service and its input: wrong state, order or count of anything changes the output's bytes.

Loaded by path: by the tests of streamkit through the fixture ``counting``, by the fault tests' process as a module.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

from contracts.records import AlertEvent, Funding, Liquidation, RawMessage
from contracts.wire import Codecs
from streamkit.barrier import Ledger
from streamkit.core import ClockedSecond, CloseSecond, Input, Item, Output, RawSecond, Reject
from streamkit.drive import Fed
from streamkit.pipeline import Pipeline

SLOTS = 64
FIRST_SECOND = 1_750_000_000
RAW_TOPICS = ("raw.deribit", "raw.bitmex")
CLOCKED_TOPICS = ("market.funding", "market.liquidations")


class Counting:
    """Keeps a running count, a running sum and an array that every record changes one slot of."""

    def __init__(self, _partition: int, *, closes: bool = False, forgetful: bool = False) -> None:
        self._count = 0
        self._sum = 0.0
        self._slots = [0.0] * SLOTS
        self._closes = closes
        self._forgetful = forgetful

    def step(self, unit: Input | RawSecond | ClockedSecond) -> Iterator[Item]:
        if isinstance(unit, Input):
            yield self._one(unit)
            return
        for topic in sorted(unit.records):
            for record in unit.records[topic]:
                yield self._one(record)
        if self._closes and isinstance(unit, ClockedSecond):
            clock = unit.clock
            yield CloseSecond(clock.venue, clock.underlying, clock.second, clock.received_ts)
        elif self._closes:
            yield CloseSecond("test", "BTC", unit.second, None)

    def snapshot(self) -> bytes:
        return json.dumps([self._count, self._sum, self._slots]).encode()

    def restore(self, state: bytes) -> None:
        if not self._forgetful:
            self._count, self._sum, self._slots = json.loads(state)

    def _one(self, source: Input) -> Item:
        record = source.value
        if getattr(record, "rate", 0.0) < 0:
            return Reject(source, "negative_rate", "rate is below 0: only the tests' input has that", record.underlying)
        amount = record.rate if isinstance(record, Funding) else getattr(record, "price", 1.0)
        self._count += 1
        self._sum += amount
        slot = self._count * 7 % SLOTS
        self._slots[slot] = self._slots[slot] * 0.5 + amount
        event = AlertEvent(
            alert_id=f"{source.topic}/{self._count}",
            rule="counting",
            underlying="BTC",
            second=source.timestamp_ms // 1000,
            state="fired",
            severity="info",
            message=record.instrument or "",
            value=self._sum,
            threshold=self._slots[(slot + 1) % SLOTS],
            evidence="",
        )
        return Output("alerts.events", "BTC", event, source.timestamp_ms)


def record_pipeline(*, forgetful: bool = False) -> Pipeline:
    """One input, a unit per record."""
    return Pipeline(
        service="greeks",
        inputs=("market.funding",),
        unit="record",
        outputs=("alerts.events",),
        new_core=lambda partition: Counting(partition, forgetful=forgetful),
    )


def clocked_pipeline(*, forgetful: bool = False) -> Pipeline:
    """Two data topics under one clock, and a clock of its own."""
    return Pipeline(
        service="greeks",
        inputs=CLOCKED_TOPICS,
        clocks=("market.clock",),
        clock_out="options.clock",
        unit="clocked_second",
        outputs=("alerts.events",),
        new_core=lambda partition: Counting(partition, closes=True, forgetful=forgetful),
    )


def raw_pipeline() -> Pipeline:
    """Two raw topics, a unit per second, and a clock."""
    return Pipeline(
        service="normalizer",
        inputs=RAW_TOPICS,
        clock_out="market.clock",
        unit="raw_second",
        outputs=("alerts.events",),
        new_core=lambda partition: Counting(partition, closes=True),
    )


def funding(number: int, rate: float) -> Funding:
    return Funding(
        venue="test",
        instrument=f"I-{number}",
        underlying="BTC",
        received_ts=FIRST_SECOND * 1_000_000 + number,
        settled_ts=FIRST_SECOND * 1_000_000,
        rate=rate,
        period_hours=8.0,
    )


def raw(topic: str, second: int) -> RawMessage:
    """A heartbeat."""
    return RawMessage(
        venue=topic.removeprefix("raw."),
        channel="",
        underlying="",
        kind="heartbeat",
        conn_id="test-0",
        seq=second,
        received_ts=second * 1_000_000,
        payload=b"",
    )


def liquidation(number: int, price: float) -> Liquidation:
    return Liquidation(
        venue="test",
        instrument=f"L-{number}",
        underlying="BTC",
        received_ts=FIRST_SECOND * 1_000_000 + number,
        liquidation_id=str(number),
        liquidated_side="long",
        price=price,
        censored=True,
        source="feed",
    )


def record_input(count: int, *, seed: int = 0) -> list[Fed]:
    """Funding records, ten a second."""
    rng = random.Random(seed)
    return [Fed("BTC", funding(i, rng.random()), (FIRST_SECOND + i // 10) * 1000 + i % 10) for i in range(count)]


def clocked_input(
    codecs: Codecs, seconds: int, *, seed: int = 0, pairs: int = 2, most: int = 4
) -> dict[str, list[Fed]]:
    """Both data topics and the clock of ``seconds`` seconds of ``pairs`` venues, some of them idle."""
    rng, ledger = random.Random(seed), Ledger(CLOCKED_TOPICS)
    inputs: dict[str, list[Fed]] = {topic: [] for topic in (*CLOCKED_TOPICS, "market.clock")}
    number = 0
    for second in range(FIRST_SECOND, FIRST_SECOND + seconds):
        for pair in range(pairs):
            for topic, make in zip(CLOCKED_TOPICS, (funding, liquidation), strict=True):
                for _ in range(rng.randrange(most + 1)):
                    number += 1
                    value = codecs.encode(topic, make(number, rng.random()))
                    ledger.count(topic, value)
                    inputs[topic].append(Fed("BTC", value, second * 1000))
            clock = ledger.close(CloseSecond(f"venue-{pair}", "BTC", second, second * 1_000_000))
            inputs["market.clock"].append(Fed("BTC", codecs.encode("market.clock", clock), second * 1000))
    return inputs


PIPELINES: dict[str, Any] = {"record": record_pipeline, "clocked": clocked_pipeline}
