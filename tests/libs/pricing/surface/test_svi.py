"""Raw SVI: published slices, butterfly arbitrage found and cured, fits that recover what made the quotes."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.surface import svi, svi_calendar, svi_fit, svi_free
from pricing.surface.quotes import SliceQuotes, smile_vol
from pricing.surface.svi import RawSvi

Make = Callable[..., Any]

# Gatheral & Jacquier (2014), example 3.1, after A. Vogt: positive, wings within Lee's bound, and arbitrageable.
VOGT = RawSvi(tau_years=1.0, a=-0.041, b=0.1331, rho=0.306, m=0.3586, sigma=0.4153)


@pytest.fixture(name="quotes_of")
def _quotes_of(otm_value: Make) -> Make:
    def quotes_of(slice_: RawSvi, k: np.ndarray, spread: float = 0.02) -> SliceQuotes:
        value = otm_value(k, np.sqrt(slice_.total_variance(k)))
        return SliceQuotes("x", slice_.tau_years, k, value * (1 - spread / 2), value * (1 + spread / 2))

    return quotes_of


def test_vogt_smile_has_the_published_values() -> None:
    k = np.array([-1.5, -0.8, 0.0, 0.4, 0.8])
    expected = [0.1367819611, 0.0756291293, 0.01742625256, 0.01623656962, 0.05764411607]
    np.testing.assert_allclose(VOGT.total_variance(k), expected, atol=2e-9)
    g = VOGT.g(np.array([-1.5, 0.0, 0.9]))
    np.testing.assert_allclose(g, [0.2478306953, 1.038649731, -0.03268513071], atol=2e-9)


def test_vogt_smile_is_recognised_as_arbitrageable(quotes_of: Make) -> None:
    """Although its variance is positive and its wings meet the moment bound."""
    smallest, where = VOGT.smallest_g(-1.5, 1.5)
    assert smallest == pytest.approx(-0.03286357285158035, abs=1e-9)
    assert where == pytest.approx(0.8793, abs=1e-4)
    assert VOGT.meets_moment_bound
    quotes = quotes_of(VOGT, np.linspace(-1.4, 1.4, 29))
    assert not svi.is_butterfly_free(VOGT, quotes)


def test_vogt_smile_is_cured(quotes_of: Make) -> None:
    """The butterfly-free slice stays within two vol points of it near the money, and its g is not negative."""
    quotes = quotes_of(VOGT, np.linspace(-1.4, 1.4, 29))
    found = svi.summarise(quotes)
    assert found.repaired
    assert found.butterfly_free
    assert found.svi.smallest_g(-5.0, 5.0)[0] >= 0.0
    k = np.linspace(-0.8, 0.5, 27)
    assert np.max(np.abs(smile_vol(found.svi, k) - smile_vol(VOGT, k))) < 0.02


def test_published_cure_is_accepted() -> None:
    """Gatheral & Jacquier (2014), example 5.1: parameters of their optimal butterfly-free slice, g ≥ 0.0081."""
    cure = RawSvi(
        tau_years=1.0,
        a=-0.030519911031911023,
        b=0.10271678178138019,
        rho=0.10071761320291085,
        m=0.2723441929253751,
        sigma=0.4123981469110892,
    )
    smallest, where = cure.smallest_g(-1.5, 1.5)
    assert smallest == pytest.approx(0.008118278920776257, abs=1e-7)
    assert where == pytest.approx(0.8113, abs=1e-3)


@given(
    x=st.tuples(
        st.floats(-6.0, 3.0), st.floats(-6.0, 4.0), st.floats(-2.5, 2.5), st.floats(-3.0, 3.0), st.floats(-5.0, 3.0)
    )
)
def test_any_coordinates_are_free_of_butterflies(x: tuple[float, ...]) -> None:
    """Martini and Mingone's set: g ≥ 0 and a positive density far beyond any strike."""
    a, b, rho, m, sigma = (float(value) for value in svi_free.raw_parameters(np.array(x)))
    slice_ = RawSvi(tau_years=1.0, a=a, b=b, rho=rho, m=m, sigma=sigma)
    reach = 60.0 * sigma
    assert slice_.smallest_g(m - reach, m + reach)[0] > -1e-6
    assert b * (1 + abs(rho)) <= 2.0 + 1e-12


@given(x=st.tuples(st.floats(-3.0, 2.0), st.floats(-4.0, 2.0), st.floats(-2, 2), st.floats(-2, 2), st.floats(-3, 2)))
def test_free_coordinates_give_the_slice_back(x: tuple[float, ...]) -> None:
    five = svi_free.raw_parameters(np.array(x))
    np.testing.assert_allclose(svi_free.raw_parameters(svi_free.free_coordinates(five)), five, rtol=5e-3, atol=1e-8)


