"""The recorded chains: quotes inside their spreads, no arbitrage by an independent count, and out of sample as good
as PCHIP.

A few of the six-hourly chains; all of them: ``./run bench pricing surface``.
"""

import csv
import gzip
import io
import math
import tarfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from pricing.surface import pchip
from pricing.surface.andreasen_huge import MIN_QUOTES, AndreasenHuge, fit_surface
from pricing.surface.certificate import check_values, quote_fit
from pricing.surface.quotes import SliceQuotes, smile_vol

CountArbitrage = Callable[..., tuple[int, int, int]]
Quote = tuple[str, float, float, float, float]

pytestmark = pytest.mark.shared_data


def number(text: str) -> float:
    return float(text) if text else 0.0


def is_quoted(k: float, bid: float, ask: float) -> bool:
    """Two-sided, not crossed, and an ask that some vol gives."""
    return 0 < bid < ask < min(1.0, math.exp(k))


def slices(quotes: list[Quote]) -> list[SliceQuotes]:
    """Slices of at least six two-sided quotes from (expiry, τ, k, bid, ask) over the forward."""
    out = []
    for expiry in sorted({quote[0] for quote in quotes}):
        rows = sorted(quote[1:] for quote in quotes if quote[0] == expiry and is_quoted(*quote[2:]))
        if len(rows) >= MIN_QUOTES:
            tau, k, bid, ask = np.array([(row[0], *row[1:]) for row in sorted(rows, key=lambda row: row[1])]).T.copy()
            out.append(SliceQuotes(expiry, float(np.median(tau)), k, bid, ask))
    return out


def daily(folder: Path) -> Iterator[list[SliceQuotes]]:
    for file in sorted(folder.glob("BTC_*_options_raw.csv.gz")):
        quotes = []
        for row in csv.DictReader(io.StringIO(gzip.decompress(file.read_bytes()).decode())):
            strike, forward = float(row["strike"]), float(row["underlying_price"])
            tau = (int(row["expiration_timestamp"]) - int(row["timestamp"])) / (365 * 86_400_000)
            if tau > 0 and (row["option_type"] == "call") == (strike >= forward):
                bid, ask = number(row["best_bid_price"]), number(row["best_ask_price"])
                quotes.append((row["expiration_timestamp"], tau, math.log(strike / forward), bid, ask))
        yield slices(quotes)


def six_hourly(folder: Path, every: int) -> Iterator[list[SliceQuotes]]:
    count = 0
    for file in sorted(folder.glob("chain_6h_*.tar.xz")):
        with tarfile.open(file) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.name.endswith(".csv") else None
                if stream is None:
                    continue
                count += 1
                if count % every == 0:
                    yield from currencies(io.TextIOWrapper(stream))


def currencies(text: io.TextIOWrapper) -> Iterator[list[SliceQuotes]]:
    quotes: dict[str, list[Quote]] = {}
    for row in csv.DictReader(text):
        expiry = datetime.fromisoformat(row["expiry_datetime"])
        tau = (expiry - datetime.fromisoformat(row["timestamp"])).total_seconds() / (365 * 86_400)
        strike, forward = float(row["strike"]), number(row["underlying"])
        if tau > 0 and forward > 0 and (row["option_type"] == "call") == (strike >= forward):
            bid, ask = number(row["bid_price"]), number(row["ask_price"])
            own = quotes.setdefault(row["currency"], [])
            own.append((row["expiry_datetime"], tau, math.log(strike / forward), bid, ask))
    for currency in sorted(quotes):
        yield slices(quotes[currency])


@pytest.fixture(name="daily_chains", scope="module")
def _daily_chains(shared_data: Path) -> list[list[SliceQuotes]]:
    return list(daily(shared_data / "deribit_chain"))


@pytest.fixture(name="six_hourly_chains", scope="module")
def _six_hourly_chains(shared_data: Path) -> list[list[SliceQuotes]]:
    return list(six_hourly(shared_data / "deribit_chain", 40))


