"""OKX's v5 public channels, in the words of :mod:`collector.dialect`: swaps on one connection, options on another.

A channel is written ``<channel>:<instId, or instFamily, or instType>``, the first of these that its subscription names.
Swaps: books of 400 levels, trades, tickers, mark price, funding rate, open interest, liquidation orders (throttled by
the venue: at most one a second and contract). Options: ticker and mark price of every listed contract; greeks and ivs
(``opt-summary``) and trades with iv, forward and mark (``option-trades``) of each family; open interest by REST.

Book chain: ``prevSeqId`` is the ``seqId`` before it; a ``snapshot`` begins anew. The checksum is for whoever keeps the
book to verify. Docs: okx.com/docs-v5, "Order book channel" and "Connection".
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import orjson

from collector.dialect import (
    BookCheck,
    Chatter,
    Data,
    Farewell,
    Granted,
    Listing,
    Manners,
    Poll,
    Reading,
    Refused,
    SequenceCheck,
    Speech,
)
from collector.events import Request
from collector.frames import json_object, microseconds
from collector.subscriptions import Change

VENUE = "okx"
INSTRUMENTS_CHANNEL = "rest:instruments"
OPEN_INTEREST_CHANNEL = "rest:open-interest"
RATIO_CHANNEL = "rest:long-short-ratio"
FUNDING_CHANNEL = "rest:funding-history"
SECOND_US = 1_000_000
LISTING_EVERY_US = 3600 * SECOND_US
STATISTICS_EVERY_US = 300 * SECOND_US
INTEREST_EVERY_US = 60 * SECOND_US
BUSY_WAIT_US = 5 * SECOND_US

# Calls: at most 64 KiB each, 3 a second, 480 an hour and connection. Quiet for 30 s: the venue hangs up.
MANNERS = Manners(
    channels_per_call=200,
    call_spacing_us=400_000,
    ping="ping",
    ping_every_us=15 * SECOND_US,
    ping_when_quiet=True,
    calls_per_hour=480,
)
SWAP_CHANNELS = ("books", "trades", "tickers", "mark-price", "funding-rate", "open-interest")
OPTION_CHANNELS = ("tickers", "mark-price")
_TOO_MANY_REQUESTS = ("60014", "50011")  # no set: what is asked for may be unhashable
_NO_SUCH_FAMILY = "51"
_TIME = re.compile(r"[0-9]{1,16}")

InstrumentType = Literal["SWAP", "OPTION"]


def channel_of(arg: dict[str, Any]) -> str | None:
    """Return how we write the channel that a subscription's ``arg`` names; None if it names none."""
    place = arg.get("instId") or arg.get("instFamily") or arg.get("uly") or arg.get("instType")
    return f"{arg['channel']}:{place}" if isinstance(arg.get("channel"), str) and isinstance(place, str) else None


def arg_of(channel: str) -> dict[str, str]:
    """Return the subscription's ``arg`` of a channel that :func:`channel_of` wrote."""
    name, _, place = channel.partition(":")
    if name == "opt-summary":
        return {"channel": name, "instFamily": place}
    if name == "option-trades":
        return {"channel": name, "instType": "OPTION", "instFamily": place}
    return {"channel": name, "instType" if name in {"instruments", "liquidation-orders"} else "instId": place}


def underlying_of(name: str) -> str:
    """Return the base asset of an instrument or a family (BTC-USD-261127-90000-C, BTC-USDT: BTC)."""
    return name.partition("-")[0]


def read_data(frame: dict[str, Any]) -> Data | None:
    """Return what a frame of a channel is about, None for any other frame."""
    arg, rows = frame.get("arg"), frame.get("data")
    if not isinstance(arg, dict) or not isinstance(rows, list) or (channel := channel_of(arg)) is None:
        return None
    told = [row for row in rows if isinstance(row, dict)]
    named = [arg.get("instId") or arg.get("instFamily") or arg.get("uly")]
    named += [row.get("instFamily") or row.get("uly") or row.get("instId") for row in told]
    underlyings = tuple(dict.fromkeys(underlying_of(name) for name in named if isinstance(name, str) and name))
    instrument = arg.get("instId")
    relist = arg["channel"] == "instruments"
    return Data(channel, instrument if isinstance(instrument, str) else None, underlyings, _exchange_ts(told), relist)


class Books(SequenceCheck):
    """The venue's chain rule; frames without ids (before 2023) cannot be checked."""

    def breaks(self, channel: str, frame: dict[str, Any]) -> bool:
        """See :class:`collector.dialect.BookCheck`."""
        rows = frame.get("data")
        if not channel.startswith("books:") or not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
            return False
        update_id, previous = rows[0].get("seqId"), rows[0].get("prevSeqId")
        if type(update_id) is not int or type(previous) is not int:
            return False
        return self.follow(channel, update_id, None if frame.get("action") == "snapshot" else previous)


