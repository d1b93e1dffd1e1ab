"""A perpetual's or spot market's order book: integer price levels that walk around a mid price, with update ids.

Every level change takes one update id. What changed since the last ``publish`` is the next diff, so a book rebuilt from
a snapshot and the diffs that follow equals this one.
"""

import math
from typing import NamedTuple

import numpy as np


class LevelChange(NamedTuple):
    """A level's new size (0: gone) and the size last published, both in steps; ``price`` in ticks."""

    price: int
    size: int
    before: int


class Diff(NamedTuple):
    """All changes between two publications: ids ``first_id`` … ``last_id``, after ``previous_id``."""

    first_id: int
    last_id: int
    previous_id: int
    bids: list[LevelChange]
    asks: list[LevelChange]


class Top(NamedTuple):
    """Best levels: prices in ticks, sizes in steps."""

    bid: int
    bid_size: int
    ask: int
    ask_size: int


class Fill(NamedTuple):
    """What a market order got: price in ticks, size in steps."""

    price: int
    size: int


class Ladder:
    """Bids and asks (price in ticks → size in steps)."""

    def __init__(
        self,
        *,
        mid: float,
        tick: float,
        depth: int,
        typical_size: int,
        first_id: int,
        sparse_ids: bool,
        rng: np.random.Generator,
    ) -> None:
        """``sparse_ids`` leaves holes between the ids of successive diffs, as Binance's futures do."""
        self.tick = tick
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.last_id = first_id
        self._depth = depth
        self._typical = typical_size
        self._sparse = sparse_ids
        self._rng = rng
        self.published_id = first_id
        self._first_pending = first_id + 1
        self._bids_before: dict[int, int] = {}
        self._asks_before: dict[int, int] = {}
        self._crossed_by = 0
        self._mid = round(mid / tick)
        self.walk(mid, changes=depth)
        self.publish()

    def walk(self, mid: float, *, changes: int) -> None:
        """Move the book to ``mid`` (USD), then change about ``changes`` of its levels."""
        self._mid = round(mid / self.tick)
        self._give_way()
        draws = self._rng.random((changes, 3)).tolist()
        for side, offset, action in draws:
            bid_side = side < 0.5
            away = 1 + int(-math.log(1.0 - offset) * self._depth / 4)
            price = self._mid - away if bid_side else self._mid + away
            size = 0 if action < 0.3 and away > 1 else self._size(action)
            self._set(bid_side, price, size)
        self._refill()
        if self._crossed_by:
            self._set(True, min(self.asks) + self._crossed_by, self._typical)

    def cross(self, ticks: int) -> None:
        """Hold the best bid ``ticks`` above the best ask from the next walk on; 0 ends it."""
        self._crossed_by = ticks

    def take(self, size: int, *, buy: bool) -> Fill:
        """Fill a market order at the best level, at most what lies there; leave one step so that the level stays."""
        book = self.asks if buy else self.bids
        price = min(book) if buy else max(book)
        filled = max(1, min(size, book[price] - 1))
        self._set(not buy, price, max(1, book[price] - filled))
        return Fill(price, filled)

    def publish(self) -> Diff | None:
        """Return what changed since the last publication; None, and nothing is published, if nothing did."""
        bids, asks = _changes(self._bids_before, self.bids), _changes(self._asks_before, self.asks)
        self._bids_before, self._asks_before = {}, {}
        if not bids and not asks:
            return None
        diff = Diff(self._first_pending, self.last_id, self.published_id, bids, asks)
        self.published_id = self.last_id
        if self._sparse:
            self.last_id += int(self._rng.integers(1, 60))
        self._first_pending = self.last_id + 1
        return diff

    @property
    def top(self) -> Top:
        """Return the best levels."""
        bid, ask = max(self.bids), min(self.asks)
        return Top(bid, self.bids[bid], ask, self.asks[ask])

    @property
    def mid(self) -> float:
        """Return the middle of the best levels, USD."""
        return 0.5 * (max(self.bids) + min(self.asks)) * self.tick

    def _give_way(self) -> None:
        for price in [p for p in self.bids if p >= self._mid]:
            self._set(True, price, 0)
        for price in [p for p in self.asks if p <= self._mid]:
            self._set(False, price, 0)

    def _refill(self) -> None:
        self._set(True, self._mid - 1, self.bids.get(self._mid - 1) or self._size(self._rng.random()))
        self._set(False, self._mid + 1, self.asks.get(self._mid + 1) or self._size(self._rng.random()))
        for bid_side, book in ((True, self.bids), (False, self.asks)):
            away = 1
            while len(book) < self._depth // 2:
                away += 1 + int(self._rng.integers(0, 3))
                price = self._mid - away if bid_side else self._mid + away
                if price not in book:
                    self._set(bid_side, price, self._size(self._rng.random()))
            if len(book) > self._depth:
                farthest = sorted(book, reverse=not bid_side)[: len(book) - self._depth]
                for price in farthest:
                    self._set(bid_side, price, 0)

    def _size(self, draw: float) -> int:
        return 1 + int(self._typical * -math.log(1.0 - 0.999 * draw))

    def _set(self, bid_side: bool, price: int, size: int) -> None:
        book, before = (self.bids, self._bids_before) if bid_side else (self.asks, self._asks_before)
        old = book.get(price, 0)
        if old == size:
            return
        self.last_id += 1
        before.setdefault(price, old)
        if size:
            book[price] = size
        else:
            del book[price]


def _changes(before: dict[int, int], now: dict[int, int]) -> list[LevelChange]:
    return [LevelChange(p, now.get(p, 0), old) for p, old in sorted(before.items()) if now.get(p, 0) != old]
