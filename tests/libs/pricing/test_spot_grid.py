"""Gamma and vanna on a grid of spots: equal to the reference, and to themselves in any grid."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pricing.black76 import black76
from pricing.spot_grid import _chain, gamma_sums_on_spots, gamma_vanna_on_spots, signed_sums


def chain(n: int = 200, seed: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "forward": 1e5 * rng.uniform(0.99, 1.05, n),
        "strike": 1e5 * np.exp(rng.normal(0, 0.4, n)),
        "tau_years": np.exp(rng.uniform(np.log(1e-6), np.log(2.0), n)),
        "vol": rng.uniform(0.1, 2.0, n),
    }


def test_every_cell_is_the_reference_at_the_moved_forward() -> None:
    book, spots = chain(), 1e5 * np.linspace(0.5, 1.5, 41)
    grid = gamma_vanna_on_spots(spots=spots, spot=1e5, **book)
    moved = book["forward"] * (spots / 1e5)[:, None]
    expected = black76(forward=moved, strike=book["strike"], tau_years=book["tau_years"], vol=book["vol"], is_call=True)
    s = book["vol"] * np.sqrt(book["tau_years"])
    assert grid.gamma == pytest.approx(expected.gamma, rel=1e-11, abs=1e-14 / np.min(1e5 * s))
    assert grid.vanna_per_unit_vol == pytest.approx(expected.vanna_per_unit_vol, rel=1e-11, abs=1e-13)


def test_a_spot_gives_the_same_bits_alone_and_in_a_grid() -> None:
    """The roots are polished on single spots: a sign seen on the grid must be the sign seen there."""
    book, weights, spots = chain(), np.random.default_rng(3).normal(size=200), 1e5 * np.linspace(0.5, 1.5, 301)
    together = signed_sums(gamma_vanna_on_spots(spots=spots, spot=1e5, **book).gamma, weights)
    alone = [signed_sums(gamma_vanna_on_spots(spots=[s], spot=1e5, **book).gamma, weights)[0] for s in spots]
    assert together.tobytes() == np.array(alone).tobytes()


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(9)), elements=st.floats(-1e6, 1e6)),
    hnp.arrays(np.float64, 9, elements=st.floats(-1e3, 1e3)),
)
def test_signed_sums_are_the_matrix_product(matrix: np.ndarray, weights: np.ndarray) -> None:
    size = np.abs(matrix) @ np.abs(weights)
    assert np.all(np.abs(signed_sums(matrix, weights) - matrix @ weights) <= 1e-14 * size + 1e-300)


def test_an_empty_book_sums_to_zero() -> None:
    empty = np.empty(0)
    grid = gamma_vanna_on_spots(spots=[1.0, 2.0], spot=1.0, forward=empty, strike=empty, tau_years=empty, vol=empty)
    assert signed_sums(grid.gamma, empty).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("field", "value"), [("vol", 0.0), ("tau_years", 0.0), ("forward", np.nan), ("strike", -5.0)])
def test_an_option_that_cannot_be_repriced_is_refused_by_name(field: str, value: float) -> None:
    book = chain(3)
    book[field] = np.array([1.0, value, 1.0])
    with pytest.raises(ValueError, match=rf"{field}\[1\]"):
        gamma_vanna_on_spots(spots=[1e5], spot=1e5, **book)


@pytest.mark.parametrize("n_spots", [1, 63, 64, 65, 401])
def test_sums_without_the_matrix_are_the_sums_of_the_matrix(n_spots: int) -> None:
    book, spots = chain(), 1e5 * np.linspace(0.6, 1.4, n_spots)
    weights = np.random.default_rng(4).normal(size=200)
    sums = gamma_sums_on_spots(spots=spots, spot=1e5, weights=weights, **book)
    gamma = gamma_vanna_on_spots(spots=spots, spot=1e5, **book).gamma
    assert np.all(np.abs(sums - signed_sums(gamma, weights)) <= 1e-13 * signed_sums(gamma, np.abs(weights)) + 1e-300)


@pytest.mark.parametrize("threads", [2, 3])
def test_bits_do_not_depend_on_threads(threads: int) -> None:
    book, spots, weights = chain(), 1e5 * np.linspace(0.6, 1.4, 301), np.random.default_rng(4).normal(size=200)
    arguments = {"spots": spots, "spot": 1e5, **book}
    sums = [gamma_sums_on_spots(**arguments, weights=weights, threads=k).tobytes() for k in (1, threads)]
    grids = [gamma_vanna_on_spots(**arguments, threads=k) for k in (1, threads)]
    assert sums[0] == sums[1]
    assert grids[0].gamma.tobytes() == grids[1].gamma.tobytes()
    assert grids[0].vanna_per_unit_vol.tobytes() == grids[1].vanna_per_unit_vol.tobytes()


def test_a_spot_sums_to_the_same_bits_alone_and_in_a_grid() -> None:
    book, spots, weights = chain(), 1e5 * np.linspace(0.6, 1.4, 130), np.random.default_rng(4).normal(size=200)
    together = gamma_sums_on_spots(spots=spots, spot=1e5, weights=weights, **book)
    alone = [gamma_sums_on_spots(spots=[s], spot=1e5, weights=weights, **book)[0] for s in spots]
    assert together.tobytes() == np.array(alone).tobytes()


def test_an_option_far_from_every_spot_counts_nothing() -> None:
    far = {"forward": [100.0], "strike": [1e9], "tau_years": [1e-4], "vol": [0.1]}
    grid = gamma_vanna_on_spots(spots=[50.0, 150.0], spot=100.0, **far)
    assert grid.gamma.tolist() == [[0.0], [0.0]]
    assert np.abs(grid.vanna_per_unit_vol).tolist() == [[0.0], [0.0]]
    assert gamma_sums_on_spots(spots=[50.0, 150.0], spot=100.0, weights=[1.0], **far).tolist() == [0.0, 0.0]


def test_a_weight_for_every_option_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"weights has shape \(2,\).*one weight per option"):
        gamma_sums_on_spots(spots=[1e5], spot=1e5, weights=[1.0, 2.0], **chain(3))


def test_plain_python_gives_what_is_compiled(uncompiled: Callable[[str], ModuleType]) -> None:
    book, spots, weights = chain(6), np.array([9e4, 1.1e5]), np.array([1.0, -2.0, 3.0, 0.5, 1.5, -1.0])
    grid = gamma_vanna_on_spots(spots=spots, spot=1e5, **book)
    expected = signed_sums(grid.gamma, weights)
    ratios, options = spots / 1e5, _chain(**book)
    greeks, sums, rows = np.empty((2, 2, 6)), np.empty(2), np.empty(2)
    kernels = uncompiled("pricing.spot_grid_kernel")
    with np.errstate(all="ignore"):
        kernels.fill(ratios, options, 0, 2, greeks)
        kernels.row_sums(grid.gamma, weights, rows)
        options[3] *= weights
        kernels.add_up(ratios, options, 0, 2, sums)
    assert greeks[0] == pytest.approx(grid.gamma, rel=1e-11, abs=0)
    assert greeks[1] == pytest.approx(grid.vanna_per_unit_vol, rel=1e-11, abs=0)
    assert rows == pytest.approx(expected, rel=1e-13, abs=0)
    assert sums == pytest.approx(expected, rel=1e-11, abs=0)
