"""Binance's combined streams (USDⓈ-M futures and spot) as a session without I/O.

Every frame is published untouched. Depth chain: a diff continues the one before it (futures: ``pu`` equals its ``u``;
spot: ``U`` follows its ``u``) and the REST snapshot must reach the first diff; else the instrument is marked gapped and
gets a new snapshot, alone. Buffering diffs until the snapshot is there is the normaliser's matter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from collector.events import (
    Action,
    Answered,
    Close,
    Connected,
    Disconnected,
    Event,
    Fetch,
    Frame,
    Publish,
    Request,
    Send,
    Tick,
    Unanswered,
    connection_records,
)
from collector.frames import json_object, microseconds
from collector.liveness import Liveness

QUOTE = "USDT"
DEPTH_CHANNEL = "rest:depth"
SNAPSHOT_LEVELS = "1000"
SECOND_US = 1_000_000
SNAPSHOT_AGAIN_US = SECOND_US
SNAPSHOT_RETRY_US = 5 * SECOND_US


@dataclass(frozen=True, slots=True)
class BinanceMarket:
    """What differs between Binance's markets. ``routed`` are the streams that the venue serves under ``/market``."""

    venue: str
    depth_path: str
    streams: tuple[str, ...]
    routed: tuple[str, ...] = ()


USDM = BinanceMarket(
    venue="binance-usdm",
    depth_path="/fapi/v1/depth",
    streams=("depth@100ms", "bookTicker"),
    routed=("aggTrade", "markPrice@1s", "forceOrder"),
)
SPOT = BinanceMarket(venue="binance-spot", depth_path="/api/v3/depth", streams=("depth@100ms", "trade", "bookTicker"))
_ALWAYS_SPEAK = ("depth@100ms", "bookTicker", "markPrice@1s")


def underlying_of(symbol: str) -> str:
    """Return the base asset of a symbol quoted in USDT (BTCUSDT: BTC); the symbol itself if it is another's."""
    return symbol.removesuffix(QUOTE)


def exchange_ts(data: Any) -> int | None:
    """Return the venue's event time ``E`` (ms) of a frame's data as microseconds; spot bookTicker has none."""
    return microseconds(data.get("E")) if isinstance(data, dict) else None


def routes(market: BinanceMarket, base_url: str) -> dict[str, tuple[str, ...]]:
    """Return the streams of ``market`` by the base URL that serves them.

    Since April 2026 the venue serves futures streams under ``/public`` and ``/market``; a base URL that does not end in
    ``/public`` (spot, a simulator, a proxy) serves them all.
    """
    if market.routed and base_url.endswith("/public"):
        return {base_url: market.streams, base_url.removesuffix("/public") + "/market": market.routed}
    return {base_url: market.streams + market.routed}


@dataclass(slots=True)
class _Chain:
    """Depth of one symbol: ``reaches`` is the update id a snapshot must have reached to join the diffs."""

    last: int | None = None
    reaches: int | None = None
    synced: bool = False
    snapshot_due: int | None = None

    def breaks(self, diff: dict[str, Any]) -> bool:
        """Follow the chain by one diff; True if something is missing before it."""
        first, final, previous = diff.get("U"), diff.get("u"), diff.get("pu")
        if not isinstance(first, int) or not isinstance(final, int):
            return False
        joins = first - 1 if not isinstance(previous, int) else previous
        gap = self.last is not None and joins != self.last
        if gap or self.last is None:
            self.reaches, self.synced = joins, False
        self.last = final
        return gap


