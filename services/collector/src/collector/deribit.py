"""Deribit's public WebSocket API (JSON-RPC 2.0) as a session without I/O.

Every frame is published untouched, protocol answers too (channel ``rpc``). The whole chain is followed: one ticker
channel per listed option and future. Listings come from ``public/get_instruments``, asked for at each connect, hourly,
and when ``instrument.state`` or the minute's book summary names an instrument that is not known.

Book chain: a change must carry ``prev_change_id`` equal to the ``change_id`` before it; else the book is marked gapped
and only its channel is subscribed anew, which makes the venue send a snapshot.
"""

from collections.abc import Iterable, Iterator
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
    GiveUp,
    Publish,
    Request,
    Send,
    Tick,
    Unanswered,
    connection_records,
)
from collector.frames import json_object, microseconds
from collector.liveness import Liveness
from collector.subscriptions import Subscriptions

VENUE = "deribit"
RPC_CHANNEL = "rpc"
INSTRUMENTS_CHANNEL = "rest:get_instruments"
SUMMARY_CHANNEL = "rest:get_book_summary_by_currency"
SECOND_US = 1_000_000

# The venue refuses larger requests ("request entity too large"); about 3.3 subscribe calls a second are allowed.
CHANNELS_PER_CALL = 250
CALL_SPACING_US = 350_000
CALL_TIMEOUT_US = 10 * SECOND_US
HEARTBEAT_S = 10
SUMMARY_EVERY_US = 60 * SECOND_US
LISTING_EVERY_US = 3600 * SECOND_US
LISTING_SOON_US = SECOND_US
LISTING_RETRY_US = 5 * SECOND_US
BUSY_WAIT_US = 2 * SECOND_US
KINDS = ("option", "future")

_TOO_MANY_REQUESTS = 10028
# Errors that connecting again cannot cure, with the remedy; all others cost the connection, not the process.
_FATAL = {
    13778: "raw channels need an authenticated connection: subscribe to the 100ms interval instead",
    -32601: "this version speaks a method the venue no longer has: upgrade the collector",
    -32602: "the venue no longer takes these parameters: upgrade the collector",
}


def market_channels(currency: str) -> tuple[str, ...]:
    """Return the channels of a currency that do not depend on what is listed."""
    index = f"{currency.lower()}_usd"
    return (
        f"instrument.state.option.{currency}",
        f"instrument.state.future.{currency}",
        f"trades.option.{currency}.100ms",
        f"trades.future.{currency}.100ms",
        f"book.{currency}-PERPETUAL.100ms",
        f"deribit_price_index.{index}",
        f"deribit_volatility_index.{index}",
    )


def ticker_channel(instrument: str) -> str:
    """Return the ticker channel of an instrument."""
    return f"ticker.{instrument}.100ms"


def channel_instrument(channel: str) -> str | None:
    """Return the instrument a channel names, if it names one."""
    family, _, rest = channel.partition(".")
    return rest.rpartition(".")[0] or None if family in {"ticker", "book"} else None


def channel_underlying(channel: str) -> str | None:
    """Return the base asset a channel is about, None if it does not tell."""
    family, _, rest = channel.partition(".")
    if family in {"ticker", "book"}:
        return rest.partition("-")[0].partition("_")[0]
    if family in {"deribit_price_index", "deribit_volatility_index"}:
        return rest.partition("_")[0].upper()
    parts = channel.split(".")
    if family == "trades" and len(parts) > 2:
        return parts[2]
    return parts[-1] if family == "instrument" else None


def exchange_ts(data: Any) -> int | None:
    """Return the venue's time in a notification's data (of a list its last entry) in microseconds."""
    entry = data[-1] if isinstance(data, list) and data else data
    return microseconds(entry.get("timestamp")) if isinstance(entry, dict) else None


