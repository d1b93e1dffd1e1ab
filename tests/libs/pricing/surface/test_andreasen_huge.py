"""The surface: free of arbitrage whatever the quotes are, inside them where that is possible, and reproducible."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pricing.surface.andreasen_huge import AndreasenHuge, fit_surface
from pricing.surface.certificate import check_values, quote_fit
from pricing.surface.normalised import FloatArray
from pricing.surface.quotes import SliceQuotes, smile_vol

CountArbitrage = Callable[..., tuple[int, int, int]]


def values(surface: AndreasenHuge) -> list[Callable[[FloatArray], FloatArray]]:
    return [surface.smile(i).value for i in range(len(surface.quotes))]


def test_a_feasible_chain_is_fitted_inside_its_spreads(skewed_chain: tuple[SliceQuotes, ...]) -> None:
    surface = fit_surface(skewed_chain)
    assert surface.fit.outside.tolist() == [0] * 5
    for i, quotes in enumerate(surface.quotes):
        fit = quote_fit(quotes, surface.smile(i))
        assert (fit.n_outside, fit.n_quotes) == (0, 25)
        assert fit.rmse_vol_points < 0.5


def test_values_at_quoted_strikes_are_node_values(skewed_chain: tuple[SliceQuotes, ...]) -> None:
    """Strikes are nodes, so that a fit inside the spread is inside at the strike and not only near it."""
    surface = fit_surface(skewed_chain)
    for i, quotes in enumerate(surface.quotes):
        value = surface.smile(i).value(quotes.log_moneyness)
        assert np.all((value >= quotes.bid) & (value <= quotes.ask))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32 - 1), noise=st.floats(0.0, 0.5), shift=st.floats(-0.4, 0.4))
def test_no_quotes_make_arbitrage(
    seed: int, noise: float, shift: float, skewed_chain: tuple[SliceQuotes, ...], count_arbitrage: CountArbitrage
) -> None:
    """Noisy, crossed in time, shifted slices: random strike triples find no butterfly and no calendar."""
    rng = np.random.default_rng(seed)
    chain = []
    for i, one in enumerate(skewed_chain):
        factor = np.exp(rng.normal(0.0, noise, one.bid.size) + (shift if i % 2 else -shift))
        value = np.minimum(one.bid * factor, 0.9 * np.minimum(1.0, np.exp(one.log_moneyness)))
        chain.append(SliceQuotes(one.expiry, one.tau_years, one.log_moneyness, value, value * 1.02))
    surface = fit_surface(chain)
    low, high = chain[-1].log_moneyness[[0, -1]]
    assert count_arbitrage(values(surface), low - 0.69, high + 0.4) == (0, 0, 0)
    for i, quotes in enumerate(surface.quotes):
        following = surface.smile(i + 1) if i + 1 < len(chain) else None
        k = quotes.log_moneyness
        assert check_values(surface.smile(i), following, lowest_k=k[0], highest_k=k[-1]).passed


def test_the_arbitrage_count_can_find_some(count_arbitrage: CountArbitrage) -> None:
    """A dent in a value is a butterfly, an order in time turned round a calendar."""

    def flat(k: FloatArray) -> FloatArray:
        return np.asarray(0.1 * np.exp(-np.abs(k)))

    def dented(k: FloatArray) -> FloatArray:
        return np.asarray(flat(k) - 0.02 * np.exp(-((k - 0.3) ** 2) / 0.001))

    butterflies, _, calendars = count_arbitrage([flat, dented], -1.0, 1.0)
    assert butterflies > 0
    assert calendars > 0


def test_same_input_same_bits(skewed_chain: tuple[SliceQuotes, ...]) -> None:
    """And the order in which slices are passed does not matter."""
    one, other = fit_surface(skewed_chain), fit_surface(skewed_chain[::-1])
    assert one.fit.values.tobytes() == other.fit.values.tobytes()
    assert one.fit.curvatures.tobytes() == other.fit.curvatures.tobytes()


def test_a_warm_start_needs_fewer_iterations_and_ends_close(skewed_chain: tuple[SliceQuotes, ...]) -> None:
    cold = fit_surface(skewed_chain)
    moved = [SliceQuotes(q.expiry, q.tau_years, q.log_moneyness + 2e-4, q.bid, q.ask) for q in skewed_chain[1:]]
    warm = fit_surface(moved, warm=cold)
    again = fit_surface(moved)
    assert warm.fit.iterations.sum() < again.fit.iterations.sum()
    for i, q in enumerate(moved):
        k = q.log_moneyness
        np.testing.assert_allclose(smile_vol(warm.smile(i), k), smile_vol(again.smile(i), k), atol=2e-3)


def test_a_new_expiry_starts_cold_within_a_warm_surface(skewed_chain: tuple[SliceQuotes, ...]) -> None:
    warm = fit_surface(skewed_chain, warm=fit_surface(skewed_chain[:2]))
    assert warm.fit.outside.sum() == 0


def test_lambda_is_reported_and_only_lowered_where_needed(skewed_chain: tuple[SliceQuotes, ...]) -> None:
    """One quote half a point off its smile needs a rougher local variance than the others."""
    bent = list(skewed_chain)
    q = bent[3]
    bid, ask = q.bid.copy(), q.ask.copy()
    bid[12:13] *= 1.025
    ask[12:13] *= 1.025
    bent[3] = SliceQuotes(q.expiry, q.tau_years, q.log_moneyness, bid, ask)
    surface = fit_surface(bent)
    assert surface.smoothing(0) == 0.3
    assert surface.smoothing(3) <= 0.3
    knots, u = surface.local_variance(3)
    assert knots.shape == u.shape


def test_derivatives_are_those_of_the_value(skewed_chain: tuple[SliceQuotes, ...]) -> None:
    smile = fit_surface(skewed_chain).smile(3)
    k = np.array([-0.31, -0.05, 0.013, 0.22])
    x = np.exp(k)
    c, slope, second = smile.call_derivatives(k)
    h = 1e-5

    def call(at: FloatArray) -> FloatArray:
        return np.asarray(smile.value(np.log(at)) + np.maximum(1.0 - at, 0.0))

    np.testing.assert_allclose(c, call(x), rtol=1e-14)
    np.testing.assert_allclose(slope, (call(x + h) - call(x - h)) / (2 * h), atol=1e-6)
    np.testing.assert_allclose(second, (call(x + h) - 2 * call(x) + call(x - h)) / h**2, rtol=0.02)


def test_variance_goes_on_beyond_representable_values() -> None:
    """An hour to expiry: at k = 4 no value is left, the variance is still finite and does not fall."""
    k = np.linspace(-0.01, 0.01, 7)
    value = 1e-3 * np.exp(-np.abs(k) / 2e-3)
    smile = fit_surface([SliceQuotes("hour", 1 / 8760, k, 0.9 * value, value)]).smile(0)
    w = smile.total_variance(np.array([0.0, 1.0, 2.0, 4.0]))
    assert np.all(np.isfinite(w))
    assert np.all(np.diff(w) >= 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tau_years": 0.0}, "tau_years = 0.0 of x is not positive"),
        ({"bid": np.array([0.0] * 7)}, r"bid\[0\] = .* of x must be > 0"),
        ({"bid": np.array([0.9] * 7)}, r"ask\[0\] = .* of x must be at least the bid"),
        ({"ask": np.array([2.0] * 7)}, r"ask\[0\] = .* of x must be below"),
        ({"ask": np.array([0.2] * 6)}, r"ask of x has shape \(6,\), not \(7,\)"),
        ({"log_moneyness": np.linspace(0.1, -0.1, 7)}, "must not decrease"),
        ({"log_moneyness": np.full(7, np.nan)}, "must be finite"),
        ({"log_moneyness": np.zeros(0)}, "log_moneyness of x is empty"),
    ],
)
def test_impossible_quotes_are_refused(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "expiry": "x",
        "tau_years": 0.1,
        "log_moneyness": np.linspace(-0.1, 0.1, 7),
        "bid": np.full(7, 0.1),
        "ask": np.full(7, 0.11),
    }
    with pytest.raises(ValueError, match=message):
        SliceQuotes(**(good | change))  # type: ignore[arg-type]


def test_impossible_chains_are_refused(skewed_chain: tuple[SliceQuotes, ...]) -> None:
    few = SliceQuotes("few", 0.1, np.zeros(1), np.full(1, 0.1), np.full(1, 0.11))
    far = SliceQuotes("far", 0.1, np.linspace(4.0, 5.0, 6), np.full(6, 0.1), np.full(6, 0.11))
    with pytest.raises(ValueError, match="at least one slice"):
        fit_surface([])
    with pytest.raises(ValueError, match="is there twice"):
        fit_surface([*skewed_chain, skewed_chain[0]])
    with pytest.raises(ValueError, match="few has 1 quotes"):
        fit_surface([few])
    with pytest.raises(ValueError, match="leaves"):
        fit_surface([far])
    with pytest.raises(ValueError, match="smoothings is empty"):
        fit_surface(skewed_chain, smoothings=())
