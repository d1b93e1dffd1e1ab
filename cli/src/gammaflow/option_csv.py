"""Option tables as CSV: every row is read and answered; a bad one gets its reason in its ``status``, never a stop."""

import csv
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from gammaflow.errors import UserError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

OPTION_TYPE: Final = "option_type"
STATUS: Final = "status"
OK: Final = "ok"
_CALL_OF: Final = {"call": True, "c": True, "put": False, "p": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A number every option has: its name, what it may be, and what it is where the file has none.

    ``default``: taken where the column is missing or its cell is empty; None means the column must be there.
    ``may_be_missing``: an empty cell, or ``nan``, is NaN for the model to judge, not a bad row.
    """

    name: str
    above: float = -math.inf
    at_least: float = -math.inf
    whole: bool = False
    default: float | None = None
    may_be_missing: bool = False

    def number(self, text: str) -> float:
        """Return the number in a cell. Raises ValueError with what it should be."""
        if not text and self.default is not None:
            return self.default
        if self.may_be_missing and text.lower() in {"", "nan"}:
            return math.nan
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{self.name} = {text!r} is not {self._wanted()}") from None
        # A denormal number counts as 0, as in the pricing library.
        fits = math.isfinite(value) and value - self.above >= sys.float_info.min and value >= self.at_least
        if not fits or (self.whole and not value.is_integer()):
            raise ValueError(f"{self.name} = {text} is not {self._wanted()}")
        return value

    def _wanted(self) -> str:
        kind = "a whole number" if self.whole else "a finite number"
        if self.above > -math.inf:
            return f"{kind} > {self.above:g}"
        return f"{kind} >= {self.at_least:g}" if self.at_least > -math.inf else kind


FORWARD: Final = Column(name="forward", above=0.0)
STRIKE: Final = Column(name="strike", above=0.0)
TAU_YEARS: Final = Column(name="tau_years", at_least=0.0)
VOL: Final = Column(name="vol", at_least=0.0)
RATE: Final = Column(name="rate", default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTable:
    """A file of ``n`` options: its cells as they were written, and what they say.

    ``status`` has ``ok`` or the reason for each row; the numbers of a row that is not ok are not to be used.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    status: tuple[str, ...]
    is_call: BoolArray
    numbers: Mapping[str, FloatArray]

    @property
    def good(self) -> BoolArray:
        """Rows that can be priced, shape (n,)."""
        return np.array([status == OK for status in self.status], dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a model says about the ``m`` good rows of a table: columns of shape (m,), and a status for each row.

    NaN in a column is written as an empty cell; the row's status then says why.
    """

    columns: Mapping[str, FloatArray]
    status: Sequence[str]


def read(path: Path, columns: Sequence[Column]) -> OptionTable:
    """Read a table with ``option_type`` and ``columns``; other columns are kept as they are.

    Raises UserError if the file cannot be read or lacks a column.
    """
    header, rows = _cells(path)
    _require(path, header, columns)
    parsed = [_parse(header, row, columns) for row in rows]
    return OptionTable(
        header=header,
        rows=rows,
        status=tuple(reason for *_, reason in parsed),
        is_call=np.array([is_call for is_call, *_ in parsed], dtype=np.bool_),
        numbers={
            column.name: np.array([values[i] for _, values, _ in parsed], dtype=np.float64)
            for i, column in enumerate(columns)
        },
    )


def write(path: Path, table: OptionTable, answers: Answers) -> None:
    """Write the table's own columns, the answers' and ``status``, row for row in the order of the input.

    Numbers have the shortest digits that read back as the same float. Raises UserError if the file cannot be written
    or the table already has a column of an answer's name.
    """
    taken = [name for name in (*answers.columns, STATUS) if name in table.header]
    if taken:
        raise UserError(f"the input already has a column {taken[0]!r}, which is an output: rename it")
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow((*table.header, *answers.columns, STATUS))
            writer.writerows(_answered(table, answers))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name a file in a folder that exists") from error


def _cells(path: Path) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [tuple(cell.strip() for cell in line) for line in csv.reader(file) if line]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; name a CSV file with --in") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error}): save it as one") from error
    if not lines:
        raise UserError(f"{path} is empty: its first line must name the columns")
    return lines[0], tuple(lines[1:])


def _require(path: Path, header: Sequence[str], columns: Sequence[Column]) -> None:
    needed = [OPTION_TYPE, *(column.name for column in columns if column.default is None)]
    missing = [name for name in needed if name not in header]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}: its first line must name {', '.join(needed)}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{path} has more than one column {twice[0]!r}: keep one")


def _parse(header: Sequence[str], row: Sequence[str], columns: Sequence[Column]) -> tuple[bool, list[float], str]:
    """Return (is call, numbers, status) of one row."""
    try:
        if len(row) != len(header):
            raise ValueError(f"{len(row)} cells where the first line has {len(header)}")  # noqa: TRY301
        cells = dict(zip(header, row, strict=True))
        is_call = _is_call(cells[OPTION_TYPE])
        return is_call, [column.number(cells.get(column.name, "")) for column in columns], OK
    except ValueError as error:
        return False, [math.nan] * len(columns), f"bad_input: {error}"


def _is_call(text: str) -> bool:
    try:
        return _CALL_OF[text.lower()]
    except KeyError:
        raise ValueError(f"{OPTION_TYPE} = {text!r} is not call or put") from None


def _answered(table: OptionTable, answers: Answers) -> Iterator[tuple[str, ...]]:
    numbers = (map(_text, values.tolist()) for values in answers.columns.values())
    # strict: a model that answers fewer rows than it was given is a defect, not a short file.
    of_good = iter(list(zip(*numbers, answers.status, strict=True)))
    blank = ("",) * len(answers.columns)
    for row, status in zip(table.rows, table.status, strict=True):
        full = (*row[: len(table.header)], *[""] * (len(table.header) - len(row)))
        yield (*full, *(next(of_good) if status == OK else (*blank, status)))


def _text(value: float) -> str:
    return "" if math.isnan(value) else repr(value)
