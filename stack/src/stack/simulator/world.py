"""The generated market: a pure, seeded state machine that moves in ticks of 0.1 s.

The same settings give the same ticks, whoever listens. Nothing reads a clock: ``World.now_ms`` is the market's time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stack.simulator.accounts import Accounts, draw_shares
from stack.simulator.binance_market import BinanceMarket, MarketTick
from stack.simulator.board import OptionBoard
from stack.simulator.flow import OptionFlow, OptionPrint, draw_open_interest, popularity
from stack.simulator.futures import CONTRACT_USD, PERPETUAL_TICK, FutureCurve, Perpetual
from stack.simulator.ladder import Diff, Ladder
from stack.simulator.listing import Expiry, chain, expiries, has_future, next_expiry_ms
from stack.simulator.path import SPOTS, GivenPath, SpotPath
from stack.simulator.recorded import RecordedChain
from stack.simulator.smile import draw_smile
from stack.simulator.tape import Tape, Trade

TICK_MS = 100
TICKS_PER_SECOND = 1000 // TICK_MS
VENUES = ("usdm", "spot")
_OPEN_INTEREST_COINS = {"BTC": 350_000.0, "ETH": 2_500_000.0}
_PERPETUAL_INTEREST_USD = 1_000_000_000
_PERPETUAL_DEPTH = 200
_PERPETUAL_TRADES_PER_TICK = 0.2


@dataclass(frozen=True, slots=True)
class MarketSettings:
    """What the market is made from; ``options`` in all, split evenly over ``underlyings``; rates per second."""

    seed: int
    start_ms: int
    underlyings: tuple[str, ...]
    options: int
    updates_per_option_s: float = 1.0
    option_orders_s: float = 1.0
    chains: Mapping[str, RecordedChain] = field(default_factory=dict)
    paths: Mapping[str, GivenPath] = field(default_factory=dict)


@dataclass(slots=True)
class UnderlyingTick:
    """What one tick brought for one underlying; ``option_rows`` index the board."""

    option_rows: NDArray[np.int64]
    futures_requoted: bool
    perpetual_diff: Diff | None
    option_prints: list[OptionPrint]
    option_trades: list[Trade]
    combo_trades: list[Trade]
    future_trades: list[Trade]
    states: list[tuple[str, str]]
    binance: dict[str, MarketTick]


@dataclass(frozen=True, slots=True)
class Tick:
    """One step of the market."""

    now_ms: int
    underlyings: dict[str, UnderlyingTick]


class Underlying:
    """All markets of one underlying."""

    def __init__(self, name: str, count: int, settings: MarketSettings, seed: np.random.SeedSequence) -> None:
        streams: Iterator[np.random.Generator] = map(np.random.default_rng, seed.spawn(8))
        self.name = name
        self._settings = settings
        recorded = settings.chains.get(name)
        start = recorded.index_price if recorded else SPOTS[name]
        self.path = SpotPath(name, start, next(streams), settings.paths.get(name))
        listing_rng = next(streams)
        self.smile = draw_smile(listing_rng, name)
        self.board = OptionBoard(name, self.smile, listing_rng)
        self.accounts = Accounts(next(streams))
        self.flow = OptionFlow(self.board, self.accounts, next(streams))
        self.tape = Tape(name)
        self.futures = FutureCurve(name, next(streams))
        self._perpetual_rng = next(streams)
        self.perpetual = self._make_perpetual()
        markets_rng = next(streams)
        self.binance = {venue: BinanceMarket(venue, name, self.path.price, markets_rng) for venue in VENUES}
        self.retired: dict[str, dict[str, float]] = {}
        self._ring = 0.0
        self._next_expiry_ms = next_expiry_ms(settings.start_ms)
        self._open(count, recorded, next(streams))

    @property
    def dvol(self) -> float:
        """Return the 30-day at-the-money vol, percent."""
        vol = self.smile.vol(np.zeros(1), np.full(1, 30 / 365), self.path.level)
        return round(100 * float(vol[0]), 2)

    def step(self, now_ms: int) -> UnderlyingTick:
        """Move by one tick to ``now_ms``."""
        spot = self.path.advance()
        states = self._roll(now_ms) if now_ms >= self._next_expiry_ms else []
        rows = self._due_rows()
        self.board.reprice(rows, spot=spot, level=self.path.level, now_ms=now_ms)
        second = now_ms % 1000 == 0
        if second or states:
            self.futures.requote(spot, now_ms)
        prints = self.flow.orders(self._settings.option_orders_s / TICKS_PER_SECOND, now_ms)
        trades, combos = self.tape.options(prints, self.board, spot, now_ms)
        future_trades = self._trade_futures(spot, now_ms)
        self.perpetual.advance(spot, self._perpetual_rng)
        return UnderlyingTick(
            option_rows=rows,
            futures_requoted=second,
            perpetual_diff=self.perpetual.ladder.publish(),
            option_prints=prints,
            option_trades=trades,
            combo_trades=combos,
            future_trades=future_trades,
            states=states,
            binance={v: m.advance(spot, self.path.last_return, now_ms) for v, m in self.binance.items()},
        )

    def inventory(self) -> dict[str, dict[str, float]]:
        """Return per option dealer inventory q (> 0: dealers long) and open interest, now and at the start, coin."""
        return self.retired | {c.name: self._truth(i) for i, c in enumerate(self.board.contracts)}

    def _truth(self, row: int) -> dict[str, float]:
        books, lot = self.accounts, self.board.lot
        values = {
            "q": books.dealer[row],
            "oi": books.open_interest[row],
            "q_start": books.start_dealer[row],
            "oi_start": books.start_open_interest[row],
        }
        return {name: round(int(lots) * lot, 1) for name, lots in values.items()}

    def _make_perpetual(self) -> Perpetual:
        contract = CONTRACT_USD[self.name]
        ladder = Ladder(
            mid=self.path.price,
            tick=PERPETUAL_TICK[self.name],
            depth=_PERPETUAL_DEPTH,
            typical_size=20_000 // contract,
            first_id=90_000_000_000,
            sparse_ids=False,
            rng=self._perpetual_rng,
        )
        return Perpetual(f"{self.name}-PERPETUAL", contract, ladder, _PERPETUAL_INTEREST_USD)

    def _open(self, count: int, recorded: RecordedChain | None, rng: np.random.Generator) -> None:
        """List the starting chain with its open interest and starting book, and quote everything once."""
        now_ms, board, spot = self._settings.start_ms, self.board, self.path.price
        if recorded:
            live = [i for i, c in enumerate(recorded.contracts) if c.expiry.ts_ms > now_ms]
            board.add([recorded.contracts[i] for i in live], now_ms, np.array(recorded.vols)[live])
            lots = np.round(np.array(recorded.open_interest)[live] / board.lot).astype(np.int64)
        else:
            contracts = chain(self.name, price=spot, now_ms=now_ms, count=count, listed=expiries(now_ms))
            if len(contracts) < count:
                raise ValueError(
                    f"options: {count} for {self.name} is more than its listing rules yield, at most {len(contracts)}"
                )
            board.add(contracts, now_ms)
            total = _OPEN_INTEREST_COINS[self.name] / board.lot
            lots = draw_open_interest(popularity(board, spot, now_ms, rng), total)
        self.accounts.add(lots, draw_shares(rng, board.is_call, board.expiry_ms, now_ms))
        self._list_futures({c.expiry for c in board.contracts}, now_ms)
        self._quote_all(now_ms)

    def _quote_all(self, now_ms: int) -> None:
        rows = np.arange(len(self.board))
        self.board.reprice(rows, spot=self.path.price, level=self.path.level, now_ms=now_ms)
        self.futures.requote(self.path.price, now_ms)
        self.flow.refresh_popularity(self.path.price, now_ms)

    def _list_futures(self, listed: set[Expiry], now_ms: int) -> list[str]:
        ordered = sorted(listed, key=lambda e: e.ts_ms)
        return self.futures.add([e for e in ordered if has_future(e, now_ms)], now_ms)

    def _due_rows(self) -> NDArray[np.int64]:
        """Return the next rows of the ring, so that each option is requoted at its rate, spread over the second."""
        n = len(self.board)
        start, self._ring = self._ring, self._ring + n * self._settings.updates_per_option_s / TICKS_PER_SECOND
        rows = np.arange(int(start), int(self._ring)) % n
        self._ring %= n * TICKS_PER_SECOND
        return rows

    def _roll(self, now_ms: int) -> list[tuple[str, str]]:
        """Delist what expired and list its successors with as many options; returns (instrument, state) in order."""
        board = self.board
        keep = board.expiry_ms > now_ms
        gone = [c.name for c, kept in zip(board.contracts, keep, strict=True) if not kept]
        self.retired |= {name: self._truth(board.row[name]) for name in gone}
        board.drop(keep)
        self.accounts.drop(keep)
        known = {c.expiry.ts_ms for c in board.contracts}
        listed = [e for e in expiries(now_ms) if e.ts_ms not in known]
        new = chain(self.name, price=self.path.price, now_ms=now_ms, count=len(gone), listed=listed)
        board.add(new, now_ms)
        self.accounts.add(np.zeros(len(new), np.int64), np.zeros(len(new)))
        futures_gone = self.futures.expire(now_ms)
        futures_new = self._list_futures(set(listed), now_ms)
        self._next_expiry_ms = next_expiry_ms(now_ms)
        self._quote_all(now_ms)
        closed = [(name, "closed") for name in (*gone, *futures_gone)]
        return closed + [(name, "created") for name in (*(c.name for c in new), *futures_new)]

    def _trade_futures(self, spot: float, now_ms: int) -> list[Trade]:
        rng, perpetual = self._perpetual_rng, self.perpetual
        trades = []
        for _ in range(int(rng.poisson(_PERPETUAL_TRADES_PER_TICK))):
            buy = bool(rng.random() < 0.5 + max(-0.4, min(0.4, 2000 * self.path.last_return)))
            fill = perpetual.ladder.take(1 + int(rng.exponential(500)), buy=buy)
            usd = fill.size * perpetual.contract
            perpetual.open_interest += int(rng.integers(-1, 2)) * usd
            trades.append(
                self.tape.future(
                    perpetual.name,
                    perpetual.session,
                    price=round(fill.price * perpetual.ladder.tick, 2),
                    usd=usd,
                    contract=perpetual.contract,
                    buy=buy,
                    mark=spot * (1 + perpetual.premium),
                    index=spot,
                    now_ms=now_ms,
                    liquidation="T" if rng.random() < 0.01 + 30 * abs(self.path.last_return) else None,
                )
            )
        return trades


class World:
    """The whole market."""

    def __init__(self, settings: MarketSettings) -> None:
        """Raise ValueError when the settings cannot be met."""
        self.settings = settings
        self.now_ms = settings.start_ms
        seeds = np.random.SeedSequence(settings.seed).spawn(len(settings.underlyings))
        counts = split_pairs(settings.options, len(settings.underlyings))
        self.underlyings = {
            name: Underlying(name, count, settings, seed)
            for name, count, seed in zip(settings.underlyings, counts, seeds, strict=True)
        }

    def step(self) -> Tick:
        """Move all markets by one tick and return what happened."""
        self.now_ms += TICK_MS
        return Tick(self.now_ms, {name: u.step(self.now_ms) for name, u in self.underlyings.items()})

    def inventory(self) -> dict[str, dict[str, float]]:
        """Return the truth per option, over all underlyings (see :meth:`Underlying.inventory`)."""
        return {name: row for u in self.underlyings.values() for name, row in u.inventory().items()}


def split_pairs(options: int, parts: int) -> Sequence[int]:
    """Split ``options`` (even) into ``parts`` even numbers as equal as can be, larger ones first."""
    pairs, rest = divmod(options // 2, parts)
    return [2 * (pairs + (i < rest)) for i in range(parts)]
