"""Recorded Deribit option trades as ``trades.option.<currency>.100ms`` frames, one trade each.

Duplicate trade ids stay: the log holds what was seen, and whoever normalises drops them.
"""

import ast
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path
from typing import Any

from collector.observation import Observation
from collector.recorded.chains import VENUE, subscription_frame
from collector.recorded.rows import MAX_SORTED_ROWS, RecordingError, Row, read_lines, read_table, sorted_rows

MAX_LITERAL_BYTES = 10_000

_REQUIRED = ("trade_seq", "trade_id", "timestamp", "price", "instrument_name", "direction", "amount")
_WHOLE = ("trade_seq", "timestamp")
_FIGURES = ("trade_seq", "tick_direction", "price", "mark_price", "iv", "index_price", "contracts", "amount")
_TEXTS = ("instrument_name", "direction", "combo_id", "liquidation")
# pandas wrote these whole numbers as floats ("141952.0"); the venue sends them as strings.
_IDENTIFIERS = ("trade_id", "combo_trade_id", "block_trade_id")


def read_trade_table(path: Path, underlying: str) -> Iterator[Observation]:
    """Yield the trades of a CSV tape in time order; its ``strike`` and ``maturity`` columns are wrong and not used."""
    timed = sorted_rows(read_table(path, _REQUIRED), "timestamp")
    yield from _in_order([(ms, _trade(ms, row)) for ms, row in timed], underlying)


def read_trade_literals(path: Path, underlying: str) -> Iterator[Observation]:
    """Yield the trades of a file of Python dict literals, one a line, in time order."""
    trades = list(starmap(lambda row, line: _literal(path, row, line), enumerate(read_lines(path), start=1)))
    yield from _in_order([(trade["timestamp"], trade) for trade in trades], underlying)


def _in_order(timed: list[tuple[int, dict[str, Any]]], underlying: str) -> Iterator[Observation]:
    channel = f"trades.option.{underlying}.100ms"
    for milliseconds, trade in sorted(timed, key=lambda pair: (pair[0], pair[1]["trade_seq"])):
        frame = subscription_frame(channel, [trade])
        at = milliseconds * 1000
        yield Observation(at, VENUE, 0, "message", channel, None, underlying, at, frame)


def _trade(milliseconds: int, row: Row) -> dict[str, Any]:
    trade: dict[str, Any] = {"timestamp": milliseconds}
    trade |= {name: figure for name in _FIGURES if (figure := row.figure(name)) is not None}
    trade |= {name: text for name in _TEXTS if (text := row.text(name))}
    trade |= {name: text.removesuffix(".0") for name in _IDENTIFIERS if (text := row.text(name))}
    return trade


def _literal(path: Path, row: int, line: bytes) -> dict[str, Any]:
    if row > MAX_SORTED_ROWS:
        raise RecordingError(path, f"over {MAX_SORTED_ROWS} rows", "split the file by time", row=row)
    try:
        # A literal nested deeply enough exhausts the parser, so its length is bounded first.
        trade = ast.literal_eval(line[:MAX_LITERAL_BYTES].decode())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise RecordingError(path, f"not a Python literal ({error})", "fetch the file again", row=row) from error
    if not isinstance(trade, dict):
        raise RecordingError(path, "not a dict", "fetch the file again", row=row)
    _check_columns(path, row, trade)
    return trade


def _check_columns(path: Path, row: int, trade: dict[str, Any]) -> None:
    for column in _REQUIRED:
        value = trade.get(column)
        problem = "is missing" if value is None else f"{value!r} is not a whole number"
        if value is None or (column in _WHOLE and type(value) is not int):
            raise RecordingError(path, problem, "fetch the file again", row=row, column=column)
