"""Laws of any option on an average: parity, limits, order, scaling, derivatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.asian.averaging import MINUTES_PER_YEAR, Averaging
from pricing.asian.chain import AsianGreeks
from pricing.asian.curran import curran
from pricing.asian.rqmc import Sampling, rqmc
from pricing.asian.turnbull_wakeman import turnbull_wakeman
from pricing.black76 import black76

WINDOW = 30 / MINUTES_PER_YEAR
MODELS = (curran, turnbull_wakeman, lambda *args, **kw: rqmc(*args, **kw, sampling=Sampling(points=4)).value)

minutes = st.floats(0.3, 20_000.0)
vols = st.floats(0.1, 2.0)
scores = st.floats(-2.5, 2.5)
fixings = st.sampled_from([1, 2, 7, 30, 300, 450])
models = st.sampled_from(MODELS)
cases = st.tuples(minutes, fixings, vols, scores)


def averaging_of(minutes: float, n_fixings: int, past_average: float = 100.3) -> Averaging:
    return Averaging.at(
        tau_years=minutes / MINUTES_PER_YEAR, window_years=WINDOW, n_fixings=n_fixings, past_average=past_average
    )


def strike_at(averaging: Averaging, vol: float, score: float) -> float:
    """The strike ``score`` open standard deviations above the expected average of 100 to come."""
    open_part = 100.0 * np.exp(score * vol * np.sqrt(averaging.tau_years / 3))
    past = averaging.past_average or 0.0
    return float((averaging.n_past * past + averaging.n_left * open_part) / averaging.n_fixings)


@settings(deadline=None)
@given(models, cases, st.floats(-0.05, 0.1))
def test_call_minus_put_is_the_discounted_forward_of_the_average(model, case, rate) -> None:
    T, n, vol, score = case
    averaging = averaging_of(T, n)
    strike = strike_at(averaging, vol, score)
    call, put = (
        model(averaging, forward=100.0, strike=strike, vol=vol, is_call=is_call, rate=rate) for is_call in (True, False)
    )
    df = np.exp(-rate * averaging.tau_years)
    mean = (averaging.n_past * (averaging.past_average or 0.0) + averaging.n_left * 100.0) / averaging.n_fixings
    assert float(call.price - put.price) == pytest.approx(df * (mean - strike), abs=1e-11)
    assert float(call.delta - put.delta) == pytest.approx(df * averaging.share_left, rel=1e-13)
    assert call.gamma == put.gamma
    assert call.vega_per_unit_vol == put.vega_per_unit_vol


@settings(deadline=None)
@given(models, st.tuples(st.floats(30.0, 20_000.0), fixings, vols, scores))
def test_before_the_window_an_average_is_worth_no_more_than_its_last_price(model, case) -> None:
    """Jensen's inequality: every fixing is an expectation of the last one."""
    T, n, vol, score = case
    averaging = averaging_of(T, n)
    strike = strike_at(averaging, vol, score)
    asian = model(averaging, forward=100.0, strike=strike, vol=vol, is_call=True)
    european = black76(forward=100.0, strike=strike, tau_years=averaging.tau_years, vol=vol, is_call=True)
    slack = 1e-3 if model is turnbull_wakeman else 1e-11
    assert float(asian.price) <= float(european.price) * (1 + slack) + 1e-12


@settings(deadline=None)
@given(models, cases, st.floats(0.01, 1000.0))
def test_price_is_homogeneous(model, case, k) -> None:
    """Money in another unit: price and vega scale with it, delta does not, gamma against it."""
    T, n, vol, score = case
    averaging, scaled = averaging_of(T, n), averaging_of(T, n, past_average=100.3 * k)
    strike = strike_at(averaging, vol, score)
    value = model(averaging, forward=100.0, strike=strike, vol=vol, is_call=True)
    other = model(scaled, forward=100.0 * k, strike=strike * k, vol=vol, is_call=True)
    assert float(other.price) == pytest.approx(k * float(value.price), rel=1e-8, abs=1e-13 * k)
    assert float(other.delta) == pytest.approx(float(value.delta), rel=1e-8, abs=1e-12)
    assert float(other.gamma) * k == pytest.approx(float(value.gamma), rel=1e-7, abs=1e-12)


