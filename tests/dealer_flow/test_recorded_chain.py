"""Dealer gamma of a real chain against an independent recomputation from its file."""

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.shared_data

CHAIN = "deribit_chain/BTC_20260121_options_raw.csv.gz"


def rows(shared_data: Path) -> list[dict[str, str]]:
    with gzip.open(shared_data / CHAIN, "rt") as file:
        return list(csv.DictReader(file))


def independent_ngi(table: list[dict[str, str]], end: int) -> float:
    """Naive dealer gamma in plain numpy: nothing of the project's code."""

    def column(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in table])

    K, F, sigma = column("strike"), column("underlying_price"), column("mark_iv") / 100
    T = (column("expiration_timestamp") / 1000 - end) / (365 * 86400)
    d1 = np.log(F / K) / (sigma * np.sqrt(T)) + sigma * np.sqrt(T) / 2
    gamma = np.exp(-(d1**2) / 2) / math.sqrt(2 * math.pi) / (F * sigma * np.sqrt(T))
    sign = np.array([1.0 if row["option_type"] == "call" else -1.0 for row in table])
    newest = max(table, key=lambda row: int(row["timestamp"]))
    S = float(newest["index_price"])
    return float(np.sum(sign * column("open_interest") * gamma) * S**2 * 0.01)


def test_ngi_of_the_recorded_chain_is_that_of_twenty_lines_of_numpy(route, make_ticker, shared_data: Path) -> None:
    table = rows(shared_data)
    tickers = [
        make_ticker(
            instrument=row["instrument_name"],
            second=int(row["timestamp"]) // 1000,
            strike=float(row["strike"]),
            expiry_ts=int(row["expiration_timestamp"]) * 1000,
            option_type=row["option_type"],
            index_price=float(row["index_price"]),
            index_age_ms=1000 - int(row["timestamp"]) % 1000,
            underlying_price=float(row["underlying_price"]),
            mark_iv=float(row["mark_iv"]) / 100,
            open_interest_base=float(row["open_interest"]),
        )
        for row in table
    ]
    last = max(t.second for t in tickers)
    exposure = route.second(last, tickers).exposures["naive"]
    assert exposure.status == "ok"
    assert (exposure.n_used, exposure.gamma_coverage) == (664, 1.0)
    assert exposure.ngi_usd_per_pct == pytest.approx(independent_ngi(table, last + 1), rel=1e-9)
    assert exposure.flip_status in {"ok", "ambiguous"}
    for flip in exposure.flips:
        assert 0.5 * exposure.spot < flip.spot < 1.5 * exposure.spot
