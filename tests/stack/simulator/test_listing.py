"""Deribit's listing rules: expiries by calendar, strikes by price level, names."""

import csv
import io
import tarfile
from collections import defaultdict
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.simulator.listing import DAY_MS, chain, expiries, expiry_code, finest_step, next_expiry_ms, option_name

MOMENTS = st.integers(1_577_836_800_000, 2_051_222_400_000)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def codes(*moment: int) -> list[str]:
    return [expiry_code(e.ts_ms) for e in expiries(ms(datetime(*moment, tzinfo=UTC)))]


def test_midweek_lists_four_days_three_weeklies_three_monthlies_four_quarterlies() -> None:
    assert codes(2026, 1, 14, 16) == [
        *("15JAN26", "16JAN26", "17JAN26", "18JAN26", "23JAN26", "30JAN26"),
        *("27FEB26", "27MAR26", "26JUN26", "25SEP26", "25DEC26"),
    ]


def test_successor_of_a_weekly_appears_a_day_before_it_expires() -> None:
    assert "6FEB26" not in codes(2026, 1, 15, 7, 59)
    assert "6FEB26" in codes(2026, 1, 15, 8, 0)


def test_successor_of_a_quarterly_appears_a_day_before_it_expires() -> None:
    assert "26MAR27" not in codes(2026, 3, 26, 7, 59)
    assert "26MAR27" in codes(2026, 3, 26, 8, 0)


def test_an_expiry_is_gone_at_eight_o_clock() -> None:
    assert codes(2026, 1, 16, 7, 59)[0] == "16JAN26"
    assert codes(2026, 1, 16, 8, 0)[0] == "17JAN26"


@settings(deadline=None)
@given(MOMENTS)
def test_expiries_ascend_lie_ahead_and_fall_on_eight_utc(now: int) -> None:
    listed = [e.ts_ms for e in expiries(now)]
    assert listed == sorted(set(listed))
    assert listed[0] == next_expiry_ms(now) > now
    assert all(ts % DAY_MS == 8 * 3_600_000 for ts in listed)
    assert 10 <= len(listed) <= 15


@settings(deadline=None)
@given(MOMENTS)
def test_nothing_is_delisted_before_it_expires(now: int) -> None:
    later = now + DAY_MS // 2
    alive = {e.ts_ms for e in expiries(now) if e.ts_ms > later}
    assert alive <= {e.ts_ms for e in expiries(later)}


@pytest.mark.shared_data
@pytest.mark.parametrize("month", ["202601", "202603"])
def test_rule_reproduces_every_recorded_list_of_expiries(shared_data: Path, month: str) -> None:
    for name, recorded in recorded_expiries(shared_data / "deribit_chain" / f"chain_6h_{month}.tar.xz"):
        taken = datetime.strptime(name.split("_")[-1], "%Y%m%dT%H%M%SZ.csv").replace(tzinfo=UTC)
        expected = {expiry_code(e.ts_ms) for e in expiries(ms(taken))}
        assert recorded == {"BTC": expected, "ETH": expected}, name


def recorded_expiries(archive: Path) -> list[tuple[str, dict[str, set[str]]]]:
    found = []
    with tarfile.open(archive) as files:
        for member in files:
            stream = files.extractfile(member)
            if stream is None:
                continue
            by_underlying: dict[str, set[str]] = defaultdict(set)
            for row in csv.DictReader(io.TextIOWrapper(stream, "utf-8")):
                underlying, code = row["instrument_name"].split("-")[:2]
                by_underlying[underlying].add(code)
            found.append((member.name, dict(by_underlying)))
    assert len(found) > 100
    return found


@pytest.mark.parametrize(("price", "step"), [(95_000.0, 1000.0), (60_000.0, 500.0), (3_200.0, 25.0), (1_800.0, 10.0)])
def test_finest_step_follows_the_price_level(price: float, step: float) -> None:
    assert finest_step(price) == step


@settings(deadline=None, max_examples=30)
@given(MOMENTS, st.floats(5_000, 500_000), st.integers(10, 600))
def test_chain_has_exactly_the_options_asked_for_in_pairs(now: int, price: float, pairs: int) -> None:
    contracts = chain("BTC", price=price, now_ms=now, count=2 * pairs, listed=expiries(now))
    assert len({c.name for c in contracts}) == 2 * pairs
    assert all(
        c.strike == p.strike and c.is_call and not p.is_call for c, p in zip(*[iter(contracts)] * 2, strict=True)
    )


def test_strikes_surround_the_price_and_widen_with_maturity() -> None:
    now = ms(datetime(2026, 3, 2, 12, tzinfo=UTC))
    contracts = chain("BTC", price=88_000.0, now_ms=now, count=600, listed=expiries(now))
    widths, steps = [], []
    for _, group in groupby(contracts, key=lambda c: c.expiry.ts_ms):
        strikes = sorted({c.strike for c in group})
        assert strikes[0] < 88_000 < strikes[-1]
        widths.append(strikes[-1] - strikes[0])
        steps.append(min(b - a for a, b in pairwise(strikes)))
    assert widths[0] < widths[-1] / 3
    assert steps[0] == 1000
    assert steps[-1] >= 5000


def test_names_have_no_leading_zero_and_no_exponent() -> None:
    expiry = ms(datetime(2026, 3, 6, 8, tzinfo=UTC))
    assert option_name("BTC", expiry, 1_000_000.0, is_call=True) == "BTC-6MAR26-1000000-C"
    assert option_name("ETH", expiry, 12.5, is_call=False) == "ETH-6MAR26-12d5-P"
