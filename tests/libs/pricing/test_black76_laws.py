"""Laws that hold for any option: parity, limits, scaling, derivatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.black76 import Black76, black76

forwards = st.floats(1.0, 2e5)
moneyness = st.floats(-1.5, 1.5)
taus = st.floats(1e-6, 3.0)
vols = st.floats(0.02, 4.0)
rates = st.floats(-0.05, 0.1)


def one(forward: float, strike: float, tau: float, vol: float, *, is_call: bool = True, rate: float = 0.0) -> Black76:
    return black76(forward=forward, strike=strike, tau_years=tau, vol=vol, is_call=is_call, rate=rate)


@given(forwards, moneyness, taus, vols, rates)
def test_call_minus_put_is_the_discounted_forward(F: float, x: float, tau: float, vol: float, rate: float) -> None:
    K = F * float(np.exp(x))
    call, put = one(F, K, tau, vol, rate=rate), one(F, K, tau, vol, is_call=False, rate=rate)
    df = np.exp(-rate * tau)
    assert float(call.price - put.price) == pytest.approx(df * (F - K), rel=1e-13, abs=1e-13 * F)
    assert float(call.delta - put.delta) == pytest.approx(df, rel=1e-14, abs=0)
    for name in ("gamma", "vega_per_unit_vol", "vanna_per_unit_vol", "volga_per_unit_vol2", "speed", "zomma"):
        assert getattr(call, name) == getattr(put, name)


@given(forwards, moneyness, taus, vols, st.floats(0.01, 100.0))
def test_price_is_homogeneous_in_forward_and_strike(F: float, x: float, tau: float, vol: float, k: float) -> None:
    K = F * float(np.exp(x))
    value, scaled = one(F, K, tau, vol), one(k * F, k * K, tau, vol)
    assert float(scaled.price) == pytest.approx(k * float(value.price), rel=1e-9, abs=1e-14 * k * F)
    assert float(scaled.gamma) * k == pytest.approx(float(value.gamma), rel=1e-9, abs=1e-300)


@given(forwards, moneyness, taus, vols, st.floats(0.1, 10.0))
def test_vol_times_k_with_time_over_k_squared_changes_nothing(
    F: float, x: float, tau: float, vol: float, k: float
) -> None:
    K = F * float(np.exp(x))
    value, same = one(F, K, tau, vol), one(F, K, tau / k**2, vol * k)
    assert float(same.price) == pytest.approx(float(value.price), rel=1e-9, abs=1e-14 * F)
    assert float(same.delta) == pytest.approx(float(value.delta), rel=1e-9, abs=1e-14)


@given(forwards, moneyness, taus, vols, st.floats(1.001, 2.0))
def test_price_rises_with_vol_and_stays_within_its_bounds(F: float, x: float, tau: float, vol: float, k: float) -> None:
    K = F * float(np.exp(x))
    low, high = float(one(F, K, tau, vol).price), float(one(F, K, tau, vol * k).price)
    assert max(F - K, 0.0) <= low <= high * (1 + 1e-14) <= F * (1 + 1e-13)


@given(forwards, moneyness, taus, vols, st.booleans(), st.floats(1e-3, 0.5))
def test_price_is_convex_and_monotone_in_the_strike(  # noqa: PLR0917
    F: float, x: float, tau: float, vol: float, is_call: bool, width: float
) -> None:
    strikes = F * np.exp(x) * np.array([1.0 - width, 1.0, 1.0 + width])
    low, middle, high = (float(one(F, float(K), tau, vol, is_call=is_call).price) for K in strikes)
    rounding = 4e-16 * (F + strikes[2])
    assert middle <= 0.5 * (low + high) + rounding
    step = (low - high) if is_call else (high - low)
    assert -rounding <= step <= strikes[2] - strikes[0] + rounding


@given(forwards, moneyness, taus, vols, st.booleans(), st.floats(1e-3, 0.5))
def test_price_is_convex_and_delta_monotone_in_the_forward(  # noqa: PLR0917
    F: float, x: float, tau: float, vol: float, is_call: bool, width: float
) -> None:
    K = F * float(np.exp(x))
    low, middle, high = (one(F * k, K, tau, vol, is_call=is_call) for k in (1.0 - width, 1.0, 1.0 + width))
    assert float(middle.price) <= 0.5 * float(low.price + high.price) + 4e-16 * (F + K)
    assert float(low.delta) <= float(middle.delta) + 1e-15
    assert float(middle.delta) <= float(high.delta) + 1e-15
    assert float(middle.gamma) >= 0.0


@given(forwards, moneyness, taus, vols)
def test_a_call_and_a_put_swap_with_forward_and_strike(F: float, x: float, tau: float, vol: float) -> None:
    """Symmetry of Black's formula: a call on F struck at K is a put on K struck at F."""
    K = F * float(np.exp(x))
    call, put = one(F, K, tau, vol).price, one(K, F, tau, vol, is_call=False).price
    assert float(call) == pytest.approx(float(put), rel=1e-14, abs=0)


