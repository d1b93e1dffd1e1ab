"""GEX(S), flips and walls against brute force."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dealer_flow.levels import flips, profile, profile_spots, reprice, walls
from pricing.black76 import black76

share_factories = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def brute_force(chain, position: np.ndarray, spots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NGI and VSS at each spot by pricing every option anew with the reference formulas."""
    ngi, vss = [], []
    for spot in spots:
        value = black76(
            forward=chain.forward * spot / chain.spot,
            strike=chain.strike,
            tau_years=chain.tau_years,
            vol=chain.vol,
            is_call=chain.is_call,
        )
        ngi.append(np.sum(position * value.gamma) * spot**2 * 0.01)
        vss.append(np.sum(position * value.vanna_per_unit_vol) * spot * 0.01)
    return np.array(ngi), np.array(vss)


def test_the_profile_has_301_spots_from_half_to_one_and_a_half_with_spot_in_the_middle() -> None:
    spots = profile_spots(88_256.84)
    assert spots.size == 301
    assert (spots[0], spots[150], spots[-1]) == (88_256.84 * 0.5, 88_256.84, 88_256.84 * 1.5)
    assert np.all(np.diff(spots) > 0)


@share_factories
@given(seed=st.integers(0, 10_000))
def test_the_profile_is_the_book_repriced_option_by_option(make_random_chain, seed: int) -> None:
    chain, position = make_random_chain(seed)
    found = profile(reprice(chain, chain.spot), position)
    ngi, vss = brute_force(chain, position, found.spots)
    assert found.ngi_usd_per_pct == pytest.approx(ngi, rel=1e-9, abs=1e-9 * np.abs(ngi).max())
    assert found.vss_usd_per_vol_point == pytest.approx(vss, rel=1e-9, abs=1e-9 * np.abs(vss).max())


def dense_ngi(chain, position: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """NGI from the textbook's gamma, all spots at once."""
    moved = chain.forward * spots[:, None] / chain.spot
    sd = chain.vol * np.sqrt(chain.tau_years)
    d1 = np.log(moved / chain.strike) / sd + sd / 2
    return np.sum(position * np.exp(-0.5 * d1 * d1) / (np.sqrt(2 * np.pi) * moved * sd), axis=1) * spots**2 * 0.01


@share_factories
@given(seed=st.integers(0, 10_000))
def test_the_flips_are_those_of_a_dense_scan(make_random_chain, seed: int) -> None:
    """Every cell of 8,000 holds an odd number of flips exactly when its ends differ in sign."""
    chain, position = make_random_chain(seed)
    found = [flip.spot for flip in flips(reprice(chain, chain.spot), position).all]
    dense = np.linspace(0.5 * chain.spot, 1.5 * chain.spot, 8_001)
    signs = np.sign(dense_ngi(chain, position, dense))
    per_cell, _ = np.histogram(found, bins=dense)
    assert np.array_equal(per_cell % 2 == 1, signs[:-1] != signs[1:])


@share_factories
@given(seed=st.integers(0, 10_000))
def test_a_flip_is_a_root_to_1e_10_and_its_slope_a_derivative(make_random_chain, seed: int) -> None:
    chain, position = make_random_chain(seed)
    for flip in flips(reprice(chain, chain.spot), position).all:
        width = 1e-10 * flip.spot
        around, _ = brute_force(chain, position, np.array([flip.spot - width, flip.spot + width]))
        assert np.sign(around[0]) != np.sign(around[1])
        h = 1e-4 * flip.spot
        a, b, c, d = brute_force(chain, position, flip.spot + h * np.array([-2, -1, 1, 2]))[0]
        slope = (a - 8 * b + 8 * c - d) / (12 * h)
        assert flip.slope_usd_per_pct_per_usd == pytest.approx(slope, rel=1e-4)


def test_a_spike_between_two_spots_of_the_grid_still_has_its_flips(make_chain) -> None:
    """Ten seconds before expiry gamma is 0.03 % wide; the spots of the grid are 0.33 % apart, none near the strike."""
    strike = 100_166.0
    chain = make_chain([strike, 130_000.0], days=(10 / 86_400, 30.0))
    position = np.where(chain.tau_years > 0.001, 10.0, np.where(chain.strike == strike, -5.0, 0.0))
    repriced = reprice(chain, chain.spot)
    assert np.all(profile(repriced, position).ngi_usd_per_pct > 0)
    left, right = (flip.spot for flip in flips(repriced, position).all)
    assert strike - 100 < left < strike < right < strike + 100


def test_one_flip_is_ok_and_several_are_ambiguous_with_the_nearest_named(make_chain) -> None:
    chain = make_chain([80_000.0, 100_000.0, 120_000.0], days=(10.0,))
    one = flips(reprice(chain, chain.spot), np.array([-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]))
    several = flips(reprice(chain, chain.spot), np.array([-1.0, 0.0, 1.0, 0.0, -1.0, 0.0]))
    assert one.status == "ok"
    assert one.nearest == one.all[0].spot
    assert several.status == "ambiguous"
    assert len(several.all) == 2
    assert several.nearest == min((f.spot for f in several.all), key=lambda spot: abs(spot - chain.spot))


@pytest.mark.parametrize("size", [0.0, 3.0])
def test_a_book_of_one_sign_and_a_flat_book_have_no_flip(make_chain, size: float) -> None:
    chain = make_chain([90_000.0, 110_000.0])
    found = flips(reprice(chain, chain.spot), np.full(chain.strike.size, size))
    assert (found.status, found.all, found.nearest) == ("none_in_range", (), None)


def test_a_book_that_cancels_to_rounding_has_no_flips(make_chain) -> None:
    """Long the call and short the put of each strike: gamma zero up to the last bits."""
    chain = make_chain([90_000.0, 97_000.0, 110_000.0])
    position = np.where(chain.is_call, 0.1 + 0.2, -0.3)
    assert flips(reprice(chain, chain.spot), position).all == ()


def test_distance_is_in_per_cent_and_in_one_day_sigmas_of_the_atm_vol(make_chain) -> None:
    chain = make_chain([80_000.0, 120_000.0], days=(10.0,), vol=0.6)
    (flip,) = flips(reprice(chain, chain.spot), np.array([-1.0, 0.0, 1.0, 0.0])).all
    move = flip.spot / chain.spot - 1
    assert flip.distance_pct == pytest.approx(100 * move, rel=1e-12)
    assert flip.distance_sigmas == pytest.approx(move / (0.6 / np.sqrt(365)), rel=1e-12)


def test_walls_are_the_strikes_of_the_extremes() -> None:
    strikes = np.array([90.0, 100.0, 110.0, 120.0])
    assert walls(strikes, np.array([-3.0, 1.0, 5.0, -7.0])) == (110.0, 120.0)
    assert walls(strikes, np.array([1.0, 2.0, 2.0, 0.0])) == (100.0, None)
    assert walls(strikes, np.zeros(4)) == (None, None)
    assert walls(np.empty(0), np.empty(0)) == (None, None)