def shares(surfaces: list[AndreasenHuge]) -> tuple[float, float, float]:
    """Share inside over all quotes, of the worst surface, and the median rmse in vol points."""
    fits = [[quote_fit(q, one.smile(i)) for i, q in enumerate(one.quotes)] for one in surfaces]
    totals = [(sum(fit.n_outside for fit in each), sum(fit.n_quotes for fit in each)) for each in fits]
    inside = 1.0 - sum(out for out, _ in totals) / sum(n for _, n in totals)
    rmse = float(np.median([fit.rmse_vol_points for each in fits for fit in each]))
    return inside, min(1.0 - out / n for out, n in totals), rmse


def test_daily_chains_are_inside(daily_chains: list[list[SliceQuotes]]) -> None:
    inside, worst, rmse = shares([fit_surface(chain) for chain in daily_chains])
    assert len(daily_chains) == 8
    assert inside >= 0.998
    assert worst >= 0.99
    assert rmse <= 0.15


def test_six_hourly_chains_are_inside(six_hourly_chains: list[list[SliceQuotes]]) -> None:
    inside, worst, rmse = shares([fit_surface(chain) for chain in six_hourly_chains])
    assert len(six_hourly_chains) >= 30
    assert inside >= 0.999
    assert worst >= 0.99
    assert rmse <= 0.17


def test_no_random_strikes_find_arbitrage(
    daily_chains: list[list[SliceQuotes]],
    six_hourly_chains: list[list[SliceQuotes]],
    count_arbitrage: CountArbitrage,
) -> None:
    """From half the lowest to one and a half times the highest strike, certificates and an independent count agree."""
    for chain in [*daily_chains, *six_hourly_chains[::3]]:
        surface = fit_surface(chain)
        low = min(q.log_moneyness[0] for q in surface.quotes) + math.log(0.5)
        high = max(q.log_moneyness[-1] for q in surface.quotes) + math.log(1.5)
        assert count_arbitrage([surface.smile(i).value for i in range(len(surface.quotes))], low, high) == (0, 0, 0)
        for i, q in enumerate(surface.quotes):
            following = surface.smile(i + 1) if i + 1 < len(surface.quotes) else None
            k = q.log_moneyness
            assert check_values(surface.smile(i), following, lowest_k=k[0], highest_k=k[-1]).passed


def out_of_sample(chain: list[SliceQuotes]) -> tuple[int, int, int]:
    """Fit every other strike: (inner strikes left out, inside by the surface, inside by PCHIP)."""
    n = ours = theirs = 0
    for half in (0, 1):
        kept = [
            SliceQuotes(q.expiry, q.tau_years, q.log_moneyness[half::2], q.bid[half::2], q.ask[half::2]) for q in chain
        ]
        thick = [q for q in kept if q.log_moneyness.size >= MIN_QUOTES]
        surface = fit_surface(thick)
        smiles = {q.expiry: surface.smile(i) for i, q in enumerate(surface.quotes)}
        whole = {q.expiry: q for q in chain}
        for q in thick:
            full = whole[q.expiry]
            left = np.arange(1 - half, full.log_moneyness.size, 2)
            left = left[(left > 0) & (left < full.log_moneyness.size - 1)]
            k, bid, ask = full.log_moneyness[left], full.bid_vol[left] - 1e-9, full.ask_vol[left] + 1e-9
            inside = [
                (vol >= bid) & (vol <= ask) for vol in (smile_vol(s, k) for s in (smiles[q.expiry], pchip.fit(q)))
            ]
            n, ours, theirs = n + k.size, ours + int(inside[0].sum()), theirs + int(inside[1].sum())
    return n, ours, theirs


def test_left_out_strikes_are_predicted(
    daily_chains: list[list[SliceQuotes]], six_hourly_chains: list[list[SliceQuotes]]
) -> None:
    for chains, share in ((daily_chains, 0.945), (six_hourly_chains, 0.97)):
        n, ours, theirs = np.sum([out_of_sample(chain) for chain in chains], axis=0)
        assert ours >= share * n
        assert ours >= theirs
