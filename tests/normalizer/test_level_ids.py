"""Books by level id against a model that keeps whole rows, and checksums against their definition."""

import zlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from normalizer.book import Book
from normalizer.events import Action, BookUpdate, LevelRow, LevelsById, Side

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "delete"]),
        st.integers(0, 7),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 999),
    ),
    max_size=40,
)


def message(action: Action, *rows: LevelRow) -> LevelsById:
    return LevelsById(instrument="X", exchange_ts=None, action=action, rows=rows)


def row_of(action: str, number: int, side: Side, size: int) -> LevelRow:
    """Say of a level what the venue says with each action: its price is its id's alone."""
    price = f"{100 + number}.5" if action in {"insert", "partial"} else None
    return number, side, price, None if action == "delete" else str(size)


@given(steps=STEPS)
def test_a_book_by_ids_is_its_rows_until_something_is_missing(steps: list[Any]) -> None:
    """Every message that fits is applied; the first that does not empties the book, and only a partial fills it."""
    book, rows = Book("bitmex", 10), {(0, "buy"): "5", (9, "sell"): "6"}
    start = message("partial", row_of("partial", 0, "buy", 5), row_of("partial", 9, "sell", 6))
    assert book.apply_by_id(start, 0) == "applied"
    for received_ts, (action, number, side, size) in enumerate(steps, start=1):
        fits = ((number, side) in rows) is (action != "insert")
        outcome = book.apply_by_id(message(action, row_of(action, number, side, size)), received_ts)
        assert outcome == ("applied" if fits else "gap")
        if not fits:
            assert (book.gap, book.bids.ladder(), book.asks.ladder()) == (True, [], [])
            assert book.apply_by_id(message("insert", row_of("insert", 50, "buy", 1)), 99) == "buffered"
            assert book.apply_by_id(start, 100) == "applied"
            assert [len(book.bids.ladder()), len(book.asks.ladder())] == [1, 1]
            return
        if action == "delete":
            del rows[number, side]
        else:
            rows[number, side] = str(size)
        held = {("buy", *level) for level in book.bids.ladder()} | {("sell", *level) for level in book.asks.ladder()}
        assert held == {(side, (1005 + 10 * number), int(size)) for (number, side), size in rows.items()}


@given(steps=STEPS)
def test_a_restored_book_by_ids_goes_on_alike(steps: list[Any]) -> None:
    """The ids are part of the state."""
    book = Book("bitmex", 10)
    book.apply_by_id(message("partial", row_of("partial", 0, "buy", 5)), 0)
    for received_ts, (action, number, side, size) in enumerate(steps, start=1):
        twin = Book.load(book.dump(), "bitmex", 10)
        change = message(action, row_of(action, number, side, size))
        assert twin.apply_by_id(change, received_ts) == book.apply_by_id(change, received_ts)
        assert twin.dump() == book.dump()


LEVELS = st.dictionaries(st.integers(1, 400), st.integers(1, 99), max_size=40)


@given(bids=LEVELS, asks=LEVELS, changed=st.tuples(st.integers(1, 400), st.integers(0, 99)))
def test_only_the_books_own_checksum_keeps_it(bids: dict[int, int], asks: dict[int, int], changed: Any) -> None:
    """With texts of mixed decimals, in a snapshot and after a delta; any other checksum gaps the book."""
    before = update(bids, asks, snapshot=True)
    after = {**bids, changed[0]: changed[1]}
    change = [(text(changed[0]), str(changed[1]))]
    for said, outcome in ((crc(after, asks), "applied"), (crc(after, asks) ^ 1, "gap")):
        book = Book("okx", 10)
        assert book.apply(before, 0) == "applied"
        delta = BookUpdate(
            instrument="X", exchange_ts=None, snapshot=False, last_id=None, bids=change, asks=[], checksum=said
        )
        assert book.apply(delta, 1) == outcome
        assert book.gap is (outcome == "gap")


def text(price: int) -> str:
    """Write a price as 12.3, 12.30 or 12.300: the same number, other checksums."""
    return f"{price / 10:.{1 + price % 3}f}"


def update(bids: dict[int, int], asks: dict[int, int], *, snapshot: bool) -> BookUpdate:
    return BookUpdate(
        instrument="X",
        exchange_ts=None,
        snapshot=snapshot,
        last_id=None,
        bids=[(text(price), str(size)) for price, size in bids.items()],
        asks=[(text(price), str(size)) for price, size in asks.items()],
        checksum=crc(bids, asks),
    )


def crc(bids: dict[int, int], asks: dict[int, int]) -> int:
    """Return the checksum by its definition: place by place, what there is of either side."""
    best_bids = [(price, size) for price, size in sorted(bids.items(), reverse=True) if size][:25]
    best_asks = [(price, size) for price, size in sorted(asks.items()) if size][:25]
    words = []
    for place in range(25):
        for side in (best_bids, best_asks):
            if place < len(side):
                words += [text(side[place][0]), str(side[place][1])]
    unsigned = zlib.crc32(":".join(words).encode())
    return unsigned - (unsigned >> 31 << 32)
