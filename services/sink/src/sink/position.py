"""Where to go on reading: what a table says, and the refused records that have no row in it."""

from collections.abc import Iterable
from typing import NamedTuple

NOTHING = -1  # before the first record


class Refused(NamedTuple):
    """A record that went to the dead letters; ``after`` is the last offset stored or refused before it."""

    topic: str
    partition: int
    offset: int
    after: int


def last_done(stored: int, refused: Iterable[Refused]) -> int:
    """Return the last offset that is done with, given the last one with rows (NOTHING for none).

    A refused record counts if it directly follows what is done: the chain of ``after`` is followed, in the order of
    offsets. So a table that was emptied is filled again from the start, refusals or not.
    """
    done = stored
    for record in refused:
        if record.after == done:
            done = record.offset
    return done
