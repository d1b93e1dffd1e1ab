"""What makes the books of all contenders comparable: a digest of every level as (price, size) in double precision."""

import hashlib
import struct
from collections.abc import Iterable

Level = tuple[float, float]


def digest(bids: Iterable[Level], asks: Iterable[Level]) -> str:
    """Return the SHA-256 over all levels, each side's best first, as little-endian doubles."""
    found = hashlib.sha256()
    for side in (sorted(bids, reverse=True), sorted(asks)):
        for price, size in side:
            found.update(struct.pack("<dd", price, size))
        found.update(b"|")
    return found.hexdigest()