class Okx:
    """One connection for instruments of ``kind``; see :class:`collector.dialect.Dialect`."""

    manners = MANNERS

    def __init__(self, url: str, kind: InstrumentType, underlyings: Sequence[str]) -> None:
        self.url = url
        self.books: BookCheck = Books()
        self.always: tuple[str, ...] = (f"instruments:{kind}", f"liquidation-orders:{kind}")
        self._channels = SWAP_CHANNELS if kind == "SWAP" else OPTION_CHANNELS
        self.polls = tuple(poll for base in underlyings for poll in _polls(kind, base))

    def call(self, number: int, change: Change, channels: tuple[str, ...]) -> str:
        """See :class:`collector.dialect.Dialect`."""
        return orjson.dumps({"id": str(number), "op": change, "args": [arg_of(name) for name in channels]}).decode()

    def read(self, frame: dict[str, Any]) -> Reading | None:
        """See :class:`collector.dialect.Dialect`."""
        if (data := read_data(frame)) is not None:
            return data
        match frame.get("event"):
            case "subscribe" | "unsubscribe":
                arg = frame.get("arg")
                channel = channel_of(arg) if isinstance(arg, dict) else None
                return Chatter() if channel is None else Granted((channel,))
            case "error":
                return _refusal(frame)
            case "notice":
                return Farewell(f"{frame.get('msg')} ({frame.get('code')})")
            case None:
                return None
            case _:
                return Chatter()

    def listed(self, request: Request, body: bytes) -> Listing | None:
        """See :class:`collector.dialect.Dialect`."""
        answer = json_object(body)
        rows, code = answer.get("data"), answer.get("code")
        if isinstance(code, str) and code.startswith(_NO_SUCH_FAMILY):
            return Listing(())  # no options on this base asset
        if code != "0" or not isinstance(rows, list):
            return None
        live = [row for row in rows if isinstance(row, dict) and row.get("state") == "live"]
        names = sorted(row["instId"] for row in live if isinstance(row.get("instId"), str))
        return Listing((*self._family(request, names), *(f"{c}:{name}" for name in names for c in self._channels)))

    def about(self, channel: str) -> tuple[str | None, str | None]:
        """See :class:`collector.dialect.Dialect`."""
        arg = arg_of(channel)
        name = arg.get("instId")
        return name, underlying_of(name or arg.get("instFamily", ""))

    def speech(self, channel: str) -> Speech:
        """See :class:`collector.dialect.Dialect`."""
        name, _, place = channel.partition(":")
        if name in {"trades", "option-trades", "liquidation-orders", "instruments"}:
            return Speech.SELDOM
        if name in {"opt-summary", "funding-rate"} or not place.endswith("-SWAP"):
            return Speech.AT_ONCE
        return Speech.ALWAYS

    def _family(self, request: Request, names: Sequence[str]) -> tuple[str, ...]:
        """Return the channels of a whole family, if any of it is listed: a swap's index has the family's name."""
        family = dict(request.params).get("instFamily")
        whole = ("opt-summary", "option-trades") if self._channels is OPTION_CHANNELS else ("index-tickers",)
        return tuple(f"{channel}:{family}" for channel in whole) if names else ()


def connections(url: str, underlyings: Sequence[str]) -> Iterator[Okx]:
    """Yield what each connection speaks: swaps, options."""
    yield Okx(url, "SWAP", underlyings)
    yield Okx(url, "OPTION", underlyings)


def _polls(kind: InstrumentType, base: str) -> list[Poll]:
    quotes = ("USDT", "USD") if kind == "SWAP" else ("USD",)
    families = [(("instType", kind), ("instFamily", f"{base}-{quote}")) for quote in quotes]
    polls = [
        Poll(Request("/api/v5/public/instruments", family, INSTRUMENTS_CHANNEL, base), LISTING_EVERY_US, lists=True)
        for family in families
    ]
    if kind == "OPTION":
        interest = Request("/api/v5/public/open-interest", families[0], OPEN_INTEREST_CHANNEL, base)
        return [*polls, Poll(interest, INTEREST_EVERY_US)]
    path = "/api/v5/rubik/stat/contracts/long-short-account-ratio"
    ratio = Request(path, (("ccy", base), ("period", "5m")), RATIO_CHANNEL, base)
    # The last payments, not the last one: the time between two tells the period.
    payments = [
        Request("/api/v5/public/funding-rate-history", (("instId", swap), ("limit", "3")), FUNDING_CHANNEL, base, swap)
        for swap in (f"{base}-{quote}-SWAP" for quote in quotes)
    ]
    return [*polls, *(Poll(request, STATISTICS_EVERY_US) for request in (ratio, *payments))]


def _refusal(frame: dict[str, Any]) -> Refused:
    number, code, text = frame.get("id"), frame.get("code"), f"{frame.get('msg')} ({frame.get('code')})"
    asked = int(number) if isinstance(number, str) and number.isdecimal() else None
    wait = BUSY_WAIT_US if code in _TOO_MANY_REQUESTS else None
    return Refused(text, number=asked, again_after_us=wait)


def _exchange_ts(rows: Sequence[dict[str, Any]]) -> int | None:
    """Return the venue's time (ms as text) of the last row, or of the last liquidation in it, in microseconds."""
    if not rows:
        return None
    details = rows[-1].get("details")
    row = details[-1] if isinstance(details, list) and details and isinstance(details[-1], dict) else rows[-1]
    milliseconds = row.get("ts")
    return microseconds(int(milliseconds)) if isinstance(milliseconds, str) and _TIME.fullmatch(milliseconds) else None
