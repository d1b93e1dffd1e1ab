"""Delta-space vols, term structure and variance swaps, against closed forms on flat and linear smiles."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from pricing.surface.andreasen_huge import fit_surface
from pricing.surface.derived import (
    at_constant_maturity,
    delta_vols,
    forward_vols,
    strike_at_delta,
    term_slope,
    variance_swap_vol,
)
from pricing.surface.normalised import FloatArray

Make = Callable[..., Any]


@dataclass(frozen=True)
class Skewed:
    """Vol level·(1 + skew·k/√T)."""

    tau_years: float = 0.25
    level: float = 0.5
    skew: float = 0.0

    def total_variance(self, log_moneyness: FloatArray) -> FloatArray:
        z = np.clip(log_moneyness / math.sqrt(self.tau_years), -2.0, 2.0)
        return (self.level * (1.0 + self.skew * z)) ** 2 * self.tau_years


@pytest.mark.parametrize("call_delta", [0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("skew", [-0.2, 0.0, 0.2])
def test_the_strike_at_a_delta_has_that_delta(call_delta: float, skew: float) -> None:
    smile = Skewed(skew=skew)
    k = strike_at_delta(smile, call_delta)
    sd = math.sqrt(smile.total_variance(np.array([k]))[0])
    assert ndtr(-k / sd + 0.5 * sd) == pytest.approx(call_delta, rel=1e-10)


def test_risk_reversals_and_butterflies() -> None:
    flat = delta_vols(Skewed())
    assert (flat.atm_vol, flat.risk_reversal_25d, flat.butterfly_10d) == pytest.approx((0.5, 0.0, 0.0))
    down = delta_vols(Skewed(skew=-0.2))
    assert down.risk_reversal_10d < down.risk_reversal_25d < 0.0
    assert down.risk_reversal_25d == down.call_25d - down.put_25d
    assert down.butterfly_25d == pytest.approx(0.5 * (down.call_25d + down.put_25d) - 0.5)


def test_deltas_out_of_reach_are_refused() -> None:
    with pytest.raises(ValueError, match="must be inside"):
        strike_at_delta(Skewed(), 1.0)
    with pytest.raises(ValueError, match="is beyond"):
        strike_at_delta(Skewed(level=8.0), 1e-200)


@pytest.mark.parametrize("level", [0.1, 0.5, 1.5])
def test_the_variance_swap_of_a_flat_smile_is_its_vol(level: float) -> None:
    assert variance_swap_vol(Skewed(level=level)) == pytest.approx(level, rel=1e-6)


def test_the_variance_swap_of_a_fitted_surface_is_the_integral_of_its_values(skewed_slice: Make) -> None:
    """∫ p(k)·e^−k dk over the values themselves, by the trapezoidal rule on many points."""
    smile = fit_surface([skewed_slice("x", 30 / 365, n=41)]).smile(0)
    reach = 14.0 * math.sqrt(smile.total_variance(np.zeros(1))[0])
    k = np.linspace(-reach, reach, 200_001)
    integral = np.trapezoid(smile.value(k) * np.exp(-k), k)
    assert variance_swap_vol(smile) == pytest.approx(math.sqrt(2.0 * integral / smile.tau_years), rel=1e-4)


def test_constant_maturities_are_linear_in_total_variance_and_flat_outside() -> None:
    taus, vols = [10 / 365, 40 / 365], [0.5, 0.7]
    inside = at_constant_maturity(taus, vols, 30)
    assert inside.vol == pytest.approx(math.sqrt((0.25 * 10 + (0.49 * 40 - 0.25 * 10) * 2 / 3) / 30))
    assert not inside.is_extrapolated
    assert at_constant_maturity(taus, vols, 10) == at_constant_maturity(taus, vols, 10)
    assert not at_constant_maturity(taus, vols, 10).is_extrapolated
    for days, vol in ((1, 0.5), (90, 0.7)):
        found = at_constant_maturity(taus, vols, days)
        assert (found.vol, found.is_extrapolated) == (vol, True)
    assert term_slope(taus, vols) == pytest.approx((inside.vol - 0.5) / 23)
    with pytest.raises(ValueError, match="one vol per expiry"):
        at_constant_maturity([], [], 30)


def test_forward_vols_connect_expiries() -> None:
    found = forward_vols([0.1, 0.2, 0.3], [0.5, 0.6, 0.4])
    assert found[0] == pytest.approx(math.sqrt((0.36 * 0.2 - 0.25 * 0.1) / 0.1))
    assert math.isnan(found[1])
