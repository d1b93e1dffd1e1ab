"""Coin prices, net deltas and forwards implied from deltas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.black76 import black76
from pricing.inverse import coin_price, forward_from_delta, net_delta


@given(st.floats(1e3, 1e5), st.floats(-0.5, 0.5), st.floats(0.05, 1.0), st.floats(0.2, 1.5), st.booleans())
def test_net_delta_is_the_slope_of_the_coin_price(F: float, x: float, tau: float, vol: float, is_call: bool) -> None:
    def coin(forward: float) -> float:
        option = black76(forward=forward, strike=F * float(np.exp(x)), tau_years=tau, vol=vol, is_call=is_call)
        return float(coin_price(price=option.price, forward=np.asarray(forward)))

    value = black76(forward=F, strike=F * float(np.exp(x)), tau_years=tau, vol=vol, is_call=is_call)
    h = 1e-4 * F
    slope = (coin(F - 2 * h) - 8 * coin(F - h) + 8 * coin(F + h) - coin(F + 2 * h)) / (12 * h)
    net = float(net_delta(delta=value.delta, coin_price=coin_price(price=value.price, forward=np.asarray(F))))
    assert net == pytest.approx(slope * F, abs=1e-8)


@given(st.floats(1e3, 1e5), st.floats(-2.0, 2.0), st.floats(1e-4, 2.0), st.floats(0.1, 2.0), st.booleans())
def test_the_forward_implied_from_a_delta_is_the_one_it_was_priced_on(
    F: float, deviations: float, tau: float, vol: float, is_call: bool
) -> None:
    K = F * float(np.exp(deviations * vol * np.sqrt(tau)))
    delta = black76(forward=F, strike=K, tau_years=tau, vol=vol, is_call=is_call).delta
    implied = forward_from_delta(strike=K, tau_years=tau, vol=vol, delta=delta, is_call=is_call)
    assert float(implied) == pytest.approx(F, rel=1e-11)


@pytest.mark.parametrize("delta", [0.0, 1.0, 1.2, -0.1, np.nan])
def test_a_call_delta_outside_zero_to_one_implies_no_forward(delta: float) -> None:
    assert np.isnan(forward_from_delta(strike=100.0, tau_years=1.0, vol=0.5, delta=delta, is_call=True))
