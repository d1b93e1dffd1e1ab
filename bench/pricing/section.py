"""What a section of the pricing benchmark gets and gives: each is a module of this package with ``section(run)``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# The order of the page. A new section is a module ``bench/pricing/<name>.py`` and a name here.
NAMES: Final = ("black76", "implied_vol", "gamma_grid", "surface", "svi", "asian", "start_up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Under what a section measures: ``quick`` for a smoke run with few repeats, ``directory`` is gone afterwards."""

    quick: bool
    directory: Path
    say: Callable[[str], None]

    def repeats(self, full: int) -> int:
        """Return how often to measure: ``full``, or a few times in a quick run."""
        return min(full, 3) if self.quick else full


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure to reach: what was asked, what was measured (both with units), and whether that meets it."""

    asked: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table of the page: a row per contender, ratios among the columns, our own row first."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    targets: Sequence[Target] = field(default=())
