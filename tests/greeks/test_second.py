"""What one second of greeks says, and on what it was priced."""

from collections.abc import Callable

import numpy as np
import pytest

from pricing.black76 import black76

NO_VOL, NO_FORWARD, NO_OPEN_INTEREST, STALE, NOT_FROM_VENUE = 1, 2, 4, 8, 32


def test_an_option_is_priced_at_the_end_of_the_second(pricer, make_ticker, start: int) -> None:
    priced = pricer.second(start, [make_ticker()])
    tau = (30 * 86_400 - 1) / (365 * 86_400)
    expected = black76(forward=99_500.0, strike=100_000.0, tau_years=tau, vol=0.5, is_call=True)
    assert priced.greeks.status == "ok"
    assert priced.greeks.reasons == ()
    assert priced.column("tau_years").tolist() == [pytest.approx(tau, rel=1e-15)]
    for name in ("price", "delta", "gamma", "vega_per_unit_vol", "theta_per_year", "charm_per_year"):
        assert priced.column(name)[0] == pytest.approx(float(getattr(expected, name)), rel=1e-14), name


def test_an_inverse_option_has_a_coin_price_and_a_net_delta(pricer, make_ticker, start: int) -> None:
    priced = pricer.second(start, [make_ticker()])
    assert priced.column("price_coin")[0] == priced.column("price")[0] / 99_500.0
    assert priced.column("net_delta")[0] == priced.column("delta")[0] - priced.column("price_coin")[0]


def test_a_linear_option_has_no_coin_price_and_its_delta_is_its_net_delta(pricer, make_ticker, start: int) -> None:
    priced = pricer.second(start, [make_ticker(linear=True)])
    assert np.isnan(priced.column("price_coin")[0])
    assert priced.column("net_delta")[0] == priced.column("delta")[0]


def test_options_are_ordered_by_expiry_strike_and_call_before_put(pricer, make_ticker, start: int) -> None:
    near, far = (start + 86_400) * 1_000_000, (start + 2 * 86_400) * 1_000_000
    order = [(near, 90.0, "call"), (near, 90.0, "put"), (near, 100.0, "call"), (far, 80.0, "put")]
    tickers = [
        make_ticker(instrument=f"N{i}", expiry_ts=expiry, strike=strike, option_type=side)
        for i, (expiry, strike, side) in enumerate(order)
    ]
    priced = pricer.second(start, reversed(tickers))
    assert priced.greeks.instruments == ("N0", "N1", "N2", "N3")
    assert priced.column("is_call").tolist() == [1, 0, 1, 0]
    assert priced.column("expiry_ts").tolist() == [near, near, near, far]


def test_an_idle_second_is_priced_with_older_inputs(pricer, make_ticker, start: int) -> None:
    first = pricer.second(start, [make_ticker()])
    idle = pricer.second(start + 1)
    assert idle.column("age_ms").tolist() == [1000.0]
    assert idle.greeks.spot_age_ms == 1000
    assert idle.greeks.received_ts is None
    assert idle.column("tau_years")[0] < first.column("tau_years")[0]


@pytest.mark.parametrize(("seconds", "stale"), [(60, False), (61, True)])
def test_inputs_go_stale_after_the_configured_age(
    new_pricer, make_ticker, start: int, seconds: int, stale: bool
) -> None:
    pricer = new_pricer(max_input_age_ms=60_000)
    pricer.second(start, [make_ticker()])
    priced = pricer.second(start + seconds)
    assert bool(priced.column("quality")[0] & STALE) == stale
    assert ("stale_inputs" in priced.greeks.reasons) == stale
    assert ("stale_spot" in priced.greeks.reasons) == stale
    assert priced.greeks.n_priced == 1


def test_the_oldest_input_decides_the_age(pricer, make_ticker, start: int) -> None:
    priced = pricer.second(start, [make_ticker(iv_age_ms=10, underlying_age_ms=500, open_interest_age_ms=170_000)])
    assert priced.column("age_ms").tolist() == [170_000.0]
    assert priced.column("quality").tolist() == [STALE]


def test_a_stale_forward_gives_way_to_a_fresh_implied_one(pricer, make_ticker, start: int) -> None:
    stale = make_ticker(underlying_price=80_000.0, underlying_age_ms=170_000, venue_delta=0.5)
    priced = pricer.second(start, [stale])
    assert priced.column("forward_source").tolist() == [3]
    # Delta ½ lies at F = K·exp(−σ²τ/2).
    assert priced.column("forward")[0] == pytest.approx(100_000.0 * np.exp(-0.125 * 30 / 365), rel=1e-6)
    assert not priced.column("quality")[0] & STALE


