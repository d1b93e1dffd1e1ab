"""Index prints from a CSV file: ``timestamp`` and ``price``, in any of the usual units of time."""

import csv
import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from gammaflow.errors import UserError
from pricing.asian.fixings import TimestampArray
from pricing.black76 import FloatArray

TIME_COLUMNS: Final = ("timestamp", "exchange_ts", "time")
PRICE_COLUMNS: Final = ("price", "index_price")
# The smallest epoch of each unit that cannot be meant in a coarser one: all are in 1973 or later.
_UNITS: Final = ((10**17, 1e-3), (10**14, 1.0), (10**11, 1e3), (0, 1e6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prints:
    """Prints in order of time."""

    timestamps_us: TimestampArray
    """microseconds since 1970, shape (n,)"""
    prices: FloatArray
    """USD, shape (n,)"""


def read_prints(path: Path) -> Prints:
    """Read and sort; raises UserError naming the line and the remedy: a fixing may not rest on a guess."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            time, price = (_column(path, reader.fieldnames or (), names) for names in (TIME_COLUMNS, PRICE_COLUMNS))
            rows = [_row(path, reader.line_num, row[time], row[price]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}; name a CSV file with --in") from error
    if not rows:
        raise UserError(f"{path} has no prints: give the index of at least one moment before --now")
    rows.sort(key=lambda row: row[0])
    times, prices = zip(*rows, strict=True)
    return Prints(timestamps_us=np.array(times, dtype=np.int64), prices=np.array(prices))


def moment_us(text: str) -> int:
    """Return a time, ISO 8601 (UTC where it names no zone) or epoch in s, ms, µs or ns, in microseconds."""
    try:
        number = float(text)
    except ValueError:
        moment = dt.datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return round((moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(microseconds=1))
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{text} is not a time")
    # Whole numbers are read as such: a float has no nanoseconds.
    scale = next(scale for least, scale in _UNITS if number >= least)
    return int(text) // 1000 if scale < 1 and text.isdecimal() else round(number * scale)


def _column(path: Path, header: Sequence[str], names: Sequence[str]) -> str:
    for name in names:
        if name in header:
            return name
    raise UserError(f"{path} has no column {' or '.join(names)}: its first line must name timestamp and price")


def _row(path: Path, line: int, time: str | None, price: str | None) -> tuple[int, float]:
    try:
        moment, value = moment_us(time or ""), float(price or "")
    except ValueError:
        raise UserError(
            f"{path}, line {line}: {time!r}, {price!r} are not a time and a price: mend or drop it"
        ) from None
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{path}, line {line}: price = {price} is not > 0: mend or drop it")
    return moment, value
