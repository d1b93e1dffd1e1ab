"""The quotes of one underlying's options: repriced by slices, whole columns at a time.

A quote is a column of ``OptionBoard.table``; its rows are named by the constants below. Prices are in coin, vols in
percent, amounts in coin. 0 stands for "no quote" in prices, amounts and ivs, as on the venue's wire.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stack.simulator.black import Terms, coin_price, implied_vol, venue_greeks
from stack.simulator.listing import YEAR_MS, Contract
from stack.simulator.smile import Smile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

COLUMNS = (
    "underlying_price",
    "mark_price",
    "mark_iv",
    "bid",
    "ask",
    "bid_amount",
    "ask_amount",
    "bid_iv",
    "ask_iv",
    "delta",
    "gamma",
    "vega",
    "theta",
    "rho",
)
UNDERLYING, MARK, MARK_IV, BID, ASK, BID_AMOUNT, ASK_AMOUNT = range(7)
BOOK = slice(BID, ASK_AMOUNT + 1)

FINE_TICK, COARSE_TICK, COARSE_ABOVE = 0.0001, 0.0005, 0.005
LOT = {"BTC": 0.1, "ETH": 1.0}
CARRY_PER_YEAR = 0.05
LADDER_LEVELS = 5
_MIN_YEARS = 1.0 / YEAR_MS
_DEAD_DELTA = 0.004
_NO_ASK_SHARE = 0.02
_CHANGE_IDS_PER_OPTION = 10_000_000_000
_FIRST_CHANGE_ID = 80_000_000_000


class OptionBoard:
    """Contracts and current quotes; row i of every array is ``contracts[i]``."""

    def __init__(self, underlying: str, smile: Smile, rng: np.random.Generator) -> None:
        self.underlying = underlying
        self.lot = LOT[underlying]
        self._smile = smile
        self._rng = rng
        self._listed = 0
        self.contracts: list[Contract] = []
        self.row: dict[str, int] = {}
        self.strike: Floats = np.empty(0)
        self.expiry_ms: Ints = np.empty(0, np.int64)
        self.is_call: Bools = np.empty(0, np.bool_)
        self.change_id: Ints = np.empty(0, np.int64)
        self.table: Floats = np.zeros((len(COLUMNS), 0))
        self.previous: Floats = np.zeros((len(COLUMNS), 0))
        self.listed_ms: Ints = np.empty(0, np.int64)
        self._recorded_vol: Floats = np.empty(0)
        self._width: Floats = np.empty(0)
        self._asks: Bools = np.empty(0, np.bool_)

    def __len__(self) -> int:
        return len(self.contracts)

    def add(self, contracts: Sequence[Contract], now_ms: int, recorded_vol: Floats | None = None) -> None:
        """List ``contracts``; ``recorded_vol`` (decimal) replaces the smile, and then moves with its level only."""
        n = len(contracts)
        self.contracts = [*self.contracts, *contracts]
        self.strike = np.append(self.strike, [c.strike for c in contracts])
        self.expiry_ms = np.append(self.expiry_ms, np.array([c.expiry.ts_ms for c in contracts], np.int64))
        self.is_call = np.append(self.is_call, np.array([c.is_call for c in contracts], np.bool_))
        first = _FIRST_CHANGE_ID + (self._listed + np.arange(n)) * _CHANGE_IDS_PER_OPTION
        self.change_id = np.append(self.change_id, first)
        self.listed_ms = np.append(self.listed_ms, np.full(n, now_ms))
        self.table = np.concatenate([self.table, np.zeros((len(COLUMNS), n))], axis=1)
        self.previous = np.concatenate([self.previous, np.zeros((len(COLUMNS), n))], axis=1)
        self._recorded_vol = np.append(self._recorded_vol, np.full(n, np.nan) if recorded_vol is None else recorded_vol)
        self._width = np.append(self._width, self._rng.uniform(0.003, 0.010, n))
        self._asks = np.append(self._asks, self._rng.random(n) >= _NO_ASK_SHARE)
        self._listed += n
        self._index()

    def drop(self, keep: Bools) -> None:
        """Delist the rows where ``keep`` is false."""
        self.contracts = [c for c, kept in zip(self.contracts, keep, strict=True) if kept]
        self.strike, self.expiry_ms, self.is_call = self.strike[keep], self.expiry_ms[keep], self.is_call[keep]
        self.change_id, self.listed_ms = self.change_id[keep], self.listed_ms[keep]
        self.table, self.previous = self.table[:, keep], self.previous[:, keep]
        self._recorded_vol, self._width, self._asks = self._recorded_vol[keep], self._width[keep], self._asks[keep]
        self._index()

    def _index(self) -> None:
        self.row = {c.name: i for i, c in enumerate(self.contracts)}

    def forwards(self, spot: float, now_ms: int, rows: Ints) -> Floats:
        """Return the forward of each row, USD."""
        years: Floats = (self.expiry_ms[rows] - now_ms) / YEAR_MS
        return spot * np.exp(CARRY_PER_YEAR * years)

    def reprice(self, rows: Ints, *, spot: float, level: float, now_ms: int) -> None:
        """Give ``rows`` new quotes at the index ``spot`` (USD) and vol level."""
        if not len(rows):
            return
        strike, is_call = self.strike[rows], self.is_call[rows]
        years = np.maximum((self.expiry_ms[rows] - now_ms) / YEAR_MS, _MIN_YEARS)
        forward = np.round(self.forwards(spot, now_ms, rows), 4)
        vol = self._smile.vol(np.log(strike / forward), years, level)
        recorded = self._recorded_vol[rows]
        vol = np.where(np.isnan(recorded), vol, recorded * level)
        terms = Terms(forward, strike, years, is_call)
        mark = coin_price(terms, vol)
        greeks = venue_greeks(terms, vol)
        bid, ask = self._quote(rows, mark, np.abs(greeks.delta), forward, greeks.vega)
        twice = np.concatenate([bid, ask])
        ivs = implied_vol(terms.twice(), twice, np.tile(vol, 2))
        bid_iv, ask_iv = np.round(100 * np.where(twice > 0, ivs, 0.0), 2).reshape(2, -1)
        amounts = self._amounts(len(rows))
        columns = (
            forward,
            np.round(mark, 4),
            np.round(100 * vol, 2),
            bid,
            ask,
            np.where(bid > 0, amounts[0], 0.0),
            np.where(ask > 0, amounts[1], 0.0),
            bid_iv,
            ask_iv,
            *greeks,
        )
        self.previous[:, rows] = self.table[:, rows]
        self.table[:, rows] = np.stack(columns)
        self.change_id[rows] += np.any(self.table[BOOK, rows] != self.previous[BOOK, rows], axis=0)

    def _quote(self, rows: Ints, mark: Floats, size: Floats, forward: Floats, vega: Floats) -> tuple[Floats, Floats]:
        """Return bids and asks around ``mark``: some vol points wide, on the venue's ticks."""
        jitter = self._rng.uniform(0.7, 1.3, (2, len(rows)))
        half = np.maximum(0.8 * FINE_TICK, 100 * vega / forward * self._width[rows])
        bid = to_tick(mark - half * jitter[0], up=False)
        ask = np.maximum(to_tick(mark + half * jitter[1], up=True), FINE_TICK)
        bid = np.where((bid >= FINE_TICK) & (size >= _DEAD_DELTA), bid, 0.0)
        return bid, np.where(self._asks[rows], np.maximum(ask, np.round(bid + FINE_TICK, 4)), 0.0)

    def _amounts(self, n: int) -> Floats:
        lots = np.maximum(1.0, np.round(np.exp(self._rng.normal(3.5, 1.2, (2, n)))))
        result: Floats = np.round(lots * self.lot, 1)
        return result


