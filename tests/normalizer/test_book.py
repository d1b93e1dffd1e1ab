"""Books: what makes them believed and what does not, in integers."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import RawMessage
from normalizer.book import Book, scaled
from normalizer.book_snapshot import book_fields
from normalizer.events import BadMessage, BookUpdate
from normalizer.sequencing import Rules

Frame = Callable[..., RawMessage]
Play = Callable[[list[RawMessage]], Any]
Level = tuple[str, str]


def delta(first: int, last: int, prev: int, bids: Sequence[Level] = (), asks: Sequence[Level] = ()) -> BookUpdate:
    return BookUpdate(
        instrument="X",
        exchange_ts=None,
        snapshot=False,
        first_id=first,
        last_id=last,
        prev_id=prev,
        bids=bids,
        asks=asks,
    )


def snapshot(
    last: int, bids: Sequence[Level] = (("10.0", "1"),), asks: Sequence[Level] = (("11.0", "1"),)
) -> BookUpdate:
    return BookUpdate(instrument="X", exchange_ts=None, snapshot=True, last_id=last, bids=bids, asks=asks)


def feed(book: Book, *updates: BookUpdate) -> list[str]:
    return [book.apply(update, received_ts) for received_ts, update in enumerate(updates)]


def prices(book: Book) -> list[float]:
    return [price / 10**book.price_scale for price, _ in book.bids.ladder()]


@pytest.mark.parametrize("rules", ["usdm", "spot"])
def test_snapshot_may_come_after_some_deltas(rules: Rules) -> None:
    """Deltas are kept until a REST snapshot overlaps them; those it covers are not applied again."""
    book = Book(rules, 100)
    old = delta(1, 5, 0, [("9.0", "7")])
    overlapping = delta(6, 12, 5, [("9.5", "2")])
    assert feed(book, old, overlapping) == ["buffered", "buffered"]
    assert book.gap
    assert feed(book, snapshot(10)) == ["applied"]
    assert not book.gap
    assert prices(book) == [10.0, 9.5]


@pytest.mark.parametrize(
    ("rules", "first", "last", "prev", "live"),
    [
        ("spot", 11, 12, 0, True),
        ("spot", 10, 12, 0, True),
        ("spot", 12, 13, 0, False),
        ("usdm", 10, 12, 9, True),
        ("usdm", 9, 10, 8, True),
        ("usdm", 12, 14, 10, True),
        ("usdm", 12, 14, 11, False),
    ],
)
def test_first_delta_must_overlap_the_snapshot(rules: Rules, first: int, last: int, prev: int, live: bool) -> None:
    """Spot: U ≤ lastUpdateId + 1 ≤ u. USDⓈ-M: U ≤ lastUpdateId ≤ u, or pu is the snapshot's id. Snapshot 10."""
    book = Book(rules, 100)
    feed(book, snapshot(10), delta(first, last, prev))
    assert book.gap is not live


@pytest.mark.parametrize(("rules", "covered"), [("spot", 10), ("usdm", 9)])
def test_deltas_that_the_snapshot_covers_are_waited_out(rules: Rules, covered: int) -> None:
    """A delta wholly before the snapshot does not make the book live, and does not spoil the snapshot either."""
    book = Book(rules, 100)
    assert feed(book, snapshot(10), delta(8, covered, 7)) == ["buffered", "buffered"]
    assert feed(book, delta(covered + 1, 13, covered)) == ["applied"]


def test_a_snapshot_older_than_all_deltas_is_dropped() -> None:
    """The next, newer one is taken."""
    book = Book("spot", 100)
    feed(book, delta(20, 25, 0), snapshot(10))
    assert book.gap
    feed(book, snapshot(22, [("9.9", "4")]))
    assert prices(book) == [9.9]


@pytest.mark.parametrize("rules", ["usdm", "spot", "deribit"])
def test_a_delta_that_does_not_follow_gaps_the_book_until_the_next_snapshot(rules: Rules) -> None:
    """A hole empties the book at once; deltas alone never fill it again."""
    book = Book(rules, 100)
    feed(book, snapshot(10), delta(11, 12, 10))
    assert not book.gap
    assert feed(book, delta(15, 16, 14), delta(17, 18, 16)) == ["gap", "buffered"]
    assert (book.gap, prices(book)) == (True, [])
    feed(book, snapshot(17 if rules != "deribit" else 18), delta(19, 20, 18))
    assert (book.gap, book.last_id) == (False, 20)


def test_a_hole_among_the_kept_deltas_is_found_when_they_are_applied() -> None:
    """A snapshot cannot bridge a hole that lies after it."""
    book = Book("spot", 100)
    assert feed(book, delta(10, 12, 0), delta(15, 16, 0), delta(17, 18, 0), snapshot(10))[-1] == "gap"
    assert book.gap
    feed(book, snapshot(16))
    assert (book.gap, book.last_id) == (False, 18)


