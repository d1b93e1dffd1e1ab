"""Spot paths: a jump-diffusion with a moving vol level, or a given path followed by one."""

import csv
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

TICK_S = 0.1
YEAR_S = 365 * 86_400.0
SPOTS = {"BTC": 95_000.0, "ETH": 3_200.0}
MAX_PATH_ROWS = 5_000_000

_VOL = {"BTC": 0.45, "ETH": 0.65}
_JUMPS_PER_YEAR = 400.0
_JUMP_SD = 0.006
_LEVEL_SD_PER_YEAR = 1.5
_LEVEL_REVERSION_PER_YEAR = 60.0
_SPOT_VOL_SLOPE = -0.8


@dataclass(frozen=True, slots=True)
class GivenPath:
    """Prices at ascending seconds from the start; between them log-linear, after them the generated path goes on."""

    seconds: Sequence[float]
    prices: Sequence[float]

    def at(self, second: float) -> float | None:
        """Return the price at ``second`` from the start, or None past the end."""
        if second > self.seconds[-1]:
            return None
        i = max(1, min(bisect_right(self.seconds, second), len(self.seconds) - 1))
        t0, t1 = self.seconds[i - 1], self.seconds[i]
        share = min(1.0, max(0.0, (second - t0) / (t1 - t0)))
        return float(self.prices[i - 1] ** (1 - share) * self.prices[i] ** share)


class SpotPath:
    """The index of one underlying, USD, advanced tick by tick; ``level`` scales all implied vols."""

    def __init__(self, underlying: str, start: float, rng: np.random.Generator, given: GivenPath | None) -> None:
        self._vol = _VOL[underlying]
        self._rng = rng
        self._given = given
        self._ticks = 0
        self._log_level = 0.0
        first = given.at(0.0) if given else None
        self.price = first if first is not None else start
        self.last_return = 0.0

    @property
    def level(self) -> float:
        """Return the factor on all implied vols; 1 at the start."""
        return math.exp(self._log_level)

    def advance(self) -> float:
        """Move by one tick of 0.1 s and return the new price."""
        self._ticks += 1
        previous = self.price
        given = self._given.at(self._ticks * TICK_S) if self._given else None
        self.price = given if given is not None else previous * math.exp(self._draw_return())
        self.last_return = math.log(self.price / previous)
        dt = TICK_S / YEAR_S
        noise = _LEVEL_SD_PER_YEAR * math.sqrt(dt) * float(self._rng.standard_normal())
        self._log_level += (
            -_LEVEL_REVERSION_PER_YEAR * self._log_level * dt + noise + _SPOT_VOL_SLOPE * self.last_return
        )
        self._log_level = min(1.0, max(-1.0, self._log_level))
        return self.price

    def _draw_return(self) -> float:
        dt = TICK_S / YEAR_S
        move = self._vol * self.level * math.sqrt(dt) * float(self._rng.standard_normal())
        if self._rng.random() < _JUMPS_PER_YEAR * dt:
            move += _JUMP_SD * float(self._rng.standard_normal())
        return move


def read_paths(file: Path, underlyings: Sequence[str]) -> Mapping[str, GivenPath]:
    """Read a CSV of ``second,<UNDERLYING>…`` (seconds from the start, USD).

    An underlying without a column gets none. Raises ValueError naming row, field and value.
    """
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        columns = [u for u in underlyings if u in (reader.fieldnames or ())]
        if "second" not in (reader.fieldnames or ()) or not columns:
            raise ValueError(f"{file}: needs the columns second and one of {', '.join(underlyings)}")
        rows = [_path_row(file, n, row, columns) for n, row in enumerate(reader, start=2)]
    _check_path(file, [row[0] for row in rows])
    seconds = [row[0] for row in rows]
    return {u: GivenPath(seconds, [row[1 + i] for row in rows]) for i, u in enumerate(columns)}


def _path_row(file: Path, line: int, row: Mapping[str, str | None], columns: Sequence[str]) -> list[float]:
    if line > MAX_PATH_ROWS:
        raise ValueError(f"{file}: more than {MAX_PATH_ROWS} rows")
    values = []
    for field in ("second", *columns):
        try:
            value = float(row[field] or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (field != "second" and value <= 0):
            raise ValueError(f"{file}: line {line}: {field} is {row[field]!r}, must be a number, prices above 0")
        values.append(value)
    return values


def _check_path(file: Path, seconds: Sequence[float]) -> None:
    if len(seconds) < 2:
        raise ValueError(f"{file}: needs at least two rows")
    if any(b <= a for a, b in pairwise(seconds)):
        raise ValueError(f"{file}: second must ascend strictly")
