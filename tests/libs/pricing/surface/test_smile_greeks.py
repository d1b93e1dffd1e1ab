"""Greeks on a smile against differences of the price, with the smile moving as each convention says."""

import numpy as np
import pytest

from pricing.black76 import black76
from pricing.surface.greeks import smile_greeks
from pricing.surface.quotes import smile_vol
from pricing.surface.svi import RawSvi

SHAPE = RawSvi(tau_years=0.2, a=0.01, b=0.1, rho=-0.3, m=0.02, sigma=0.15)
STRIKES = np.array([35_000.0, 48_000.0, 50_000.0, 53_000.0, 70_000.0])
FORWARD = 50_000.0


def price(forward: float, is_call: bool, vol_forward: float) -> np.ndarray:
    """Price with the vols of log-moneyness against ``vol_forward``."""
    vol = smile_vol(SHAPE, np.log(STRIKES / vol_forward))
    return black76(forward=forward, strike=STRIKES, tau_years=0.2, vol=vol, is_call=is_call).price


@pytest.mark.parametrize("is_call", [True, False])
def test_delta_and_gamma_are_differences_of_the_price(is_call: bool) -> None:
    found = smile_greeks(smile=SHAPE, shape=SHAPE, forward=FORWARD, strike=STRIKES, is_call=is_call)
    np.testing.assert_allclose(found.price, price(FORWARD, is_call, FORWARD), rtol=1e-13)
    h = 5.0
    for fixed, delta, gamma in (
        (FORWARD, found.delta_sticky_strike, found.gamma_sticky_strike),
        (None, found.delta_sticky_moneyness, found.gamma_sticky_moneyness),
    ):
        up, mid, down = (price(F, is_call, fixed or F) for F in (FORWARD + h, FORWARD, FORWARD - h))
        np.testing.assert_allclose(delta, (up - down) / (2 * h), atol=2e-7)
        np.testing.assert_allclose(gamma, (up - 2 * mid + down) / h**2, atol=2e-9)


def test_sticky_moneyness_is_homogeneous() -> None:
    """Twice the forward and the strikes: twice the price, the same delta, half the gamma."""
    one = smile_greeks(smile=SHAPE, shape=SHAPE, forward=FORWARD, strike=STRIKES, is_call=True)
    two = smile_greeks(smile=SHAPE, shape=SHAPE, forward=2 * FORWARD, strike=2 * STRIKES, is_call=True)
    np.testing.assert_allclose(two.price, 2 * one.price, rtol=1e-12)
    np.testing.assert_allclose(two.delta_sticky_moneyness, one.delta_sticky_moneyness, rtol=1e-10)
    np.testing.assert_allclose(2 * two.gamma_sticky_moneyness, one.gamma_sticky_moneyness, rtol=1e-10)
