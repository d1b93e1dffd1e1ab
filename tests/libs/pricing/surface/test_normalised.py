"""Normalised Black values and their inversion, against the reference implementation of Black-76."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.black76 import black76
from pricing.surface import normalised

deviations = st.floats(1e-4, 4.0)
widths = st.floats(-12.0, 12.0)


@given(sd=deviations, z=widths)
def test_value_agrees_with_black_76(sd: float, z: float) -> None:
    """Relative agreement far into the wings, where the difference of two tails has no digits."""
    k = z * sd
    strike = math.exp(k)
    expected = black76(forward=1.0, strike=strike, tau_years=1.0, vol=sd, is_call=k >= 0).price
    # ln(exp(k)) differs from k by rounding; a wing amplifies it by |k|/s².
    tolerance = 1e-12 + 4e-16 * max(1.0, abs(k)) * (abs(z) / sd + 1.0)
    assert normalised.otm_value(k, sd) == pytest.approx(float(expected), rel=tolerance)


@given(sd=deviations, z=widths)
def test_implied_deviation_gives_the_value_back(sd: float, z: float) -> None:
    k = z * sd
    value = normalised.otm_value(k, sd)
    if value < min(1.0, math.exp(k)) * (1 - 1e-9):
        assert normalised.implied_sd(k, value) == pytest.approx(sd, rel=1e-9)
        assert normalised.otm_value(k, normalised.implied_sd(k, value)) == pytest.approx(value, rel=2e-13)


@pytest.mark.parametrize(("k", "value"), [(0.1, 0.0), (0.1, 1.0), (-0.1, math.exp(-0.1)), (0.1, -1.0), (0.0, math.nan)])
def test_a_value_no_vol_explains_is_nan(k: float, value: float) -> None:
    assert math.isnan(normalised.implied_sd(k, value))


def test_no_deviation_is_no_value() -> None:
    assert normalised.otm_value(0.2, 0.0) == 0.0


def test_arrays_are_the_elements() -> None:
    k = np.array([-0.3, 0.0, 0.4])
    sd = np.array([0.2, 0.3, 0.5])
    values = normalised.otm_values(k, sd)
    assert values.tolist() == [normalised.otm_value(a, b) for a, b in zip(k, sd, strict=True)]
    np.testing.assert_allclose(normalised.implied_sds(k, values), sd, rtol=1e-12)


def test_mills_ratio_is_continuous_where_its_forms_meet() -> None:
    """Both forms at the switch, and the gap's series against its difference."""
    for at in (-8.0,):
        assert normalised.mills(at - 1e-9) == pytest.approx(normalised.mills(at + 1e-9), rel=1e-9)
    for h in (0.0, -1.0, -5.0, -9.0):
        t = 0.05 * max(1.0, -h)
        below, above = normalised.mills_gap(h, t * (1 - 1e-12)), normalised.mills_gap(h, t)
        assert below == pytest.approx(above, rel=1e-11)


@pytest.mark.parametrize("k", [-0.7, 0.0, 0.7])
def test_values_close_to_their_ceiling(k: float) -> None:
    """At twelve deviations of width the value is its bound less 1e-9: the complement is what is computed."""
    sd = 12.0
    expected = float(black76(forward=1.0, strike=math.exp(k), tau_years=1.0, vol=sd, is_call=k >= 0).price)
    assert normalised.otm_value(k, sd) == pytest.approx(expected, rel=1e-14)
    assert normalised.implied_sd(k, expected) == pytest.approx(sd, rel=1e-6)
