"""Binance's combined streams: their names and what each tick sends on them."""

import re
from collections.abc import Container, Iterator
from typing import Any

import orjson

from stack.simulator.binance_market import MarketTick
from stack.simulator.deribit_channels import Frame
from stack.simulator.world import Tick

# A well-formed stream of an unknown symbol is acknowledged and never emits, as on the venue.
WELL_FORMED = re.compile(r"^[a-z0-9_]{1,30}@[A-Za-z0-9@_]{1,30}$")
DEPTH = ("depth@100ms", "depth@0ms", "depth")


def messages(tick: Tick, venue: str, wanted: Container[str]) -> Iterator[Frame]:
    """Yield the tick's messages of one venue (usdm or spot) on the streams in ``wanted``."""
    for underlying, part in tick.underlyings.items():
        symbol = f"{underlying.lower()}usdt"
        for kind, event, last_id in _events(part.binance[venue]):
            if f"{symbol}@{kind}" in wanted:
                stream = f"{symbol}@{kind}"
                yield Frame(stream, orjson.dumps({"stream": stream, "data": event}), last_id)


def _events(market: MarketTick) -> Iterator[tuple[str, dict[str, Any], str]]:
    for trade in market.trades:
        yield "trade", trade, str(trade["t"])
    for trade in market.agg_trades:
        yield "aggTrade", trade, str(trade["a"])
    if market.depth:
        for kind in DEPTH:
            yield kind, market.depth, str(market.depth["u"])
    if market.book_ticker:
        yield "bookTicker", market.book_ticker, str(market.book_ticker["u"])
    if market.mark_price:
        for kind in ("markPrice@1s", "markPrice"):
            yield kind, market.mark_price, str(market.mark_price["E"])
    for order in market.force_orders:
        yield "forceOrder", order, str(order["E"])
