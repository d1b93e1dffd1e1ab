"""Tables in the format of Tardis.dev's downloadable CSV files, as the frames of their venue.

A file is one exchange, data type and day: ``<exchange>_<type>_<YYYY-MM-DD>_<symbol>.csv.gz``. Rows of a symbol with
the same ``local_timestamp``, the receive time, were one message, and become one frame again: a book read by
``timestamp`` instead would be torn.

The tables are a digest of what the venue sent: what they lack is left out of the frames, an update id that they lack is
counted by us, from 1 in each file. Docs: docs.tardis.dev, "Downloadable CSV files" (column names and semantics).
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

from collector import binance, bybit, deribit
from collector.observation import Observation
from collector.recorded import tardis_frames as frames
from collector.recorded.rows import RecordingError, Row, read_table
from collector.recorded.tardis_frames import Made

DataType = Literal["incremental_book_L2", "trades", "derivative_ticker", "liquidations", "options_chain"]
DATA_TYPES: tuple[str, ...] = get_args(DataType)
VENUES = {"deribit": deribit.VENUE, "bybit": bybit.VENUE, "binance-futures": binance.USDM.venue}
_UNDERLYING: Mapping[str, Callable[[str], str]] = {
    "deribit": lambda symbol: symbol.partition("-")[0].partition("_")[0],
    "bybit": bybit.underlying_of,
    "binance-futures": lambda symbol: binance.underlying_of(symbol.upper()),
}
_KEYS = ("exchange", "symbol", "timestamp", "local_timestamp")
_PRINT = (*_KEYS, "id", "side", "price", "amount")
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "incremental_book_L2": (*_KEYS, "is_snapshot", "side", "price", "amount"),
    "trades": _PRINT,
    "liquidations": _PRINT,
    "derivative_ticker": (*_KEYS, "funding_rate", "open_interest", "last_price", "index_price", "mark_price"),
    "options_chain": (
        *_KEYS,
        "bid_price",
        "bid_iv",
        "ask_price",
        "ask_iv",
        "mark_price",
        "mark_iv",
        "underlying_price",
    ),
}


def read_tardis(path: Path, exchange: str, data_type: str, underlyings: Collection[str]) -> Iterator[Observation]:
    """Yield the frames of a file's rows of ``underlyings``, in receive order.

    Raises RecordingError for a type that its exchange has no frames of, a row that cannot be read, and time that runs
    backwards.
    """
    make = frames.MAKERS.get((exchange, data_type))
    if make is None:
        known = ", ".join(kind for place, kind in frames.MAKERS if place == exchange)
        raise RecordingError(path, f"no frames of {exchange} are made of {data_type}", f"take one of: {known}")
    venue, underlying_of = VENUES[exchange], _UNDERLYING[exchange]
    updates = frames.UpdateIds()
    for received_ts, group in _messages(path, _REQUIRED[data_type]):
        for symbol, rows in _by_symbol(group):
            underlying = underlying_of(symbol)
            if underlying in underlyings:
                for made in make(symbol, rows, updates):
                    yield _observe(received_ts, venue, underlying, rows, made)


def _messages(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, list[Row]]]:
    """Yield (local_timestamp, rows) of each run of rows that were received together."""
    latest = 0
    for received_ts, group in groupby(read_table(path, required), key=lambda row: row.microseconds("local_timestamp")):
        rows = list(group)
        if received_ts < latest:
            raise rows[0].error("local_timestamp", f"{received_ts} is before {latest}, the row above")
        latest = received_ts
        yield received_ts, rows


def _by_symbol(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    symbols: dict[str, list[Row]] = {}
    for row in rows:
        symbols.setdefault(row.required("symbol"), []).append(row)
    yield from symbols.items()


def _observe(received_ts: int, venue: str, underlying: str, rows: list[Row], made: Made) -> Observation:
    exchange_ts = rows[-1].microseconds("timestamp")
    return Observation(
        received_ts, venue, 0, made.kind, made.channel, made.instrument, underlying, exchange_ts, made.payload
    )
