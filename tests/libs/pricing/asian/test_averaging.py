"""What is certain, what is refused, and when the fixings come."""

import numpy as np
import pytest

from pricing.asian.averaging import MINUTES_PER_YEAR, Averaging
from pricing.asian.brownian_average import split
from pricing.asian.curran import curran
from pricing.asian.gram_quadrature import mean_nodes
from pricing.asian.moments import loading_range
from pricing.asian.rqmc import Sampling, rqmc
from pricing.asian.turnbull_wakeman import turnbull_wakeman

MODELS = (curran, turnbull_wakeman, lambda *args, **kw: rqmc(*args, **kw).value)
WINDOW = 30 / MINUTES_PER_YEAR


def inside(minutes: float, n_fixings: int = 450, past_average: float | None = 101.0) -> Averaging:
    return Averaging.at(
        tau_years=minutes / MINUTES_PER_YEAR, window_years=WINDOW, n_fixings=n_fixings, past_average=past_average
    )


@pytest.mark.parametrize(
    ("minutes", "n_fixings", "n_past"),
    [(10_080, 450, 0), (30, 450, 0), (29.9, 450, 1), (20, 450, 150), (20, 300, 100), (0, 450, 450), (1 / 30, 450, 449)],
)
def test_fixings_that_are_due_are_counted(minutes: float, n_fixings: int, n_past: int) -> None:
    """The first one comes an interval after the window opens, the last one at expiry."""
    assert inside(minutes, n_fixings).n_past == n_past


def test_the_first_fixing_to_come() -> None:
    averaging = inside(20.02, 450)
    assert averaging.n_left == 301
    assert averaging.first_years * MINUTES_PER_YEAR == pytest.approx(0.02)
    assert averaging.interval_years * MINUTES_PER_YEAR == pytest.approx(1 / 15)


@pytest.mark.parametrize("model", MODELS)
def test_with_all_fixings_known_the_payoff_is_certain(model) -> None:
    settled = inside(0.0)
    calls = model(settled, forward=100.0, strike=[95.0, 101.0, 108.0], vol=0.7, is_call=True)
    assert list(calls.price) == pytest.approx([6.0, 0.0, 0.0])
    for row in (calls.delta, calls.gamma, calls.vega_per_unit_vol):
        assert not np.any(row)
    puts = model(settled, forward=100.0, strike=[95.0, 101.0, 108.0], vol=0.7, is_call=False)
    assert list(puts.price) == pytest.approx([0.0, 0.0, 7.0])


@pytest.mark.parametrize("model", MODELS)
def test_exercise_that_is_certain_is_a_forward(model) -> None:
    """The known fixings alone lift the average above the strike: the effective strike is below zero."""
    averaging = inside(1.0, 30, past_average=120.0)
    assert averaging.effective_strike(np.array([100.0]))[0] < 0
    call = model(averaging, forward=90.0, strike=100.0, vol=0.7, is_call=True, rate=0.05)
    df = np.exp(-0.05 * averaging.tau_years)
    assert float(call.price) == pytest.approx(df * ((29 * 120 + 90) / 30 - 100))
    assert float(call.delta) == pytest.approx(df / 30)
    assert float(call.gamma) == 0
    assert float(model(averaging, forward=90.0, strike=100.0, vol=0.7, is_call=False).price) == 0


@pytest.mark.parametrize("model", MODELS)
def test_without_time_or_vol_it_is_the_payoff(model) -> None:
    """Delta is ½ exactly at the strike, as for a European option."""
    now = Averaging(tau_years=0.0, window_years=WINDOW, n_fixings=450, n_past=449, past_average=100.0)
    still = inside(60.0)
    for averaging, vol in ((now, 0.7), (still, 0.0)):
        share = averaging.share_left
        call = model(averaging, forward=100.0, strike=[99.0, 100.0, 101.0], vol=vol, is_call=True)
        assert list(call.price) == pytest.approx([1.0, 0.0, 0.0])
        assert list(call.delta) == pytest.approx([share, share / 2, 0.0])
        put = model(averaging, forward=100.0, strike=[99.0, 100.0, 101.0], vol=vol, is_call=False)
        assert list(put.delta) == pytest.approx([0.0, -share / 2, -share])


@pytest.mark.parametrize("model", MODELS)
def test_short_times_approach_the_payoff(model) -> None:
    averaging = Averaging(tau_years=1e-12, window_years=WINDOW, n_fixings=450, n_past=449, past_average=100.0)
    call = model(averaging, forward=100.0, strike=[99.9, 100.1], vol=0.7, is_call=True)
    assert list(call.price) == pytest.approx([0.1, 0.0], abs=1e-9)
    assert list(call.delta) == pytest.approx([1 / 450, 0.0])
    assert np.all(np.isfinite(call.gamma))


@pytest.mark.parametrize("model", MODELS)
def test_strikes_out_of_reach_are_certain(model) -> None:
    """Far from the money the price is the forward's or nothing, and finite."""
    averaging = inside(20.0)
    call = model(averaging, forward=100.0, strike=[10.0, 1000.0], vol=0.7, is_call=True)
    assert list(call.price) == pytest.approx([(150 * 101 + 300 * 100) / 450 - 10, 0.0])
    assert list(call.delta) == pytest.approx([300 / 450, 0.0])


