"""Settlement averages from index prints."""

import math

import numpy as np
import pytest

from pricing.asian.fixings import SettlementAverage, settlement_average

EXPIRY = 1_768_550_400_000_000
MINUTE = 60_000_000
SECOND = 1_000_000


def standing(
    times: list[int], prices: list[float], now: int, n_fixings: int = 6, max_age_s: float = 60.0
) -> SettlementAverage:
    return settlement_average(
        np.array(times, dtype=np.int64),
        np.array(prices),
        expiry_us=EXPIRY,
        now_us=now,
        window_minutes=30.0,
        n_fixings=n_fixings,
        vol=0.6,
        max_age_s=max_age_s,
    )


def every_five_minutes() -> tuple[list[int], list[float]]:
    """A print a second before each of six fixings, prices 101 … 106, and one right after the third."""
    times = [EXPIRY - (5 - j) * 5 * MINUTE - SECOND for j in range(6)]
    prices = [101.0 + j for j in range(6)]
    return [*times[:3], times[2] + 2 * SECOND, *times[3:]], [*prices[:3], 50.0, *prices[3:]]


def test_a_fixing_is_the_newest_print_before_its_time() -> None:
    """At expiry all six are known; the print right after a fixing does not count for it."""
    found = standing(*every_five_minutes(), now=EXPIRY)
    assert (found.n_past, found.n_left, found.n_without_price) == (6, 0, 0)
    assert found.average == found.estimate == 103.5
    assert found.standard_deviation == 0.0


def test_fixings_to_come_are_expected_at_the_last_price() -> None:
    found = standing(*every_five_minutes(), now=EXPIRY - 12 * MINUTE)
    assert (found.n_past, found.n_left) == (3, 3)
    assert found.average == 102.0
    assert found.last_price == 50.0
    assert found.estimate == pytest.approx((101 + 102 + 103 + 3 * 50) / 6)


def test_the_spread_is_that_of_the_open_part() -> None:
    """Three fixings at 2, 7 and 12 minutes: Var(mean) from min(t_i, t_j), to first order in σ²t."""
    found = standing(*every_five_minutes(), now=EXPIRY - 12 * MINUTE)
    t = np.array([2.0, 7.0, 12.0]) / 525_600
    sd = 0.6 * math.sqrt(np.minimum.outer(t, t).mean())
    assert found.standard_deviation == pytest.approx(0.5 * 50.0 * sd, rel=1e-4)


def test_before_the_window_nothing_is_known() -> None:
    found = standing([EXPIRY - 90 * MINUTE], [100.0], now=EXPIRY - 60 * MINUTE)
    assert found.n_past == 0
    assert math.isnan(found.average)
    assert found.estimate == 100.0
    assert found.standard_deviation > 0


def test_an_old_print_is_no_fixing() -> None:
    """It is counted as missing, and the others stand for it."""
    times, prices = every_five_minutes()
    found = standing(times[1:], prices[1:], now=EXPIRY)
    assert found.n_without_price == 1
    assert found.average == 104.0
    old = standing(times[:1], prices[:1], now=EXPIRY, max_age_s=0.5)
    assert old.n_without_price == 6
    assert math.isnan(old.estimate)


def test_prints_after_now_are_not_seen() -> None:
    with pytest.raises(ValueError, match="no print"):
        standing([EXPIRY], [100.0], now=EXPIRY - MINUTE)
