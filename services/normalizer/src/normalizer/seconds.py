"""The core: a second of raw records in, a second of market records per venue and underlying out.

Pure: state and unit decide everything. Venues are gone through by topic name, markets by (venue, underlying), records
within a market by instrument; trades, liquidations and funding keep the order of the log.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from contracts.records import RawMessage
from normalizer.events import BadMessage, Invalid
from normalizer.limits import Limits
from normalizer.market import Market
from normalizer.venues import VENUES
from streamkit.core import CloseSecond, Input, Output, RawSecond, Reject

STATE_VERSION: Final = 3

_CONNECTION_LOST: Final = frozenset({"disconnect", "gap"})


class StateVersionError(ValueError):
    """A snapshot was written by another version of this core."""


class Normalizer:
    """Core of one partition; implements :class:`streamkit.core.Core` of RawSecond."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._markets: dict[tuple[str, str], Market] = {}
        self._second = 0

    def step(self, unit: RawSecond) -> Iterator[Output | CloseSecond | Reject]:
        """Apply a second's records and yield its rejects, then each market's second, closed."""
        self._second = unit.second
        for market in self._markets.values():
            market.open(unit.second)
        for topic in sorted(unit.records):
            for source in unit.records[topic]:
                yield from self._take(topic.removeprefix("raw."), source)
        for key in sorted(self._markets):
            yield from self._markets[key].close()

    def _take(self, venue: str, source: Input) -> Iterator[Reject]:
        raw: RawMessage = source.value
        if raw.kind == "heartbeat":
            return
        if raw.kind in {"message", "snapshot"}:
            problem = self._apply(venue, raw)
            if problem is not None:
                yield Reject(source, problem.reason, problem.detail, raw.underlying)
            return
        # A record of a connection that serves every underlying says none: it concerns all that are known.
        for market in self._concerned(venue, raw.underlying):
            market.note_input(raw)
            if raw.kind in _CONNECTION_LOST:
                market.lose(instrument=raw.instrument, conn_id=raw.conn_id)

    def _apply(self, venue: str, raw: RawMessage) -> Invalid | None:
        """Apply a frame; return its first problem. What else it holds is applied all the same."""
        if not raw.underlying:
            return Invalid("missing_underlying", f"underlying: empty on a {raw.kind}; the collector must name it")
        market = self._market(venue, raw.underlying)
        market.note_input(raw)
        problem: Invalid | None = None
        try:
            for event in list(market.venue.parse(raw)):
                found = market.apply(event, raw)
                problem = problem or found
        except BadMessage as error:
            problem = Invalid(error.reason, error.detail)
            instrument = market.venue.book_instrument(raw)
            if instrument is not None:
                market.lose(instrument=instrument, conn_id=raw.conn_id)
        if problem is not None:
            market.note_rejected()
        return problem

    def _market(self, venue: str, underlying: str) -> Market:
        market = self._markets.get((venue, underlying))
        if market is None:
            market = self._new_market(venue, underlying)
            market.open(self._second)
        return market

    def _new_market(self, venue: str, underlying: str) -> Market:
        market = self._markets[venue, underlying] = Market(VENUES[venue], underlying, self._limits)
        return market

    def _concerned(self, venue: str, underlying: str) -> list[Market]:
        if underlying:
            return [self._market(venue, underlying)]
        return [market for key, market in sorted(self._markets.items()) if key[0] == venue]

    def counts(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """Return, per (venue, underlying), what became of the events since the start of the log."""
        return {key: dict(market.counts) for key, market in sorted(self._markets.items())}

    def snapshot(self) -> bytes:
        """Return the state between two units: JSON with sorted keys, so that equal states are equal bytes."""
        markets: list[Any] = [[*key, market.dump()] for key, market in sorted(self._markets.items())]
        return orjson.dumps({"version": STATE_VERSION, "markets": markets}, option=orjson.OPT_SORT_KEYS)

    def restore(self, state: bytes) -> None:
        """Replace the state of a new core. Raises StateVersionError if it is of another version."""
        loaded = orjson.loads(state)
        if loaded.get("version") != STATE_VERSION:
            raise StateVersionError(
                f"checkpoint version: expected {STATE_VERSION}, got {loaded.get('version')!r}; "
                "start from raw under a new run id, or run the version that wrote it"
            )
        self._markets = {}
        for venue, underlying, held in loaded["markets"]:
            self._new_market(venue, underlying).load(held)
