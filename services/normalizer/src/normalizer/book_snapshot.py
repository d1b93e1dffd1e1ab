"""What a book looks like at the end of a second: the top levels, the whole depth by bands."""

from typing import Any, Final

import numpy as np

from normalizer.book import Book
from normalizer.ladder_kernel import IntArray, sums_to

BANDS_BPS: Final = (10, 25, 50, 100)
"""Distances from mid of the band sums, basis points, ascending."""
_MAX_INT: Final = 2**63 - 1


def book_fields(book: Book, *, end_ts: int, depth: int) -> dict[str, Any]:
    """Return the fields of a BookSnapshot that the book decides; ``end_ts``: end of the second, microseconds."""
    bids, asks = book.bids.levels(), book.asks.levels()
    n_bids, n_asks = bids.shape[1], asks.shape[1]
    bid_prices, bid_sizes = bids[:, :depth].tolist()
    ask_prices, ask_sizes = asks[:, :depth].tolist()
    both = n_bids > 0 and n_asks > 0
    twice_mid = bid_prices[0] + ask_prices[0] if both else 0
    return {
        "asof_ts": book.asof_ts,
        "exchange_ts": book.exchange_ts,
        "age_ms": None if book.asof_ts is None else (end_ts - book.asof_ts) // 1000,
        "n_updates": book.n_updates,
        "last_update_id": book.last_id,
        "gap": book.gap,
        "price_scale": book.price_scale,
        "qty_scale": book.qty_scale,
        "bid_price_ints": tuple(bid_prices),
        "bid_qty_ints": tuple(bid_sizes),
        "ask_price_ints": tuple(ask_prices),
        "ask_qty_ints": tuple(ask_sizes),
        # An integer over a power of ten is the double nearest to the decimal: what parsing the venue's text gives.
        "best_bid": bid_prices[0] / 10**book.price_scale if n_bids else None,
        "best_ask": ask_prices[0] / 10**book.price_scale if n_asks else None,
        # From integers: the difference of the two floats would show rounding noise.
        "spread": (ask_prices[0] - bid_prices[0]) / 10**book.price_scale if both else None,
        "band_bps": BANDS_BPS if both else (),
        "band_bid_qty": _bands(bids, twice_mid, 1, book.qty_scale) if both else (),
        "band_ask_qty": _bands(asks, twice_mid, -1, book.qty_scale) if both else (),
        "n_bids": n_bids,
        "n_asks": n_asks,
    }


def _bands(levels: IntArray, twice_mid: int, sign: int, qty_scale: int) -> tuple[float, ...]:
    """Sum sizes up to each band's edge, in integers; ``sign`` 1 for bids, -1 for asks.

    A bid is within if price ≥ mid·(1 - bps/10⁴) ⇔ price ≥ ⌈2·mid·(10⁴ - bps) / (2·10⁴)⌉, an ask if its price is at most
    the floor of the same with a plus.
    """
    edges = [twice_mid * (10_000 - sign * bps) for bps in BANDS_BPS]
    limits = [-(-edge // 20_000) if sign > 0 else min(edge // 20_000, _MAX_INT) for edge in edges]
    sums = np.empty(len(limits), np.int64)
    if sums_to(levels, np.array(limits, np.int64), sign, sums):
        return tuple(total / 10**qty_scale for total in sums.tolist())
    # More than 64 bits hold: Python's integers have no bound.
    levels_within = [levels[1, sign * levels[0] >= sign * limit].tolist() for limit in limits]
    return tuple(sum(sizes) / 10**qty_scale for sizes in levels_within)
