"""Factories of made-up tickers and units, and a reader of recorded chains."""

import csv
import gzip
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.records import Clock, OptionGreeks, Ticker
from greeks.pricer import GreeksCore, PricerConfig
from streamkit.core import ClockedSecond, CloseSecond, Input, Item, Output

START = 1_800_000_000
DAY = 86_400
PARTS = ("quote", "mark", "index", "underlying", "iv", "greeks", "open_interest")
ALL_FRESH = {f"{part}_age_ms": 0 for part in PARTS}


def ticker(**changes: Any) -> Ticker:
    """A whole, fresh, made-up BTC call 30 days from expiry."""
    fields = {
        "venue": "deribit",
        "instrument": "BTC-MADE-UP-100000-C",
        "underlying": "BTC",
        "kind": "option",
        "second": START,
        "received_ts": START * 1_000_000,
        "state": "open",
        "linear": False,
        "strike": 100_000.0,
        "expiry_ts": (START + 30 * DAY) * 1_000_000,
        "option_type": "call",
        "mark_price": 0.04,
        "index_price": 99_000.0,
        "underlying_price": 99_500.0,
        "mark_iv": 0.5,
        "venue_delta": 0.5,
        "open_interest_base": 10.0,
        **ALL_FRESH,
    }
    return Ticker(**(fields | changes))


def unit(second: int, tickers: Iterable[Ticker] = (), **clock: Any) -> ClockedSecond:
    fields = {
        "venue": "deribit",
        "underlying": "BTC",
        "second": second,
        "received_ts": None,
        "skipped_seconds": 0,
        "input_records": 0,
        "rejected_records": 0,
    }
    records = [
        Input("market.tickers", 2, offset, t.instrument.encode(), t.second * 1000, t)
        for offset, t in enumerate(tickers)
    ]
    return ClockedSecond(Clock(**(fields | clock)), {"market.tickers": records})


class Priced:
    """The items of one second, taken apart, with the packed columns as arrays."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.items = list(items)
        (self.close,) = [item for item in self.items if isinstance(item, CloseSecond)]
        self.records = [item.record for item in self.items if isinstance(item, Output)]

    @property
    def greeks(self) -> OptionGreeks:
        (record,) = self.records
        return record

    def column(self, name: str) -> np.ndarray:
        kinds = {"expiry_ts": "<i8", "is_call": "u1", "forward_source": "u1", "vol_source": "u1", "quality": "u1"}
        return np.frombuffer(getattr(self.greeks, name), dtype=kinds.get(name, "<f8"))


class Pricer:
    """A core that is fed seconds."""

    def __init__(self, **config: Any) -> None:
        self.core = GreeksCore(PricerConfig(**config))

    def second(self, second: int, tickers: Iterable[Ticker] = (), **clock: Any) -> Priced:
        return Priced(self.core.step(unit(second, tickers, **clock)))


@pytest.fixture
def make_ticker() -> Callable[..., Ticker]:
    return ticker


@pytest.fixture
def pricer() -> Pricer:
    return Pricer()


@pytest.fixture
def new_pricer() -> Callable[..., Pricer]:
    return Pricer


@pytest.fixture
def start() -> int:
    return START


def number(text: str) -> float | None:
    return float(text) if text else None


def percent(text: str) -> float | None:
    return float(text) / 100 if text and float(text) > 0 else None


def daily(path: Path) -> Iterator[Ticker]:
    """Tickers of a recorded daily chain, each in the second of its own timestamp."""
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            second = int(row["timestamp"]) // 1000
            yield ticker(
                instrument=row["instrument_name"],
                second=second,
                received_ts=int(row["timestamp"]) * 1000,
                strike=float(row["strike"]),
                expiry_ts=int(row["expiration_timestamp"]) * 1000,
                option_type=row["option_type"],
                mark_price=number(row["mark_price"]),
                index_price=number(row["index_price"]),
                underlying_price=number(row["underlying_price"]),
                mark_iv=percent(row["mark_iv"]),
                venue_delta=number(row["greeks_delta"]),
                venue_gamma=number(row["greeks_gamma"]),
                venue_vega=number(row["greeks_vega"]),
                venue_theta=number(row["greeks_theta"]),
                open_interest_base=number(row["open_interest"]),
            )


def hourly(path: Path, hour: str) -> Iterator[Ticker]:
    """Tickers of one hour of the recorded hourly chain: it has deltas and vols, but neither forward nor index."""
    second = int(datetime.fromisoformat(hour).replace(tzinfo=UTC).timestamp())
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            expiry = datetime.fromisoformat(row["expiry_date"] + "T08:00:00").replace(tzinfo=UTC)
            if row["date"].startswith(hour) and expiry.timestamp() > second + 1:
                yield ticker(
                    instrument=row["instrument_name"],
                    second=second,
                    received_ts=second * 1_000_000,
                    strike=float(row["strike"]),
                    expiry_ts=int(expiry.timestamp()) * 1_000_000,
                    option_type=row["type"],
                    mark_price=None,
                    index_price=None,
                    underlying_price=None,
                    mark_iv=percent(row["mark_iv"]),
                    venue_delta=number(row["delta"]),
                    venue_gamma=number(row["gamma"]),
                    venue_vega=number(row["vega"]),
                    venue_theta=number(row["theta"]),
                    open_interest_base=number(row["open_interest"]),
                )


@pytest.fixture
def daily_chain(shared_data: Path) -> list[Ticker]:
    return list(daily(shared_data / "deribit_chain" / "BTC_20260121_options_raw.csv.gz"))


@pytest.fixture
def hourly_chain(shared_data: Path) -> list[Ticker]:
    return list(hourly(shared_data / "deribit_chain" / "BTC_hourly_20260123.csv.gz", "2026-01-23T12:00:00"))
