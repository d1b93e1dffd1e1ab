"""Implied vols: exact to what the price determines, everywhere, with a status for what has none."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.black76 import Black76, black76
from pricing.implied_vol import ImpliedVols, ImpliedVolStatus, implied_vol
from pricing.implied_vol_reference import implied_vol_reference

EPSILON = float(np.finfo(np.float64).eps)
OK = ImpliedVolStatus.OK
HALF_LN_2PI = 0.5 * math.log(2.0 * math.pi)


def attainable(value: Black76, vol: np.ndarray) -> np.ndarray:
    """Relative error of a vol that half a unit in the last place of its price makes, doubled (Jäckel 2015, §8)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return EPSILON * np.abs(value.price) / (vol * value.vega_per_unit_vol)


def round_trip(*, is_call: bool | np.ndarray, vol: np.ndarray, **options: object) -> tuple[Black76, ImpliedVols]:
    value = black76(vol=vol, is_call=is_call, **options)
    return value, implied_vol(price=value.price, is_call=is_call, **options)


@pytest.mark.shared_data
@pytest.mark.parametrize("side", ["call", "put"])
def test_every_row_of_the_table_is_solved_as_far_as_its_price_goes(shared_data: Path, side: str) -> None:
    with (shared_data.parent / "reference" / "black76_mpmath.csv").open() as file:
        rows = list(csv.DictReader(file))
    F, K, T, sigma, r, price, vega = (
        np.array([float(row[name]) for row in rows]) for name in ("F", "K", "T", "sigma", "r", side, "vega")
    )
    solved = implied_vol(price=price, forward=F, strike=K, tau_years=T, is_call=side == "call", rate=r)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        bound = EPSILON * price / (sigma * vega)
    determined = solved.status == OK
    assert np.all(np.abs(solved.vol / sigma - 1.0)[determined] <= 1e-12 + 4.0 * bound[determined])
    # Where there is no vol, no digit of it is in the price.
    assert np.all((bound[~determined] > 0.05) | np.isnan(bound[~determined]))
    assert np.count_nonzero(determined) > 220


@pytest.mark.parametrize("s_range", [(1e-12, 1e-5), (1e-5, 1.0), (1.0, 12.0), (12.0, 60.0)])
def test_any_total_deviation_and_any_moneyness_comes_back(s_range: tuple[float, float]) -> None:
    """Out of the money, 0 to 37 deviations: prices down to the smallest float, and up to the forward itself."""
    s = np.geomspace(*s_range, 120)[:, None]
    x = s * np.concatenate(([0.0], np.geomspace(1e-8, 37.0, 120)))
    s = np.broadcast_to(s, x.shape)[x < 600]
    value, solved = round_trip(is_call=True, vol=s, forward=1.0, strike=np.exp(x[x < 600]), tau_years=1.0)
    good = solved.status == OK
    error = np.abs(solved.vol / s - 1.0)[good]
    assert np.all(error <= 1e-12 + 4.0 * attainable(value, s)[good])
    assert np.all(good | (value.price < 1e-300) | (value.price == 1.0))
    assert good.any()


@given(
    st.floats(1e-3, 1e6),
    st.floats(-8.0, 8.0),
    st.floats(1e-6, 5.0),
    st.floats(0.01, 4.0),
    st.booleans(),
    st.floats(-0.1, 0.2),
)
def test_the_vol_that_priced_an_option_comes_back(  # noqa: PLR0917
    F: float, deviations: float, tau: float, vol: float, is_call: bool, rate: float
) -> None:
    K = F * math.exp(deviations * vol * math.sqrt(tau))
    value, solved = round_trip(is_call=is_call, vol=np.array(vol), forward=F, strike=K, tau_years=tau, rate=rate)
    bound = 1e-12 + 4.0 * float(attainable(value, np.array(vol)))
    if solved.status == OK:
        assert float(solved.vol) == pytest.approx(vol, rel=bound, abs=0)
    else:
        assert bound > 0.05


@given(st.floats(-4.0, 4.0), st.floats(1e-3, 2.0), st.floats(0.05, 3.0), st.booleans())
def test_solver_and_reference_agree(deviations: float, tau: float, vol: float, is_call: bool) -> None:
    K = 100.0 * math.exp(deviations * vol * math.sqrt(tau))
    value, solved = round_trip(is_call=is_call, vol=np.array(vol), forward=100.0, strike=K, tau_years=tau)
    if solved.status != OK:
        return
    reference = implied_vol_reference(price=float(value.price), forward=100.0, strike=K, tau_years=tau, is_call=is_call)
    assert float(solved.vol) == pytest.approx(
        reference, rel=1e-11 + 8.0 * float(attainable(value, np.array(vol))), abs=0
    )