def test_nothing_known_has_an_error_beyond_rounding() -> None:
    settled = rqmc(inside(0.0), forward=100.0, strike=95.0, vol=0.7, is_call=True)
    assert 0 < float(settled.standard_error.price) < 1e-13


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tau_years": -1.0}, "tau_years"),
        ({"tau_years": float("nan")}, "tau_years"),
        ({"window_years": float("inf")}, "window_years"),
        ({"n_fixings": 0}, "n_fixings"),
        ({"n_past": 451}, "n_past"),
        ({"n_past": -1}, "n_past"),
        ({"n_past": 10, "past_average": None}, "past_average"),
        ({"n_past": 10, "past_average": -5.0}, "past_average"),
        ({"n_past": 10, "past_average": 100.0}, "contradicts tau_years"),
        ({"tau_years": 20 / MINUTES_PER_YEAR}, "150 of 450 fixings"),
    ],
)
def test_impossible_averages_are_refused(fields: dict, named: str) -> None:
    terms = {"tau_years": 0.1, "window_years": WINDOW, "n_fixings": 450} | fields
    with pytest.raises(ValueError, match=named):
        Averaging(**terms)


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"forward": 0.0}, "forward"),
        ({"strike": [100.0, -1.0]}, r"strike\[1\]"),
        ({"vol": -0.1}, "vol"),
        ({"vol": float("inf")}, "vol"),
        ({"rate": float("inf")}, "rate"),
        ({"vol": 1e6}, "take at most"),
    ],
)
def test_impossible_options_are_refused(inputs: dict, named: str) -> None:
    option = {"forward": 100.0, "strike": 100.0, "vol": 0.7, "is_call": True} | inputs
    with pytest.raises(ValueError, match=named):
        rqmc(inside(60.0), **option)


@pytest.mark.parametrize(("fields", "named"), [({"randomisations": 1}, "randomisations"), ({"points": 48}, "points")])
def test_impossible_samples_are_refused(fields: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        rqmc(inside(60.0), forward=100.0, strike=100.0, vol=0.7, is_call=True, sampling=Sampling(**fields))


@pytest.mark.parametrize("n_left", [2, 3, 30, 64, 65, 450])
def test_the_split_has_the_covariance_of_brownian_motion(n_left: int) -> None:
    """b·bᵀ + L·Lᵀ is min(t_i, t_j) where all components are kept; else no more than 7 % of the residual is missing."""
    averaging = Averaging(tau_years=(0.3 + n_left - 1) * 1e-4, window_years=n_left * 1e-4, n_fixings=n_left, n_past=0)
    parts = split(averaging)
    nodes, weights = mean_nodes(n_left)
    times = averaging.first_years + averaging.interval_years * nodes
    total = np.outer(parts.loading, parts.loading) + parts.components @ parts.components.T
    assert weights @ parts.components == pytest.approx(0.0, abs=1e-12)
    residual = float(weights @ (times - parts.loading**2))
    assert 0.93 * residual <= float(weights @ parts.residual_variance) <= residual * (1 + 1e-9)
    if n_left <= 17:
        assert total == pytest.approx(np.minimum.outer(times, times), rel=1e-12)


@pytest.mark.parametrize("n_points", [65, 200, 450, 3000])
def test_few_nodes_stand_for_all_fixings(n_points: int) -> None:
    """Means of the functions that paths are made of: eight periods and their squares, and polynomials."""
    nodes, weights = mean_nodes(n_points)
    assert nodes.size == 64
    i = np.arange(n_points)
    functions = (
        lambda x: np.exp(0.02 * np.cos(16 * np.pi * (x + 0.5) / n_points)),
        lambda x: np.cos(9 * np.pi * (x + 0.5) / n_points) ** 2,
        lambda x: (x / n_points) ** 7,
    )
    for function in functions:
        assert weights @ function(nodes) == pytest.approx(np.mean(function(i)), rel=1e-12)


def test_dropped_components_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half as many change the estimate by less than its standard error, at sixteen times the usual sample."""
    averaging, sampling = inside(31.0, 40), Sampling(points=512)
    option = {"forward": 100.0, "strike": 100.5, "vol": 1.5, "is_call": True}
    full = rqmc(averaging, **option, sampling=sampling)
    monkeypatch.setattr("pricing.asian.rqmc.split", lambda averaging: split(averaging, max_modes=8))
    fewer = rqmc(averaging, **option, sampling=sampling)
    assert float(fewer.value.price) != float(full.value.price)
    apart = abs(float(fewer.value.price) - float(full.value.price))
    assert apart < 4 * float(np.hypot(full.standard_error.price, fewer.standard_error.price))


def test_moments_enough_for_the_vol() -> None:
    """Ten or so on Deribit's terms; more where the loadings differ more."""
    usual = loading_range(split(inside(60.0)), 0.7).powers.shape[0]
    wide = loading_range(split(Averaging(tau_years=1.0, window_years=1.0, n_fixings=12)), 1.0).powers.shape[0]
    assert usual <= 12 < wide
