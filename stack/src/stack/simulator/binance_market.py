"""One Binance market, USDⓈ-M perpetual or spot: its book, trades, best quotes and liquidations, in the venue's objects.

Prices and sizes are decimal strings, as the venue writes them; event times are ms.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stack.simulator.ladder import Diff, Ladder, LevelChange, Top

Event = dict[str, Any]
FUNDING_PERIOD_MS = 8 * 3_600_000


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """What differs between the two venues; ``size_step`` in coin."""

    venue: str
    tick: float
    price_decimals: int
    size_step: float
    size_decimals: int
    linear_future: bool


SPECS = {
    ("usdm", "BTC"): MarketSpec("usdm", 0.1, 2, 0.001, 3, linear_future=True),
    ("usdm", "ETH"): MarketSpec("usdm", 0.01, 2, 0.001, 3, linear_future=True),
    ("spot", "BTC"): MarketSpec("spot", 0.01, 8, 0.00001, 8, linear_future=False),
    ("spot", "ETH"): MarketSpec("spot", 0.01, 8, 0.0001, 8, linear_future=False),
}
_FIRST_UPDATE = {"usdm": 5_000_000_000_000, "spot": 50_000_000_000}
_DEPTH = 300
_TRADES_PER_TICK = 0.3
_LIQUIDATIONS_PER_TICK = 0.001
_LIQUIDATIONS_PER_MOVE = 60.0


@dataclass(slots=True)
class MarketTick:
    """What one tick brought: payloads ready for their streams; ``depth`` None when the book stood still."""

    depth: Event | None = None
    book_ticker: Event | None = None
    trades: list[Event] = field(default_factory=list)
    agg_trades: list[Event] = field(default_factory=list)
    mark_price: Event | None = None
    force_orders: list[Event] = field(default_factory=list)


class BinanceMarket:
    """State of one symbol. Its snapshot runs ahead of the published diffs, as the venue's REST answer does."""

    def __init__(self, venue: str, underlying: str, spot: float, rng: np.random.Generator) -> None:
        self.spec = SPECS[venue, underlying]
        self.underlying = underlying
        self.symbol = f"{underlying}USDT"
        self._rng = rng
        self._basis = 0.0
        self._trade_id = 3_000_000_000
        self._agg_id = 2_000_000_000
        self._top: Top | None = None
        self._forced_second = -1
        self.ladder = Ladder(
            mid=spot,
            tick=self.spec.tick,
            depth=_DEPTH,
            typical_size=round(0.4 / self.spec.size_step),
            first_id=_FIRST_UPDATE[venue],
            sparse_ids=self.spec.linear_future,
            rng=rng,
        )

    def advance(self, index: float, last_return: float, now_ms: int) -> MarketTick:
        """Move by one tick of 0.1 s around ``index`` (USD) and return what is published."""
        tick = MarketTick()
        if self.spec.linear_future:
            self._basis = 0.9995 * self._basis + 0.00001 * float(self._rng.standard_normal())
        mid = index * (1 + self._basis)
        self._trade(tick, last_return, now_ms)
        self.ladder.walk(mid, changes=int(self._rng.integers(4, 14)))
        top = self.ladder.top
        diff = self.ladder.publish()
        if diff:
            tick.depth = self._depth(diff, now_ms)
        if top != self._top:
            tick.book_ticker = self._book_ticker(top, self.ladder.published_id, now_ms)
            self._top = top
        if self.spec.linear_future and now_ms % 1000 == 0:
            tick.mark_price = self.mark_price(index, now_ms)
        # What happens now belongs to the next diff: a snapshot taken before it is published is newer than the stream.
        self.ladder.walk(mid, changes=3)
        return tick

    def snapshot(self, now_ms: int, limit: int) -> Event:
        """Return the REST depth answer with at most ``limit`` levels a side."""
        times = {"E": now_ms, "T": now_ms} if self.spec.linear_future else {}
        bids = sorted(self.ladder.bids.items(), reverse=True)[:limit]
        asks = sorted(self.ladder.asks.items())[:limit]
        levels = {"bids": [self._level(p, s) for p, s in bids], "asks": [self._level(p, s) for p, s in asks]}
        return {"lastUpdateId": self.ladder.last_id} | times | levels

    def mark_price(self, index: float, now_ms: int) -> Event:
        """Return the mark price event; the funding rate is the 8-hour rate, ``T`` its next settlement."""
        beyond = max(0.0005, self._basis) + min(-0.0005, self._basis)
        return {
            "e": "markPriceUpdate",
            "E": now_ms,
            "s": self.symbol,
            "p": f"{index * (1 + self._basis):.8f}",
            "i": f"{index:.8f}",
            "P": f"{index:.8f}",
            "r": f"{0.0001 + beyond:.8f}",
            "T": (now_ms // FUNDING_PERIOD_MS + 1) * FUNDING_PERIOD_MS,
        }

    def _trade(self, tick: MarketTick, last_return: float, now_ms: int) -> None:
        for _ in range(int(self._rng.poisson(_TRADES_PER_TICK))):
            lean = 0.5 + max(-0.4, min(0.4, 2000 * last_return))
            self._fill(tick, buy=bool(self._rng.random() < lean), now_ms=now_ms)
        forced = _LIQUIDATIONS_PER_TICK + _LIQUIDATIONS_PER_MOVE * abs(last_return)
        if self.spec.linear_future and self._rng.random() < min(0.5, forced):
            self._liquidate(tick, last_return, now_ms)

    def _fill(self, tick: MarketTick, *, buy: bool, now_ms: int) -> tuple[str, str]:
        size = 1 + int(self._rng.exponential(0.05) / self.spec.size_step)
        fill = self.ladder.take(size, buy=buy)
        price, amount = self._level(fill.price, fill.size)
        self._trade_id += 1
        self._agg_id += 1
        base = {"E": now_ms, "s": self.symbol, "p": price, "q": amount, "T": now_ms, "m": not buy}
        extra = {"X": "MARKET"} if self.spec.linear_future else {"M": True}
        tick.trades.append({"e": "trade", "t": self._trade_id} | base | extra)
        ids = {"a": self._agg_id, "f": self._trade_id, "l": self._trade_id}
        tick.agg_trades.append({"e": "aggTrade"} | ids | base | ({} if self.spec.linear_future else {"M": True}))
        return price, amount

    def _liquidate(self, tick: MarketTick, last_return: float, now_ms: int) -> None:
        """Close a position by force; the feed shows at most one liquidation per symbol and second."""
        buy = last_return > 0
        price, amount = self._fill(tick, buy=buy, now_ms=now_ms)
        if self._forced_second == now_ms // 1000:
            return
        self._forced_second = now_ms // 1000
        limit = f"{float(price) * (1.01 if buy else 0.99):.{self.spec.price_decimals}f}"
        order = {
            "s": self.symbol,
            "S": "BUY" if buy else "SELL",
            "o": "LIMIT",
            "f": "IOC",
            "q": amount,
            "p": limit,
            "ap": price,
            "X": "FILLED",
            "l": amount,
            "z": amount,
            "T": now_ms,
        }
        tick.force_orders.append({"e": "forceOrder", "E": now_ms, "o": order})

    def _depth(self, diff: Diff, now_ms: int) -> Event:
        event: Event = {"e": "depthUpdate", "E": now_ms}
        if self.spec.linear_future:
            event["T"] = now_ms
        event |= {"s": self.symbol, "U": diff.first_id, "u": diff.last_id}
        if self.spec.linear_future:
            event["pu"] = diff.previous_id
        return event | {"b": self._levels(diff.bids), "a": self._levels(diff.asks)}

    def _book_ticker(self, top: Top, update_id: int, now_ms: int) -> Event:
        bid, bid_size = self._level(top.bid, top.bid_size)
        ask, ask_size = self._level(top.ask, top.ask_size)
        head: Event = {"e": "bookTicker"} if self.spec.linear_future else {}
        times = {"T": now_ms, "E": now_ms} if self.spec.linear_future else {}
        return head | {"u": update_id, "s": self.symbol, "b": bid, "B": bid_size, "a": ask, "A": ask_size} | times

    def _levels(self, changes: list[LevelChange]) -> list[tuple[str, str]]:
        return [self._level(c.price, c.size) for c in changes]

    def _level(self, price: int, size: int) -> tuple[str, str]:
        spec = self.spec
        return f"{price * spec.tick:.{spec.price_decimals}f}", f"{size * spec.size_step:.{spec.size_decimals}f}"


def exchange_info(markets: list[BinanceMarket], now_ms: int) -> Event:
    """Return the REST exchangeInfo answer of one venue's markets."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [_symbol(market) for market in markets],
    }


def _symbol(market: BinanceMarket) -> Event:
    spec = market.spec
    tick_decimals = max(0, -math.floor(math.log10(spec.tick) + 1e-9))
    tick, step = f"{spec.tick:.{tick_decimals}f}", f"{spec.size_step:.{spec.size_decimals}f}"
    base: Event = {
        "symbol": market.symbol,
        "status": "TRADING",
        "baseAsset": market.underlying,
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "1000", "stepSize": step},
        ],
    }
    if not spec.linear_future:
        return base | {"baseAssetPrecision": 8, "quotePrecision": 8, "isSpotTradingAllowed": True}
    return base | {
        "pair": market.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "marginAsset": "USDT",
        "pricePrecision": spec.price_decimals,
        "quantityPrecision": spec.size_decimals,
        "underlyingType": "COIN",
    }