@settings(deadline=None)
@given(models, minutes, fixings, vols)
def test_calls_fall_and_bend_upwards_with_the_strike(model, T, n, vol) -> None:
    """Monotone and convex over a chain, within the bounds of any call."""
    averaging = averaging_of(T, n)
    strikes = np.array([strike_at(averaging, vol, score) for score in np.linspace(-4, 4, 33)])
    prices = model(averaging, forward=100.0, strike=strikes, vol=vol, is_call=True).price
    slopes = np.diff(prices) / np.diff(strikes)
    assert np.all(prices >= 0)
    assert np.all(slopes <= 1e-9)
    assert np.all(slopes >= -1.0 - 1e-9)
    assert np.all(np.diff(slopes) >= -1e-7)


@settings(deadline=None)
@given(models, cases, st.floats(1.01, 1.5))
def test_price_rises_with_vol(model, case, factor) -> None:
    T, n, vol, score = case
    averaging = averaging_of(T, n)
    strike = strike_at(averaging, vol, score)
    low, high = (model(averaging, forward=100.0, strike=strike, vol=v, is_call=True) for v in (vol, vol * factor))
    assert float(low.price) <= float(high.price) * (1 + 1e-9) + 1e-12
    assert float(low.vega_per_unit_vol) >= 0


@settings(deadline=None)
@given(models, cases, st.booleans())
def test_greeks_are_the_derivatives_of_the_price(model, case, is_call) -> None:
    """Fourth-order differences of the same model: the paths do not move, so that the price is smooth."""
    T, n, vol, score = case
    averaging = averaging_of(T, n)
    strike = strike_at(averaging, vol, score)
    sd = vol * np.sqrt(averaging.tau_years)
    step = 100.0 * sd * 0.05
    ladder = np.array([-2, -1, 1, 2]) * step
    weights = np.array([1, -8, 8, -1]) / 12
    value = model(averaging, forward=100.0, strike=strike, vol=vol, is_call=is_call)
    moved = model(averaging, forward=100.0 + ladder, strike=strike, vol=vol, is_call=is_call)
    shaken = [
        float(model(averaging, forward=100.0, strike=strike, vol=v, is_call=is_call).price)
        for v in vol * (1 + 0.01 * np.array([-2, -1, 1, 2]))
    ]
    share = averaging.share_left
    assert float(value.delta) == pytest.approx(float(moved.price @ weights) / step, abs=2e-4 * share)
    assert float(value.gamma) == pytest.approx(float(moved.delta @ weights) / step, abs=2e-3 * share / (100 * sd))
    assert float(value.vega_per_unit_vol) == pytest.approx(
        float(np.array(shaken) @ weights) / (0.01 * vol), abs=1e-5 * 100 * share * np.sqrt(averaging.tau_years)
    )


@settings(deadline=None)
@given(minutes, fixings, vols, scores)
def test_estimates_agree_with_the_closed_form_within_its_error(T, n, vol, score) -> None:
    """Two ways to one number: Curran's bound is below the estimate, and near it."""
    averaging = averaging_of(T, n)
    strike = strike_at(averaging, vol, score)
    bound = curran(averaging, forward=100.0, strike=strike, vol=vol, is_call=True)
    estimate = rqmc(averaging, forward=100.0, strike=strike, vol=vol, is_call=True)
    error = float(estimate.standard_error.price)
    assert float(bound.price) <= float(estimate.value.price) + 5 * error
    assert float(estimate.value.price) == pytest.approx(float(bound.price), rel=3e-4, abs=1e-10)


def shape_of(value: AsianGreeks) -> tuple[int, ...]:
    return value.price.shape


@pytest.mark.parametrize("model", MODELS)
def test_inputs_broadcast_and_missing_ones_stay_missing(model) -> None:
    averaging = averaging_of(60.0, 450)
    strikes = np.array([[90.0], [100.0], [np.nan]])
    value = model(averaging, forward=100.0, strike=strikes, vol=np.array([0.5, 0.7]), is_call=[True, False])
    assert shape_of(value) == (3, 2)
    assert np.all(np.isnan(value.price[2]))
    assert not np.any(np.isnan(value.price[:2]))
