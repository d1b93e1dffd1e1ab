"""A book's checksum as the venue makes it: CRC-32 over the best levels as they were written.

The venue's rule (OKX API v5, "Order book channel", checksum): the best 25 bids and asks are strung together in turn,
bid price, bid size, ask price, ask size, with colons between; where one side is shorter the other goes on alone. The
CRC-32 (ISO 3309) of that text, read as a signed 32-bit integer, is the checksum. It is over the venue's own text, so a
trailing zero counts: texts are kept, not made again from numbers.
"""

import zlib
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final

from normalizer.events import Levels

LEVELS: Final = 25
_Ladder = Sequence[tuple[int, int]]


class LevelTexts:
    """Per side the "price:size" text of every level that was ever said, by scaled price."""

    __slots__ = ("_asks", "_bids")

    def __init__(self) -> None:
        self._bids: dict[int, str] = {}
        self._asks: dict[int, str] = {}

    def note(self, bids: _Ladder, bid_texts: Levels, asks: _Ladder, ask_texts: Levels) -> None:
        """Take the texts of a message's levels, whose scaled prices and sizes stand beside them; size 0 removes one."""
        _note(self._bids, bids, bid_texts)
        _note(self._asks, asks, ask_texts)

    def rescale(self, factor: int) -> None:
        """Follow a price scale that grew by ``factor``."""
        self._bids = {price * factor: text for price, text in self._bids.items()}
        self._asks = {price * factor: text for price, text in self._asks.items()}

    def checksum(self, bids: _Ladder, asks: _Ladder) -> int:
        """Return the checksum of a book's ladders, best level first; every level of them must have been noted."""
        pairs = zip_longest(
            (self._bids[price] for price, _ in bids[:LEVELS]), (self._asks[price] for price, _ in asks[:LEVELS])
        )
        joined = ":".join(text for pair in pairs for text in pair if text is not None)
        unsigned = zlib.crc32(joined.encode())
        return unsigned - 2**32 if unsigned >= 2**31 else unsigned

    def dump(self) -> list[Any]:
        """Return the texts as JSON values."""
        return [sorted(self._bids.items()), sorted(self._asks.items())]

    @classmethod
    def load(cls, state: Sequence[Any]) -> "LevelTexts":
        """Build what ``dump`` described."""
        texts = cls()
        texts._bids, texts._asks = dict(state[0]), dict(state[1])
        return texts


def _note(held: dict[int, str], levels: _Ladder, texts: Levels) -> None:
    for (price, size), text in zip(levels, texts, strict=True):
        if size:
            held[price] = f"{text[0]}:{text[1]}"
        else:
            held.pop(price, None)