@given(forwards, moneyness, st.floats(0.0, 3.0), st.floats(0.0, 4.0), st.booleans())
def test_every_output_is_finite(F: float, x: float, tau: float, vol: float, is_call: bool) -> None:
    tau, vol = (0.0 if value < 1e-12 else value for value in (tau, vol))
    value = one(F, F * float(np.exp(x)), tau, vol, is_call=is_call, rate=0.01)
    for name in Black76.__dataclass_fields__:
        assert np.isfinite(getattr(value, name)), name


@given(st.floats(1e3, 1e5), st.floats(-0.5, 0.5), st.floats(0.02, 2.0), st.floats(0.3, 1.5), st.booleans())
def test_greeks_are_the_derivatives_of_price(F: float, x: float, tau: float, vol: float, is_call: bool) -> None:
    K, r = F * float(np.exp(x)), 0.03

    def at(dF: float = 0.0, dT: float = 0.0, dv: float = 0.0, dr: float = 0.0) -> Black76:
        return one(F + dF, K, tau + dT, vol + dv, is_call=is_call, rate=r + dr)

    def slope(name: str, bump: str, h: float) -> float:
        """Fourth-order central difference of a field in one input."""
        f = [float(getattr(at(**{bump: k * h}), name)) for k in (-2, -1, 1, 2)]
        return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)

    value = at()
    s = vol * np.sqrt(tau)
    hF, hT, hv = 2e-3 * F * s, 2e-3 * tau, 2e-3 * vol
    vega = F * np.sqrt(tau)
    checks = [
        ("delta", slope("price", "dF", hF), 1.0),
        ("gamma", slope("delta", "dF", hF), 1 / (F * s)),
        ("speed", slope("gamma", "dF", hF), 1 / (F * s) ** 2),
        ("vega_per_unit_vol", slope("price", "dv", hv), vega),
        ("vanna_per_unit_vol", slope("delta", "dv", hv), 1 / vol),
        ("volga_per_unit_vol2", slope("vega_per_unit_vol", "dv", hv), vega / vol),
        ("zomma", slope("gamma", "dv", hv), 1 / (F * s * vol)),
        ("theta_per_year", -slope("price", "dT", hT), F * s / tau),
        ("charm_per_year", -slope("delta", "dT", hT), 1 / tau),
        ("color_per_year", -slope("gamma", "dT", hT), 1 / (F * s * tau)),
        ("rho", slope("price", "dr", 1e-3), F * tau),
    ]
    for name, expected, size in checks:
        assert float(getattr(value, name)) == pytest.approx(expected, rel=1e-7, abs=2e-9 * size), name


@pytest.mark.parametrize("degenerate", [{"tau": 0.0, "vol": 0.5}, {"tau": 0.5, "vol": 0.0}, {"tau": 0.0, "vol": 0.0}])
def test_without_time_or_vol_an_option_is_its_payoff(degenerate: dict[str, float]) -> None:
    strikes = np.array([80.0, 100.0, 120.0])
    arguments = {"forward": 100.0, "strike": strikes, "tau_years": degenerate["tau"], "vol": degenerate["vol"]}
    call, put = black76(**arguments, is_call=True), black76(**arguments, is_call=False)
    assert call.price.tolist() == [20.0, 0.0, 0.0]
    assert put.price.tolist() == [0.0, 0.0, 20.0]
    assert call.delta.tolist() == [1.0, 0.5, 0.0]
    assert put.delta.tolist() == [0.0, -0.5, -1.0]
    assert call.gamma.tolist() == [0.0, 0.0, 0.0]


def test_at_the_strike_vega_has_its_limit_at_zero_vol() -> None:
    """φ(0)·F·√T, where a formula that divides by σ√T would have nothing to say."""
    exact, near = one(100.0, 100.0, 0.25, 0.0), one(100.0, 100.0, 0.25, 1e-9)
    assert float(exact.vega_per_unit_vol) == pytest.approx(100 * 0.5 / np.sqrt(2 * np.pi), rel=1e-15)
    assert float(exact.vanna_per_unit_vol) == pytest.approx(float(near.vanna_per_unit_vol), rel=1e-8)


def test_missing_inputs_give_missing_outputs_of_that_element_only() -> None:
    value = black76(forward=[100.0, np.nan, 100.0], strike=100.0, tau_years=1.0, vol=[0.2, 0.2, np.nan], is_call=True)
    for name in Black76.__dataclass_fields__:
        assert np.isnan(getattr(value, name)).tolist() == [False, True, True], name


@pytest.mark.parametrize(
    ("field", "value"), [("forward", 0.0), ("strike", -1.0), ("tau_years", -1e-9), ("vol", np.inf), ("rate", np.inf)]
)
def test_impossible_inputs_are_refused_by_name(field: str, value: float) -> None:
    arguments = {"forward": 100.0, "strike": 100.0, "tau_years": 1.0, "vol": 0.2, "rate": 0.0} | {field: value}
    with pytest.raises(ValueError, match=field):
        black76(**arguments, is_call=True)