class DeribitSession:
    """One connection slot to Deribit, serving ``underlyings``; see :class:`collector.events.Session`."""

    def __init__(self, url: str, underlyings: tuple[str, ...], *, stale_after_us: int, silent_after_us: int) -> None:
        self.url = url
        self._underlyings = underlyings
        self._stale_after_us = stale_after_us
        self._subscriptions = Subscriptions(chunk=CHANNELS_PER_CALL, spacing_us=CALL_SPACING_US)
        self._liveness = Liveness(silent_after_us)
        self._listed: dict[tuple[str, str], frozenset[str]] = {}
        self._change_ids: dict[str, int | None] = {}
        self._last_frame = 0
        self._last_id = 0
        self._call_id = 0
        self._next_check = 0
        self._listing_due: dict[tuple[str, str], int] = {}
        self._summary_due = 0

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
                return list(self._answered(now, request, body))
            case Unanswered(request, _):
                self._list_again(request, now + LISTING_RETRY_US)
                return []

    # Connection

    def _connected(self, now: int) -> list[Action]:
        self._last_frame = now
        self._next_check = now + SECOND_US
        self._change_ids.clear()
        self._liveness.clear()
        self._subscriptions.want(channel for currency in self._underlyings for channel in market_channels(currency))
        self._subscriptions.restart()
        self._listing_due = {(currency, kind): now for currency in self._underlyings for kind in KINDS}
        self._summary_due = now + SUMMARY_EVERY_US
        beats = self._call("public/set_heartbeat", {"interval": HEARTBEAT_S})
        return [*connection_records("connect", "connected", self._underlyings), beats, *self._due(now)]

    def _tick(self, now: int) -> Iterator[Action]:
        if now - self._last_frame >= self._stale_after_us:
            yield Close(f"stale: no frame for {self._stale_after_us / SECOND_US:g} s")
            return
        if now - self._liveness.latest(now) >= self._stale_after_us:
            # The venue's heartbeats alone keep a connection looking alive.
            yield Close(f"stale: no market data for {self._stale_after_us / SECOND_US:g} s")
            return
        call = self._subscriptions.outstanding
        if call is not None and now - call.made_at >= CALL_TIMEOUT_US:
            yield Close(f"public/{call.change} not answered for {CALL_TIMEOUT_US / SECOND_US:g} s")
            return
        yield from self._due(now)
        if now >= self._next_check:
            self._next_check = now + SECOND_US
            yield from self._silent(now)

    def _due(self, now: int) -> Iterator[Action]:
        if call := self._subscriptions.next_call(now):
            send = self._call(f"public/{call.change}", {"channels": call.channels})
            self._call_id = self._last_id
            yield send
        for (currency, kind), due in self._listing_due.items():
            if now >= due:
                self._listing_due[currency, kind] = now + LISTING_EVERY_US
                yield Fetch(_request("get_instruments", INSTRUMENTS_CHANNEL, currency, kind, expired="false"))
        if now >= self._summary_due:
            self._summary_due = now + SUMMARY_EVERY_US
            for currency in self._underlyings:
                for kind in KINDS:
                    yield Fetch(_request("get_book_summary_by_currency", SUMMARY_CHANNEL, currency, kind))

    def _silent(self, now: int) -> Iterator[Action]:
        silent = self._liveness.silent(now)
        for channel in silent:
            yield self._gap(channel, "silent: subscribed, sends nothing")
            self._change_ids.pop(channel, None)
        self._subscriptions.renew(silent)

    # Frames

    def _frame(self, now: int, body: bytes) -> Iterator[Action]:
        self._last_frame = now
        message = json_object(body)
        params = message.get("params")
        if message.get("method") == "subscription" and isinstance(params, dict):
            channel = params.get("channel")
            if isinstance(channel, str):
                yield from self._notification(now, channel, params.get("data"), body)
                return
        protocol = "id" in message or message.get("method") == "heartbeat"
        yield Publish("message", RPC_CHANNEL if protocol else "", None, self._underlyings[0], body)
        if message.get("method") == "heartbeat" and isinstance(params, dict) and params.get("type") == "test_request":
            yield self._call("public/test", {})
        elif "id" in message:
            yield from self._reply(now, message)

    def _notification(self, now: int, channel: str, data: Any, body: bytes) -> Iterator[Action]:
        self._liveness.heard(channel, now)
        if channel.startswith("book.") and isinstance(data, dict) and self._breaks_chain(channel, data):
            yield self._gap(channel, "prev_change_id is not the last change_id")
            self._subscriptions.renew([channel])
        instrument = channel_instrument(channel)
        yield Publish("message", channel, instrument, self._partition_of(channel), body, exchange_ts(data))
        if channel.startswith("instrument.state.") and isinstance(data, dict):
            self._listing_changed(now, channel, data.get("instrument_name"))

    def _breaks_chain(self, channel: str, data: dict[str, Any]) -> bool:
        """Follow the chain of ``channel``; True once when it breaks, then not until a snapshot has mended it."""
        change_id, previous = data.get("change_id"), data.get("prev_change_id")
        if data.get("type") == "snapshot" or previous is None:
            self._change_ids[channel] = change_id if isinstance(change_id, int) else None
            return False
        last = self._change_ids.get(channel)
        whole = previous == last and isinstance(change_id, int)
        self._change_ids[channel] = change_id if whole else None
        return last is not None and not whole

    def _reply(self, now: int, message: dict[str, Any]) -> Iterator[Action]:
        error = message.get("error")
        to_call = message["id"] == self._call_id and self._subscriptions.outstanding is not None
        if isinstance(error, dict):
            yield from self._refused(now, error, to_call=to_call)
        elif to_call:
            call = self._subscriptions.outstanding
            result = message.get("result")
            refused = self._subscriptions.answer(result if isinstance(result, list) else ())
            for channel in call.channels if call else ():
                if call and call.change == "subscribe" and channel in self._subscriptions and _always_speaks(channel):
                    self._liveness.expect(channel, now)
            yield from self._not_granted(now, refused)

    def _refused(self, now: int, error: dict[str, Any], *, to_call: bool) -> Iterator[Action]:
        code, text = error.get("code"), f"{error.get('message')} ({error.get('code')})"
        if code == _TOO_MANY_REQUESTS and to_call:
            self._subscriptions.postpone(now + BUSY_WAIT_US)
        elif isinstance(code, int) and code in _FATAL:
            yield GiveUp(f"{self.url} refuses: {text}; {_FATAL[code]}")
        else:
            yield Close(f"refused: {text}")

    def _not_granted(self, now: int, refused: Iterable[str]) -> Iterator[Action]:
        for channel in refused:
            instrument = channel_instrument(channel)
            if instrument is None or not channel.startswith("ticker."):
                yield GiveUp(f"{self.url} does not grant channel {channel}; check UNDERLYINGS or upgrade the collector")
                return
            yield self._gap(channel, "subscription not granted")
            self._forget(instrument)
            for kind in KINDS:
                self._listing_due[self._partition_of(channel), kind] = now + LISTING_RETRY_US

    # Listings

    def _answered(self, now: int, request: Request, body: bytes) -> Iterator[Action]:
        yield Publish("snapshot", request.channel, None, request.underlying, body)
        result = json_object(body).get("result")
        names = _names(result) if isinstance(result, list) else None
        kind = dict(request.params)["kind"]
        if names is None:
            self._list_again(request, now + LISTING_RETRY_US)
        elif request.channel == INSTRUMENTS_CHANNEL:
            self._follow(request.underlying, kind, names)
        elif not names <= self._listed.get((request.underlying, kind), frozenset()):
            self._listing_due[request.underlying, kind] = now
        yield from self._due(now)

    def _follow(self, currency: str, kind: str, names: frozenset[str]) -> None:
        before = self._listed.get((currency, kind), frozenset())
        self._listed[currency, kind] = names
        gone = [ticker_channel(name) for name in sorted(before - names)]
        for channel in gone:
            self._liveness.forget(channel)
        self._subscriptions.drop(gone)
        self._subscriptions.want(ticker_channel(name) for name in sorted(names))

    def _listing_changed(self, now: int, channel: str, name: Any) -> None:
        kind = "option" if isinstance(name, str) and name.endswith(("-C", "-P")) else "future"
        due = self._listing_due.get((self._partition_of(channel), kind), 0)
        self._listing_due[self._partition_of(channel), kind] = min(due, now + LISTING_SOON_US)

    def _list_again(self, request: Request, at: int) -> None:
        if request.channel == INSTRUMENTS_CHANNEL:
            self._listing_due[request.underlying, dict(request.params)["kind"]] = at

    def _forget(self, instrument: str) -> None:
        for key, names in self._listed.items():
            self._listed[key] = names - {instrument}

    def _partition_of(self, channel: str) -> str:
        underlying = channel_underlying(channel)
        return underlying if underlying in self._underlyings else self._underlyings[0]

    def _gap(self, channel: str, reason: str) -> Publish:
        return Publish("gap", channel, channel_instrument(channel), self._partition_of(channel), reason.encode())

    def _call(self, method: str, params: dict[str, Any]) -> Send:
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        return Send(orjson.dumps(request).decode())


def _request(method: str, channel: str, currency: str, kind: str, **more: str) -> Request:
    params = (("currency", currency), ("kind", kind), *more.items())
    return Request(f"/public/{method}", params, channel, currency)


def _names(entries: list[Any]) -> frozenset[str]:
    named = (entry.get("instrument_name") for entry in entries if isinstance(entry, dict))
    return frozenset(name for name in named if isinstance(name, str))


def _always_speaks(channel: str) -> bool:
    return channel.startswith(("ticker.", "book.", "deribit_price_index."))
