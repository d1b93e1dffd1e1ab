"""Reads a recorded or freshly fetched option chain, whatever its columns are called, into expiries.

Known: the JSON of Deribit's ``get_book_summary_by_currency`` (the whole response or its ``result``), and CSV files
(plain, ``.gz``, ``.xz`` or a member of a ``.tar.xz``) with Deribit's ticker fields, book-summary fields, or those of
the recorded chains. A row that cannot be read keeps a status; it never stops the file.
"""

import csv
import gzip
import io
import json
import lzma
import math
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from gammaflow.errors import UserError
from pricing.inverse import forward_from_delta
from pricing.surface.build import ExpiryChain
from pricing.surface.normalised import otm_value
from pricing.surface.options import OptionQuote

MS_PER_YEAR: Final = 365.0 * 86_400_000.0
_NAME: Final = re.compile(r"^([A-Z0-9_]+)-(\d{1,2}[A-Z]{3}\d{2})-([0-9][0-9.d]*)-([CP])$")
_FUTURE: Final = re.compile(r"^([A-Z0-9_]+)-(\d{1,2}[A-Z]{3}\d{2})$")
_EXPIRY_HOUR_UTC: Final = 8
_ARCHIVE: Final = ".tar.xz"
# What the same thing is called in different recordings, the first one found is taken.
_COLUMNS: Final = {
    "bid": ("best_bid_price", "bid_price"),
    "ask": ("best_ask_price", "ask_price"),
    "bid_size": ("best_bid_amount",),
    "ask_size": ("best_ask_amount",),
    "forward": ("underlying_price", "underlying"),
    "time": ("timestamp", "creation_timestamp", "date"),
    "bid_iv": ("bid_iv",),
    "ask_iv": ("ask_iv",),
    "mark_iv": ("mark_iv",),
    "delta": ("greeks_delta", "delta"),
    "mark": ("mark_price",),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One option as read; ``status`` says which field is bad, None if none is."""

    underlying: str
    expiry_ms: int
    option: OptionQuote
    time_ms: int | None
    bid_vol: float | None
    ask_vol: float | None
    mark_vol: float | None
    delta: float | None
    status: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not even an option: its number in the file (from 1), what it calls itself, and why."""

    row: int
    instrument: str
    status: str


@dataclass(frozen=True, slots=True)
class ReadChain:
    """All expiries of one underlying, with the rows they came from."""

    underlying: str
    as_of_ms: int
    chains: tuple[ExpiryChain, ...]
    statuses: Mapping[str, str]
    """instrument → status of rows with a bad field"""
    expiry_ms: Mapping[str, int] = field(default_factory=dict)


def read_chain(path: str, *, at: str | None = None) -> tuple[list[ReadChain], list[Rejected]]:
    """Read a file into one chain per underlying, and the rows that are no options.

    ``path`` may go on into an archive: ``chains.tar.xz/member.csv``. ``at`` chooses a snapshot of a file that has
    several; by default the last one. Raises :class:`UserError` if the file cannot be read or has no option.
    """
    rows: list[Row] = []
    rejected: list[Rejected] = []
    futures: dict[tuple[str, int], float] = {}
    for number, record in enumerate(_snapshot(list(_records(path)), at), start=1):
        name = str(record.get("instrument_name") or "")
        row = _read_row(name, record)
        if row is not None:
            rows.append(row)
        elif (future := _future(name, record)) is not None:
            futures[future[:2]] = future[2]
        else:
            rejected.append(Rejected(number, name, "instrument_name is not that of an option"))
    if not rows:
        raise UserError(f"{path} has no option rows: instrument_name like BTC-27JUN25-100000-C is needed")
    underlyings = sorted({row.underlying for row in rows})
    return [_chain(one, [row for row in rows if row.underlying == one], futures) for one in underlyings], rejected


def _snapshot(records: list[Mapping[str, object]], at: str | None) -> list[Mapping[str, object]]:
    """Keep one instant of a file whose ``date`` column has several."""
    dates = sorted({str(record["date"]) for record in records if record.get("date")})
    if not dates:
        if at is not None:
            raise UserError(f"--at {at}: this file has no date column, it is one snapshot; leave --at out")
        return records
    chosen = dates[-1] if at is None else next((one for one in dates if one.startswith(at)), None)
    if chosen is None:
        raise UserError(f"--at {at} is not in the file: it has {dates[0]} to {dates[-1]}")
    return [record for record in records if record.get("date") == chosen]


def _records(path: str) -> Iterator[Mapping[str, object]]:
    """Rows of a JSON or CSV file as mappings."""
    text = _text(path)
    if text.lstrip()[:1] in {"{", "["}:
        yield from _json_records(path, text)
        return
    reader = csv.DictReader(io.StringIO(text))
    if "instrument_name" not in (reader.fieldnames or ()):
        raise UserError(f"{path} has no column instrument_name: is it a chain? It has {reader.fieldnames}")
    yield from reader


def _json_records(path: str, text: str) -> Iterator[Mapping[str, object]]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON ({error}): save the whole response of the venue") from error
    rows = document.get("result") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise UserError(f"{path} has no list of book summaries: pass the response, or its result")
    for row in rows:
        yield row if isinstance(row, dict) else {"instrument_name": repr(row)}


def _text(path: str) -> str:
    """Text of a file, decompressed by its name."""
    archive, separator, member = path.partition(_ARCHIVE)
    try:
        if separator:
            return _member(archive + separator, member.lstrip("/:"))
        raw = Path(path).read_bytes()
        unpack = {".gz": gzip.decompress, ".xz": lzma.decompress}.get(Path(path).suffix)
        return (raw if unpack is None else unpack(raw)).decode()
    except (OSError, EOFError, lzma.LZMAError, tarfile.TarError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _member(archive: str, member: str) -> str:
    with tarfile.open(archive) as files:
        names = [name for name in files.getnames() if name.endswith(".csv")]
        stream = files.extractfile(member) if member in names else None
        if stream is None:
            raise UserError(
                f"name one of the {len(names)} members after the archive: {archive}/{names[0] if names else '…'}"
            )
        return stream.read().decode()


def _read_row(name: str, record: Mapping[str, object]) -> Row | None:
    """Read one option; None if the name is not that of one."""
    match = _NAME.match(name)
    if match is None:
        return None
    underlying, day, strike, kind = match.groups()
    try:
        expiry_ms = expiry_of(day)
    except ValueError:
        return None
    numbers: dict[str, float | None] = {}
    status = None
    for what, columns in _COLUMNS.items():
        if what == "time":
            continue
        try:
            numbers[what] = _number(record, columns)
        except ValueError as error:
            numbers[what] = None
            status = status or str(error)
    try:
        time_ms = _time_ms(record)
    except ValueError as error:
        time_ms, status = None, status or str(error)
    forward = numbers["forward"]
    if forward is not None and not forward > 0:
        status = status or f"underlying price {forward!r} is not positive"
        forward = None
    # A linear contract is quoted in its quote currency, an inverse one in coin, which is already over the forward.
    unit = forward if underlying.endswith(("_USDC", "_USDT")) else 1.0
    option = OptionQuote(
        instrument=name,
        is_call=kind == "C",
        strike=float(strike.replace("d", ".")),
        bid=_over(numbers["bid"], unit),
        ask=_over(numbers["ask"], unit),
        forward=forward,
        bid_size=numbers["bid_size"],
        ask_size=numbers["ask_size"],
    )
    if not option.strike > 0:
        return None
    return Row(
        underlying,
        expiry_ms,
        option,
        time_ms,
        _percent(numbers["bid_iv"]),
        _percent(numbers["ask_iv"]),
        _percent(numbers["mark_iv"]),
        numbers["delta"],
        status,
    )


def expiry_of(day: str) -> int:
    """Milliseconds of 08:00 UTC on a day like ``27JUN25``; raises :class:`ValueError` if there is no such day."""
    date = datetime.strptime(day.title(), "%d%b%y").replace(hour=_EXPIRY_HOUR_UTC, tzinfo=UTC)
    return round(date.timestamp() * 1000)


def _number(record: Mapping[str, object], columns: tuple[str, ...]) -> float | None:
    """First column that has something in it as a float; None if all are empty; ValueError naming column and value."""
    for column in columns:
        value = record.get(column)
        if value is None or value in {"", "nan"}:
            continue
        try:
            number = float(str(value))
        except ValueError:
            raise ValueError(f"{column} {value!r} is not a number") from None
        if not math.isfinite(number):
            raise ValueError(f"{column} {value!r} is not finite")
        return number
    return None


def _time_ms(record: Mapping[str, object]) -> int | None:
    """Time of a row: milliseconds since 1970, or ISO 8601 (UTC if it does not say)."""
    value = next((record[name] for name in _COLUMNS["time"] if record.get(name)), None)
    if value is None:
        return None
    text = str(value)
    if text.isdigit():
        return int(text)
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _over(price: float | None, unit: float | None) -> float | None:
    return None if price is None or unit is None else price / unit


def _percent(value: float | None) -> float | None:
    return None if value is None or value <= 0 else value / 100.0


def _future(name: str, record: Mapping[str, object]) -> tuple[str, int, float] | None:
    """(underlying, expiry, price) of a dated future's row, None if it is none or has no price."""
    match = _FUTURE.match(name)
    if match is None:
        return None
    try:
        price = _number(record, _COLUMNS["mark"])
        return None if price is None or price <= 0 else (match[1], expiry_of(match[2]), price)
    except ValueError:
        return None


def _chain(underlying: str, rows: list[Row], futures: Mapping[tuple[str, int], float]) -> ReadChain:
    """Group the rows of an underlying by expiry."""
    times = [row.time_ms for row in rows if row.time_ms is not None]
    if not times:
        raise UserError(f"no row of {underlying} has a time: a column timestamp, creation_timestamp or date is needed")
    as_of = max(times)
    chains = []
    expiries: dict[str, int] = {}
    for expiry_ms in sorted({row.expiry_ms for row in rows}):
        label = iso(expiry_ms)
        expiries[label] = expiry_ms
        own = [row for row in rows if row.expiry_ms == expiry_ms]
        tau = float(np.median([expiry_ms - (row.time_ms or as_of) for row in own])) / MS_PER_YEAR
        from_delta = _forward_from_delta(own, tau)
        options = tuple(_with_age(_priced(row, tau, from_delta), row, as_of) for row in own)
        chains.append(
            ExpiryChain(
                expiry=label,
                tau_years=tau,
                options=options,
                future=futures.get((underlying, expiry_ms)),
                forward_from_delta=from_delta,
            )
        )
    statuses = {row.option.instrument: row.status for row in rows if row.status is not None}
    return ReadChain(underlying, as_of, tuple(chains), statuses, expiries)


def _with_age(option: OptionQuote, row: Row, as_of: int) -> OptionQuote:
    return replace(option, age_s=None if row.time_ms is None else (as_of - row.time_ms) / 1000.0)


def _forward_from_delta(rows: list[Row], tau_years: float) -> float | None:
    """Median forward that the venue's deltas near the money imply; only where rows have no underlying price.

    Between a few wide strikes shortly before expiry no option is near the money: then any with 5 % to 95 % is taken.
    """
    known = [row for row in rows if row.option.forward is None and row.delta is not None and row.mark_vol]
    near = [row for row in known if 0.25 < abs(row.delta or 0.0) < 0.75]
    usable = near or [row for row in known if 0.05 < abs(row.delta or 0.0) < 0.95]
    if not usable or tau_years <= 0:
        return None
    forwards = forward_from_delta(
        strike=[row.option.strike for row in usable],
        tau_years=tau_years,
        vol=[row.mark_vol or math.nan for row in usable],
        delta=[row.delta or math.nan for row in usable],
        is_call=[row.option.is_call for row in usable],
    )
    return float(np.nanmedian(forwards))


def _priced(row: Row, tau_years: float, forward: float | None) -> OptionQuote:
    """Give a row that has vols but no prices the values of its vols, over the forward."""
    option = row.option
    if option.bid is not None or option.ask is not None or forward is None or tau_years <= 0:
        return option
    k = math.log(option.strike / forward)
    intrinsic = max(1.0 - math.exp(k), 0.0) if option.is_call else max(math.exp(k) - 1.0, 0.0)

    def value(vol: float | None) -> float | None:
        return None if vol is None else intrinsic + float(otm_value(k, vol * math.sqrt(tau_years)))

    return replace(option, bid=value(row.bid_vol), ask=value(row.ask_vol))


def iso(time_ms: int) -> str:
    """Return a time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
