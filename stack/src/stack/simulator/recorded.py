"""A recorded Deribit chain as the starting chain: contracts, vols and open interest from a ticker CSV."""

import csv
import gzip
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.simulator.listing import Contract, Expiry

MAX_ROWS = 20_000
MAX_BYTES = 200_000_000
COLUMNS = (
    "instrument_name",
    "strike",
    "expiration_timestamp",
    "option_type",
    "settlement_period",
    "open_interest",
    "mark_iv",
    "index_price",
    "timestamp",
)
Row = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class RecordedChain:
    """Options of one underlying; ``vols`` as decimals, ``open_interest`` in coin, ``index_price`` in USD."""

    underlying: str
    taken_ms: int
    index_price: float
    contracts: tuple[Contract, ...]
    vols: tuple[float, ...]
    open_interest: tuple[float, ...]


def read_chain(file: Path) -> RecordedChain:
    """Read a CSV (plain or .gz) with the columns above; rows without a positive mark_iv are left out.

    Raises ValueError naming line, field, value and what is wanted.
    """
    rows = list(_rows(file))
    kept = [(n, row) for n, row in rows if _number(file, n, row, "mark_iv") > 0]
    if not kept:
        raise ValueError(f"{file}: holds no option with a mark_iv above 0")
    underlyings = {str(row["instrument_name"]).split("-")[0] for _, row in kept}
    if len(underlyings) != 1:
        raise ValueError(f"{file}: mixes {', '.join(sorted(underlyings))}; give one file per underlying")
    return RecordedChain(
        underlying=underlyings.pop(),
        taken_ms=int(max(_number(file, n, row, "timestamp") for n, row in kept)),
        index_price=_number(file, *kept[-1], "index_price"),
        contracts=tuple(_contract(file, n, row) for n, row in kept),
        vols=tuple(_number(file, n, row, "mark_iv") / 100 for n, row in kept),
        open_interest=tuple(_number(file, n, row, "open_interest") for n, row in kept),
    )


def _rows(file: Path) -> list[tuple[int, Row]]:
    try:
        raw = gzip.open(file, "rb").read(MAX_BYTES) if file.suffix == ".gz" else file.read_bytes()  # noqa: SIM115
        text = raw.decode("utf-8")
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); give a chain as CSV or CSV.gz") from error
    reader = csv.DictReader(io.StringIO(text))
    missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{file}: lacks the columns {', '.join(missing)}")
    rows: list[tuple[int, Row]] = list(enumerate(reader, start=2))
    if len(rows) > MAX_ROWS:
        raise ValueError(f"{file}: has {len(rows)} rows, at most {MAX_ROWS} are taken")
    return rows


def _contract(file: Path, line: int, row: Row) -> Contract:
    kind = row["option_type"]
    if kind not in ("call", "put"):
        raise ValueError(f"{file}: line {line}: option_type is {kind!r}, must be call or put")
    expiry = Expiry(int(_number(file, line, row, "expiration_timestamp")), str(row["settlement_period"]))
    return Contract(str(row["instrument_name"]), expiry, _number(file, line, row, "strike"), kind == "call")


def _number(file: Path, line: int, row: Row, field: str) -> float:
    try:
        value = float(row[field] or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{file}: line {line}: {field} is {row[field]!r}, must be a number of 0 or more")
    return value
