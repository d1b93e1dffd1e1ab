"""The core of the greeks service: every clocked second in, greeks of the option venues' chains and a close out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from contracts.records import Ticker
from greeks.chain import Chain, IncompleteOptionError
from greeks.second import MICROSECONDS, chain_greeks
from streamkit.core import ClockedSecond, CloseSecond, Input, Item, Output, Reject

TICKERS: Final = "market.tickers"
GREEKS: Final = "options.greeks"
_STATE_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PricerConfig:
    """What an operator may choose."""

    option_venues: frozenset[str] = frozenset({"deribit"})
    """Venues whose option chains are priced"""
    max_input_age_ms: int = 120_000
    """Age beyond which an input counts as stale; a chain polled instrument by instrument takes up to 82 s"""


class GreeksCore:
    """Chain state of every (venue, underlying) of one partition.

    Each unit of an option venue yields one ``OptionGreeks``, idle seconds included; each unit of any venue, one close.
    """

    def __init__(self, config: PricerConfig) -> None:
        self._config = config
        self._chains: dict[tuple[str, str], Chain] = {}

    def step(self, unit: ClockedSecond) -> Iterator[Item]:
        """Advance by one second of one (venue, underlying)."""
        clock = unit.clock
        tickers = unit.records.get(TICKERS, ())
        rejects: list[Reject] = []
        if clock.venue in self._config.option_venues:
            chain = self._chains.setdefault((clock.venue, clock.underlying), Chain())
            rejects = [reject for ticker in tickers if (reject := _apply(chain, ticker))]
            chain.drop_expired((clock.second + 1) * MICROSECONDS)
            greeks = chain_greeks(chain, clock, max_age_ms=self._config.max_input_age_ms)
            yield from rejects
            yield Output(GREEKS, clock.underlying, greeks, clock.second * 1000)
        yield CloseSecond(
            venue=clock.venue,
            underlying=clock.underlying,
            second=clock.second,
            received_ts=clock.received_ts,
            skipped_seconds=clock.skipped_seconds,
            input_records=len(tickers),
            rejected_records=len(rejects),
        )

    def snapshot(self) -> bytes:
        """Return the state as versioned JSON; floats survive it to the last bit."""
        chains = [[venue, underlying, chain.state()] for (venue, underlying), chain in sorted(self._chains.items())]
        return json.dumps({"version": _STATE_VERSION, "chains": chains}, separators=(",", ":")).encode()

    def restore(self, state: bytes) -> None:
        """Replace the state. Raises :class:`ValueError` for a version this code does not read."""
        parsed = json.loads(state)
        if parsed["version"] != _STATE_VERSION:
            raise ValueError(
                f"greeks state version {parsed['version']}, this code reads {_STATE_VERSION}: run the version that "
                "wrote it, or replay from the start under a new run id"
            )
        self._chains = {(venue, underlying): Chain.of_state(chain) for venue, underlying, chain in parsed["chains"]}


def _apply(chain: Chain, source: Input) -> Reject | None:
    ticker: Ticker = source.value
    if ticker.kind != "option":
        return None
    try:
        chain.update(ticker)
    except IncompleteOptionError as error:
        return Reject(source, "incomplete_option", str(error), ticker.underlying)
    return None
