"""Deribit's futures of one underlying: dated ones quoted off the carry, and the perpetual with book and funding."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stack.simulator.board import CARRY_PER_YEAR
from stack.simulator.ladder import Ladder
from stack.simulator.listing import YEAR_MS, Expiry, expiry_code

DATED_TICK = {"BTC": 2.5, "ETH": 0.25}
PERPETUAL_TICK = {"BTC": 0.5, "ETH": 0.05}
CONTRACT_USD = {"BTC": 10, "ETH": 1}
FUNDING_PERIOD_MS = 8 * 3_600_000
_FIRST_CHANGE_ID = 70_000_000_000
_DAMPER = 0.0005
_MEMORY = 0.9999


@dataclass(slots=True)
class Session:
    """Running statistics since the start; ``volume`` in coin, prices in the instrument's unit, None before a trade."""

    last: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float = 0.0
    volume_usd: float = 0.0
    first: float | None = None

    def add(self, price: float, coins: float, usd: float) -> int:
        """Count a trade and return the venue's tick direction: 0 up, 1 zero-up, 2 down, 3 zero-down."""
        direction = 0 if self.last is None or price > self.last else 2 if price < self.last else 1
        self.last = price
        self.first = price if self.first is None else self.first
        self.high = price if self.high is None else max(self.high, price)
        self.low = price if self.low is None else min(self.low, price)
        self.volume += coins
        self.volume_usd += usd
        return direction

    def stats(self) -> dict[str, float | None]:
        """Return the venue's ``stats`` object."""
        change = None if self.first is None or self.last is None else round(100 * (self.last / self.first - 1), 4)
        return {
            "high": self.high,
            "low": self.low,
            "price_change": change,
            "volume": round(self.volume, 8),
            "volume_usd": round(self.volume_usd, 2),
        }


@dataclass(frozen=True, slots=True)
class DatedFuture:
    """A dated future and its quote: prices in USD, amounts and open interest in USD."""

    name: str
    expiry: Expiry
    listed_ms: int
    open_interest: int
    mark: float = 0.0
    bid: float = 0.0
    ask: float = 0.0
    bid_amount: int = 0
    ask_amount: int = 0
    change_id: int = _FIRST_CHANGE_ID

    def book(self) -> tuple[dict[float, float], dict[float, float]]:
        """Return bids and asks (price → amount): one level a side."""
        return {self.bid: float(self.bid_amount)}, {self.ask: float(self.ask_amount)}


class FutureCurve:
    """All dated futures of an underlying, requoted together once a second."""

    def __init__(self, underlying: str, rng: np.random.Generator) -> None:
        self._underlying = underlying
        self._tick = DATED_TICK[underlying]
        self._contract = CONTRACT_USD[underlying]
        self._rng = rng
        self.quotes: dict[str, DatedFuture] = {}
        self.previous: dict[str, DatedFuture] = {}
        self.session: dict[str, Session] = {}

    def add(self, listed: Sequence[Expiry], now_ms: int) -> list[str]:
        """List a future per expiry and return the names."""
        names = []
        for expiry in listed:
            name = f"{self._underlying}-{expiry_code(expiry.ts_ms)}"
            interest = int(self._rng.lognormal(15.5, 1.0)) * self._contract
            self.quotes[name] = DatedFuture(name, expiry, now_ms, interest)
            self.session[name] = Session()
            names.append(name)
        return names

    def expire(self, now_ms: int) -> list[str]:
        """Delist what has expired and return the names."""
        gone = [name for name, quote in self.quotes.items() if quote.expiry.ts_ms <= now_ms]
        for name in gone:
            del self.quotes[name], self.session[name]
            self.previous.pop(name, None)
        return gone

    def requote(self, spot: float, now_ms: int) -> None:
        """Quote every future at the carry from ``spot``, USD."""
        self.previous = self.quotes
        self.quotes = {name: self._requoted(quote, spot, now_ms) for name, quote in self.quotes.items()}

    def _requoted(self, quote: DatedFuture, spot: float, now_ms: int) -> DatedFuture:
        years = (quote.expiry.ts_ms - now_ms) / YEAR_MS
        mark = spot * math.exp(CARRY_PER_YEAR * years)
        middle = round(mark / self._tick)
        wide = int(self._rng.integers(1, 3))
        sizes = self._rng.integers(10, 2000, 2) * self._contract
        new = replace(
            quote,
            mark=round(mark, 2),
            bid=(middle - wide) * self._tick,
            ask=(middle + wide) * self._tick,
            bid_amount=int(sizes[0]),
            ask_amount=int(sizes[1]),
        )
        return replace(new, change_id=quote.change_id + (new.book() != quote.book()))


@dataclass(slots=True)
class Perpetual:
    """The inverse perpetual: sizes in contracts of ``contract`` USD; ``premium`` and funding are decimals."""

    name: str
    contract: int
    ladder: Ladder
    open_interest: int
    premium: float = 0.0
    funding_8h: float = 0.0
    interest_value: float = 0.0
    session: Session = field(default_factory=Session)

    @property
    def current_funding(self) -> float:
        """Return the 8-hour rate now accruing: the premium beyond ±0.05 %, at most ±0.5 %."""
        beyond = max(_DAMPER, self.premium) + min(-_DAMPER, self.premium)
        return min(0.005, max(-0.005, beyond))

    def advance(self, spot: float, rng: np.random.Generator) -> None:
        """Move premium and book by one tick of 0.1 s; funding accrues continuously."""
        self.premium = 0.9995 * self.premium + 0.00001 * float(rng.standard_normal())
        self.funding_8h = _MEMORY * self.funding_8h + (1 - _MEMORY) * self.current_funding
        self.interest_value += self.current_funding * 100 / FUNDING_PERIOD_MS
        self.ladder.walk(spot * (1 + self.premium), changes=int(rng.integers(6, 20)))
