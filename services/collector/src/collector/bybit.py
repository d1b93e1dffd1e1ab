"""Bybit's v5 public streams, in the words of :mod:`collector.dialect`: linear and inverse perpetuals, options.

A connection serves one category. Perpetuals: book of 200 levels, trades, ticker, all liquidations. Options: the ticker
of every listed contract and the trades of each base coin; as the venue bounds the topics of a connection by their
length, options are spread over several connections.

Book chain: ``u`` of a delta is one above the ``u`` before it; a ``snapshot`` begins anew, and so does ``u`` 1 (the
venue's service has restarted). Docs: bybit-exchange.github.io/docs/v5/ws/connect and /websocket/public/orderbook.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as copy_with
from typing import Any, Literal

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
    SequenceCheck,
    Speech,
)
from collector.events import Request
from collector.frames import json_object, microseconds
from collector.subscriptions import Change

VENUE = "bybit"
INSTRUMENTS_CHANNEL = "rest:instruments"
OPEN_INTEREST_CHANNEL = "rest:open-interest"
RATIO_CHANNEL = "rest:long-short-ratio"
FUNDING_CHANNEL = "rest:funding-history"
TICKERS_CHANNEL = "rest:tickers"
SECOND_US = 1_000_000
LISTING_EVERY_US = 300 * SECOND_US
STATISTICS_EVERY_US = 300 * SECOND_US
SUMMARY_EVERY_US = 60 * SECOND_US

# The venue bounds the length of all topics of one public connection, in characters of the args array.
ARGS_CHARACTERS = 21_000
MANNERS = Manners(
    channels_per_call=100,
    call_spacing_us=200_000,
    ping='{"op":"ping"}',
    ping_every_us=20 * SECOND_US,
    ping_when_quiet=False,
    characters=ARGS_CHARACTERS,
)
PERPETUAL_TOPICS = ("orderbook.200", "publicTrade", "tickers", "allLiquidation")
_BAD_PARAMETER = 10001
_PERPETUALS = ("LinearPerpetual", "InversePerpetual")  # no set: what is asked for may be unhashable
_SYMBOL = re.compile(r"(?P<base>[A-Z0-9]+?)(?:USDT|USDC|USD|PERP)(?:[HMUZ]\d\d|-\d+[A-Z]{3}\d\d)?")

Category = Literal["linear", "inverse", "option"]


def underlying_of(symbol: str) -> str:
    """Return the base coin of a symbol (BTCUSDT, BTCPERP, BTCUSDU26, BTC-27NOV26-90000-C-USDT: BTC)."""
    match = _SYMBOL.fullmatch(symbol)
    return match["base"] if match else symbol.partition("-")[0]


def topic_instrument(topic: str) -> str | None:
    """Return the symbol a topic names; option trades (``publicTrade.BTC``) name a base coin instead."""
    symbol = topic.rpartition(".")[2]
    return None if symbol == underlying_of(symbol) else symbol


def read_data(frame: dict[str, Any]) -> Data | None:
    """Return what a frame of a topic is about, None for any other frame."""
    topic = frame.get("topic")
    if not isinstance(topic, str):
        return None
    underlying = underlying_of(topic.rpartition(".")[2])
    return Data(topic, topic_instrument(topic), (underlying,), microseconds(frame.get("ts")))


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the options a connection takes: those whose name hashes to ``number`` of ``of``."""

    number: int = 0
    of: int = 1

    def takes(self, symbol: str) -> bool:
        """Return whether ``symbol`` belongs to this share, at every start the same."""
        return zlib.crc32(symbol.encode()) % self.of == self.number


class Books(SequenceCheck):
    """The venue's chain rule."""

    def breaks(self, channel: str, frame: dict[str, Any]) -> bool:
        """See :class:`collector.dialect.BookCheck`."""
        data = frame.get("data")
        if not channel.startswith("orderbook.") or not isinstance(data, dict) or type(data.get("u")) is not int:
            return False
        update_id = data["u"]
        begins = frame.get("type") == "snapshot" or update_id == 1
        return self.follow(channel, update_id, None if begins else update_id - 1)


