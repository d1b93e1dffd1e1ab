"""Contenders that run in this process: the normalizer's core, and the loop one would write first."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from bench.normalizer.book_check import digest
from bench.normalizer.workload import Workload

from normalizer.limits import Limits
from normalizer.seconds import Normalizer
from streamkit.core import Output, RawSecond, Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Processor seconds for ``messages``, the fastest of several runs; ``book`` is the final book's digest."""

    messages: int
    seconds: float
    book: str | None = None

    @property
    def rate(self) -> float:
        """Messages per second of one core."""
        return self.messages / self.seconds


def normalizer(workload: Workload, repeats: int) -> Figure:
    """Time the core from raw records to the records of every second: trades, 1 s books, tickers, clock.

    Checked after it is timed: nothing refused, every record counted, a trade per print or a book per second.
    """
    units = workload.units()
    seconds = fastest_s(lambda: _play(units), repeats)
    book = None if workload.kind == "trade" else _checked_book(workload, units)
    if workload.kind == "trade":
        trades = sum(isinstance(item, Output) and item.topic == "market.trades" for item in _items(units))
        assert trades == len(workload.messages), f"{trades} trades of {len(workload.messages)} prints"
    return Figure(messages=len(workload.messages), seconds=seconds, book=book)


def plain_book(feed: Sequence[bytes], repeats: int) -> Figure:
    """Time orjson and two dicts of floats: no sequence check, no seconds, no sorting."""
    sides: dict[str, dict[float, float]] = {}

    def loop() -> None:
        snapshot = orjson.loads(feed[0])
        bids = sides["b"] = {float(price): float(size) for price, size in snapshot["bids"]}
        asks = sides["a"] = {float(price): float(size) for price, size in snapshot["asks"]}
        for frame in feed[1:]:
            data = orjson.loads(frame)["data"]
            for side, changes in ((bids, data["b"]), (asks, data["a"])):
                for price, text in changes:
                    size = float(text)
                    if size:
                        side[float(price)] = size
                    else:
                        side.pop(float(price), None)

    seconds = fastest_s(loop, repeats)
    return Figure(messages=len(feed) - 1, seconds=seconds, book=digest(sides["b"].items(), sides["a"].items()))


def plain_trades(frames: Sequence[bytes], repeats: int) -> Figure:
    """Time orjson and a tuple of what a print says."""

    def loop() -> None:
        for frame in frames:
            data = orjson.loads(frame)["data"]
            price, amount = float(data["p"]), float(data["q"])
            _ = (data["s"], data["T"] * 1000, data["t"], "sell" if data["m"] else "buy", price, amount, price * amount)

    return Figure(messages=len(frames), seconds=fastest_s(loop, repeats))


def fastest_s(run: Callable[[], object], repeats: int) -> float:
    """Return the least processor time of ``repeats`` runs, after one that is not counted."""
    run()
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return best


def _play(units: Sequence[RawSecond]) -> None:
    for _ in _items(units):
        pass


def _items(units: Sequence[RawSecond], limits: Limits | None = None) -> list[object]:
    core = Normalizer(limits or Limits())
    return [item for unit in units for item in core.step(unit)]


def _checked_book(workload: Workload, units: Sequence[RawSecond]) -> str:
    items = _items(units, Limits(depth=1_000_000))
    assert not [item for item in items if isinstance(item, Reject)]
    books = [item.record for item in items if isinstance(item, Output) and item.topic == "market.books"]
    last = [book for book in books if not book.gap][-1]  # the recording's end is a lost connection
    assert sum(book.n_updates for book in books) == len(workload.book_feed())
    price, size = 10**last.price_scale, 10**last.qty_scale
    sides = (
        [(p / price, q / size) for p, q in zip(prices, sizes, strict=True)]
        for prices, sizes in (
            (last.bid_price_ints, last.bid_qty_ints),
            (last.ask_price_ints, last.ask_qty_ints),
        )
    )
    return digest(*sides)
