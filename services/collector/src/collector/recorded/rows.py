"""Reading compressed lines and tables with every problem reported as file, row, column, remedy."""

import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

import orjson
import zstandard

MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_SORTED_ROWS = 500_000


class RecordingError(Exception):
    """A recording that cannot be read; the message names file, row and column and says what to do."""

    def __init__(
        self, path: Path, problem: str, remedy: str, *, row: int | None = None, column: str | None = None
    ) -> None:
        place = f", row {row}" if row is not None else ""
        place += f", column {column!r}" if column is not None else ""
        super().__init__(f"{path}{place}: {problem}; {remedy}")


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a .gz, .xz or .zst file without their line ends, one in memory at a time.

    Raises RecordingError if the file is missing, not compressed as its name says, cut short, or has a line over 16 MiB.
    """
    row = 0
    try:
        with _decompressed(path) as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                row += 1
                if len(line) > MAX_LINE_BYTES:
                    raise RecordingError(path, f"line over {MAX_LINE_BYTES} bytes", "not a recording we know", row=row)
                yield line.rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise RecordingError(path, f"cannot be read ({error})", "fetch the file again", row=row + 1) from error


def _decompressed(path: Path) -> BinaryIO:
    match path.suffix:
        case ".xz":
            return cast("BinaryIO", lzma.open(path, "rb"))
        case ".zst":
            # Several frames may stand one after the other, as a writer that flushes leaves them.
            source = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)
            return io.BufferedReader(source)
        case _:
            return cast("BinaryIO", gzip.open(path, "rb"))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; ``number`` counts lines from 1, the header included."""

    path: Path
    number: int
    fields: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return the text of ``column``, "" if the cell is empty or the table lacks the column."""
        return self.fields.get(column, "")

    def required(self, column: str) -> str:
        """Return the text of ``column``; RecordingError if empty."""
        value = self.fields[column]
        if not value:
            raise self.error(column, "is empty")
        return value

    def figure(self, column: str) -> int | float | None:
        """Return the number in ``column``, None if empty or absent; RecordingError if it is not a JSON number."""
        value = self.text(column)
        if not value:
            return None
        try:
            figure = orjson.loads(value)
        except orjson.JSONDecodeError:
            figure = None
        if isinstance(figure, bool) or not isinstance(figure, int | float):
            raise self.error(column, f"{value!r} is not a number")
        return figure

    def milliseconds(self, column: str) -> int:
        """Return a time in ``column``, milliseconds since the epoch or ISO 8601 without zone (UTC), as milliseconds."""
        value = self.required(column)
        if value.isdecimal() and len(value) == len("1700000000000"):
            return int(value)
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            raise self.error(column, f"{value!r} is not a time") from None
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=UTC)
        return round(parsed.timestamp() * 1000)

    def numeral(self, column: str) -> str | None:
        """Return the number in ``column`` as it is written, None if empty; RecordingError if it is none."""
        return None if self.figure(column) is None else self.text(column)

    def microseconds(self, column: str) -> int:
        """Return a time in ``column``, microseconds since the epoch."""
        value = self.required(column)
        if not (value.isascii() and value.isdecimal() and len(value) == len("1700000000000000")):
            raise self.error(column, f"{value!r} is not a time in microseconds")
        return int(value)

    def error(self, column: str, problem: str) -> RecordingError:
        """Return the error that says what is wrong with this row's ``column``."""
        return RecordingError(
            self.path, problem, "correct or leave out the file (FILES)", row=self.number, column=column
        )


def read_table(path: Path, required: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a gzipped CSV file with a header that has at least the ``required`` columns.

    Raises RecordingError for a missing column and for a row with more or fewer cells than the header.
    """
    reader = csv.reader(_text_lines(path))
    header = next(reader, [])
    for column in required:
        if column not in header:
            raise RecordingError(
                path, f"is missing; found {', '.join(header)[:200] or 'nothing'}", "expected a table of that kind",
                row=1, column=column,
            )  # fmt: skip
    for number, cells in enumerate(reader, start=2):
        if len(cells) != len(header):
            raise RecordingError(
                path, f"{len(cells)} cells where the header has {len(header)}", "fetch the file again", row=number
            )
        yield Row(path, number, dict(zip(header, cells, strict=True)))


def sorted_rows(rows: Iterator[Row], time_column: str) -> list[tuple[int, Row]]:
    """Return (milliseconds, row) ordered by time; RecordingError above 500,000 rows, which are held in memory."""
    timed: list[tuple[int, Row]] = []
    for row in rows:
        if len(timed) == MAX_SORTED_ROWS:
            raise RecordingError(row.path, f"over {MAX_SORTED_ROWS} rows", "split the file by time", row=row.number)
        timed.append((row.milliseconds(time_column), row))
    timed.sort(key=lambda pair: pair[0])
    return timed


def _text_lines(path: Path) -> Iterator[str]:
    for number, line in enumerate(read_lines(path), start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError:
            raise RecordingError(path, "is not UTF-8 text", "fetch the file again", row=number) from None
