"""What a book looks like at the end of a second: the top levels, the whole depth by bands."""

from typing import Any, Final

from normalizer.book import Book, Ladder

BANDS_BPS: Final = (10, 25, 50, 100)
"""Distances from mid of the band sums, basis points, ascending."""


def book_fields(book: Book, *, end_ts: int, depth: int) -> dict[str, Any]:
    """Return the fields of a BookSnapshot that the book decides; ``end_ts``: end of the second, microseconds."""
    bids, asks = book.bids.ladder(), book.asks.ladder()
    best_bid, best_ask = _price(bids, book.price_scale), _price(asks, book.price_scale)
    both = best_bid is not None and best_ask is not None
    top_bids, top_asks = bids[:depth], asks[:depth]
    return {
        "asof_ts": book.asof_ts,
        "exchange_ts": book.exchange_ts,
        "age_ms": None if book.asof_ts is None else (end_ts - book.asof_ts) // 1000,
        "n_updates": book.n_updates,
        "last_update_id": book.last_id,
        "gap": book.gap,
        "price_scale": book.price_scale,
        "qty_scale": book.qty_scale,
        "bid_price_ints": tuple(price for price, _ in top_bids),
        "bid_qty_ints": tuple(size for _, size in top_bids),
        "ask_price_ints": tuple(price for price, _ in top_asks),
        "ask_qty_ints": tuple(size for _, size in top_asks),
        "best_bid": best_bid,
        "best_ask": best_ask,
        # From integers: the difference of the two floats would show rounding noise.
        "spread": (asks[0][0] - bids[0][0]) / 10**book.price_scale if both else None,
        "band_bps": BANDS_BPS if both else (),
        "band_bid_qty": _bands(bids, bids[0][0] + asks[0][0], -1, book.qty_scale) if both else (),
        "band_ask_qty": _bands(asks, bids[0][0] + asks[0][0], 1, book.qty_scale) if both else (),
        "n_bids": len(bids),
        "n_asks": len(asks),
    }


def _price(ladder: Ladder, scale: int) -> float | None:
    # An integer divided by a power of ten is the double nearest to the decimal: what parsing the venue's text gives.
    return ladder[0][0] / 10**scale if ladder else None


def _bands(ladder: Ladder, twice_mid: int, sign: int, qty_scale: int) -> tuple[float, ...]:
    """Sum sizes up to each band's edge, in integers: price ≤ mid·(1 + bps/10⁴) ⇔ 2·10⁴·price ≤ 2·mid·(10⁴ + bps)."""
    sums, total, place = [], 0, 0
    for bps in BANDS_BPS:
        edge = twice_mid * (10_000 + sign * bps)
        while place < len(ladder) and sign * (20_000 * ladder[place][0] - edge) <= 0:
            total += ladder[place][1]
            place += 1
        sums.append(total / 10**qty_scale)
    return tuple(sums)
