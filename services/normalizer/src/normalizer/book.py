"""A full-depth order book in scaled integers, and the rules by which it may be believed.

States::

    gapped ──snapshot that the deltas overlap──▶ live ──delta that does not follow, gap, disconnect──▶ gapped

A gapped book holds no levels. Deltas that arrive while it is gapped are kept (a REST snapshot may come after some of
them, and covers the first ones), up to a bound; dropping the oldest only means that an older snapshot will not overlap.
A venue that sends its snapshots in the stream (all but Binance) goes live at once, and its deltas before the snapshot
are worth nothing.

What shows a hole differs: sequence numbers that do not follow (Deribit, Binance, Bybit, OKX), a checksum that is not
the book's (OKX until 2026, since then always 0, which says nothing), a level id that cannot be (BitMEX).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np

from normalizer.checksum import LEVELS as CHECKSUM_LEVELS
from normalizer.checksum import LevelTexts
from normalizer.events import BadMessage, BookUpdate, Levels, LevelsById, Ticks
from normalizer.ladder_kernel import IntArray, best_first, merge
from normalizer.level_ids import LevelIds
from normalizer.sequencing import SEQUENCING, Rules, reaches

Applied = Literal["applied", "buffered", "stale", "gap"]
"""buffered: not applied, a snapshot is awaited; kept only if that may be older than the delta."""
Ladder = Sequence[tuple[int, int]]

_MAX_INT: Final = 2**63 - 1
_MAX_SCALE: Final = 18
_LEAST_ROOM: Final = 64


class Side:
    """One side of a book: size by price, both scaled integers; see :mod:`normalizer.ladder_kernel`."""

    __slots__ = ("_best_first", "_ladder", "_sign", "_used")

    def __init__(self, *, descending: bool) -> None:
        self._sign = 1 if descending else -1
        self._ladder: IntArray = np.empty((2, 0), np.int64)
        self._used = 0
        self._best_first: IntArray | None = None

    def levels(self) -> IntArray:
        """Return prices and sizes, shape (2, n), with the best first; made once per change."""
        if self._best_first is None:
            self._best_first = best_first(self._ladder, self._used, self._sign)
        return self._best_first

    def ladder(self, depth: int | None = None) -> Ladder:
        """Return (price, size) of the best ``depth`` levels, of all if it is None, with the best first."""
        prices, sizes = self.levels()[:, :depth].tolist()
        return list(zip(prices, sizes, strict=True))

    def update(self, changes: Ladder) -> None:
        """Set each price's size; size 0 removes it, also if it was not there (the venue cut off its depth)."""
        if changes:
            levels = np.zeros((4, len(changes)), np.int64)
            levels[::2] = np.array(changes, np.int64).T
            self.merge(levels, 0, len(changes), 0, 0)

    def merge(self, levels: IntArray, start: int, stop: int, price_scale: int, qty_scale: int) -> None:
        """Update with the columns from ``start`` to ``stop`` of :class:`normalizer.events.Ticks`."""
        if start == stop:
            return
        if self._used + stop - start > self._ladder.shape[1]:
            self._make_room(stop - start)
        self._used = merge(self._ladder, self._used, levels, start, stop, self._sign, price_scale, qty_scale)
        self._best_first = None

    def replace(self, levels: Mapping[int, int]) -> None:
        """Take ``levels``, price to size, instead of all that is there."""
        self._used = 0
        self._best_first = None
        self.update(list(levels.items()))

    def _make_room(self, more: int) -> None:
        """Leave out the levels that are no more, and grow if those that are need it."""
        kept = self.levels()[:, ::-1]
        self._used = kept.shape[1]
        self._ladder = np.empty((2, max(_LEAST_ROOM, 2 * (self._used + more))), np.int64)
        self._ladder[0, : self._used] = self._sign * kept[0]
        self._ladder[1, : self._used] = kept[1]


