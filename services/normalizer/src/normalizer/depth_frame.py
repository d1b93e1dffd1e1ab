"""Binance's depth frames on the quick way: bytes to a book update whose levels are integers already.

What :mod:`normalizer.depth_kernel` does not accept gives None here and is read as JSON like every other frame; both
ways lead to the same update.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, overload

import numpy as np
import orjson

from normalizer.depth_kernel import ABSENT, SHORTEST_LEVEL, read_depth
from normalizer.events import BookUpdate, Levels, Ticks
from normalizer.json_fields import LATEST_MS


class FrameLevels(Sequence[tuple[str, str]]):
    """One side of a depth frame as the venue's text, parsed when somebody asks: seldom, as there are the integers."""

    def __init__(self, payload: bytes, name: Literal["b", "a"]) -> None:
        self._payload = payload
        self._name = name

    @cached_property
    def _levels(self) -> Levels:
        levels: Levels = orjson.loads(self._payload)["data"][self._name]
        return levels

    @overload
    def __getitem__(self, index: int) -> tuple[str, str]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[str, str]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, str] | Sequence[tuple[str, str]]:
        return self._levels[index]

    def __len__(self) -> int:
        return len(self._levels)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._levels)


def read_update(payload: bytes, *, chained_by_pu: bool) -> BookUpdate | None:
    """Return what a depth frame says, None if it must be read as JSON.

    ``chained_by_pu``: the frame must have T, its time, and pu (USDⓈ-M); else its time is E (spot).
    """
    levels = np.empty((4, len(payload) // SHORTEST_LEVEL + 1), np.int64)
    (
        accepted, event_ms, transaction_ms, symbol_from, symbol_to, first_id, last_id, prev_id, bids, count,
        *most,
    ) = read_depth(payload, levels)  # fmt: skip
    exchange_ms = transaction_ms if chained_by_pu else event_ms
    if not accepted or not 0 < exchange_ms < LATEST_MS or (chained_by_pu and prev_id == ABSENT):
        return None
    return BookUpdate(
        instrument=payload[symbol_from:symbol_to].decode(),
        exchange_ts=exchange_ms * 1000,
        snapshot=False,
        first_id=first_id,
        last_id=last_id,
        prev_id=prev_id if chained_by_pu else None,
        bids=FrameLevels(payload, "b"),
        asks=FrameLevels(payload, "a"),
        ticks=Ticks(levels, bids, count, *most),
    )