def test_repeated_and_older_deltas_are_stale_not_gaps() -> None:
    """A message delivered twice changes nothing."""
    book = Book("usdm", 100)
    first = delta(11, 12, 10, [("9.0", "1")])
    feed(book, snapshot(10), first, delta(13, 14, 12, [("9.0", "0")]))
    assert feed(book, first) == ["stale"]
    assert prices(book) == [10.0]


def test_a_snapshot_while_live_is_stale() -> None:
    """The unbroken chain is at least as new as any poll."""
    book = Book("spot", 100)
    feed(book, snapshot(10), delta(11, 12, 0))
    assert feed(book, snapshot(11, [("5.0", "5")])) == ["stale"]
    assert prices(book) == [10.0]


def test_deltas_kept_while_waiting_are_bounded() -> None:
    """Only the newest are kept; a snapshot older than those does not overlap."""
    book = Book("spot", 3)
    feed(book, *(delta(i, i, i - 1) for i in range(1, 11)))
    assert len(book.buffered) == 3
    feed(book, snapshot(5))
    assert book.gap
    feed(book, snapshot(8))
    assert not book.gap


def test_deltas_from_before_a_loss_are_worth_nothing() -> None:
    """A snapshot that overlaps only with them does not bring the book back."""
    book = Book("spot", 100)
    feed(book, delta(11, 12, 0))
    book.lose()
    feed(book, delta(13, 14, 0), snapshot(10))
    assert book.gap
    feed(book, snapshot(13))
    assert (book.gap, book.last_id) == (False, 14)


def test_an_unreadable_level_gaps_the_instruments_book(binance: Frame, play: Play) -> None:
    """The delta is lost, so the book is."""
    unreadable = {"b": [["x", "1"]], "U": 111, "u": 112, "pu": 110}
    played = play([binance("depth_answer"), binance("depth_usdm"), binance("depth_usdm", 1.0, unreadable)])
    assert [book.gap for book in played.books] == [False, True]


def test_a_book_is_lost_with_the_connection_of_its_deltas(binance: Frame, raw: Frame, play: Play) -> None:
    """Not with the one its REST snapshot came by."""
    frames = [binance("depth_usdm"), binance("depth_answer", conn_id="binance-usdm-rest")]
    rest_lost = raw("binance-usdm", b"", 1.0, kind="disconnect", conn_id="binance-usdm-rest")
    stream_lost = raw("binance-usdm", b"", 2.0, kind="disconnect", conn_id="binance-usdm-0")
    assert [book.gap for book in play([*frames, rest_lost, stream_lost]).books] == [False, False, True]


@pytest.mark.parametrize(
    ("venue", "name", "stamp"), [("binance-usdm", "depth_usdm", 890), ("binance-spot", "depth_spot", 900)]
)
def test_a_books_venue_time_is_the_transactions_where_there_is_one(
    *, binance: Frame, play: Play, venue: str, name: str, stamp: int
) -> None:
    """USDⓈ-M tells the matching engine's time, spot only the event's; the receive time is that of the delta."""
    book = play([binance(name, venue=venue), binance("depth_answer", 0.5, venue=venue)]).books[0]
    assert (book.exchange_ts, book.asof_ts) == (1_795_250_399_000_000 + stamp * 1000, 1_795_250_400_000_000)


def test_removing_a_level_that_is_not_there_is_no_error() -> None:
    """The venue cut its depth off: it may name levels never seen."""
    book = Book("spot", 10)
    feed(book, snapshot(10), delta(11, 12, 0, [("1.0", "0.0")]))
    assert prices(book) == [10.0]


def test_a_bad_level_leaves_the_book_as_it_was() -> None:
    """All levels of a message are read before one is applied."""
    book = Book("spot", 10)
    feed(book, snapshot(10), delta(11, 12, 0))
    with pytest.raises(BadMessage, match="level"):
        book.apply(delta(13, 14, 0, [("9.0", "3"), ("x", "1")]), 9)
    assert (prices(book), book.last_id) == ([10.0], 12)


@given(st.integers(0, 10**9), st.integers(0, 8), st.integers(0, 4))
def test_scaling_is_exact(value: int, places: int, more: int) -> None:
    """Text to integer and back is the same decimal, at its own scale and at any finer one, trailing zeros or not."""
    text = f"{value // 10**places}.{value % 10**places:0{places}d}" if places else str(value)
    assert scaled(text, places) == value
    assert scaled(text, places + more) == value * 10**more
    assert scaled(text + "0" * more if places else text, places) == value


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e5", " 1", "1_0", "١", "1.2.3", "nan", "99999999999999999999"])
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    """Signs, exponents, blanks, other alphabets' digits and what does not fit 64 bits."""
    with pytest.raises(BadMessage, match="bad_value"):
        scaled(text, 3)


def test_scales_grow_with_the_venues_text_and_keep_the_values() -> None:
    """A finer price than any before rescales what is held."""
    book = Book("spot", 10)
    feed(book, snapshot(10, [("10.5", "1.25")], [("11", "2")]), delta(11, 12, 0, [("10.125", "3.5")]))
    assert (book.price_scale, book.qty_scale) == (3, 2)
    assert list(book.bids.ladder()) == [(10_500, 125), (10_125, 350)]


