"""The engine and the closed forms against values computed independently of them."""

import numpy as np
import pytest

from pricing.asian.averaging import MINUTES_PER_YEAR, Averaging
from pricing.asian.chain import AsianGreeks
from pricing.asian.curran import curran
from pricing.asian.rqmc import Sampling, rqmc
from pricing.asian.turnbull_wakeman import turnbull_wakeman
from pricing.black76 import black76

PATHS = Sampling()
QUANTITIES = ("price", "delta", "gamma", "vega_per_unit_vol")


def rows(value: AsianGreeks) -> np.ndarray:
    return np.array([getattr(value, name) for name in QUANTITIES])


def error(value: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Relative, and 0 where nothing is left of a greek and nothing is said."""
    return np.abs(value - right) / np.where(np.abs(right) > 1e-12, np.abs(right), 1.0)


@pytest.mark.shared_data
def test_1024_points_are_right_to_1e_6_of_every_quantity(references) -> None:
    """Ten times better than asked for, relative to the quantity itself however small.

    The table's vega is a difference of prices: it is not good to that where next to nothing is left of it.
    """
    assert PATHS.points * PATHS.randomisations == 1024
    assert len(references) >= 29
    for row in references:
        estimate = rqmc(row.averaging, is_call=True, **row.option, sampling=PATHS)
        assert np.all(error(rows(estimate.value), row.value) < [1e-6, 1e-6, 1e-6, 1e-5]), row.id


@pytest.mark.shared_data
def test_errors_are_within_three_standard_errors_98_percent_of_the_time(references) -> None:
    """500 randomisations of every row: price, delta and gamma each."""
    inside = np.zeros((len(references), 3))
    for seed in range(500):
        for i, row in enumerate(references):
            estimate = rqmc(row.averaging, is_call=True, **row.option, sampling=Sampling(seed=seed))
            distance = np.abs(rows(estimate.value) - row.value)[:3]
            inside[i] += distance <= 3 * rows(estimate.standard_error)[:3]
    worst = int(np.argmin(inside.min(axis=1)))
    assert np.all(inside >= 0.98 * 500), f"{references[worst].id}: {inside[worst] / 500}"


@pytest.mark.shared_data
def test_a_put_has_its_own_digits(references) -> None:
    """Not those of the call less parity: out of the money it is small."""
    for row in references:
        estimate = rqmc(row.averaging, is_call=False, **row.option)
        # The table has the put by parity.
        assert float(estimate.value.price) == pytest.approx(row.put, rel=1e-6, abs=1e-15 * row.forward), row.id


@pytest.mark.shared_data
def test_curran_is_right_to_2e_5(references) -> None:
    """Price, delta and gamma; from below, as it is a lower bound."""
    for row in references:
        value = rows(curran(row.averaging, is_call=True, **row.option))
        assert np.all(error(value, row.value)[:3] <= 2e-5), row.id
        assert value[0] <= row.value[0] * (1 + 1e-11), row.id


@pytest.mark.shared_data
def test_two_moments_are_right_to_a_hundredth(references) -> None:
    """The crude model: 1e-6 of the price at the money, 1 % two standard deviations away."""
    for row in references:
        value = rows(turnbull_wakeman(row.averaging, is_call=True, **row.option))
        at_the_money = abs(row.value[1] / row.averaging.share_left - 0.5) < 0.02
        assert error(value, row.value)[0] <= (1e-5 if at_the_money else 1.2e-2), row.id


@pytest.mark.shared_data
def test_the_oracle_agrees_with_the_table(references, exact) -> None:
    """Two programs of the same idea."""
    for row in references:
        value = exact(row.averaging, **row.option)
        right = np.array([value.price, value.delta, value.gamma])
        assert np.all(np.abs(right - row.value[:3]) <= 1e-9 * np.abs(row.value[:3]) + 1e-14), row.id


@pytest.mark.parametrize(
    ("minutes", "n_fixings"),
    [
        (10_080.0, 7),
        (720.0, 100),
        (60.0, 450),
        (30.0, 300),
        (29.99, 30),
        (12.3, 450),
        (3.0, 300),
        (0.4, 450),
        (0.04, 450),
    ],
)
def test_deribit_terms_agree_with_the_oracle(exact, minutes: float, n_fixings: int) -> None:
    """Chains the table does not have: the whole smile of an expiry with one set of paths, before and in the window."""
    averaging = Averaging.at(
        tau_years=minutes / MINUTES_PER_YEAR,
        window_years=30 / MINUTES_PER_YEAR,
        n_fixings=n_fixings,
        past_average=100_020.0,
    )
    forward, sd = 1e5, 0.7 * np.sqrt(minutes / MINUTES_PER_YEAR)
    open_sd = sd * averaging.share_left
    strikes = forward * np.exp(open_sd * np.array([-1.5, -0.4, 0.0, 0.9, 1.6]))
    vols = 0.7 + np.array([0.2, 0.0, 0.0, 0.2, 0.2])
    estimate = rqmc(averaging, forward=forward, strike=strikes, vol=vols, is_call=True)
    for i, (strike, vol) in enumerate(zip(strikes, vols, strict=True)):
        right = exact(averaging, forward=forward, strike=float(strike), vol=float(vol))
        assert estimate.value.price[i] == pytest.approx(right.price, rel=1e-6, abs=1e-12 * forward)
        assert estimate.value.delta[i] == pytest.approx(right.delta, rel=1e-6, abs=1e-12)
        assert estimate.value.gamma[i] == pytest.approx(right.gamma, rel=1e-6, abs=1e-15)


def test_a_year_of_monthly_fixings_agrees_with_the_oracle(exact) -> None:
    """Far from settlement windows: the vols differ between fixings by all there is."""
    averaging = Averaging(tau_years=1.0, window_years=1.0, n_fixings=12)
    for strike in (70.0, 100.0, 140.0):
        right = exact(averaging, forward=100.0, strike=strike, vol=0.5)
        estimate = rqmc(averaging, forward=100.0, strike=strike, vol=0.5, is_call=True)
        assert float(estimate.value.price) == pytest.approx(right.price, rel=2e-4)
        assert abs(float(estimate.value.price) - right.price) < 4 * float(estimate.standard_error.price)


def test_one_fixing_at_expiry_is_black_76() -> None:
    """Price and greeks, to the last digits."""
    averaging = Averaging(tau_years=0.01, window_years=0.0, n_fixings=1)
    strikes = np.linspace(80.0, 120.0, 41)
    for is_call in (True, False):
        value = rqmc(averaging, forward=100.0, strike=strikes, vol=0.8, is_call=is_call, rate=0.05).value
        right = black76(forward=100.0, strike=strikes, tau_years=0.01, vol=0.8, is_call=is_call, rate=0.05)
        for name in QUANTITIES:
            np.testing.assert_allclose(getattr(value, name), getattr(right, name), rtol=1e-11, atol=1e-15)


def test_a_zero_window_is_black_76() -> None:
    """All fixings at once are one."""
    averaging = Averaging(tau_years=0.01, window_years=0.0, n_fixings=450)
    value = rqmc(averaging, forward=100.0, strike=104.0, vol=0.8, is_call=True).value
    right = black76(forward=100.0, strike=104.0, tau_years=0.01, vol=0.8, is_call=True)
    assert float(value.price) == pytest.approx(float(right.price), rel=1e-11)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    """Deterministic by seed; a strike's result does not depend on its neighbours."""
    averaging = Averaging(tau_years=1e-3, window_years=30 / MINUTES_PER_YEAR, n_fixings=450)
    strikes = np.array([98.0, 100.0, 101.0])
    first, again, other = (
        rqmc(averaging, forward=100.0, strike=strikes, vol=0.6, is_call=True, sampling=Sampling(seed=seed))
        for seed in (7, 7, 8)
    )
    alone = rqmc(averaging, forward=100.0, strike=strikes[1], vol=0.6, is_call=True, sampling=Sampling(seed=7))
    for name in QUANTITIES:
        assert np.array_equal(getattr(first.value, name), getattr(again.value, name))
        assert not np.array_equal(getattr(first.value, name), getattr(other.value, name))
        assert getattr(alone.value, name) == getattr(first.value, name)[1]