def test_a_stale_forward_stays_where_the_deltas_are_as_stale(pricer, make_ticker, start: int) -> None:
    stale = make_ticker(underlying_price=80_000.0, underlying_age_ms=170_000, greeks_age_ms=170_000)
    priced = pricer.second(start, [stale])
    assert priced.column("forward").tolist() == [80_000.0]
    assert priced.column("quality").tolist() == [STALE]


def test_a_stale_index_gives_way_to_a_fresh_forward(pricer, make_ticker, start: int) -> None:
    priced = pricer.second(start, [make_ticker(index_price=80_000.0, index_age_ms=170_000)])
    assert (priced.greeks.spot, priced.greeks.spot_source) == (99_500.0, "nearest_forward")
    assert priced.greeks.reasons == ("spot_from_forward",)


def test_an_input_of_unknown_age_is_stale(pricer, make_ticker, start: int) -> None:
    priced = pricer.second(start, [make_ticker(iv_age_ms=None)])
    assert np.isnan(priced.column("age_ms")[0])
    assert priced.column("quality").tolist() == [STALE]


def test_an_expired_option_leaves_the_chain_in_the_second_that_ends_at_its_expiry(
    pricer, make_ticker, start: int
) -> None:
    expiring = make_ticker(expiry_ts=(start + 2) * 1_000_000)
    assert pricer.second(start, [expiring]).greeks.n_listed == 1
    gone = pricer.second(start + 1, [expiring])
    assert gone.greeks.n_listed == 0
    assert gone.greeks.status == "suppressed"
    assert gone.greeks.reasons == ("no_options", "no_spot")


@pytest.mark.parametrize("vol", [None, 0.0, -0.1, float("inf")])
def test_without_a_usable_vol_an_option_is_listed_but_not_priced(
    pricer, make_ticker, start: int, vol: float | None
) -> None:
    priced = pricer.second(start, [make_ticker(mark_iv=vol)])
    assert priced.column("quality")[0] & NO_VOL
    assert np.isnan(priced.column("gamma")[0])
    assert priced.column("vol_source").tolist() == [0]
    assert (priced.greeks.n_listed, priced.greeks.n_priced, priced.greeks.status) == (1, 0, "suppressed")
    assert "no_priced_options" in priced.greeks.reasons


def test_zero_open_interest_is_real_and_unknown_open_interest_is_flagged(pricer, make_ticker, start: int) -> None:
    priced = pricer.second(
        start,
        [make_ticker(instrument="A", open_interest_base=0.0), make_ticker(instrument="B", open_interest_base=None)],
    )
    assert priced.column("quality").tolist() == [0, NO_OPEN_INTEREST]
    assert priced.column("open_interest_base")[0] == 0.0
    assert np.isnan(priced.column("open_interest_base")[1])


def by_delta(make_ticker: Callable, start: int, forward: float, *, strikes: list[float], vol: float = 0.6) -> list:
    """Tickers without a forward whose rounded deltas belong to ``forward``."""
    tau = (30 * 86_400 - 1) / (365 * 86_400)
    delta = black76(forward=forward, strike=strikes, tau_years=tau, vol=vol, is_call=True).delta
    return [
        make_ticker(
            instrument=f"D{strike}", strike=strike, mark_iv=vol, venue_delta=round(float(d), 5), underlying_price=None
        )
        for strike, d in zip(strikes, delta, strict=True)
    ]


def test_a_missing_forward_is_implied_from_the_deltas_of_its_expiry(pricer, make_ticker, start: int) -> None:
    strikes = [60_000.0, 90_000.0, 100_000.0, 110_000.0, 200_000.0]
    priced = pricer.second(start, by_delta(make_ticker, start, 101_234.5, strikes=strikes))
    assert priced.column("forward") == pytest.approx([101_234.5] * 5, rel=1e-5)
    assert priced.column("forward_source").tolist() == [3] * 5
    assert priced.column("quality").tolist() == [NOT_FROM_VENUE] * 5
    assert priced.greeks.reasons == ("implied_forward",)


def test_deltas_of_an_older_snapshot_do_not_imply_the_forward(pricer, make_ticker, start: int) -> None:
    """Six old options would outvote one new one in a plain median."""
    strikes = [95_000.0 + 2_000 * i for i in range(6)]
    pricer.second(start, by_delta(make_ticker, start, 100_000.0, strikes=strikes))
    pricer.second(start + 1)
    fresh = by_delta(make_ticker, start, 105_000.0, strikes=[104_000.0])
    later = pricer.second(start + 3600, [make_ticker(**vars_of(fresh[0]) | {"second": start + 3600})])
    assert later.column("forward") == pytest.approx([105_000.0] * 7, rel=3e-4)


