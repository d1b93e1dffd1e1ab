"""The truth: positions add up, and dealer inventory stays within open interest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.simulator.accounts import ACCOUNTS, DEALERS, Accounts, draw_shares

TRADES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, ACCOUNTS - 1), st.integers(0, ACCOUNTS - 1), st.integers(1, 500)),
    max_size=60,
)


def books(open_interest: list[int], shares: list[float]) -> Accounts:
    accounts = Accounts(np.random.default_rng(3))
    accounts.add(np.array(open_interest), np.array(shares))
    return accounts


@settings(deadline=None)
@given(TRADES)
def test_books_balance_after_any_trades(trades: list[tuple[int, int, int, int]]) -> None:
    accounts = books([1000, 1, 0], [0.5, -1.0, 0.0])
    for row, buyer, seller, lots in trades:
        if buyer != seller:
            effect = accounts.trade(row, buyer, seller, lots)
            assert abs(effect.open_interest) <= lots
    x = accounts.positions
    assert (x.sum(axis=1) == 0).all()
    assert (np.maximum(x, 0).sum(axis=1) == accounts.open_interest).all()
    assert (x[:, :DEALERS].sum(axis=1) == accounts.dealer).all()
    assert (abs(accounts.dealer) <= accounts.open_interest).all()


def test_starting_book_has_the_asked_open_interest_and_dealer_share() -> None:
    accounts = books([1000, 200, 7], [0.5, -0.25, 1.0])
    assert accounts.open_interest.tolist() == [1000, 200, 7]
    assert accounts.dealer.tolist() == [500, -50, 7]
    assert np.maximum(accounts.positions, 0).sum(axis=1).tolist() == [1000, 200, 7]


@pytest.mark.parametrize(
    ("buyer", "seller", "dealer"), [(DEALERS, 0, -10), (0, DEALERS, 10), (0, 1, 0), (DEALERS, DEALERS + 1, 0)]
)
def test_a_taker_buying_from_a_dealer_leaves_dealers_short(buyer: int, seller: int, dealer: int) -> None:
    accounts = books([0], [0.0])
    assert accounts.trade(0, buyer, seller, 10).dealer == dealer
    assert accounts.open_interest.tolist() == [10]


def test_starting_shares_are_correlated_within_calls_and_within_puts() -> None:
    """Shared factors: the mean share of calls varies far more over seeds than independent draws would."""
    is_call = np.arange(400) % 2 == 0
    expiry = np.full(400, 10**12)
    means = [draw_shares(np.random.default_rng(s), is_call, expiry, 0)[is_call].mean() for s in range(200)]
    assert 0.2 < np.std(means) < 0.5
