"""Sign changes of functions whose roots are known."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealer_flow.roots import sign_changes

NODES = np.linspace(0.5, 1.5, 101)


def found(function: Callable[[float], float], floor: float = 1e-15) -> tuple[float, ...]:
    return sign_changes(function, NODES, np.array([function(float(x)) for x in NODES]), floor=floor)


@given(st.lists(st.floats(0.52, 1.48), min_size=1, max_size=6, unique=True))
def test_every_root_of_a_polynomial_is_found_to_1e_10(roots: list[float]) -> None:
    roots = sorted(roots)
    if np.any(np.diff(roots) < 0.02):
        return  # closer than the grid: the next test's business

    def polynomial(x: float) -> float:
        return float(np.prod([x - root for root in roots]))

    assert found(polynomial, floor=0.0) == pytest.approx(roots, rel=1e-10)


@pytest.mark.parametrize("centre", [0.7531, 1.0049, 1.2])
def test_a_pair_of_roots_inside_one_cell_is_found(centre: float) -> None:
    half = 0.002
    assert found(lambda x: (x - centre) ** 2 - half**2) == pytest.approx([centre - half, centre + half], rel=1e-10)


def test_a_root_exactly_on_a_node_is_counted_once() -> None:
    node = float(NODES[40])
    assert found(lambda x: x - node) == (node,)


def test_touching_zero_without_crossing_is_no_root() -> None:
    node = float(NODES[40])
    assert found(lambda x: (x - node) ** 2) == ()
    assert found(lambda x: -((x - node - 0.003) ** 2), floor=1e-12) == ()


def test_a_stretch_of_zeros_between_opposite_signs_is_one_root_inside_it() -> None:
    (root,) = found(lambda x: max(x - 1.1, 0.0) + min(x - 0.9, 0.0))
    assert 0.9 <= root <= 1.1


def test_zeros_at_the_ends_are_no_roots() -> None:
    assert found(lambda x: max(x - 1.1, 0.0)) == ()


def test_zero_everywhere_has_no_roots() -> None:
    assert found(lambda _: 0.0) == ()


def test_what_is_below_the_floor_is_zero() -> None:
    """A tail that wiggles around zero at the rounding level is not a row of flips."""
    assert found(lambda x: 1e-16 * np.sin(300 * x) if x < 1.0 else x - 1.0, floor=1e-12) == ()
