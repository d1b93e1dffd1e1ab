"""The size of the settlement effect on Deribit's terms: the figures of the specification, to their last digit."""

import math

import numpy as np
import pytest

from pricing.asian.effect import Effect, gamma_law, settlement_effect

MINUTES = {"7 d": 10_080.0, "1 d": 1440.0, "12 h": 720.0, "2 h": 120.0, "1 h": 60.0, "30 min": 30.0}


def effect(minutes: float, scores: tuple[float, ...] = (-2.0, -1.0, 1.0, 2.0)) -> Effect:
    return settlement_effect(minutes=minutes, vol=0.7, window_minutes=30.0, n_fixings=450, scores=scores)


@pytest.mark.parametrize(
    ("name", "printed"),
    [("7 d", "1.0010"), ("1 d", "1.007"), ("12 h", "1.014"), ("2 h", "1.095"), ("1 h", "1.224"), ("30 min", "1.729")],
)
def test_gamma_before_the_window(name: str, printed: str) -> None:
    """At the money, by the engine and by Curran."""
    found = effect(MINUTES[name])
    digits = len(printed.split(".")[1])
    assert f"{found.gamma:.{digits}f}" == printed
    assert f"{found.gamma_curran:.{digits}f}" == printed
    assert found.gamma_error < 1e-8


@pytest.mark.parametrize(
    ("minutes", "printed"), [(20.0, "1.15"), (17.3, "1"), (10.0, "0.575"), (5.0, "0.286"), (2.0, "0.113")]
)
def test_gamma_in_the_window(minutes: float, printed: str) -> None:
    """At the money; delta is the share still open."""
    found = effect(minutes)
    digits = len(printed.partition(".")[2])
    # 0.5745 prints as 0.574 or 0.575: half a unit of the last digit is what is claimed.
    assert found.gamma == pytest.approx(float(printed), abs=0.5 * 10**-digits + 5e-5)
    assert found.delta == pytest.approx(minutes / 30.0, abs=2e-3)


@pytest.mark.parametrize("minutes", [10_080.0, 720.0, 120.0, 60.0, 30.0, 20.0, 10.0, 5.0])
def test_the_law_is_good_to_half_a_percent_of_it(minutes: float) -> None:
    """Fixings are discrete: the law is of a continuous average."""
    found = effect(minutes)
    assert found.gamma_law == gamma_law(minutes=minutes, window_minutes=30.0)
    assert found.gamma == pytest.approx(found.gamma_law, rel=1.1e-2 if minutes < 30 else 2e-3)


def test_two_standard_deviations_away_gamma_is_smaller() -> None:
    """Whenever it counts: 0.997 at 7 days, 0.958 at 12 hours, 0.452 at 1 hour."""
    for minutes, ratio in ((10_080.0, 0.997), (720.0, 0.958), (60.0, 0.452)):
        wings = effect(minutes).gamma_wings
        assert round(float(wings[-1]), 3) == ratio
        assert np.all(wings[[0, -1]] < 1)


@pytest.mark.parametrize("minutes", [10_080.0, 720.0, 120.0, 60.0])
def test_with_the_vol_of_the_same_price_the_gap_is_gone(minutes: float) -> None:
    """At the money and one standard deviation away, below 1e-4 from an hour on."""
    found = effect(minutes, scores=(0.0, -1.0, 1.0))
    assert np.all(np.abs(found.same_price_gamma_wings - 1) < 1e-4)
    assert found.same_price_vol > 0.7


def test_at_31_minutes_the_gap_is_below_a_thousandth() -> None:
    found = effect(31.0)
    assert round(found.same_price_vol, 4) == 1.1733
    assert np.all(np.abs(found.same_price_gamma_wings[1:3] - 1) < 1e-3)


def test_in_the_window_there_is_no_same_price() -> None:
    assert math.isnan(effect(20.0).same_price_vol)
