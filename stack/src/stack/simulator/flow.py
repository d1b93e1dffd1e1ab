"""Option orders of one underlying and the prints they become, with the truth of who stood on each side.

Classes, sizes and the chance that maker and taker are dealers follow docs/explanation/simulator.md. A block, RFQ or
combo may have two legs, which share both parties; a screen order may be filled in several prints.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stack.simulator.accounts import CUSTOMERS, DEALERS, Accounts, Transfer
from stack.simulator.black import Terms, implied_vol
from stack.simulator.board import ASK, BID, FINE_TICK, MARK, MARK_IV, UNDERLYING, OptionBoard, to_tick
from stack.simulator.listing import YEAR_MS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class OrderClass(NamedTuple):
    """Share of orders; chance of a dealer as maker and as taker; median size in lots and its log-sd."""

    name: str
    share: float
    maker: float
    taker: float
    lots: float
    spread: float


SCREEN = OrderClass("screen", 0.72, 0.80, 0.22, 5, 1.2)
BLOCK = OrderClass("block", 0.06, 0.92, 0.36, 250, 0.8)
RFQ = OrderClass("rfq", 0.07, 0.95, 0.25, 150, 0.9)
COMBO = OrderClass("combo", 0.13, 0.82, 0.25, 30, 1.1)
LIQUIDATION = OrderClass("liquidation", 0.02, 0.85, 0.03, 10, 1.2)
CLASSES = (SCREEN, BLOCK, RFQ, COMBO, LIQUIDATION)
MAX_LOTS = 8000
_CLOSING = 0.45
_UNWINDING = 0.7
_TWO_LEGS = 0.5
_SPLIT = 0.35
_SAME_SIDE = 0.25
_MAKER_LIQUIDATED = 0.15


@dataclass(frozen=True, slots=True)
class OptionPrint:
    """One trade on the tape and what it did; amounts in lots, ``price`` in coin, ``iv`` and ``mark_iv`` in percent."""

    row: int
    instrument: str
    buy: bool
    lots: int
    price: float
    iv: float
    mark_price: float
    order_class: str
    liquidation: str | None
    order: int
    leg: int
    legs: int
    effect: Transfer


@dataclass(frozen=True, slots=True)
class _Order:
    """What all prints of an order share."""

    number: int
    kind: OrderClass
    taker: int
    maker: int
    liquidation: str | None
    legs: int


class OptionFlow:
    """Generates orders; positions live in ``accounts``, quotes in ``board``."""

    def __init__(self, board: OptionBoard, accounts: Accounts, rng: np.random.Generator) -> None:
        self._board = board
        self._accounts = accounts
        self._rng = rng
        self._orders = 0
        # Customers lean towards selling calls and buying puts; by how much is the seed's.
        self._lean = np.array([rng.normal(-0.3, 0.4), rng.normal(0.4, 0.4)])
        self._drift = 0.0
        self._popularity: Floats = np.empty(0)

    def refresh_popularity(self, spot: float, now_ms: int) -> None:
        """Weigh instruments by distance from the money and maturity; call after the list of instruments changed."""
        self._popularity = np.cumsum(popularity(self._board, spot, now_ms, self._rng))

    def orders(self, expected: float, now_ms: int) -> list[OptionPrint]:
        """Draw the orders of one tick, ``expected`` on average, and return their prints."""
        self._drift = 0.999 * self._drift + 0.4 * 0.0447 * float(self._rng.standard_normal())
        prints: list[OptionPrint] = []
        for _ in range(int(self._rng.poisson(expected))):
            prints += self._order(now_ms)
        return prints

    def _order(self, now_ms: int) -> list[OptionPrint]:
        rng = self._rng
        kind = CLASSES[int(rng.choice(len(CLASSES), p=[c.share for c in CLASSES]))]
        rows = [self._draw_row()]
        if kind is COMBO or (kind in (BLOCK, RFQ) and rng.random() < _TWO_LEGS):
            rows.append(self._partner(rows[0]))
        order = self._draw_order(kind, len(rows))
        buy = self._direction(rows[0], order.taker)
        lots = int(np.clip(round(kind.lots * np.exp(kind.spread * rng.standard_normal())), 1, MAX_LOTS))
        pieces = self._pieces(lots) if kind is SCREEN else [lots]
        prints = []
        for leg, row in enumerate(rows):
            leg_buy = buy if leg == 0 or rng.random() < _SAME_SIDE else not buy
            prints += [self._fill(order, row, leg, buy=leg_buy, lots=piece, now_ms=now_ms) for piece in pieces]
        return prints

    def _draw_order(self, kind: OrderClass, legs: int) -> _Order:
        self._orders += 1
        if kind is LIQUIDATION and self._rng.random() < _MAKER_LIQUIDATED:
            taker, maker = self._party(kind.maker), self._party(0.0)
            return _Order(self._orders, kind, taker, _other_than(taker, maker), "M", legs)
        taker = self._party(kind.taker)
        liquidation = "T" if kind is LIQUIDATION else None
        return _Order(self._orders, kind, taker, self._maker(kind, taker), liquidation, legs)

    def _fill(self, order: _Order, row: int, leg: int, *, buy: bool, lots: int, now_ms: int) -> OptionPrint:
        """Trade one piece; every piece of a screen order may meet another maker."""
        maker = self._maker(order.kind, order.taker) if order.kind is SCREEN else order.maker
        buyer, seller = (order.taker, maker) if buy else (maker, order.taker)
        price = self._price(row, order.kind, buy=buy)
        return OptionPrint(
            row=row,
            instrument=self._board.contracts[row].name,
            buy=buy,
            lots=lots,
            price=price,
            iv=self._iv(row, price, now_ms),
            mark_price=float(self._board.table[MARK, row]),
            order_class=order.kind.name,
            liquidation=order.liquidation,
            order=order.number,
            leg=leg,
            legs=order.legs,
            effect=self._accounts.trade(row, buyer, seller, lots),
        )

    def _draw_row(self) -> int:
        return int(np.searchsorted(self._popularity, self._rng.random() * self._popularity[-1], side="right"))

    def _partner(self, row: int) -> int:
        """Return the second leg: another strike of the same expiry (the same option never trades against itself)."""
        same = np.flatnonzero(self._board.expiry_ms == self._board.expiry_ms[row])
        same = same[same != row]
        near = same[np.abs(same - row) <= 10]
        return int(self._rng.choice(near))

    def _party(self, dealer_chance: float) -> int:
        if self._rng.random() < dealer_chance:
            return int(self._rng.integers(DEALERS))
        return DEALERS + int(self._rng.integers(CUSTOMERS))

    def _maker(self, kind: OrderClass, taker: int) -> int:
        return _other_than(taker, self._party(kind.maker))

    def _direction(self, row: int, taker: int) -> bool:
        held = int(self._accounts.positions[row, taker])
        closes = _UNWINDING if taker < DEALERS else _CLOSING
        if held and self._rng.random() < closes:
            return held < 0
        lean = 0.0 if taker < DEALERS else float(self._lean[0 if self._board.is_call[row] else 1]) + self._drift
        return bool(self._rng.random() < 1.0 / (1.0 + np.exp(-lean)))

    def _pieces(self, lots: int) -> list[int]:
        if lots == 1 or self._rng.random() >= _SPLIT:
            return [lots]
        cut = int(self._rng.integers(1, lots))
        return [cut, lots - cut]

    def _price(self, row: int, kind: OrderClass, *, buy: bool) -> float:
        quote = self._board.table[:, row]
        mark, touch = float(quote[MARK]), float(quote[ASK if buy else BID])
        if kind is SCREEN or kind is LIQUIDATION:
            return touch or max(FINE_TICK, float(to_tick(np.array(mark), up=buy)))
        # Privately agreed prices lie near the mark, on the finer grid the venue allows for them.
        return max(FINE_TICK, round(mark * (1 + 0.01 * float(self._rng.standard_normal())), 4))

    def _iv(self, row: int, price: float, now_ms: int) -> float:
        board = self._board
        years = max((int(board.expiry_ms[row]) - now_ms) / YEAR_MS, 1.0 / YEAR_MS)
        terms = Terms(board.table[UNDERLYING, [row]], board.strike[[row]], np.array([years]), board.is_call[[row]])
        vol = implied_vol(terms, np.array([price]), board.table[MARK_IV, [row]] / 100)
        return round(100 * float(vol[0]), 2)


def _other_than(taker: int, maker: int) -> int:
    """Return ``maker``, or the next account of its kind when it is the taker itself."""
    if maker != taker:
        return maker
    first, count = (0, DEALERS) if maker < DEALERS else (DEALERS, CUSTOMERS)
    return first + (maker - first + 1) % count


def popularity(board: OptionBoard, spot: float, now_ms: int, rng: np.random.Generator) -> Floats:
    """Return trading weights: out-of-the-money and around two weeks to expiry first, with noise per instrument."""
    years = np.maximum((board.expiry_ms - now_ms) / YEAR_MS, 1e-4)
    k = np.log(board.strike / spot)
    near = np.exp(-0.5 * (k / (0.4 * np.sqrt(years) + 0.04)) ** 2)
    tenor = 0.4 + np.exp(-((np.log(years * 365 / 14) / 1.5) ** 2))
    out_of_the_money = np.where(np.where(board.is_call, k, -k) > 0, 1.6, 0.5)
    noise = np.exp(rng.normal(0.0, 0.7, len(board)))
    result: Floats = (near * tenor * out_of_the_money + 1e-6) * noise
    return result


def draw_open_interest(weights: Floats, total_lots: float) -> Ints:
    """Spread ``total_lots`` of open interest by ``weights``; some instruments get none, as on the venue."""
    result: Ints = np.floor(total_lots * weights / weights.sum()).astype(np.int64)
    return result
