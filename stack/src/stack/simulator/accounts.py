"""Who holds which options: dealer and customer accounts per instrument, in integer lots.

The agent model of an option market with known truth: positions of all accounts add to zero, open interest is the sum of
the long ones, and dealer inventory q is the sum over dealers (> 0: dealers are long), so |q| ≤ open interest always.
A starting book is drawn from shared factors (all, calls, puts, call/put × maturity) and an own part per instrument.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stack.simulator.listing import DAY_MS

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

DEALERS, CUSTOMERS = 6, 30
ACCOUNTS = DEALERS + CUSTOMERS
_SD_ALL, _SD_TYPE, _SD_BUCKET, _SD_OWN = 0.15, 0.25, 0.20, 0.70


@dataclass(frozen=True, slots=True)
class Transfer:
    """Effect of one print: change of open interest and of dealer inventory, lots."""

    open_interest: int
    dealer: int


class Accounts:
    """Positions of all accounts; row i is instrument i of the board, accounts below ``DEALERS`` are dealers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.positions: Ints = np.zeros((0, ACCOUNTS), np.int64)
        self.open_interest: Ints = np.zeros(0, np.int64)
        self.dealer: Ints = np.zeros(0, np.int64)
        self.start_open_interest: Ints = np.zeros(0, np.int64)
        self.start_dealer: Ints = np.zeros(0, np.int64)

    def add(self, open_interest: Ints, share: Floats) -> None:
        """Append instruments with an open interest (lots) of which dealers hold the share −1 … 1, net."""
        dealer = np.round(open_interest * share).astype(np.int64)
        rows = np.zeros((len(open_interest), ACCOUNTS), np.int64)
        for i in np.flatnonzero(open_interest):
            rows[i] = self._split_book(int(open_interest[i]), int(dealer[i]))
        self.positions = np.concatenate([self.positions, rows])
        self.open_interest = np.append(self.open_interest, open_interest)
        self.dealer = np.append(self.dealer, dealer)
        self.start_open_interest = np.append(self.start_open_interest, open_interest)
        self.start_dealer = np.append(self.start_dealer, dealer)

    def drop(self, keep: Bools) -> None:
        """Remove the instruments where ``keep`` is false."""
        self.positions = self.positions[keep]
        self.open_interest, self.dealer = self.open_interest[keep], self.dealer[keep]
        self.start_open_interest = self.start_open_interest[keep]
        self.start_dealer = self.start_dealer[keep]

    def trade(self, row: int, buyer: int, seller: int, lots: int) -> Transfer:
        """Move ``lots`` of instrument ``row`` from ``seller`` to ``buyer``."""
        held = self.positions[row]
        longs_before = max(0, held[buyer]) + max(0, held[seller])
        held[buyer] += lots
        held[seller] -= lots
        opened = int(max(0, held[buyer]) + max(0, held[seller]) - longs_before)
        to_dealers = lots * ((buyer < DEALERS) - (seller < DEALERS))
        self.open_interest[row] += opened
        self.dealer[row] += to_dealers
        return Transfer(opened, to_dealers)

    def _split_book(self, total: int, dealer: int) -> Ints:
        """Spread ``total`` longs and shorts over accounts so that dealers are net ``dealer``."""
        both = int((total - abs(dealer)) * 0.6 * self._rng.random())
        dealer_long, dealer_short = both + max(dealer, 0), both + max(-dealer, 0)
        half_d, half_c = DEALERS // 2, CUSTOMERS // 2
        return np.concatenate(
            [
                self._parts(dealer_long, half_d),
                -self._parts(dealer_short, DEALERS - half_d),
                self._parts(total - dealer_long, half_c),
                -self._parts(total - dealer_short, CUSTOMERS - half_c),
            ]
        )

    def _parts(self, total: int, count: int) -> Ints:
        return self._rng.multinomial(total, self._rng.dirichlet(np.ones(count))).astype(np.int64)


def draw_shares(rng: np.random.Generator, is_call: Bools, expiry_ms: Ints, now_ms: int) -> Floats:
    """Draw the dealers' net share of the open interest, −1 … 1 per instrument, with the shared factors above."""
    bucket = maturity_bucket(expiry_ms, now_ms)
    kind = np.where(is_call, 0, 1)
    shared = _SD_ALL * rng.standard_normal() + _SD_TYPE * rng.standard_normal(2)[kind]
    shared = shared + _SD_BUCKET * rng.standard_normal((2, 3))[kind, bucket]
    result: Floats = np.clip(shared + _SD_OWN * rng.standard_normal(len(is_call)), -0.98, 0.98)
    return result


def maturity_bucket(expiry_ms: Ints, now_ms: int) -> Ints:
    """Return 0 for up to 3 days to expiry, 1 for up to 28, else 2."""
    days = (expiry_ms - now_ms) / DAY_MS
    result: Ints = np.where(days <= 3, 0, np.where(days <= 28, 1, 2)).astype(np.int64)
    return result
