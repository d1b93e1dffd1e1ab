"""Real Deribit chains, read in place: our greeks against the venue's, implied forwards against known ones."""

import numpy as np
import pytest
from scipy.special import ndtri

pytestmark = pytest.mark.shared_data


def last_second(tickers) -> int:
    return max(t.second for t in tickers)


def test_every_option_of_the_daily_chain_is_priced_fresh(pricer, daily_chain) -> None:
    """Its rows span 82 seconds: they are one chain all the same."""
    priced = pricer.second(last_second(daily_chain), daily_chain)
    assert priced.greeks.n_listed == priced.greeks.n_priced == len(daily_chain) == 664
    assert priced.greeks.reasons == ()
    assert 60_000 < priced.column("age_ms").max() < 120_000


def test_our_greeks_agree_with_the_venues_to_its_rounding(pricer, daily_chain) -> None:
    """Deribit rounds vega to 1e-5 USD per point, delta and gamma to 1e-5, and mark iv to 0.01 points.

    The rows are up to 82 s old at the time priced for: 0.1 % of the nearest expiry's life, up to 1 % of a wing's vega.
    """
    priced = pricer.second(last_second(daily_chain), daily_chain)
    vol_rounding = 0.5e-4
    volga = np.abs(priced.column("volga_per_unit_vol2")) * vol_rounding / 100
    error = np.abs(priced.column("vega_per_unit_vol") / 100 - priced.column("venue_vega"))
    assert np.all(error <= 2 * volga + 1e-2 * np.abs(priced.column("venue_vega")) + 2e-5)
    vanna = np.abs(priced.column("vanna_per_unit_vol")) * vol_rounding
    assert np.all(np.abs(priced.column("delta") - priced.column("venue_delta")) <= 2 * vanna + 2e-4)
    assert np.all(np.abs(priced.column("gamma") - priced.column("venue_gamma")) <= 1e-5)


def test_the_price_in_coin_agrees_with_the_venues_mark(pricer, daily_chain) -> None:
    priced = pricer.second(last_second(daily_chain), daily_chain)
    assert np.abs(priced.column("price_coin") - priced.column("mark_price")).max() < 3e-4


def test_implied_forwards_agree_with_the_venues_within_1e_4(pricer, make_ticker, daily_chain) -> None:
    """Against the venue's forwards of the same options: spot moves while the chain's rows are taken."""
    names = daily_chain[0].__dataclass_fields__
    blind = [
        make_ticker(**{name: getattr(t, name) for name in names} | {"underlying_price": None}) for t in daily_chain
    ]
    priced = pricer.second(last_second(daily_chain), blind)
    known = {t.instrument: t.underlying_price for t in daily_chain}
    venue = np.array([known[name] for name in priced.greeks.instruments])
    delta = np.abs(priced.column("venue_delta"))
    assert np.all(priced.column("forward_source") == 3)
    for expiry in np.unique(priced.column("expiry_ts")):
        near = (priced.column("expiry_ts") == expiry) & (delta > 0.25) & (delta < 0.75)
        assert np.median(venue[near]) == pytest.approx(priced.column("forward")[near][0], rel=1e-4)


def test_the_hourly_chain_is_priced_on_forwards_that_its_vegas_confirm(pricer, hourly_chain) -> None:
    """F = vega/(φ(d1)·√T): the venue's vega was not used to imply the forward, so it can contradict it.

    The rows are stamped with their hour but were taken up to 49 minutes off it. The nearest expiry tells by how much
    (there vega is all time); every other expiry must then agree.
    """
    priced = pricer.second(last_second(hourly_chain), hourly_chain)
    assert priced.greeks.n_priced == priced.greeks.n_listed == len(hourly_chain) > 600
    assert priced.greeks.spot_source == "nearest_forward"
    delta = priced.column("venue_delta") + np.where(priced.column("is_call") == 1, 0.0, 1.0)
    tau, forward = priced.column("tau_years"), priced.column("forward")
    phi = np.exp(-0.5 * ndtri(delta) ** 2) / np.sqrt(2 * np.pi)
    near = (delta > 0.3) & (delta < 0.7)

    def by_vega(expiry: int, shift: float) -> float:
        of = near & (priced.column("expiry_ts") == expiry)
        return float(np.median(100 * priced.column("venue_vega")[of] / (phi[of] * np.sqrt(tau[of] - shift))))

    nearest, *others = np.unique(priced.column("expiry_ts"))
    at = int(np.argmax(priced.column("expiry_ts") == nearest))
    shift = tau[at] * (1 - (by_vega(nearest, 0.0) / forward[at]) ** 2)
    assert len(others) > 8
    for expiry in others:
        priced_on = forward[priced.column("expiry_ts") == expiry][0]
        assert by_vega(expiry, shift) == pytest.approx(priced_on, rel=1e-4)