class Book:
    """One instrument's book. The scales only ever grow, to the decimals that the venue's text needs."""

    __slots__ = (
        "_ids",
        "_pending",
        "_sequencing",
        "_texts",
        "asks",
        "asof_ts",
        "bids",
        "buffered",
        "conn_id",
        "exchange_ts",
        "gap",
        "last_id",
        "n_updates",
        "price_scale",
        "qty_scale",
        "rules",
    )

    def __init__(self, rules: Rules, buffer_limit: int) -> None:
        self.rules = rules
        self._sequencing = SEQUENCING[rules]
        self.bids, self.asks = Side(descending=True), Side(descending=False)
        self.price_scale = self.qty_scale = 0
        self.gap = True
        self.last_id: int | None = None
        self.asof_ts: int | None = None
        self.exchange_ts: int | None = None
        self.n_updates = 0
        self.conn_id = ""
        self.buffered: deque[tuple[BookUpdate, int]] = deque(maxlen=buffer_limit)
        self._pending: tuple[BookUpdate, int] | None = None
        self._ids = LevelIds()
        self._texts: LevelTexts | None = None

    def apply(self, update: BookUpdate, received_ts: int) -> Applied:
        """Take a snapshot or delta. Raises BadMessage, leaving the book as it was, if a level is no decimal."""
        if update.snapshot:
            return self._take_snapshot(update, received_ts)
        if self.gap:
            return self._buffer(update, received_ts)
        if self._broken_by(update):
            if self.last_id is not None and self._sequencing.repeats(self.last_id, update):
                return "stale"
            self.lose()
            self._buffer(update, received_ts)
            return "gap"
        self._change(update, received_ts)
        return self._checked(update)

    def apply_by_id(self, update: LevelsById, received_ts: int) -> Applied:
        """Take a message of a book whose levels are known by ids. Raises BadMessage as :meth:`apply` does."""
        if self.gap and update.action != "partial":
            return "buffered"
        resolved = self._ids.resolve(update)
        if resolved is None:
            self.lose()
            return "gap"
        return self.apply(resolved, received_ts)

    def _broken_by(self, update: BookUpdate) -> bool:
        """Tell whether a delta is not the next one; what is not numbered cannot be told so."""
        if self.last_id is None or update.last_id is None:
            return False
        return not self._sequencing.follows(self.last_id, update)

    def _checked(self, update: BookUpdate) -> Applied:
        """Compare the book with the checksum that came with its last message, if one did."""
        if update.checksum is None or self._texts is None:
            return "applied"
        if (
            self._texts.checksum(self.bids.ladder(CHECKSUM_LEVELS), self.asks.ladder(CHECKSUM_LEVELS))
            == update.checksum
        ):
            return "applied"
        self.lose()
        return "gap"

    def lose(self) -> None:
        """Mark the book gapped: something is missing. Levels, snapshot and deltas from before are worth nothing now."""
        self.gap = True
        self._pending = None
        self._texts = None
        self._ids.clear()
        self.buffered.clear()
        self.bids.replace({})
        self.asks.replace({})

    def _take_snapshot(self, update: BookUpdate, received_ts: int) -> Applied:
        if self._sequencing.by_rest is None:
            self._load(update, received_ts)
            return self._checked(update)
        if not self.gap:
            return "stale"  # The unbroken chain of deltas is at least as new.
        self._scale(update)
        if self._pending is None or not reaches(_id(self._pending[0]), update):
            self._pending = (update, received_ts)
        return self._join()

    def _buffer(self, update: BookUpdate, received_ts: int) -> Applied:
        if not self._fits(update.ticks):
            self._scale(update)
        if self._sequencing.by_rest is None:
            return "buffered"
        self.buffered.append((update, received_ts))
        return self._join()

    def _join(self) -> Applied:
        """Go live if the snapshot and the deltas kept overlap; drop the snapshot if it is older than all of them."""
        rules = self._sequencing.by_rest
        if self._pending is None or rules is None:
            return "buffered"
        snapshot, snapshot_ts = self._pending
        while self.buffered and rules.covered(_id(snapshot), self.buffered[0][0]):
            self.buffered.popleft()
        if not self.buffered:
            return "buffered"
        if not rules.overlaps(_id(snapshot), self.buffered[0][0]):
            self._pending = None
            return "buffered"
        waiting = list(self.buffered)
        self._load(snapshot, snapshot_ts)
        self._change(*waiting[0])
        self.buffered.clear()
        self._pending = None
        for place, (delta, received_ts) in enumerate(waiting[1:], start=1):
            if self.apply(delta, received_ts) == "gap":
                self.buffered.extend(waiting[place + 1 :])
                return "gap"
        return "applied"

    def _load(self, update: BookUpdate, received_ts: int) -> None:
        bids, asks = self._scale(update)
        self._texts = None if update.checksum is None else LevelTexts()
        self._note_texts(update, bids, asks)
        self.bids.replace({price: size for price, size in bids if size})
        self.asks.replace({price: size for price, size in asks if size})
        self._stamp(update, received_ts)
        self.gap = False

    def _change(self, update: BookUpdate, received_ts: int) -> None:
        ticks = update.ticks
        if ticks is not None and self._fits(ticks):
            self.bids.merge(ticks.levels, 0, ticks.bids, self.price_scale, self.qty_scale)
            self.asks.merge(ticks.levels, ticks.bids, ticks.total, self.price_scale, self.qty_scale)
        else:
            bids, asks = self._scale(update)
            self._note_texts(update, bids, asks)
            self.bids.update(bids)
            self.asks.update(asks)
        self._stamp(update, received_ts)

    def _fits(self, ticks: Ticks | None) -> bool:
        """Tell whether levels are integers at our scales without growing these, and surely fit 64 bits so scaled.

        No: they are scaled from their text, which grows the scales or says what does not fit.
        """
        return (
            ticks is not None
            and self._texts is None
            and ticks.price_decimals <= self.price_scale
            and ticks.size_decimals <= self.qty_scale
            and (ticks.largest_price + 1) * 10**self.price_scale <= _MAX_INT
            and (ticks.largest_size + 1) * 10**self.qty_scale <= _MAX_INT
        )

    def _note_texts(self, update: BookUpdate, bids: Ladder, asks: Ladder) -> None:
        """Keep the texts that a checksum is made of, if the venue sends any."""
        if self._texts is not None:
            self._texts.note(bids, update.bids, asks, update.asks)

    def _stamp(self, update: BookUpdate, received_ts: int) -> None:
        self.last_id = update.last_id
        self.asof_ts = received_ts
        self.exchange_ts = update.exchange_ts
        self.n_updates += 1

    def _scale(self, update: BookUpdate) -> tuple[Ladder, Ladder]:
        """Scale all levels of an update, growing the scales first if its text has more decimals than any before."""
        try:
            return self._scaled(update.bids), self._scaled(update.asks)
        except _FinerText:
            self._grow(update)
            return self._scaled(update.bids), self._scaled(update.asks)

    def _scaled(self, levels: Levels) -> Ladder:
        price_scale, qty_scale = self.price_scale, self.qty_scale
        return [(scaled(level[0], price_scale), scaled(level[1], qty_scale)) for level in levels]

    def _grow(self, update: BookUpdate) -> None:
        levels = [*update.bids, *update.asks]
        price_scale = max(self.price_scale, *(decimals(level[0]) for level in levels))
        qty_scale = max(self.qty_scale, *(decimals(level[1]) for level in levels))
        price_factor, qty_factor = 10 ** (price_scale - self.price_scale), 10 ** (qty_scale - self.qty_scale)
        grown = [
            {_bounded(price * price_factor): _bounded(size * qty_factor) for price, size in side.ladder()}
            for side in (self.bids, self.asks)
        ]
        self.bids.replace(grown[0])
        self.asks.replace(grown[1])
        if self._texts is not None:
            self._texts.rescale(price_factor)
        self.price_scale, self.qty_scale = price_scale, qty_scale

    def dump(self) -> dict[str, Any]:
        """Return the state as JSON values; ``load`` of it behaves identically from then on."""
        return {
            "scales": [self.price_scale, self.qty_scale],
            "gap": self.gap,
            "stamps": [self.last_id, self.asof_ts, self.exchange_ts],
            "n_updates": self.n_updates,
            "conn_id": self.conn_id,
            "bids": self.bids.ladder(),
            "asks": self.asks.ladder(),
            "buffered": [_dump_update(update, received_ts) for update, received_ts in self.buffered],
            "pending": None if self._pending is None else _dump_update(*self._pending),
            "ids": self._ids.dump(),
            "texts": None if self._texts is None else self._texts.dump(),
        }

    @classmethod
    def load(cls, state: Mapping[str, Any], rules: Rules, buffer_limit: int) -> "Book":
        """Build the book that ``dump`` described."""
        book = cls(rules, buffer_limit)
        book.price_scale, book.qty_scale = state["scales"]
        book.gap = state["gap"]
        book.last_id, book.asof_ts, book.exchange_ts = state["stamps"]
        book.n_updates = state["n_updates"]
        book.conn_id = state["conn_id"]
        book.bids.replace(dict(state["bids"]))
        book.asks.replace(dict(state["asks"]))
        book.buffered.extend(_load_update(entry) for entry in state["buffered"])
        book._pending = None if state["pending"] is None else _load_update(state["pending"])
        book._ids = LevelIds.load(state["ids"])
        book._texts = None if state["texts"] is None else LevelTexts.load(state["texts"])
        return book


