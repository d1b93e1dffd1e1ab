"""Books whose levels the venue knows by ids: the price is said once, changes and deletions name only the id.

The venue (BitMEX, WebSocket API, "orderBookL2") numbers no messages. What shows a hole is an id that cannot be: a
change of a level that was never inserted, an insertion of one that is there. Its table's key is (symbol, id, side).
"""

from collections.abc import Sequence
from typing import Any

from normalizer.events import BadMessage, BookUpdate, LevelRow, LevelsById, Side

_SIDES: tuple[Side, Side] = ("buy", "sell")


class LevelIds:
    """The price text of every level of one book by (id, side)."""

    __slots__ = ("_prices",)

    def __init__(self) -> None:
        self._prices: dict[tuple[int, Side], str] = {}

    def resolve(self, update: LevelsById) -> BookUpdate | None:
        """Return the message by price; None if it does not fit the levels known: something is missing before it.

        Raises BadMessage if a level that is new lacks side, price or size. After None or BadMessage the ids are worth
        nothing until the next partial.
        """
        if update.action == "partial":
            self._prices.clear()
        sides: dict[Side, list[tuple[str, str]]] = {"buy": [], "sell": []}
        for row in update.rows:
            key = self._key(row)
            if key is None or ((key in self._prices) is (update.action in {"partial", "insert"})):
                return None
            sides[key[1]].append((self._price(update, key, row[2]), "0" if update.action == "delete" else _size(row)))
        return BookUpdate(
            instrument=update.instrument,
            exchange_ts=update.exchange_ts,
            snapshot=update.action == "partial",
            last_id=None,
            bids=sides["buy"],
            asks=sides["sell"],
        )

    def _key(self, row: LevelRow) -> tuple[int, Side] | None:
        """Return the key of a row; one without a side means the level of that id, if there is exactly one."""
        if row[1] is not None:
            return row[0], row[1]
        known = [(row[0], side) for side in _SIDES if (row[0], side) in self._prices]
        return known[0] if len(known) == 1 else None

    def _price(self, update: LevelsById, key: tuple[int, Side], price: str | None) -> str:
        if update.action == "delete":
            return self._prices.pop(key)
        if update.action == "update":
            return self._prices[key]
        if price is None:
            raise BadMessage("missing_field", f"price: missing in an {update.action} of level {key[0]}")
        self._prices[key] = price
        return price

    def clear(self) -> None:
        """Forget all ids."""
        self._prices.clear()

    def dump(self) -> list[Any]:
        """Return the ids as JSON values."""
        return [[*key, price] for key, price in sorted(self._prices.items())]

    @classmethod
    def load(cls, state: Sequence[Any]) -> "LevelIds":
        """Build what ``dump`` described."""
        ids = cls()
        ids._prices = {(number, side): price for number, side, price in state}
        return ids


def _size(row: LevelRow) -> str:
    if row[3] is None:
        raise BadMessage("missing_field", f"size: missing for level {row[0]}")
    return row[3]
