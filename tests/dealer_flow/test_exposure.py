"""Totals and buckets: definitions, laws, and when nothing is said."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dealer_flow.exposure import ExposureLimits, Totals, exposures

share_factories = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LIMITS = ExposureLimits()


def levels(chain, position: np.ndarray):
    found = exposures(chain, {"book": position}, LIMITS)["book"]
    assert found.reasons == ()
    return found.levels


@share_factories
@given(seed=st.integers(0, 10_000))
def test_the_totals_are_their_definitions(make_random_chain, seed: int) -> None:
    chain, q = make_random_chain(seed)
    S, totals = chain.spot, levels(chain, q).totals
    expected = {
        "ngi_usd_per_pct": sum(q * chain.gamma) * S**2 * 0.01,
        "vss_usd_per_vol_point": sum(q * chain.vanna_per_unit_vol) * S * 0.01,
        "chl_usd_per_day": sum(q * chain.charm_per_year) * S / 365,
        "dex_usd": sum(q * chain.delta) * S,
        "vex_usd_per_vol_point": sum(q * chain.vega_per_unit_vol) * 0.01,
        "volg_usd_per_vol_point2": sum(q * chain.volga_per_unit_vol2) * 0.0001,
        "gross_gamma_usd_per_pct": sum(chain.open_interest_base * chain.gamma) * S**2 * 0.01,
    }
    assert set(expected) == set(Totals.__dataclass_fields__)
    for name, value in expected.items():
        assert getattr(totals, name) == pytest.approx(value, rel=1e-9), name


@share_factories
@given(seed=st.integers(0, 10_000))
def test_buckets_sum_to_the_totals_and_calls_and_puts_to_the_bucket(make_random_chain, seed: int) -> None:
    chain, q = make_random_chain(seed)
    found = levels(chain, q)
    size = np.sum(np.abs(q) * chain.gamma) * chain.spot**2 * 0.01
    for buckets in (found.by_strike, found.by_expiry):
        assert np.all(np.diff(buckets.keys) > 0)
        for name in ("ngi_usd_per_pct", "vss_usd_per_vol_point", "chl_usd_per_day", "gross_gamma_usd_per_pct"):
            total = getattr(found.totals, name)
            assert np.sum(getattr(buckets, name)) == pytest.approx(total, rel=1e-9, abs=1e-12 * size), name
        both = buckets.call_ngi_usd_per_pct + buckets.put_ngi_usd_per_pct
        assert both == pytest.approx(buckets.ngi_usd_per_pct, rel=1e-9, abs=1e-12 * size)


@share_factories
@given(seed=st.integers(0, 10_000))
def test_the_profile_at_spot_is_ngi_and_vss(make_random_chain, seed: int) -> None:
    chain, q = make_random_chain(seed)
    found = levels(chain, q)
    at = int(np.flatnonzero(found.profile.spots == chain.spot)[0])
    size = np.sum(np.abs(q) * chain.gamma) * chain.spot**2 * 0.01
    assert found.profile.ngi_usd_per_pct[at] == pytest.approx(found.totals.ngi_usd_per_pct, rel=1e-9, abs=1e-12 * size)
    assert found.profile.vss_usd_per_vol_point[at] == pytest.approx(found.totals.vss_usd_per_vol_point, rel=1e-9)


@share_factories
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100.0))
def test_a_book_k_times_as_large_has_k_times_the_exposure_and_the_same_flips(
    make_random_chain, seed: int, factor: float
) -> None:
    chain, q = make_random_chain(seed)
    one, many = levels(chain, q), levels(chain, factor * q)
    assert many.totals.ngi_usd_per_pct == pytest.approx(factor * one.totals.ngi_usd_per_pct, rel=1e-9)
    assert [f.spot for f in many.flips.all] == pytest.approx([f.spot for f in one.flips.all], rel=1e-9)
    assert (many.call_wall, many.put_wall) == (one.call_wall, one.put_wall)


@share_factories
@given(seed=st.integers(0, 10_000))
def test_the_opposite_book_has_the_opposite_exposure_and_the_same_flips(make_random_chain, seed: int) -> None:
    chain, q = make_random_chain(seed)
    one, other = levels(chain, q), levels(chain, -q)
    assert other.totals.ngi_usd_per_pct == -one.totals.ngi_usd_per_pct
    assert [f.spot for f in other.flips.all] == pytest.approx([f.spot for f in one.flips.all], rel=1e-11)
    assert (other.call_wall, other.put_wall) == (one.put_wall, one.call_wall)


def test_dealers_long_an_option_are_long_gamma(make_chain) -> None:
    chain = make_chain([100_000.0])
    assert levels(chain, np.array([1.0, 0, 0, 0])).totals.ngi_usd_per_pct > 0
    assert levels(chain, np.array([0, -1.0, 0, 0])).totals.ngi_usd_per_pct < 0


def test_stale_unpriced_and_unknown_positions_stay_out_of_the_sums(make_chain) -> None:
    whole = make_chain([90_000.0, 100_000.0, 110_000.0], days=(7.0,))
    gamma = whole.gamma.copy()
    gamma[0] = np.nan
    stale = np.array([False, True, False, False, False, False])
    part = make_chain([90_000.0, 100_000.0, 110_000.0], days=(7.0,), gamma=gamma, stale=stale)
    q = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    found = exposures(part, {"book": q}, LIMITS)["book"]
    expected = np.sum((q * whole.gamma)[3:]) * whole.spot**2 * 0.01
    assert found.n_used == 3
    assert found.gamma_coverage == pytest.approx(4 / 6)
    assert found.levels.totals.ngi_usd_per_pct == pytest.approx(expected, rel=1e-12)
    assert found.levels.totals.gross_gamma_usd_per_pct == pytest.approx(
        10 * np.sum(whole.gamma[3:]) * whole.spot**2 * 0.01, rel=1e-12
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spot_price": None, "spot_age_ms": None}, "no_spot"),
        ({"spot_age_ms": 60_001.0}, "stale_spot"),
        ({"spot_age_ms": None}, "stale_spot"),
        ({"stale": np.ones(4, dtype=bool)}, "stale"),
        ({"stale": np.array([True, True, True, False])}, "low_coverage"),
        ({"gamma": np.full(4, np.nan)}, "no_priced_options"),
        ({"open_interest_base": np.full(4, np.nan)}, "no_open_interest"),
        ({"open_interest_base": np.zeros(4)}, "no_open_interest"),
    ],
)
def test_bad_inputs_suppress_the_levels_with_their_reason(make_chain, changes: dict, reason: str) -> None:
    found = exposures(make_chain([100_000.0], **changes), {"book": np.ones(4)}, LIMITS)["book"]
    assert reason in found.reasons
    assert found.levels is None
    assert found.n_used == 0


def test_an_empty_chain_is_suppressed(make_chain) -> None:
    assert exposures(make_chain([]), {"book": np.empty(0)}, LIMITS)["book"].reasons == ("no_options",)


def test_a_book_of_unknown_positions_is_suppressed_and_another_on_the_same_chain_is_not(make_chain) -> None:
    found = exposures(make_chain([100_000.0]), {"unknown": np.full(4, np.nan), "known": np.ones(4)}, LIMITS)
    assert found["unknown"].reasons == ("no_positions",)
    assert found["known"].levels is not None


def test_coverage_at_the_limit_is_enough(make_chain) -> None:
    half = make_chain([100_000.0], stale=np.array([True, True, False, False]))
    assert exposures(half, {"book": np.ones(4)}, LIMITS)["book"].reasons == ()