@given(st.floats(-3.0, 3.0), st.floats(0.05, 2.0), st.floats(1.0001, 1.5))
def test_a_higher_price_has_a_higher_vol(deviations: float, vol: float, k: float) -> None:
    K = 100.0 * math.exp(deviations * vol)
    is_call = K >= 100.0
    low = float(black76(forward=100.0, strike=K, tau_years=1.0, vol=vol, is_call=is_call).price)
    high = min(low * k, 0.5 * (low + (100.0 if is_call else K)))
    vols = implied_vol(price=[low, high], forward=100.0, strike=K, tau_years=1.0, is_call=is_call).vol
    assert vols[0] < vols[1]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"price": 9.0}, "BELOW_INTRINSIC"),
        ({"price": -1.0}, "BELOW_INTRINSIC"),
        ({"price": 10.0}, "AT_INTRINSIC"),
        ({"price": 0.0, "strike": 120.0}, "AT_INTRINSIC"),
        ({"price": 100.0}, "ABOVE_MAXIMUM"),
        ({"price": 95.0, "is_call": False}, "ABOVE_MAXIMUM"),
        ({"price": np.nan}, "NO_QUOTE"),
        ({"price": np.inf}, "NO_QUOTE"),
        ({"tau_years": 0.0}, "EXPIRED"),
        ({"tau_years": -0.5}, "EXPIRED"),
        ({"tau_years": np.nan}, "BAD_INPUT"),
        ({"tau_years": np.inf}, "BAD_INPUT"),
        ({"forward": 0.0}, "BAD_INPUT"),
        ({"strike": -1.0}, "BAD_INPUT"),
        ({"forward": np.nan, "price": np.nan}, "BAD_INPUT"),
        ({"rate": np.inf}, "BAD_INPUT"),
        ({"rate": np.nan}, "BAD_INPUT"),
        ({}, "OK"),
    ],
)
def test_what_has_no_vol_says_why(change: dict[str, float], status: str) -> None:
    option = {"price": 15.0, "forward": 100.0, "strike": 90.0, "tau_years": 1.0, "is_call": True, "rate": 0.0}
    solved = implied_vol(**(option | change))
    assert ImpliedVolStatus(int(solved.status)).name == status
    assert np.isnan(solved.vol) == (status != "OK")


def test_a_price_below_intrinsic_by_rounding_alone_is_at_it() -> None:
    """Discounting and undoing it may lose the last digit: that is no arbitrage."""
    tau = np.linspace(0.1, 2.0, 50)
    price = np.exp(-0.05 * tau) * 10.0
    solved = implied_vol(price=price, forward=100.0, strike=90.0, tau_years=tau, is_call=True, rate=0.05)
    assert not np.any(solved.status == ImpliedVolStatus.BELOW_INTRINSIC)


@pytest.mark.parametrize("n", [1, 129, 1000])
def test_bits_depend_neither_on_threads_nor_on_place(n: int) -> None:
    rng = np.random.default_rng(5)
    options = {"forward": 100.0, "strike": 100.0 * np.exp(rng.normal(0, 0.5, n)), "tau_years": rng.uniform(0.01, 2, n)}
    value = black76(**options, vol=rng.uniform(0.05, 2.0, n), is_call=True)
    whole = implied_vol(price=value.price, is_call=True, **options)
    shared = implied_vol(price=value.price, is_call=True, threads=2, **options)
    last = implied_vol(
        price=value.price[-1],
        forward=100.0,
        strike=options["strike"][-1],
        tau_years=options["tau_years"][-1],
        is_call=True,
    )
    assert whole.vol.tobytes() == shared.vol.tobytes()
    assert whole.status.tobytes() == shared.status.tobytes()
    assert last.vol.tobytes() == whole.vol[-1].tobytes()


@pytest.mark.parametrize("price", [0.0, 100.0, -1.0])
def test_the_reference_refuses_what_has_no_vol(price: float) -> None:
    with pytest.raises(ValueError, match="has no implied vol"):
        implied_vol_reference(price=price, forward=100.0, strike=100.0, tau_years=1.0, is_call=True)


@pytest.mark.parametrize(("strike", "vol"), [(100.0, 1e-7), (100.0, 8.0), (1e4, 0.05 * 5), (100.0001, 3.0)])
def test_the_reference_solves_where_newton_alone_does_not(strike: float, vol: float) -> None:
    price = float(black76(forward=100.0, strike=strike, tau_years=1.0, vol=vol, is_call=strike >= 100.0).price)
    solved = implied_vol_reference(price=price, forward=100.0, strike=strike, tau_years=1.0, is_call=strike >= 100.0)
    assert solved == pytest.approx(vol, rel=1e-9, abs=0)


def test_plain_python_gives_what_is_compiled(uncompiled: Callable[[str], ModuleType]) -> None:
    """Also the options that three steps do not settle, and those that have no vol."""
    strike = np.array([100.0, 130.0, 500.0, 100.0, 90.0])
    value = black76(forward=100.0, strike=strike, tau_years=0.5, vol=np.array([0.4, 0.9, 0.3, 15.0, 0.5]), is_call=True)
    price = value.price * np.array([1.0, 1.0, 1.0, 1.0, 0.1])
    solved = implied_vol(price=price, forward=100.0, strike=strike, tau_years=0.5, is_call=True)
    inputs = (price, np.array([100.0]), strike, np.array([0.5]), np.zeros(1))
    vols, statuses = np.empty(5), np.empty(5, dtype=np.uint8)
    with np.errstate(all="ignore"):
        kernel = uncompiled("pricing.implied_vol_kernel")
        kernel.solve(inputs, np.ones(1, dtype=np.uint8), 0, 5, vols, statuses)
    assert statuses.tolist() == solved.status.tolist() == [0, 0, 0, 0, 1]
    assert vols == pytest.approx(solved.vol, rel=1e-11, nan_ok=True)


@pytest.mark.parametrize(("x", "s"), [(0.0, 1e-6), (0.3, 0.5), (5.0, 3.0), (50.0, 8.0), (0.1, 12.0)])
@pytest.mark.parametrize("start", [1e-3, 1.0, 40.0])
def test_a_bracket_finds_the_root_from_any_start(
    uncompiled: Callable[[str], ModuleType], x: float, s: float, start: float
) -> None:
    """What catches the options that have not settled: steps that leave the bracket are replaced by bisection."""
    value = float(black76(forward=1.0, strike=math.exp(x), tau_years=1.0, vol=s, is_call=True).price)
    low, high = math.log(value) + HALF_LN_2PI, math.log1p(-value) + HALF_LN_2PI
    with np.errstate(all="ignore"):
        found = uncompiled("pricing.implied_vol_kernel")._finish(np.float64(x), np.float64(start), low, high)
    assert found == pytest.approx(s, rel=1e-7)