def random_slice(rng: np.random.Generator, n: int) -> tuple[RawSvi, np.ndarray]:
    """A crypto-like slice: expiries from a day, vols 25–120 %, vertex and width in deviations of the slice."""
    while True:
        tau = math.exp(rng.uniform(math.log(1 / 365), math.log(1.5)))
        level = rng.uniform(0.25, 1.2) ** 2 * tau
        sd = math.sqrt(level)
        rho, m = rng.uniform(-0.9, 0.9), rng.uniform(-0.6, 0.6) * sd
        sigma = math.exp(rng.uniform(math.log(0.15), math.log(2.0))) * sd
        b = rng.uniform(0.1, 1.0) * min(sd, 2.0 / (1.0 + abs(rho)))
        a = level - b * (-rho * m + math.hypot(m, sigma))
        if a + b * sigma * math.sqrt(1 - rho * rho) > 0.05 * level:
            k = np.linspace(-2.5, 2.5, n) * sd * rng.uniform(0.7, 1.3) + rng.uniform(-0.3, 0.3) * sd
            return RawSvi(tau_years=tau, a=a, b=b, rho=rho, m=m, sigma=sigma), k


@pytest.mark.parametrize("n", [15, 40])
def test_a_cold_fit_finds_the_slice_that_made_the_quotes(n: int) -> None:
    """3,000 random slices: fewer than 0.3 % are missed by more than a basis point of vol."""
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(3000):
        slice_, k = random_slice(rng, n)
        w = slice_.total_variance(k)
        a, b, rho, m, sigma = svi_fit.fit_cold(k, w, 1.0 / w)
        fitted = a + b * (rho * (k - m) + np.hypot(k - m, sigma))
        error = np.sqrt(np.maximum(fitted, 0.0) / slice_.tau_years) - np.sqrt(w / slice_.tau_years)
        missed += math.sqrt(float(np.mean(error**2))) > 1e-4
    assert missed < 0.003 * 3000


def test_a_warm_fit_ends_where_a_cold_one_does() -> None:
    rng = np.random.default_rng(11)
    for _ in range(50):
        slice_, k = random_slice(rng, 25)
        w = slice_.total_variance(k) * (1 + 0.003 * rng.standard_normal(25))
        before = svi_fit.fit_cold(k, slice_.total_variance(k), 1.0 / w)
        warm, cold = svi_fit.fit_warm(k, w, 1.0 / w, before), svi_fit.fit_cold(k, w, 1.0 / w)

        def loss(five: np.ndarray, k: np.ndarray = k, w: np.ndarray = w) -> float:
            fitted = five[0] + five[1] * (five[2] * (k - five[3]) + np.hypot(k - five[3], five[4]))
            return float(np.sum((fitted - w) ** 2 / w))

        assert loss(warm) <= loss(cold) * 1.01


def test_skew_and_curvature_are_derivatives_of_vol() -> None:
    h = 1e-4
    up, mid, down = (float(smile_vol(VOGT, k)) for k in (h, 0.0, -h))
    assert VOGT.atm_skew == pytest.approx((up - down) / (2 * h), rel=1e-6)
    assert VOGT.atm_curvature == pytest.approx((up - 2 * mid + down) / h**2, rel=1e-4)


def test_few_quotes_keep_the_start_s_shape(quotes_of: Make) -> None:
    start = RawSvi(tau_years=0.1, a=0.01, b=0.05, rho=-0.2, m=0.01, sigma=0.1)
    quotes = quotes_of(start, np.array([-0.1, 0.0, 0.1]))
    found = svi.fit(quotes, warm=start)
    np.testing.assert_allclose(found.parameters, start.parameters, rtol=0.05)
    with pytest.raises(ValueError, match="has 2 quotes, SVI needs 3"):
        svi.fit(quotes_of(start, np.array([-0.1, 0.1])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": -0.1}, "b = -0.1"),
        ({"rho": 1.0}, "rho = 1.0"),
        ({"sigma": 0.0}, "sigma = 0.0"),
        ({"a": -1.0}, "a = -1.0 .* variance would be negative"),
    ],
)
def test_impossible_parameters_are_refused(change: dict[str, float], message: str) -> None:
    good = {"tau_years": 1.0, "a": 0.01, "b": 0.1, "rho": 0.0, "m": 0.0, "sigma": 0.1}
    with pytest.raises(ValueError, match=message):
        RawSvi(**(good | change))


@settings(max_examples=5, deadline=None)
@given(bump=st.floats(0.8, 1.6))
def test_constrained_slices_do_not_cross(bump: float, skewed_slice: Make) -> None:
    """Even when the shorter one's quotes lie above the longer one's: no butterfly, no calendar."""
    short = skewed_slice("short", 7 / 365, level=0.6 * bump, n=15)
    middle = skewed_slice("middle", 9 / 365, n=15)
    long = skewed_slice("long", 30 / 365, n=15)
    found = svi_calendar.fit_all([long, short, middle])
    k = np.linspace(-1.0, 1.0, 801)
    variances = [one.total_variance(k) for one in found]
    assert [one.tau_years for one in found] == [7 / 365, 9 / 365, 30 / 365]
    for early, late in itertools.pairwise(variances):
        assert np.all(early <= late * (1 + 1e-4))
    assert all(one.smallest_g(-1.0, 1.0)[0] >= -1e-6 for one in found)
