"""σ that reprices a quote under the average, and reasons where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.asian.averaging import MINUTES_PER_YEAR, Averaging
from pricing.asian.implied import asian_implied_vol, same_price_vol
from pricing.asian.rqmc import rqmc
from pricing.black76 import black76

WINDOW = 30 / MINUTES_PER_YEAR


def averaging_of(minutes: float) -> Averaging:
    return Averaging.at(tau_years=minutes / MINUTES_PER_YEAR, window_years=WINDOW, n_fixings=450, past_average=100.2)


@settings(deadline=None)
@given(st.floats(0.5, 20_000.0), st.floats(0.15, 2.0), st.floats(-2.0, 2.0), st.booleans(), st.floats(-0.02, 0.08))
def test_the_vol_of_a_price_is_found_again(minutes, vol, score, is_call, rate) -> None:
    """Through price and back, as far as the price determines it; the error is that of the price over vega."""
    averaging = averaging_of(minutes)
    sd = vol * np.sqrt(averaging.tau_years / 3)
    open_strike = 100.0 * np.exp(score * sd)
    strike = averaging.share_left * open_strike + (1 - averaging.share_left) * 100.2
    option = {"forward": 100.0, "strike": strike, "is_call": is_call, "rate": rate}
    value = rqmc(averaging, vol=vol, **option).value
    found = asian_implied_vol(averaging, price=value.price, **option)
    assert found.status == "ok"
    conditioning = 1e-13 / float(value.vega_per_unit_vol)
    assert float(found.vol) == pytest.approx(vol, rel=1e-8, abs=100 * conditioning)


def test_reasons_where_there_is_no_vol() -> None:
    averaging = averaging_of(60.0)
    found = asian_implied_vol(
        averaging,
        price=[np.nan, 0.5, 0.0, 101.0, 1.0, 1.0],
        forward=[100.0, 100.0, 100.0, 100.0, np.nan, 100.0],
        strike=[100.0, 99.0, 101.0, 100.0, 100.0, 99.5],
        is_call=True,
    )
    assert list(found.status) == [
        "missing_input", "below_intrinsic", "below_intrinsic", "above_maximum", "missing_input", "ok",
    ]  # fmt: skip
    assert list(np.isnan(found.vol)) == [True] * 5 + [False]
    assert list(np.isnan(found.standard_error)) == [True] * 5 + [False]


def test_a_price_next_to_the_maximum_is_above_what_the_model_reaches() -> None:
    found = asian_implied_vol(averaging_of(60.0), price=100.0 - 1e-12, forward=100.0, strike=100.0, is_call=True)
    assert found.status == "above_maximum"


def test_a_settled_average_has_no_vol() -> None:
    found = asian_implied_vol(averaging_of(0.0), price=0.3, forward=100.0, strike=100.0, is_call=True)
    assert found.status == "nothing_open"
    assert np.isnan(found.vol)


def test_the_same_price_vol_gives_the_european_price() -> None:
    """It is larger before the window: the average moves less."""
    averaging, strikes = averaging_of(45.0), np.array([[99.5], [100.0], [100.6]])
    found = same_price_vol(averaging, vol=0.6, forward=100.0, strike=strikes, is_call=[True, False])
    assert found.vol.shape == (3, 2)
    assert np.all(found.vol > 0.6)
    european = black76(forward=100.0, strike=strikes, tau_years=averaging.tau_years, vol=0.6, is_call=[True, False])
    repriced = rqmc(averaging, forward=100.0, strike=strikes, vol=found.vol, is_call=[True, False])
    assert repriced.value.price == pytest.approx(european.price, rel=1e-10)
