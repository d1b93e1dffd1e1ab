"""From a chain to a certified surface: forwards, filters, thin expiries, what is said when something is wrong."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pricing.surface.andreasen_huge import fit_surface
from pricing.surface.between import atm_total_variance, smile_at
from pricing.surface.build import ExpiryChain, build_surface, moneyness_of
from pricing.surface.forwards import choose_forward, interpolate_forward, parity_interval
from pricing.surface.options import OptionQuote, QuoteFilter

Make = Callable[..., Any]

FORWARD = 50_000.0


def option(*, strike: float = 50_000.0, is_call: bool = True, **more: Any) -> OptionQuote:
    values: dict[str, Any] = {"bid": 0.05, "ask": 0.06, "forward": FORWARD, "instrument": "x"}
    return OptionQuote(strike=strike, is_call=is_call, **(values | more))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"bid": None}, "no_bid"),
        ({"bid": 0.0}, "no_bid"),
        ({"ask": None}, "no_ask"),
        ({"ask": 0.05}, "crossed"),
        ({"strike": 49_000.0}, "in_the_money"),
        ({"is_call": False}, "in_the_money"),
        ({"ask": 1.2}, "out_of_bounds"),
        ({"age_s": 11.0}, "old"),
        ({"age_s": 10.0}, None),
        ({"bid_size": 0.5}, "small"),
        ({"ask_size": 1.0}, None),
    ],
)
def test_a_quote_is_used_or_there_is_a_reason(change: dict[str, Any], reason: str | None) -> None:
    assert QuoteFilter(min_size=1.0).reason_against(option(**change), FORWARD) == reason


def test_impossible_filters_are_refused() -> None:
    with pytest.raises(ValueError, match="max_age_s = -1"):
        QuoteFilter(max_age_s=-1)
    with pytest.raises(ValueError, match="min_size"):
        QuoteFilter(min_size=math.nan)


def test_parity_confines_the_forward(skewed_slice: Make, chain_of: Make) -> None:
    """Values of one smile on one forward: the interval holds it; a shifted put empties it."""
    chain = chain_of(skewed_slice("e", 0.1), FORWARD)
    interval = parity_interval(chain.options)
    assert interval is not None
    assert interval.low <= FORWARD <= interval.high
    assert interval.distance_bps(FORWARD) == 0.0
    assert interval.distance_bps(interval.high * 1.001) == pytest.approx(10.0, rel=0.01)
    shifted = [replace(o, bid=o.bid + 0.05, ask=o.ask + 0.05) if i == 3 else o for i, o in enumerate(chain.options)]
    contradicting = parity_interval(shifted)
    assert contradicting is not None
    assert contradicting.is_empty
    assert parity_interval(chain.options[:1]) is None


def test_sources_of_the_forward_in_order_and_their_disagreement(skewed_slice: Make, chain_of: Make) -> None:
    chain = chain_of(skewed_slice("e", 0.1), FORWARD)
    venue = choose_forward(chain.options, future=FORWARD * 1.01)
    assert venue is not None
    assert (venue.source, venue.value) == ("venue", FORWARD)
    assert venue.disagreement_bps == pytest.approx(100.0)
    assert venue.is_alarming
    bare = [replace(one, forward=None) for one in chain.options]
    for given, source in (({"future": FORWARD}, "future"), ({"from_delta": FORWARD}, "delta"), ({}, "parity")):
        found = choose_forward(bare, **given)
        assert found is not None
        assert found.source == source
        assert found.value == pytest.approx(FORWARD, rel=2e-3)
        assert not found.is_alarming
    assert choose_forward(bare[:1]) is None


def test_a_missing_forward_is_interpolated_in_its_basis() -> None:
    found = interpolate_forward(0.2, {0.1: 100.0, 0.3: 121.0})
    assert found is not None
    assert found.source == "interpolated"
    assert found.value == pytest.approx(110.0)
    beyond = interpolate_forward(0.4, {0.1: 100.0, 0.2: 110.0, 0.3: 121.0})
    assert beyond is not None
    assert beyond.value == pytest.approx(133.1)
    alone = interpolate_forward(0.4, {0.1: 100.0})
    assert alone is not None
    assert alone.value == 100.0
    assert interpolate_forward(0.4, {}) is None


@pytest.fixture(name="chains")
def _chains(skewed_slice: Make, chain_of: Make) -> Make:
    def chains(*days: float) -> list[ExpiryChain]:
        return [chain_of(skewed_slice(f"e{d:04.0f}", d / 365), FORWARD) for d in days]

    return chains


def test_a_whole_chain_is_certified(chains: Make) -> None:
    surface = build_surface(chains(30, 2, 7))
    assert surface.status == "ok"
    assert [one.expiry for one in surface.expiries] == ["e0002", "e0007", "e0030"]
    for one in surface.expiries:
        assert (one.status, one.model) == ("ok", "andreasen_huge")
        assert one.certificate is not None
        assert one.certificate.arbitrage.passed
        assert one.certificate.fit is not None
        assert one.certificate.fit.n_outside == 0
        assert one.certificate.liquid is not None
        assert one.certificate.liquid.n_quotes < one.certificate.fit.n_quotes
        assert one.summary is not None
        assert one.summary.butterfly_free
        assert one.reasons.count(None) == one.certificate.fit.n_quotes
    last = surface.expiries[-1].certificate
    assert last is not None
    assert last.arbitrage.min_calendar_gap is None


def test_a_warm_surface_is_the_cold_one_within_spreads(chains: Make) -> None:
    cold = build_surface(chains(2, 7, 30))
    warm = build_surface(chains(2, 7, 30), warm=cold)
    assert warm.status == "ok"
    assert warm.fit is not None
    assert cold.fit is not None
    assert warm.fit.fit.iterations.sum() < cold.fit.fit.iterations.sum()


def thin(chain: ExpiryChain, n: int) -> ExpiryChain:
    """Keep ``n`` quotes: the out-of-the-money ones around the middle."""
    good = [o for o in chain.options if QuoteFilter().reason_against(o, FORWARD) is None]
    good.sort(key=lambda one: abs(math.log(one.strike / FORWARD)))
    return replace(chain, options=tuple(good[:n]))


def test_an_expiry_with_few_quotes_gets_svi(chains: Make) -> None:
    a, b, c = chains(2, 7, 30)
    surface = build_surface([a, thin(b, 5), c])
    found = surface.expiries[1]
    assert (found.model, found.status) == ("svi", "ok")
    assert found.certificate is not None
    assert found.certificate.arbitrage.passed
    assert found.certificate.fit is not None
    assert found.certificate.fit.n_outside == 0


def test_an_expiry_with_no_or_wrong_quotes_is_interpolated(skewed_slice: Make, chain_of: Make, chains: Make) -> None:
    """Two quotes; then five that lie far above the next expiry: no smile of their own would be free of arbitrage."""
    a, b, c = chains(2, 7, 30)
    few = build_surface([a, thin(b, 2), c]).expiries[1]
    assert (few.model, few.status) == ("andreasen_huge_interpolated", "interpolated")
    above = chain_of(skewed_slice("e0007", 7 / 365, level=2.0), FORWARD)
    wrong = build_surface([a, thin(above, 5), c]).expiries[1]
    assert wrong.status == "interpolated"
    assert wrong.certificate is not None
    assert wrong.certificate.arbitrage.passed
    empty = build_surface([a, replace(b, options=(), future=FORWARD), c]).expiries[1]
    assert (empty.status, empty.quotes) == ("interpolated", None)
    assert empty.certificate is not None
    assert empty.certificate.fit is None


def test_one_thin_expiry_alone_is_a_flat_start(chains: Make) -> None:
    surface = build_surface([thin(chains(7)[0], 4)])
    assert surface.status == "ok"
    assert surface.expiries[0].model == "svi"
    nothing = build_surface([thin(chains(7)[0], 2)])
    assert (nothing.status, nothing.expiries[0].status) == ("empty", "no_surface")


def test_expired_and_forwardless_expiries_say_so(chains: Make) -> None:
    a, b = chains(2, 7)
    dead = replace(a, tau_years=-0.001)
    blind = replace(b, options=tuple(replace(o, forward=None, bid=None) for o in b.options))
    surface = build_surface([dead, blind])
    assert [one.status for one in surface.expiries] == ["expired", "no_forward"]
    assert not surface.expiries[0].is_usable
    with pytest.raises(ValueError, match="has no forward"):
        moneyness_of(surface.expiries[0], a.options[0])


def test_a_forward_the_sources_disagree_on_is_an_alarm_not_a_failure(chains: Make) -> None:
    a, b = chains(2, 7)
    surface = build_surface([a, replace(b, future=FORWARD * 1.01)])
    assert [one.status for one in surface.expiries] == ["ok", "forward_alarm"]
    assert surface.status == "ok"


def test_smiles_in_between_are_ordered_and_meet_the_wanted_level(skewed_slice: Make) -> None:
    slices = [skewed_slice(f"{days}", days / 365) for days in (2, 7, 30)]
    fit = fit_surface(slices)
    k = np.linspace(-0.5, 0.5, 101)
    before = np.zeros(k.size)
    for days in (0.5, 2, 3, 5, 7, 15, 30, 60):
        smile = smile_at(fit, days / 365)
        value = smile.value(k)
        assert np.all(value >= before * (1 - 1e-13)), days
        assert np.all(smile.density >= 0)
        before = value
    w2, w4, w7 = (atm_total_variance(smile_at(fit, days / 365)) for days in (2, 4, 7))
    assert w4 == pytest.approx(w2 + (w7 - w2) * 2 / 5, rel=1e-9)
    wanted = smile_at(fit, 4 / 365, atm_variance=0.5 * (w2 + w7))
    assert atm_total_variance(wanted) == pytest.approx(0.5 * (w2 + w7), rel=1e-9)
    with pytest.raises(ValueError, match="tau_years = 0"):
        smile_at(fit, 0.0)
