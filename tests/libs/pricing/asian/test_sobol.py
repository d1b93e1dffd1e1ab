"""Points of the net, and what scrambling may and may not do to them."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kstest, qmc

from pricing.asian.sobol import MAX_DIMENSIONS, _direction_numbers, _net, scrambled_normals


def test_the_net_is_that_of_the_published_direction_numbers() -> None:
    """The same 1,024 points as another implementation of the same table, in any order."""
    ours = _net(_direction_numbers()[:, :10]).T / 2.0**32
    theirs = qmc.Sobol(MAX_DIMENSIONS, scramble=False, bits=32).random(1024)
    assert {tuple(point) for point in ours} == {tuple(point) for point in theirs}


@pytest.mark.parametrize("points", [1, 2, 64, 512])
def test_every_scrambling_has_one_point_in_each_slice(points: int) -> None:
    """Nested scrambling keeps the net: in each dimension every n-th of the probability has one point."""
    normals = scrambled_normals(randomisations=5, points=points, dimensions=MAX_DIMENSIONS, seed=3)
    slices = np.sort((ndtr(normals) * points).astype(int), axis=2)
    assert np.all(slices == np.arange(points))


def test_pairs_of_dimensions_stay_a_net() -> None:
    """Dimensions 1 and 2: each of the 8 × 8 squares has one of 64 points."""
    unit = ndtr(scrambled_normals(randomisations=4, points=64, dimensions=2, seed=5))
    for first, second in unit:
        squares = {(int(8 * a), int(8 * b)) for a, b in zip(first, second, strict=True)}
        assert len(squares) == 64


def test_each_point_is_uniform_over_scramblings() -> None:
    """The first point of the net, which is 0 unscrambled."""
    normals = scrambled_normals(randomisations=4000, points=2, dimensions=2, seed=11)
    for column in (normals[:, 0, 0], normals[:, 1, 1]):
        assert kstest(column, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(normals[:, 0, 0], normals[:, 1, 0])[0, 1]) < 0.06


def test_seeds_give_sets_of_their_own() -> None:
    """Also neighbouring ones; and a caller may change what it got."""
    first, other = (scrambled_normals(randomisations=2, points=8, dimensions=3, seed=seed) for seed in (1, 2))
    assert not np.any(np.isin(first, other))
    kept = first.copy()
    first[:] = 0.0
    assert np.array_equal(scrambled_normals(randomisations=2, points=8, dimensions=3, seed=1), kept)


def test_more_dimensions_than_there_are_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="dimensions = 17"):
        scrambled_normals(randomisations=2, points=8, dimensions=17, seed=0)
