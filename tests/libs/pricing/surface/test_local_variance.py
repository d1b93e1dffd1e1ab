"""The implicit step: what it guarantees for any local variance, and its sensitivities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.surface.local_variance import (
    FitSettings,
    Nodes,
    first_density,
    make_march,
    make_nodes,
    nearest_node,
    place_knots,
    quote_loss,
    roughness_rows,
    sensitivities,
    set_variance,
    solve_damped,
    step_all,
)
from pricing.surface.normalised import FloatArray

BASE = 0.05 * np.sinh(np.linspace(-4.5, 4.2, 60))
KNOTS = np.array([-0.5, -0.2, 0.0, 0.1, 0.4])


def march_from(nodes: Nodes, u: FloatArray) -> tuple[FloatArray, FloatArray]:
    march = make_march(nodes.k.size, 2)
    hat = np.empty(nodes.k.size, np.int64)
    weight = np.empty(nodes.k.size)
    place_knots(nodes, KNOTS, hat, weight)
    set_variance(nodes, hat, weight, u, 1.0, march)
    step_all(nodes, np.zeros(nodes.k.size), first_density(nodes), march)
    return march.value.copy(), march.density[2].copy()


@settings(max_examples=50)
@given(u=st.lists(st.floats(-14.0, 2.0), min_size=5, max_size=5))
def test_any_local_variance_gives_convex_increasing_values(u: list[float]) -> None:
    """Non-negative value and density, exactly: no difference of positive numbers is taken."""
    nodes = make_nodes(BASE, np.array([-0.1, 0.03]), 1e-6)
    value, density = march_from(nodes, np.array(u))
    assert np.all(value[1:-1] > 0)
    assert np.all(density >= 0)


def test_one_step_conserves_mass_and_forward() -> None:
    """The density integrates to 1 and to the forward, up to what the ends absorb."""
    nodes = make_nodes(BASE, np.array([-0.1, 0.03]), 1e-6)
    _, density = march_from(nodes, np.log(np.full(5, 0.02)))
    width = np.zeros(nodes.k.size)
    width[1:-1] = 0.5 * (nodes.x[2:] - nodes.x[:-2])
    assert abs(np.sum(width * density) - 1.0) < 1e-6
    assert abs(np.sum(width * density * nodes.x) - 1.0) < 1e-4


def test_sensitivities_are_the_derivatives() -> None:
    nodes = make_nodes(BASE, np.array([-0.1, 0.03]), 1e-6)
    u = np.array([-3.0, -3.5, -4.0, -3.8, -3.2])
    n = nodes.k.size
    march = make_march(n, 2)
    hat = np.empty(n, np.int64)
    weight = np.empty(n)
    place_knots(nodes, KNOTS, hat, weight)
    set_variance(nodes, hat, weight, u, 1.0, march)
    step_all(nodes, np.zeros(n), first_density(nodes), march)
    derivative = np.zeros((n, 8))
    sensitivities(hat, weight, march, 1, n - 1, 5, derivative)
    for j in range(5):
        bump = np.zeros(5)
        bump[j] = 1e-4
        numeric = (march_from(nodes, u + bump)[0] - march_from(nodes, u - bump)[0]) / 2e-4
        np.testing.assert_allclose(derivative[1:-1, j], numeric[1:-1], rtol=1e-6, atol=1e-9)


def test_near_nodes_are_merged_and_quotes_win() -> None:
    base = np.array([-1.0, -0.1, 0.2, 1.0])
    nodes = make_nodes(base, np.array([0.2 + 5e-7, -0.1 - 5e-7, 0.5]), 1e-6)
    assert nodes.k.tolist() == [-1.0, -0.1 - 5e-7, 0.0, 0.2 + 5e-7, 0.5, 1.0]
    assert nodes.k[nodes.atm] == 0.0
    assert nodes.x[0] == 0.0
    assert [nearest_node(nodes.k, v) for v in (-5.0, -0.09, 0.3, 0.4, 9.0)] == [0, 1, 3, 4, 5]


def test_damped_solution_solves_the_system() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(7, 7))
    hessian = root @ root.T
    gradient = rng.normal(size=7)
    step = np.empty(7)
    solve_damped(hessian, gradient, 0.1, np.empty((7, 7)), step)
    damped = hessian + 0.1 * np.diag(np.diag(hessian) + 1e-9)
    np.testing.assert_allclose(damped @ step, -gradient, atol=1e-10)


def test_loss_is_smooth_and_its_pull_is_bounded() -> None:
    """Half the slope is the loss's numeric derivative; beyond the Huber point only the ridge still grows."""
    chosen = FitSettings()
    for e in (-2.0, -0.8, -0.3, 0.0, 0.5, 0.75, 3.0):
        numeric = (quote_loss(e + 1e-6, chosen)[0] - quote_loss(e - 1e-6, chosen)[0]) / 2e-6
        assert abs(2 * quote_loss(e, chosen)[1] - numeric) < 1e-6
    assert quote_loss(9.0, chosen)[1] - quote_loss(5.0, chosen)[1] == pytest.approx(4.0 * chosen.ridge)


def test_straight_lines_are_not_rough() -> None:
    rows = roughness_rows(KNOTS, 0.3)
    line = 2.0 + 3.0 * KNOTS
    bends = [rows[j] @ line[j - 1 : j + 2] for j in range(1, 4)]
    np.testing.assert_allclose(bends, 0.0, atol=1e-12)
