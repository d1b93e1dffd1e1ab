"""Vols, prices and greeks: arbitrage-mild, on the venue's ticks, in the venue's conventions."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stack.simulator.black import Terms, coin_price, implied_vol, venue_greeks
from stack.simulator.board import ASK, BID, BID_AMOUNT, COLUMNS, MARK, MARK_IV, ladder, to_tick
from stack.simulator.listing import YEAR_MS
from stack.simulator.smile import Smile, draw_smile
from stack.simulator.world import World

SEEDS = st.integers(0, 10_000)
IV = {"mark": MARK_IV, "bid": COLUMNS.index("bid_iv"), "ask": COLUMNS.index("ask_iv")}


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.sampled_from(["BTC", "ETH"]), st.floats(0.5, 2.0), st.sampled_from([1, 7, 30, 365]))
def test_smile_has_no_butterfly_arbitrage(seed: int, underlying: str, level: float, days: int) -> None:
    """Call prices fall and are convex in strike."""
    smile = draw_smile(np.random.default_rng(seed), underlying)
    k = np.linspace(0.6, 1.6, 400)
    years = np.full(400, days / 365)
    prices = coin_price(Terms(np.ones(400), k, years, np.ones(400, bool)), smile.vol(np.log(k), years, level))
    assert (np.diff(prices) <= 1e-12).all()
    assert (np.diff(prices, 2) >= -1e-9).all()


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.floats(0.5, 2.0), st.floats(-0.8, 0.8))
def test_smile_has_no_calendar_arbitrage(seed: int, level: float, k: float) -> None:
    """Total variance rises with time to expiry."""
    smile = draw_smile(np.random.default_rng(seed), "BTC")
    years = np.geomspace(1 / 365 / 24, 2.0, 200)
    total = smile.vol(np.full(200, k), years, level) ** 2 * years
    assert (np.diff(total) > 0).all()


def test_smile_refuses_parameters_that_admit_arbitrage() -> None:
    with pytest.raises(ValueError, match=r"eta.*must be ≤ 2"):
        Smile(short_variance=0.2, long_variance=0.2, mean_reversion=3, rho=-0.5, eta=1.9)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.7, 1.4), st.floats(0.01, 1.0), st.floats(0.2, 1.5), st.booleans())
def test_implied_vol_inverts_the_price_to_a_thousandth_of_a_tick(
    moneyness: float, years: float, vol: float, is_call: bool
) -> None:
    terms = Terms(np.full(1, 90_000.0), np.full(1, 90_000.0 * moneyness), np.full(1, years), np.full(1, is_call))
    price = coin_price(terms, np.full(1, vol))
    assume(price[0] - coin_price(terms, np.full(1, 1e-3))[0] > 1e-9)
    found = implied_vol(terms, price, np.full(1, 0.5))
    assert coin_price(terms, found) == pytest.approx(price, abs=1e-7)


def test_implied_vol_of_a_price_at_intrinsic_is_zero() -> None:
    terms = Terms(np.full(1, 100.0), np.full(1, 80.0), np.full(1, 0.1), np.full(1, True))
    assert implied_vol(terms, np.full(1, 0.2), np.full(1, 0.5))[0] == 0.0


@pytest.mark.shared_data
def test_greeks_are_those_the_venue_published(shared_data: Path) -> None:
    """Recorded vols, put through these formulas, give the recorded greeks within the rounding of the vols."""
    file = shared_data / "deribit_chain" / "BTC_20260121_options_raw.csv.gz"
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if float(row["mark_iv"]) > 0]
    column = {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name.startswith("greeks")}
    years = np.array([(int(r["expiration_timestamp"]) - int(r["timestamp"])) / YEAR_MS for r in rows])
    terms = Terms(
        np.array([float(r["underlying_price"]) for r in rows]),
        np.array([float(r["strike"]) for r in rows]),
        years,
        np.array([r["option_type"] == "call" for r in rows]),
    )
    ours = venue_greeks(terms, np.array([float(r["mark_iv"]) / 100 for r in rows]))
    assert ours.delta == pytest.approx(column["greeks_delta"], abs=3e-3)
    assert ours.gamma == pytest.approx(column["greeks_gamma"], abs=1.1e-5)
    assert ours.vega == pytest.approx(column["greeks_vega"], rel=0.02, abs=0.6)
    assert ours.theta == pytest.approx(column["greeks_theta"], rel=0.02, abs=1.5)
    assert ours.rho == pytest.approx(column["greeks_rho"], rel=0.02, abs=0.6)


def test_api_delta_fades_over_the_last_half_hour_while_gamma_does_not() -> None:
    years = np.array([1801.0, 900.0, 9.0]) / (365 * 86_400)
    terms = Terms(np.full(3, 90_000.0), np.full(3, 60_000.0), years, np.full(3, True))
    assert venue_greeks(terms, np.full(3, 0.5)).delta == pytest.approx([1.0, 0.5, 0.005])
    at_the_money = terms._replace(strike=np.full(3, 90_000.0))
    assert (np.diff(venue_greeks(at_the_money, np.full(3, 0.5)).gamma) > 0).all()


def test_theta_of_the_last_day_is_the_remaining_life() -> None:
    terms = Terms(np.full(2, 90_000.0), np.full(2, 90_000.0), np.array([2.0, 0.25]) / 365, np.full(2, True))
    theta = venue_greeks(terms, np.full(2, 0.5)).theta
    unclipped = -0.5 * 90_000 * 0.39894228 * 0.5 / np.sqrt(terms.years) / 365
    assert theta == pytest.approx(unclipped * [1.0, 0.25], rel=1e-3)


def test_quotes_lie_on_ticks_around_the_mark_and_never_cross(world: World) -> None:
    table = world.underlyings["BTC"].board.table
    bid, ask, mark = table[BID], table[ASK], table[MARK]
    both = (bid > 0) & (ask > 0)
    assert both.mean() > 0.8
    assert (bid[both] < ask[both]).all()
    for price in (bid[bid > 0], ask[ask > 0]):
        steps = price / np.where(price > 0.005, 0.0005, 0.0001)
        assert steps == pytest.approx(np.round(steps), abs=1e-6)
    assert (bid <= mark + 1e-9)[both].all()
    assert (ask >= mark - 0.0005)[both].all()


def test_no_quote_is_zero_price_zero_amount_zero_iv(world: World) -> None:
    board = world.underlyings["BTC"].board
    board.reprice(np.arange(len(board)), spot=300_000.0, level=1.0, now_ms=world.now_ms)
    unquoted = board.table[BID] == 0
    assert unquoted.any()
    assert (board.table[BID_AMOUNT][unquoted] == 0).all()
    assert (board.table[IV["bid"]][unquoted] == 0).all()


def test_ivs_are_percent_with_two_decimals_in_order(world: World) -> None:
    table = world.underlyings["BTC"].board.table
    bid, mark, ask = (table[IV[side]] for side in ("bid", "mark", "ask"))
    quoted = (bid > 0) & (ask > 0)
    assert (bid[quoted] <= mark[quoted]).all()
    assert (mark[quoted] <= ask[quoted]).all()
    assert ((mark > 10) & (mark < 300)).all()
    assert np.round(table[MARK_IV], 2) == pytest.approx(table[MARK_IV], abs=0)


@settings(deadline=None)
@given(st.floats(0.0001, 1.0))
def test_rounding_to_ticks_never_crosses_the_price(price: float) -> None:
    down, up = to_tick(np.array([price]), up=False)[0], to_tick(np.array([price]), up=True)[0]
    assert down <= price + 1e-7
    assert up >= price - 1e-7
    assert up - down <= 0.0005 + 1e-9


def test_ladder_starts_at_the_quote_and_moves_away_from_it(world: World) -> None:
    board = world.underlyings["BTC"].board
    for row in range(len(board)):
        bids, asks = ladder(board.table, row, board.lot)
        assert list(bids) == sorted(bids, reverse=True)
        assert list(asks) == sorted(asks)
        assert next(iter(bids), 0.0) == board.table[BID, row]
        assert next(iter(asks), 0.0) == board.table[ASK, row]
