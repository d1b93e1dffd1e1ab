"""Histories of settled funding that do not say how long a period was: the time to the payment before it tells."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from normalizer import json_fields as read
from normalizer.entries import each
from normalizer.events import Event, FundingPrint, Ignored
from normalizer.json_fields import Json

_HOUR_US = 3_600_000_000

Payment = Callable[[Json], tuple[str, int, float]]
"""Entry to (instrument, settlement time in microseconds, rate)."""


def payments(entries: Any, name: str, reader: Payment) -> Iterator[Event]:
    """Read one instrument's payments, newest first; the oldest is taken to have the period of the one after it.

    Raises BadMessage if ``entries`` is no list. An impossible entry is Invalid, its neighbours' periods then span it.
    """
    said: list[tuple[str, int, float]] = []

    def entry(fields: Json) -> Iterator[Event]:
        said.append(reader(fields))
        yield from ()

    yield from each(read.as_list(entries, name), name, entry)
    hours = [(later[1] - earlier[1]) / _HOUR_US for later, earlier in pairwise(said)]
    if not hours or min(hours) <= 0:
        yield Ignored("payments that do not tell their period")
        return
    for (instrument, settled_ts, rate), period_hours in zip(said, [*hours, hours[-1]], strict=True):
        yield FundingPrint(
            instrument=instrument, exchange_ts=settled_ts, settled_ts=settled_ts, rate=rate, period_hours=period_hours
        )
