"""The same work for every contender: one small record in, a running tally per instrument, one small record out.

Records are the contract's own (`Funding` in, `Threshold` out, fields of the latter borrowed), so that every contender
pays for the same codecs and only the loops differ. The state of an instrument is a plain list, which the frameworks
that keep state as JSON store as it is: ``[count, sum of rates, the last RING rates …]``.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from contracts.partitioning import partition_for
from contracts.records import Funding, Threshold
from contracts.wire import Codecs

INPUT = "market.funding"
OUTPUT = "thresholds"
UNDERLYINGS = ("BTC", "ETH", "SOL", "BNB")  # one per partition
INSTRUMENTS_PER_UNDERLYING = 15
INSTRUMENTS = len(UNDERLYINGS) * INSTRUMENTS_PER_UNDERLYING
RING = 16
FIRST_TS_US = 1_760_000_000_000_000
STEP_US = 100


class Line(NamedTuple):
    """One record as it lies in a partition; ``timestamp_ms`` None: the producer takes the time of writing."""

    partition: int
    key: bytes
    value: bytes
    timestamp_ms: int | None


def new_state() -> list[Any]:
    """Return the state of an instrument not seen yet."""
    return [0, 0.0, *[0.0] * RING]


def step(state: list[Any], funding: Funding) -> Threshold:
    """Advance ``state`` in place; the answer shows count, sum and the rate of RING updates ago."""
    count = state[0] + 1
    total = state[1] + funding.rate
    slot = 2 + count % RING
    earlier = state[slot]
    state[0], state[1], state[slot] = count, total, funding.rate
    return Threshold(
        underlying=funding.underlying,
        metric=funding.instrument,
        computed_second=funding.received_ts // 1_000_000,
        window_days=0.0,
        samples=count,
        source="history",
        p01=earlier,
        p50=total,
    )


def fundings(count: int) -> Iterator[Funding]:
    """Yield the input: every underlying in turn, every instrument of it in turn."""
    for number in range(count):
        turn, which = divmod(number, len(UNDERLYINGS))
        underlying = UNDERLYINGS[which]
        received_ts = FIRST_TS_US + number * STEP_US
        yield Funding(
            venue="deribit",
            instrument=f"{underlying}-SYNTHETIC-{turn % INSTRUMENTS_PER_UNDERLYING:02d}-PERPETUAL",
            underlying=underlying,
            exchange_ts=received_ts - 1_500,
            received_ts=received_ts,
            settled_ts=FIRST_TS_US,
            rate=(number * 7_919 % 20_011 - 10_005) * 1e-7,
            period_hours=8.0,
            mark_price=100_000.0 + number % 977,
            quality=(),
        )


def input_lines(codecs: Codecs, count: int) -> Iterator[Line]:
    """Yield the input as it is written to Kafka, keyed by instrument, on the partition of its underlying."""
    for funding in fundings(count):
        partition = partition_for(funding.underlying)
        value = codecs.encode(INPUT, funding)
        yield Line(partition, funding.instrument.encode(), value, funding.received_ts // 1000)


def expected_lines(codecs: Codecs, count: int) -> Iterator[Line]:
    """Yield what every contender must write, in the order of the input: computed here, without a broker."""
    states: dict[str, list[Any]] = {}
    for funding in fundings(count):
        state = states.setdefault(funding.instrument, new_state())
        value = codecs.encode(OUTPUT, step(state, funding))
        partition = partition_for(funding.underlying)
        yield Line(partition, funding.underlying.encode(), value, funding.received_ts // 1000)