def test_numbers_of_deribit_become_the_integers_of_their_text(deribit: Frame, play: Play) -> None:
    """0.1 + 0.2 style noise never enters: prices are the venue's digits, also with an exponent in their float text."""
    levels = {"bids": [["new", 0.0795, 4.0], ["new", 0.00001, 0.1]], "asks": [["new", 0.1, 12]]}
    book = play([deribit("book_snapshot", change=levels)]).books[0]
    assert (book.price_scale, book.qty_scale) == (5, 1)
    assert (book.bid_price_ints, book.bid_qty_ints) == ((7950, 1), (40, 1))
    assert (book.ask_price_ints, book.best_ask, book.spread) == ((10_000,), 0.1, 0.0205)


def test_deribit_book_follows_its_change_ids(deribit: Frame, play: Play) -> None:
    """Snapshot in the stream, then changes chained by prev_change_id; `delete` removes."""
    book = play([deribit("book_snapshot"), deribit("book_change")]).books[0]
    assert (book.gap, book.last_update_id, book.n_updates) == (False, 101, 2)
    assert [p / 10**book.price_scale for p in book.bid_price_ints] == [88_010.0, 88_009.0]
    assert book.ask_qty_ints[0] / 10**book.qty_scale == 900


def test_frames_of_before_the_type_field_are_told_apart_by_their_predecessor(
    deribit: Frame, play: Play, absent: object
) -> None:
    """Without `type`, the frame without prev_change_id is the snapshot."""
    old = {"type": absent}
    book = play([deribit("book_snapshot", change=old), deribit("book_change", change=old)]).books[0]
    assert (book.gap, book.last_update_id) == (False, 101)


def test_book_fields_are_the_top_levels_and_the_bands_over_full_depth() -> None:
    """Fifty levels a side; band sums to the integer edge, over everything held; counts of full depth."""
    book = Book("spot", 10)
    bids = [(f"{1000 - i}.0", "1") for i in range(60)]
    asks = [(f"{1002 + i}.0", "2") for i in range(60)]
    feed(book, snapshot(10, bids, asks), delta(11, 11, 0))
    row = book_fields(book, end_ts=5_000_000, depth=50)
    assert (len(row["bid_price_ints"]), row["n_bids"], row["n_asks"]) == (50, 60, 60)
    assert (row["best_bid"], row["best_ask"], row["spread"]) == (1000.0, 1002.0, 2.0)
    # Mid 1001: 10 bps = 1.001 reaches one level a side, 25 bps = 2.5 two, 50 bps = 5.005 five, 100 bps = 10.01 ten.
    assert row["band_bid_qty"] == (1.0, 2.0, 5.0, 10.0)
    assert row["band_ask_qty"] == (2.0, 4.0, 10.0, 20.0)


def test_a_level_on_a_bands_edge_is_in_the_band() -> None:
    """999 and 1001 are exactly 10 bps from a mid of 1000: compared as integers, no rounding decides."""
    book = Book("spot", 10)
    feed(book, snapshot(10, [("999.0", "1")], [("1001.0", "2")]), delta(11, 11, 0))
    row = book_fields(book, end_ts=5_000_000, depth=50)
    assert (row["band_bid_qty"][0], row["band_ask_qty"][0]) == (1.0, 2.0)


def test_a_one_sided_book_has_neither_mid_nor_bands() -> None:
    """Missing is null or empty, not 0."""
    book = Book("spot", 10)
    feed(book, snapshot(10, [("10.0", "1")], []), delta(11, 11, 0))
    row = book_fields(book, end_ts=1_000_000, depth=50)
    assert (row["best_bid"], row["best_ask"], row["spread"]) == (10.0, None, None)
    assert (row["band_bps"], row["band_bid_qty"], row["band_ask_qty"]) == ((), (), ())


@given(st.randoms(use_true_random=False))
def test_any_chain_of_deltas_ends_in_the_book_of_a_plain_rebuild(rng: random.Random) -> None:
    """Whatever the deltas, a dump and load in the middle included, levels equal those of a dict of decimals."""
    book, plain, last = Book("spot", 100), {"10.0": "1"}, 10
    feed(book, snapshot(10, [("10.0", "1")], []), delta(11, 11, 0))
    last = 11
    for step in range(30):
        levels = [(f"{rng.randrange(90, 110) / 10:.1f}", str(rng.randrange(3))) for _ in range(rng.randrange(4))]
        plain.update(levels)
        assert feed(book, delta(last + 1, last + 2, 0, levels)) == ["applied"]
        last += 2
        if step == 15:
            book = Book.load(json.loads(json.dumps(book.dump())), "spot", 100)
    expected = sorted(((float(p), float(q)) for p, q in plain.items() if q != "0"), reverse=True)
    assert [(p / 10**book.price_scale, q / 10**book.qty_scale) for p, q in book.bids.ladder()] == expected