def to_tick(price: Floats, *, up: bool) -> Floats:
    """Round coin prices to the venue's ticks: 0.0001, above 0.005 0.0005."""
    tick = np.where(price > COARSE_ABOVE, COARSE_TICK, FINE_TICK)
    steps = np.ceil(price / tick - 1e-9) if up else np.floor(price / tick + 1e-9)
    result: Floats = np.round(steps * tick, 4)
    return result


def ladder(table: Floats, row: int, lot: float) -> tuple[dict[float, float], dict[float, float]]:
    """Return the bids and asks (price → amount) that stand behind a quote: best first, five a side at most."""
    return (
        _side(float(table[BID, row]), float(table[BID_AMOUNT, row]), -1, lot),
        _side(float(table[ASK, row]), float(table[ASK_AMOUNT, row]), 1, lot),
    )


def _side(best: float, amount: float, away: int, lot: float) -> dict[float, float]:
    levels: dict[float, float] = {}
    price = best
    for depth in range(LADDER_LEVELS):
        if price < FINE_TICK:
            break
        levels[price] = round(max(lot, round(amount * (1 + 0.7 * depth) / lot) * lot), 1)
        coarse = price > COARSE_ABOVE + 1e-9 or (away > 0 and price > COARSE_ABOVE - 1e-9)
        price = round(price + away * (COARSE_TICK if coarse else FINE_TICK), 4)
    return levels
