"""By which numbers each venue's book messages follow one another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from normalizer.events import BookUpdate

Rules = Literal["deribit", "usdm", "spot", "bybit", "okx", "bitmex"]


@dataclass(frozen=True, slots=True)
class Sequencing:
    """A venue's rules. ``follows(last_id, delta)``: the delta is the next one to a book that stands at ``last_id``.

    ``repeats(last_id, delta)``: it does not follow because the book has it already. Where snapshots come by REST,
    ``overlaps(last_id, delta)``: it is the first one to a snapshot of ``last_id``; ``covered``: the snapshot has it.
    """

    follows: Callable[[int, BookUpdate], bool]
    repeats: Callable[[int, BookUpdate], bool]
    by_rest: "RestSnapshots | None" = None


@dataclass(frozen=True, slots=True)
class RestSnapshots:
    """How deltas join a snapshot that is asked for beside the stream; see :class:`Sequencing`."""

    overlaps: Callable[[int, BookUpdate], bool]
    covered: Callable[[int, BookUpdate], bool]


def _spans(wanted: int, delta: BookUpdate) -> bool:
    first, last = delta.first_id, delta.last_id
    return first is not None and last is not None and first <= wanted <= last


def reaches(last_id: int, delta: BookUpdate) -> bool:
    """Tell whether what stands at ``last_id`` has all of an update."""
    return delta.last_id is not None and delta.last_id <= last_id


def _is_same(last_id: int, delta: BookUpdate) -> bool:
    return delta.last_id == last_id


def _by_prev_id(last_id: int, delta: BookUpdate) -> bool:
    return delta.prev_id == last_id


SEQUENCING: Final[Mapping[Rules, Sequencing]] = {
    "deribit": Sequencing(follows=_by_prev_id, repeats=reaches),
    "usdm": Sequencing(
        follows=_by_prev_id,
        repeats=reaches,
        by_rest=RestSnapshots(
            overlaps=lambda last_id, delta: _spans(last_id, delta) or delta.prev_id == last_id,
            covered=lambda last_id, delta: reaches(last_id - 1, delta),
        ),
    ),
    "spot": Sequencing(
        follows=lambda last_id, delta: delta.first_id == last_id + 1,
        repeats=reaches,
        by_rest=RestSnapshots(overlaps=lambda last_id, delta: _spans(last_id + 1, delta), covered=reaches),
    ),
    # Both venues may start their numbers again below the last one: smaller is not older, only the same is a repetition.
    "bybit": Sequencing(follows=lambda last_id, delta: delta.last_id == last_id + 1, repeats=_is_same),
    "okx": Sequencing(follows=_by_prev_id, repeats=_is_same),
    # Nothing is numbered: normalizer.level_ids finds the holes.
    "bitmex": Sequencing(follows=lambda _last_id, _delta: True, repeats=lambda _last_id, _delta: False),
}
