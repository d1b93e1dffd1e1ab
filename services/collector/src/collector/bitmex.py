"""BitMEX's realtime tables, in the words of :mod:`collector.dialect`: perpetuals on one connection.

A channel is written ``<table>:<symbol>``. Instrument (prices, funding, open interest), trades, the full book
(``orderBookL2``), liquidations, funding.

The book has no sequence: a ``partial`` gives every level an id, then levels are inserted, updated and deleted by id.
What names a level that is not there, or inserts one that is, shows that something is missing. Docs:
bitmex.com/app/wsAPI.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from collector.dialect import (
    BookCheck,
    Chatter,
    Data,
    Granted,
    Listing,
    Manners,
    Poll,
    Reading,
    Refused,
    Speech,
)
from collector.events import Request
from collector.frames import microseconds
from collector.subscriptions import Change

VENUE = "bitmex"
INSTRUMENTS_CHANNEL = "rest:instruments"
SECOND_US = 1_000_000
LISTING_EVERY_US = 300 * SECOND_US

# The venue lets a connection be opened 20 times an hour, in a burst if need be, and asks for a ping when quiet for 5 s.
MANNERS = Manners(
    channels_per_call=20,
    call_spacing_us=500_000,
    ping="ping",
    ping_every_us=5 * SECOND_US,
    ping_when_quiet=True,
    calls_per_hour=720,
    connects_per_hour=20,
)
TABLES = ("instrument", "trade", "orderBookL2", "liquidation", "funding")
_PERPETUAL = "FFWCSX"
_VENUE_NAMES = {"BTC": "XBT"}
_OUR_NAMES = {venue: ours for ours, venue in _VENUE_NAMES.items()}
_SYMBOL = re.compile(r"(?P<base>[A-Z0-9]+?)_?(?:USDT|USDC|USD|EUR|ETH|XBT)?(?:[FGHJKMNQUVXZ]\d\d)?")
_ALREADY = "You are already subscribed to this topic: "


def underlying_of(symbol: str) -> str:
    """Return the base asset of a symbol by our name (XBTUSD, XBTM26: BTC; ETHUSDT: ETH)."""
    match = _SYMBOL.fullmatch(symbol)
    base = match["base"] if match else symbol
    return _OUR_NAMES.get(base, base)


def read_data(frame: dict[str, Any]) -> Data | None:
    """Return what a frame of a table is about, None for any other frame."""
    table, rows = frame.get("table"), frame.get("data")
    if not isinstance(table, str) or not isinstance(rows, list):
        return None
    told = [row for row in rows if isinstance(row, dict)]
    condition = frame.get("filter")
    named = [condition.get("symbol")] if isinstance(condition, dict) else []
    named += [row.get("symbol") for row in told]
    symbols = tuple(dict.fromkeys(name for name in named if isinstance(name, str)))
    symbol = symbols[0] if len(symbols) == 1 else None
    underlyings = tuple(map(underlying_of, symbols))
    return Data(table if symbol is None else f"{table}:{symbol}", symbol, underlyings, _exchange_ts(told))


class LevelIds:
    """A :class:`collector.dialect.BookCheck` by the ids of the levels that a book must have."""

    def __init__(self) -> None:
        self._ids: dict[str, set[int]] = {}

    def breaks(self, channel: str, frame: dict[str, Any]) -> bool:
        """See :class:`collector.dialect.BookCheck`."""
        if not channel.startswith("orderBookL2:"):
            return False
        ids = [row["id"] for row in frame["data"] if isinstance(row, dict) and type(row.get("id")) is int]
        if frame.get("action") == "partial":
            self._ids[channel] = set(ids)
            return False
        if (known := self._ids.get(channel)) is None:
            return False
        if _fits(known, str(frame.get("action")), ids):
            return False
        del self._ids[channel]
        return True

    def forget(self, channel: str) -> None:
        """See :class:`collector.dialect.BookCheck`."""
        self._ids.pop(channel, None)

    def clear(self) -> None:
        """See :class:`collector.dialect.BookCheck`."""
        self._ids.clear()


def _fits(known: set[int], action: str, ids: Sequence[int]) -> bool:
    """Take a change of levels into ``known``; False if it does not fit."""
    if action == "insert":
        if not known.isdisjoint(ids):
            return False
        known.update(ids)
        return True
    if not known.issuperset(ids):
        return False
    if action == "delete":
        known.difference_update(ids)
    return True


class Bitmex:
    """The one connection; see :class:`collector.dialect.Dialect`."""

    manners = MANNERS
    always: tuple[str, ...] = ()

    def __init__(self, url: str, underlyings: Sequence[str]) -> None:
        self.url = url
        self.books: BookCheck = LevelIds()
        self.polls = tuple(Poll(_listing(base), LISTING_EVERY_US, lists=True) for base in underlyings)

    def call(self, number: int, change: Change, channels: tuple[str, ...]) -> str:
        """See :class:`collector.dialect.Dialect`; the venue knows no number of a call."""
        del number
        return orjson.dumps({"op": change, "args": channels}).decode()

    def read(self, frame: dict[str, Any]) -> Reading | None:
        """See :class:`collector.dialect.Dialect`."""
        if (data := read_data(frame)) is not None:
            return data
        channel = frame.get("subscribe", frame.get("unsubscribe"))
        if frame.get("success") is True and isinstance(channel, str):
            return Granted((channel,))
        if "error" in frame:
            return _refusal(frame)
        return Chatter() if "info" in frame else None

    def listed(self, request: Request, body: bytes) -> Listing | None:
        """See :class:`collector.dialect.Dialect`."""
        try:
            rows = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(rows, list):
            return None
        named = [row.get("symbol") for row in rows if isinstance(row, dict) and _followed(row, request.underlying)]
        symbols = sorted(name for name in named if isinstance(name, str))
        return Listing(tuple(f"{table}:{symbol}" for symbol in symbols for table in TABLES))

    def about(self, channel: str) -> tuple[str | None, str | None]:
        """See :class:`collector.dialect.Dialect`."""
        symbol = channel.partition(":")[2]
        return symbol or None, underlying_of(symbol)

    def speech(self, channel: str) -> Speech:
        """See :class:`collector.dialect.Dialect`; every table begins with a partial, be it empty."""
        always = channel.startswith(("instrument:", "orderBookL2:"))
        return Speech.ALWAYS if always else Speech.AT_ONCE


def _listing(base: str) -> Request:
    condition = orjson.dumps({"state": "Open", "rootSymbol": _VENUE_NAMES.get(base, base)}).decode()
    return Request("/instrument", (("filter", condition), ("count", "500")), INSTRUMENTS_CHANNEL, base)


def _followed(row: dict[str, Any], underlying: str) -> bool:
    symbol = row.get("symbol")
    ours = isinstance(symbol, str) and underlying_of(symbol) == underlying
    return ours and row.get("typ") == _PERPETUAL and row.get("state") == "Open"


def _refusal(frame: dict[str, Any]) -> Reading:
    text, request, meta = str(frame["error"]), frame.get("request"), frame.get("meta")
    if text.startswith(_ALREADY):
        return Granted((text.removeprefix(_ALREADY),))
    args = request.get("args") if isinstance(request, dict) else None
    asked = tuple(arg for arg in args if isinstance(arg, str)) if isinstance(args, list) else None
    wait_s = meta.get("retryAfter") if isinstance(meta, dict) else None
    again = round(wait_s * SECOND_US) if isinstance(wait_s, int | float) and frame.get("status") == 429 else None
    return Refused(text, of=asked, again_after_us=again)


def _exchange_ts(rows: Sequence[dict[str, Any]]) -> int | None:
    """Return the venue's time of the last row (ISO 8601 with milliseconds) in microseconds; some tables have none."""
    stamp = rows[-1].get("timestamp") if rows else None
    if not isinstance(stamp, str):
        return None
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return microseconds(round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))
