"""``python -m bench.normalizer.cryptofeed_book <feed> <repeats>``: cryptofeed's Binance futures book, in memory.

Runs under the interpreter of an environment made for the run. The frames go through ``message_handler``, as they do
from its socket; the REST snapshot and the symbols, which it would fetch, are put where it keeps them. Prints messages,
processor seconds and the final book's digest as JSON.
"""

import asyncio
import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.normalizer.book_check import digest

PACKAGE = "cryptofeed==2.4.1"
SYMBOL, EXCHANGE_SYMBOL = "BTC-USDT-PERP", "BTCUSDT"


def main(path: str, repeats: str) -> None:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    best, book = float("inf"), ""
    for _ in range(int(repeats) + 1):
        feed = _feed(json.loads(lines[0]))
        began = time.process_time()
        asyncio.run(_play(feed, lines[1:]))
        best = min(best, time.process_time() - began)
        sides = feed._l2_book[SYMBOL].book  # noqa: SLF001 - where its callbacks get it from
        book = digest(_levels(sides.bids), _levels(sides.asks))
    print(json.dumps({"messages": len(lines) - 1, "seconds": best, "book": book}))


def _feed(snapshot: dict[str, Any]) -> Any:
    from cryptofeed.defines import L2_BOOK  # noqa: PLC0415
    from cryptofeed.exchanges import BinanceFutures  # noqa: PLC0415
    from cryptofeed.symbols import Symbols  # noqa: PLC0415
    from cryptofeed.types import OrderBook  # noqa: PLC0415

    Symbols.set(BinanceFutures.id, {SYMBOL: EXCHANGE_SYMBOL}, {"instrument_type": {SYMBOL: "perpetual"}})
    feed = BinanceFutures(symbols=[SYMBOL], channels=[L2_BOOK])
    sides = {name: {Decimal(p): Decimal(q) for p, q in snapshot[name]} for name in ("bids", "asks")}
    feed._l2_book[SYMBOL] = OrderBook(feed.id, SYMBOL, max_depth=0, **sides)  # noqa: SLF001
    feed.last_update_id[SYMBOL] = snapshot["lastUpdateId"]
    return feed


async def _play(feed: Any, lines: list[str]) -> None:
    for line in lines:
        await feed.message_handler(line, None, 0.0)


def _levels(side: Any) -> list[tuple[float, float]]:
    return [(float(price), float(size)) for price, size in side.to_dict().items()]


if __name__ == "__main__":
    main(*sys.argv[1:])