def _id(snapshot: BookUpdate) -> int:
    if snapshot.last_id is None:
        raise BadMessage("missing_field", f"lastUpdateId: missing in a snapshot of {snapshot.instrument}")
    return snapshot.last_id


def _dump_update(update: BookUpdate, received_ts: int) -> list[Any]:
    ids = [update.first_id, update.last_id, update.prev_id]
    return [
        update.instrument,
        update.exchange_ts,
        update.snapshot,
        ids,
        list(update.bids),
        list(update.asks),
        received_ts,
    ]


def _load_update(state: Sequence[Any]) -> tuple[BookUpdate, int]:
    instrument, exchange_ts, snapshot, (first_id, last_id, prev_id), bids, asks, received_ts = state
    update = BookUpdate(
        instrument=instrument,
        exchange_ts=exchange_ts,
        snapshot=snapshot,
        first_id=first_id,
        last_id=last_id,
        prev_id=prev_id,
        bids=bids,
        asks=asks,
    )
    return update, received_ts


class _FinerText(Exception):
    """A decimal has more places than the scale."""


def scaled(text: str, scale: int) -> int:
    """Return text · 10^scale as an integer, exactly, without floats. BadMessage if it is no plain decimal ≥ 0."""
    whole, _, fraction = text.partition(".")
    missing = scale - len(fraction)
    if missing < 0:
        fraction = fraction.rstrip("0")
        missing = scale - len(fraction)
        if missing < 0:
            raise _FinerText
    digits = whole + fraction
    if not (digits.isascii() and digits.isdecimal()):
        raise BadMessage("bad_value", f"level: expected a plain decimal ≥ 0, got {text[:40]!r}")
    value = int(digits + "0" * missing) if missing else int(digits)
    return value if value <= _MAX_INT else _bounded(value)


def decimals(text: str) -> int:
    """Return the places after the point that count. BadMessage if there are more than can be scaled."""
    places = len(text.partition(".")[2].rstrip("0"))
    if places > _MAX_SCALE:
        raise BadMessage("bad_value", f"level: {text[:40]!r} has more than {_MAX_SCALE} decimal places")
    return places


def _bounded(value: int) -> int:
    if value > _MAX_INT:
        raise BadMessage("bad_value", f"level: {value} does not fit 64 bits once scaled")
    return value
