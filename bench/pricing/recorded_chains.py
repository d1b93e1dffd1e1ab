"""The recorded option chains beside the repository, as slices of two-sided out-of-the-money quotes."""

import csv
import gzip
import io
import math
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from pricing.surface.andreasen_huge import MIN_QUOTES
from pricing.surface.quotes import SliceQuotes

FOLDER: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "deribit_chain"
MS_PER_YEAR: Final = 365.0 * 86_400_000.0

Chain = list[SliceQuotes]
Quote = tuple[str, float, float, float, float]
"""expiry, time in years, ln(K/F), bid and ask over the forward"""


def daily() -> list[Chain]:
    """Eight full chains of BTC, one a day."""
    out: list[Chain] = []
    for file in sorted(FOLDER.glob("BTC_*_options_raw.csv.gz")):
        rows = csv.DictReader(io.StringIO(gzip.decompress(file.read_bytes()).decode()))
        quotes = [
            quote
            for row in rows
            if (
                quote := _quote(
                    row["expiration_timestamp"],
                    (int(row["expiration_timestamp"]) - int(row["timestamp"])) / MS_PER_YEAR,
                    row["option_type"],
                    (row["strike"], row["underlying_price"], row["best_bid_price"], row["best_ask_price"]),
                )
            )
        ]
        out.append(_slices(quotes))
    return out


def six_hourly(every: int) -> list[Chain]:
    """Chains of BTC and ETH, four times a day over five months; every ``every``-th snapshot."""
    out: list[Chain] = []
    for number, text in enumerate(_snapshots()):
        if number % every == 0:
            out.extend(_currencies(text))
    return out


def _snapshots() -> Iterator[str]:
    for file in sorted(FOLDER.glob("chain_6h_*.tar.xz")):
        with tarfile.open(file) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.name.endswith(".csv") else None
                if stream is not None:
                    yield stream.read().decode()


def _currencies(text: str) -> Iterator[Chain]:
    quotes: dict[str, list[Quote]] = {}
    taus: dict[tuple[str, str], float] = {}
    for row in csv.DictReader(io.StringIO(text)):
        when = (row["expiry_datetime"], row["timestamp"])
        if when not in taus:
            taus[when] = _between(*when)
        quote = _quote(
            when[0],
            taus[when],
            row["option_type"],
            (row["strike"], row["underlying"], row["bid_price"], row["ask_price"]),
        )
        if quote is not None:
            quotes.setdefault(row["currency"], []).append(quote)
    for currency in sorted(quotes):
        yield _slices(quotes[currency])


def _between(expiry: str, now: str) -> float:
    return (datetime.fromisoformat(expiry) - datetime.fromisoformat(now)).total_seconds() * 1000.0 / MS_PER_YEAR


def _quote(expiry: str, tau_years: float, kind: str, texts: tuple[str, str, str, str]) -> Quote | None:
    """One out-of-the-money two-sided quote, None if it is not that."""
    strike, forward, bid, ask = (float(text) if text else 0.0 for text in texts)
    if not (tau_years > 0 and forward > 0 and 0 < bid < ask) or (kind == "call") != (strike >= forward):
        return None
    if ask >= min(1.0, strike / forward):  # above what any vol gives
        return None
    return expiry, tau_years, math.log(strike / forward), bid, ask


def _slices(quotes: list[Quote]) -> Chain:
    out: Chain = []
    for expiry in sorted({quote[0] for quote in quotes}):
        rows = sorted((k, bid, ask, tau) for name, tau, k, bid, ask in quotes if name == expiry)
        if len(rows) >= MIN_QUOTES:
            k, bid, ask, tau = np.array(rows).T.copy()
            out.append(SliceQuotes(expiry, float(np.median(tau)), k, bid, ask))
    return sorted(out, key=lambda one: one.tau_years)