class Bybit:
    """One connection to ``category``; see :class:`collector.dialect.Dialect`."""

    manners = MANNERS

    def __init__(
        self, base_url: str, category: Category, underlyings: Sequence[str], share: Share | None = None
    ) -> None:
        self.url = f"{base_url}/{category}"
        self.books: BookCheck = Books()
        self._share = share or Share()
        first = self._share.number == 0
        # Trades of options are one topic for each base coin: the first connection has them.
        self.always = tuple(f"publicTrade.{base}" for base in underlyings) if category == "option" and first else ()
        self.polls = tuple(poll for base in underlyings for poll in _polls(category, base, statistics=first))

    def call(self, number: int, change: Change, channels: tuple[str, ...]) -> str:
        """See :class:`collector.dialect.Dialect`."""
        return orjson.dumps({"req_id": str(number), "op": change, "args": channels}).decode()

    def read(self, frame: dict[str, Any]) -> Reading | None:
        """See :class:`collector.dialect.Dialect`."""
        if (data := read_data(frame)) is not None:
            return data
        if frame.get("type") == "COMMAND_RESP":
            return _option_answer(frame)
        match frame.get("op"):
            case "subscribe" | "unsubscribe":
                return _answer(frame)
            case "ping" | "pong":
                return Chatter()
            case _:
                return None

    def listed(self, request: Request, body: bytes) -> Listing | None:
        """See :class:`collector.dialect.Dialect`."""
        answer = json_object(body)
        if answer.get("retCode") == _BAD_PARAMETER:
            return Listing(())  # a base coin without such contracts
        result = answer.get("result")
        entries = result.get("list") if isinstance(result, dict) else None
        if answer.get("retCode") != 0 or not isinstance(result, dict) or not isinstance(entries, list):
            return None
        symbols = sorted(_wanted(entries, request.underlying))
        cursor = result.get("nextPageCursor")
        following = _page(request, cursor) if isinstance(cursor, str) and cursor and entries else None
        if result.get("category") != "option":
            return Listing(tuple(f"{topic}.{name}" for name in symbols for topic in PERPETUAL_TOPICS), following)
        return Listing(tuple(f"tickers.{name}" for name in symbols if self._share.takes(name)), following)

    def about(self, channel: str) -> tuple[str | None, str | None]:
        """See :class:`collector.dialect.Dialect`."""
        return topic_instrument(channel), underlying_of(channel.rpartition(".")[2])

    def speech(self, channel: str) -> Speech:
        """See :class:`collector.dialect.Dialect`."""
        if channel.startswith(("publicTrade.", "allLiquidation.")):
            return Speech.SELDOM
        # Whoever subscribes a ticker gets its state at once; far options then say nothing for hours.
        return Speech.AT_ONCE if "-" in channel else Speech.ALWAYS


def connections(base_url: str, underlyings: Sequence[str], option_connections: int) -> Iterator[Bybit]:
    """Yield what each connection speaks: linear, inverse, and the options spread over ``option_connections``."""
    yield Bybit(base_url, "linear", underlyings)
    yield Bybit(base_url, "inverse", underlyings)
    for number in range(option_connections):
        yield Bybit(base_url, "option", underlyings, Share(number, option_connections))


def _polls(category: Category, base: str, *, statistics: bool) -> list[Poll]:
    """Return what is asked about ``base``: listings on each connection, the rest on the first of a category."""
    every = (("category", category), ("baseCoin", base))
    listing = Request("/v5/market/instruments-info", (*every, ("limit", "1000")), INSTRUMENTS_CHANNEL, base)
    polls = [Poll(listing, LISTING_EVERY_US, lists=True)]
    if category == "option" and statistics:
        polls.append(Poll(Request("/v5/market/tickers", every, TICKERS_CHANNEL, base), SUMMARY_EVERY_US))
    if category != "option":
        symbol = f"{base}USDT" if category == "linear" else f"{base}USD"
        of = (("category", category), ("symbol", symbol))
        # The last payments, not the last one: the time between two tells the period.
        for path, more, channel in (
            ("open-interest", {"limit": "1", "intervalTime": "5min"}, OPEN_INTEREST_CHANNEL),
            ("account-ratio", {"limit": "1", "period": "5min"}, RATIO_CHANNEL),
            ("funding/history", {"limit": "3"}, FUNDING_CHANNEL),
        ):
            request = Request(f"/v5/market/{path}", (*of, *more.items()), channel, base, symbol)
            polls.append(Poll(request, STATISTICS_EVERY_US))
    return polls


def _wanted(entries: Sequence[Any], base: str) -> set[str]:
    """Return the symbols to follow: trading options, and trading perpetuals, of ``base``."""
    return {
        entry["symbol"]
        for entry in entries
        if isinstance(entry, dict)
        and isinstance(entry.get("symbol"), str)
        and entry.get("baseCoin") == base
        and entry.get("status") == "Trading"
        and ("optionsType" in entry or entry.get("contractType") in _PERPETUALS)
    }


def _page(request: Request, cursor: str) -> Request:
    params = tuple(param for param in request.params if param[0] != "cursor")
    return copy_with(request, params=(*params, ("cursor", cursor)))


def _answer(frame: dict[str, Any]) -> Reading:
    number, text = frame.get("req_id"), str(frame.get("ret_msg"))
    asked = int(number) if isinstance(number, str) and number.isdecimal() else None
    if frame.get("success") is True or "already subscribed" in text:
        return Granted(number=asked)
    # "error:handler not found,topic:tickers.NONE"; one bad topic makes the venue refuse the whole call.
    named = text.partition("topic:")[2]
    return Refused(text, tuple(named.split(",")) if named else (), number=asked)


def _option_answer(frame: dict[str, Any]) -> Reading:
    """Options are answered topic by topic."""
    data = frame.get("data")
    told = data if isinstance(data, dict) else {}
    failed, granted = _topics(told.get("failTopics")), _topics(told.get("successTopics"))
    if failed:
        return Refused("failTopics", failed, granted)
    return Granted() if frame.get("success") is True else Refused(str(frame.get("ret_msg")))


def _topics(value: Any) -> tuple[str, ...]:
    return tuple(topic for topic in value if isinstance(topic, str)) if isinstance(value, list) else ()
