"""Which files of a folder are recordings, of what, and how each is read."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from collector.observation import Observation
from collector.recorded import tardis
from collector.recorded.captures import read_capture
from collector.recorded.chains import DAILY, HOURLY, read_chains
from collector.recorded.feeds import VENUES, read_feed
from collector.recorded.trades import read_trade_literals, read_trade_table

RecordingKind = Literal["chain", "trades", "binance", "feed", "tardis"]


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of recorded data; ``read()`` opens it anew and yields its observations in time order."""

    path: Path
    kind: RecordingKind
    venue: str
    underlyings: tuple[str, ...]
    read: Callable[[], Iterator[Observation]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which recordings to take: by kind, by a glob on the file name, by venue and underlying."""

    kinds: Collection[RecordingKind]
    files: str
    venues: Collection[str]
    underlyings: Collection[str]


class NoRecordings(Exception):
    """The path is missing or holds nothing that was asked for; the message says what would be found."""


SUFFIXES = (".gz", ".xz", ".zst")


def find_recordings(path: Path, selection: Selection) -> list[Recording]:
    """Return the selected recordings under ``path`` (a folder, searched deeply, or one file), by name.

    Raises NoRecordings.
    """
    if not path.exists():
        raise NoRecordings(f"PATH {str(path)!r} does not exist; name a folder of recordings")
    inside = (file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    files = [path] if path.is_file() else sorted(inside)
    known = [recording for file in files if (recording := _recognise(file, selection)) is not None]
    chosen = [recording for recording in known if _selected(recording, selection)]
    if not chosen:
        raise NoRecordings(
            f"PATH {str(path)!r} has {len(known)} recordings in {len(files)} {', '.join(SUFFIXES)} files and none of "
            "them is selected; "
            f"names are like {', '.join(example for _, example, _ in _LAYOUTS)}; selected: {_describe(selection)}"
        )
    return chosen


def _selected(recording: Recording, selection: Selection) -> bool:
    return (
        recording.kind in selection.kinds
        and recording.venue in selection.venues
        and any(underlying in selection.underlyings for underlying in recording.underlyings)
        and fnmatch(recording.path.name, selection.files)
    )


def _describe(selection: Selection) -> str:
    parts = {"KINDS": selection.kinds, "VENUES": selection.venues, "UNDERLYINGS": selection.underlyings}
    return (
        " ".join(f"{name}={','.join(sorted(values))}" for name, values in parts.items()) + f" FILES={selection.files}"
    )


def _daily_chain(path: Path, name: re.Match[str], _: Selection) -> Recording:
    underlying = name["underlying"]
    return Recording(path, "chain", "deribit", (underlying,), lambda: read_chains(path, underlying, DAILY))


def _hourly_chain(path: Path, name: re.Match[str], _: Selection) -> Recording:
    underlying = name["underlying"]
    return Recording(path, "chain", "deribit", (underlying,), lambda: read_chains(path, underlying, HOURLY))


def _trade_table(path: Path, name: re.Match[str], _: Selection) -> Recording:
    underlying = name["underlying"]
    return Recording(path, "trades", "deribit", (underlying,), lambda: read_trade_table(path, underlying))


def _trade_literals(path: Path, name: re.Match[str], _: Selection) -> Recording:
    underlying = name["underlying"].upper()
    return Recording(path, "trades", "deribit", (underlying,), lambda: read_trade_literals(path, underlying))


def _capture(path: Path, name: re.Match[str], _: Selection) -> Recording:
    venue = f"binance-{name['market']}"
    base = name["base"].upper()
    return Recording(path, "binance", venue, (base,), lambda: read_capture(path, venue, f"{base}USDT"))


def _feed(path: Path, name: re.Match[str], selection: Selection) -> Recording:
    venue, underlyings = VENUES[name["exchange"].upper()], tuple(selection.underlyings)
    return Recording(path, "feed", venue, underlyings, lambda: read_feed(path, venue, underlyings))


def _tardis(path: Path, name: re.Match[str], selection: Selection) -> Recording:
    exchange, data_type, underlyings = name["exchange"], name["type"], tuple(selection.underlyings)
    return Recording(
        path, "tardis", tardis.VENUES[exchange], underlyings,
        lambda: tardis.read_tardis(path, exchange, data_type, underlyings),
    )  # fmt: skip


_LAYOUTS: tuple[tuple[str, str, Callable[[Path, re.Match[str], Selection], Recording]], ...] = (
    (r"(?P<underlying>[A-Z]+)_\d{8}_(options|futures)_raw\.csv\.gz", "BTC_<date>_options_raw.csv.gz", _daily_chain),
    (r"(?P<underlying>[A-Z]+)_hourly_\d{8}\.csv\.gz", "BTC_hourly_<date>.csv.gz", _hourly_chain),
    (r"trades_(?P<underlying>[A-Z]+)-.+\.csv\.gz", "trades_BTC-<instrument>.csv.gz", _trade_table),
    (
        r"(?P<underlying>[a-z]+)_option_trades_.+\.pydict\.txt\.gz",
        "btc_option_trades_<date>.pydict.txt.gz",
        _trade_literals,
    ),
    (r"(?P<market>spot|usdm)_(?P<base>[a-z]+)usdt_\d{8}\.gz", "spot_btcusdt_<date>.gz", _capture),
    (
        r"\d{4}-\d\d-\d\d_[0-9a-f]{8}_(?P<exchange>DERIBIT|OKX|BITMEX|BINANCE_FUTURES)[-.].*\.xz",
        "<date>_<id>_OKX.ws.1.0.xz",
        _feed,
    ),
    (r"(?P<exchange>bybit)_v5_\d{4}-\d\d-\d\d\.jsonl\.zst", "bybit_v5_<date>.jsonl.zst", _feed),
    (
        rf"(?P<exchange>{'|'.join(tardis.VENUES)})_(?P<type>{'|'.join(tardis.DATA_TYPES)})_\d{{4}}-\d\d-\d\d_.+\.csv\.gz",
        "deribit_options_chain_<date>_OPTIONS.csv.gz",
        _tardis,
    ),
)


def _recognise(path: Path, selection: Selection) -> Recording | None:
    for layout, _, make in _LAYOUTS:
        if match := re.fullmatch(layout, path.name):
            return make(path, match, selection)
    return None