def vars_of(record) -> dict:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_the_venues_forward_is_preferred_per_option(pricer, make_ticker, start: int) -> None:
    tickers = by_delta(make_ticker, start, 101_000.0, strikes=[100_000.0, 102_000.0])
    priced = pricer.second(start, [make_ticker(instrument="A", underlying_price=99_500.0), *tickers])
    sources = dict(zip(priced.greeks.instruments, priced.column("forward_source").tolist(), strict=True))
    assert sources == {"A": 1, "D100000.0": 3, "D102000.0": 3}


def test_without_forward_and_without_a_delta_near_the_money_nothing_is_invented(
    pricer, make_ticker, start: int
) -> None:
    priced = pricer.second(start, [make_ticker(underlying_price=None, venue_delta=0.02)])
    assert priced.column("quality").tolist() == [NO_FORWARD]
    assert priced.column("forward_source").tolist() == [0]
    assert np.isnan(priced.column("price")[0])


@pytest.mark.parametrize(("minutes", "source"), [(31, 3), (29, 0)])
def test_a_delta_of_the_last_half_hour_implies_no_forward(
    pricer, make_ticker, start: int, minutes: int, source: int
) -> None:
    """Deribit scales it down to 0 over 07:30 to 08:00 UTC, whatever the forward does."""
    expiring = make_ticker(underlying_price=None, expiry_ts=(start + 60 * minutes) * 1_000_000)
    assert pricer.second(start, [expiring]).column("forward_source").tolist() == [source]


def test_spot_is_the_newest_index(pricer, make_ticker, start: int) -> None:
    old = make_ticker(instrument="A", index_price=98_000.0, index_age_ms=900)
    new = make_ticker(instrument="B", index_price=98_500.0, index_age_ms=100)
    priced = pricer.second(start, [new, old])
    assert (priced.greeks.spot, priced.greeks.spot_source, priced.greeks.spot_age_ms) == (98_500.0, "index", 100)


def test_without_an_index_spot_is_the_forward_of_the_nearest_expiry_and_says_so(
    pricer, make_ticker, start: int
) -> None:
    near = make_ticker(
        instrument="N", index_price=None, underlying_price=99_100.0, expiry_ts=(start + 86_400) * 1_000_000
    )
    far = make_ticker(instrument="F", index_price=None, underlying_price=101_000.0)
    priced = pricer.second(start, [far, near])
    assert (priced.greeks.spot, priced.greeks.spot_source) == (99_100.0, "nearest_forward")
    assert priced.greeks.reasons == ("spot_from_forward",)


def test_spot_is_unknown_rather_than_zero(pricer, make_ticker, start: int) -> None:
    priced = pricer.second(start, [make_ticker(index_price=None, underlying_price=None, venue_delta=None)])
    assert (priced.greeks.spot, priced.greeks.spot_source, priced.greeks.spot_age_ms) == (None, "none", None)


def test_only_options_enter_the_chain(pricer, make_ticker, start: int) -> None:
    perpetual = make_ticker(instrument="BTC-PERPETUAL", kind="perpetual", strike=None, expiry_ts=None, option_type=None)
    assert pricer.second(start, [perpetual]).greeks.n_listed == 0


@pytest.mark.parametrize("field", ["strike", "expiry_ts", "option_type"])
def test_an_option_that_does_not_say_what_it_is_is_refused_by_field(
    pricer, make_ticker, start: int, field: str
) -> None:
    priced = pricer.second(start, [make_ticker(**{field: None}), make_ticker(instrument="WHOLE")])
    reject = priced.items[0]
    assert reject.reason == "incomplete_option"
    assert field in reject.detail
    assert priced.close.rejected_records == 1
    assert priced.greeks.instruments == ("WHOLE",)


@pytest.mark.parametrize("venue", ["deribit", "binance-usdm"])
def test_every_unit_of_any_venue_is_closed_once(pricer, make_ticker, start: int, venue: str) -> None:
    priced = pricer.second(start, [make_ticker(venue=venue)], venue=venue, skipped_seconds=3, received_ts=17)
    close = priced.close
    assert priced.items[-1] is close
    assert (close.venue, close.underlying, close.second) == (venue, "BTC", start)
    assert (close.skipped_seconds, close.received_ts, close.input_records) == (3, 17, 1)
    assert len(priced.records) == (1 if venue == "deribit" else 0)


def test_underlyings_have_chains_of_their_own(pricer, make_ticker, start: int) -> None:
    pricer.second(start, [make_ticker()])
    ether = pricer.second(start, [make_ticker(instrument="ETH-X", underlying="ETH")], underlying="ETH")
    assert ether.greeks.instruments == ("ETH-X",)
    assert pricer.second(start + 1).greeks.instruments == ("BTC-MADE-UP-100000-C",)
