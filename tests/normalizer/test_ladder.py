"""One side of a book in arrays, against a plain dict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer.book import Book, Side
from normalizer.book_snapshot import BANDS_BPS, book_fields

MAX_INT = 2**63 - 1

changes = st.lists(
    st.lists(st.tuples(st.integers(0, 60) | st.integers(0, MAX_INT), st.integers(0, 2)), max_size=40), max_size=20
)


@given(messages=changes, descending=st.booleans(), read=st.booleans())
def test_a_side_is_a_dict_sorted(messages: list[list[tuple[int, int]]], *, descending: bool, read: bool) -> None:
    """Levels put in, changed, taken out and put in again in any order; reading after each message changes nothing."""
    side, model = Side(descending=descending), dict[int, int]()
    for message in messages:
        side.update(message)
        model.update(message)
        assert not read or side.ladder(3) == expected_ladder(model, descending=descending)[:3]
    assert side.ladder() == expected_ladder(model, descending=descending)


def expected_ladder(model: dict[int, int], *, descending: bool) -> list[tuple[int, int]]:
    return sorted(((price, size) for price, size in model.items() if size), reverse=descending)


def test_levels_that_come_and_go_do_not_fill_the_side() -> None:
    """A market that walks leaves no trail: room is made of what was removed before the side grows."""
    side = Side(descending=True)
    for price in range(10_000):
        side.update([(price, 1), (price - 5, 0)] if price >= 5 else [(price, 1)])
    assert side.ladder() == [(price, 1) for price in range(9_999, 9_994, -1)]
    assert side._ladder.shape[1] <= 64


def test_levels_of_different_decimals_are_scaled_alike() -> None:
    """Each column says how many decimals its numbers have."""
    side = Side(descending=False)
    side.merge(np.array([[105, 11, 9], [1, 0, 0], [25, 3, 0], [2, 0, 0]], np.int64), 0, 3, 3, 2)
    assert side.ladder() == [(10_500, 25), (11_000, 300)]


sizes = st.integers(1, 10**6) | st.integers(MAX_INT // 3, MAX_INT)
sides = st.dictionaries(st.integers(0, 400), sizes, min_size=1, max_size=40)


@given(bids=sides, asks=sides, start=st.integers(0, MAX_INT - 1_000))
def test_bands_are_exact_sums(bids: dict[int, int], asks: dict[int, int], start: int) -> None:
    """As integers by the definition, crossed books and sums that do not fit 64 bits included."""
    book = Book("spot", 10)
    book.bids.replace({start + price: size for price, size in bids.items()})
    book.asks.replace({start + price: size for price, size in asks.items()})
    row = book_fields(book, end_ts=0, depth=5)
    twice_mid = 2 * start + max(bids) + min(asks)
    for k, bps in enumerate(BANDS_BPS):
        below, above = twice_mid * (10_000 - bps), twice_mid * (10_000 + bps)
        assert row["band_bid_qty"][k] == float(sum(s for p, s in bids.items() if 20_000 * (start + p) >= below))
        assert row["band_ask_qty"][k] == float(sum(s for p, s in asks.items() if 20_000 * (start + p) <= above))


@pytest.mark.parametrize("depth", [1, 3, 10**6])
def test_a_snapshot_has_no_more_levels_than_asked_for(depth: int) -> None:
    """The best ones, as tuples of Python's integers, which is what the codec takes."""
    book = Book("spot", 10)
    book.bids.replace({1: 5, 2: 6, 3: 7})
    row = book_fields(book, end_ts=0, depth=depth)
    assert row["bid_price_ints"] == (3, 2, 1)[:depth]
    assert all(type(size) is int for size in row["bid_qty_ints"])