class BinanceSession:
    """One connection slot to a Binance market; see :class:`collector.events.Session`."""

    def __init__(
        self,
        market: BinanceMarket,
        base_url: str,
        streams: Sequence[str],
        underlyings: tuple[str, ...],
        *,
        stale_after_us: int,
        silent_after_us: int,
    ) -> None:
        self._market = market
        self._underlyings = underlyings
        self._channels = tuple(f"{base.lower()}{QUOTE.lower()}@{stream}" for base in underlyings for stream in streams)
        self.url = f"{base_url}/stream?streams={'/'.join(self._channels)}"
        self._stale_after_us = stale_after_us
        self._liveness = Liveness(silent_after_us)
        self._chains: dict[str, _Chain] = {}
        self._last_frame = 0
        self._next_check = 0
        self._last_id = 0

    def handle(self, now: int, event: Event) -> list[Action]:
        """See :class:`collector.events.Session`."""
        match event:
            case Frame(body):
                return list(self._frame(now, body))
            case Tick():
                return list(self._tick(now))
            case Connected():
                return self._connected(now)
            case Disconnected(reason):
                return connection_records("disconnect", reason, self._underlyings)
            case Answered(request, body):
                return [self._snapshot(now, request, body)]
            case Unanswered(request, _):
                self._chain(request.instrument).snapshot_due = now + SNAPSHOT_RETRY_US
                return []

    def _connected(self, now: int) -> list[Action]:
        self._last_frame = now
        self._next_check = now + SECOND_US
        self._chains.clear()
        self._liveness.clear()
        for channel in self._channels:
            if channel.partition("@")[2] in _ALWAYS_SPEAK:
                self._liveness.expect(channel, now)
        return connection_records("connect", "connected", self._underlyings)

    def _tick(self, now: int) -> Iterator[Action]:
        if now - self._last_frame >= self._stale_after_us:
            yield Close(f"stale: no frame for {self._stale_after_us / SECOND_US:g} s")
            return
        for symbol, chain in self._chains.items():
            if chain.snapshot_due is not None and now >= chain.snapshot_due:
                yield self._fetch(symbol, chain)
        if now >= self._next_check:
            self._next_check = now + SECOND_US
            yield from self._silent(now)

    def _silent(self, now: int) -> Iterator[Action]:
        silent = self._liveness.silent(now)
        for channel in silent:
            yield self._gap(channel, "silent: subscribed, sends nothing")
            if "@depth" in channel:
                self._chains.pop(_symbol(channel), None)
        if silent:
            yield self._call("UNSUBSCRIBE", silent)
            yield self._call("SUBSCRIBE", silent)

    def _frame(self, now: int, body: bytes) -> Iterator[Action]:
        self._last_frame = now
        frame = json_object(body)
        channel, data = frame.get("stream"), frame.get("data")
        if not isinstance(channel, str):
            yield Publish("message", "rpc" if "id" in frame else "", None, self._underlyings[0], body)
            if frame.get("error") is not None:
                yield Close(f"refused: {frame['error']}"[:200])
            return
        self._liveness.heard(channel, now)
        fetch: Action | None = None
        if "@depth" in channel and isinstance(data, dict):
            chain = self._chain(_symbol(channel))
            begins = chain.last is None
            if chain.breaks(data):
                yield self._gap(channel, "update ids do not continue")
                begins = True
            if begins and chain.last is not None:
                fetch = self._fetch(_symbol(channel), chain)
        yield Publish("message", channel, _symbol(channel), self._partition_of(channel), body, exchange_ts(data))
        if fetch is not None:
            yield fetch

    def _snapshot(self, now: int, request: Request, body: bytes) -> Publish:
        chain = self._chain(request.instrument)
        answer = json_object(body)
        reached = answer.get("lastUpdateId")
        chain.synced = isinstance(reached, int) and (chain.reaches is None or reached >= chain.reaches)
        # An older snapshot cannot join the diffs: the venue's cache lags, ask again.
        chain.snapshot_due = None if chain.synced else now + SNAPSHOT_AGAIN_US
        return Publish("snapshot", request.channel, request.instrument, request.underlying, body, exchange_ts(answer))

    def _chain(self, symbol: str | None) -> _Chain:
        return self._chains.setdefault(symbol or "", _Chain())

    def _fetch(self, symbol: str, chain: _Chain) -> Fetch:
        chain.snapshot_due = None
        params = (("symbol", symbol), ("limit", SNAPSHOT_LEVELS))
        underlying = self._partition_of(f"{symbol.lower()}@depth")
        return Fetch(Request(self._market.depth_path, params, DEPTH_CHANNEL, underlying, symbol))

    def _gap(self, channel: str, reason: str) -> Publish:
        return Publish("gap", channel, _symbol(channel), self._partition_of(channel), reason.encode())

    def _partition_of(self, channel: str) -> str:
        underlying = underlying_of(_symbol(channel))
        return underlying if underlying in self._underlyings else self._underlyings[0]

    def _call(self, method: str, channels: Sequence[str]) -> Send:
        self._last_id += 1
        return Send(orjson.dumps({"method": method, "params": channels, "id": self._last_id}).decode())


def _symbol(channel: str) -> str:
    return channel.partition("@")[0].upper()
