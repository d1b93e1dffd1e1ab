"""Recorded sockets and REST answers of one venue, as cryptofeed's raw data collection writes them.

Text (``.xz``), a line each: ``<unix s>: <received>``, ``<url> -> <unix s>: <REST answer>``; connects (``<->``), what
was sent (``<-``) and the configuration are passed over. JSON lines (``.jsonl.zst``): objects with ``t`` (recv, http,
connect, …), ``conn``, ``ts``, ``data``, ``url`` or ``addr``.

Frames and answers are taken as they are. What speaks of none of the underlyings asked for is left out; what speaks of
several is told once for each, as the live collector does.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from collector import binance, bitmex, bybit, deribit, okx
from collector.dialect import Data
from collector.observation import Observation
from collector.recorded.rows import RecordingError, read_lines

VENUES = {
    "DERIBIT": deribit.VENUE,
    "OKX": okx.VENUE,
    "BITMEX": bitmex.VENUE,
    "BYBIT": bybit.VENUE,
    "BINANCE_FUTURES": binance.USDM.venue,
}
PROTOCOL_CHANNEL = "rpc"
_TEXT_LINE = re.compile(rb"(?:(?P<url>\S+) (?P<arrow><->|<-|->) )?(?P<seconds>\d+\.\d+)(?:: (?P<body>.*))?", re.DOTALL)
_PASSED_OVER = (b"configuration: ",)
# The last part of a REST path, and the channel the live collector records it under.
_REST_CHANNELS = {"instruments": "instruments", "instruments-info": "instruments", "active": "instruments"}
# Bybit's spot market has the symbols of its perpetuals; our raw topic is of derivatives.
_NOT_OURS = ("/public/spot", "category=spot")
# What is quoted in USDC at Deribit is of many base assets.
_MANY = "USDC"

Taken = tuple[int, str | None, bytes]


def read_feed(path: Path, venue: str, underlyings: tuple[str, ...]) -> Iterator[Observation]:
    """Yield what the venue sent, in the order it came. Raises RecordingError for a line that is not of the format."""
    latest = 0
    for received_ts, url, body in (_json_lines if path.suffix == ".zst" else _text_lines)(path):
        latest = max(latest, received_ts)
        tell = _frame if url is None else _answer
        yield from tell(latest, venue, underlyings, url or "", body)


def _text_lines(path: Path) -> Iterator[Taken]:
    for row, line in enumerate(read_lines(path), start=1):
        if not line or line.startswith(_PASSED_OVER):
            continue
        match = _TEXT_LINE.fullmatch(line)
        if match is None:
            raise RecordingError(path, f"{line[:40]!r} is not a line of a capture", "fetch the file again", row=row)
        if match["arrow"] in {None, b"->"} and match["body"] is not None:
            url = match["url"].decode() if match["url"] else None
            yield _microseconds(match["seconds"]), url, match["body"]


def _json_lines(path: Path) -> Iterator[Taken]:
    left_out: set[Any] = set()
    for row, line in enumerate(read_lines(path), start=1):
        try:
            entry = orjson.loads(line)
            kind, place = entry["t"], str(entry.get("addr", entry.get("url", "")))
            if kind == "connect" and any(part in place for part in _NOT_OURS):
                left_out.add(entry["conn"])
            if kind not in {"recv", "http"} or entry["conn"] in left_out or any(part in place for part in _NOT_OURS):
                continue
            received_ts, body = round(entry["ts"] * 1_000_000), entry["data"].encode()
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(
                path, f"not a line of a capture ({type(error).__name__}: {error})", "fetch the file again", row=row
            ) from error
        yield received_ts, place if kind == "http" else None, body


def _frame(at: int, venue: str, underlyings: tuple[str, ...], _url: str, body: bytes) -> Iterator[Observation]:
    try:
        frame = orjson.loads(body)
    except orjson.JSONDecodeError:
        frame = None
    data = _READERS[venue](frame) if isinstance(frame, dict) else None
    if data is None:
        channel = PROTOCOL_CHANNEL if isinstance(frame, dict) else ""
        yield Observation(at, venue, 0, "message", channel, None, underlyings[0], None, body)
        return
    for underlying in underlyings:
        if underlying in data.underlyings:
            yield Observation(
                at, venue, 0, "message", data.channel, data.instrument, underlying, data.exchange_ts, body
            )


def _answer(at: int, venue: str, underlyings: tuple[str, ...], url: str, body: bytes) -> Iterator[Observation]:
    """Tell a REST answer to the underlying its URL names; to each if it names none."""
    address, _, query = url.partition("?")
    asked = {name: value for name, _, value in (part.partition("=") for part in query.split("&"))}
    what = address.rpartition("/")[2]
    symbol = asked.get("symbol")
    named = asked.get("currency") or asked.get("baseCoin") or okx.underlying_of(asked.get("uly", "")) or None
    if symbol is not None and venue == binance.USDM.venue:
        named = binance.underlying_of(symbol)
    for underlying in underlyings:
        if named in {None, _MANY, underlying}:
            channel = f"rest:{_REST_CHANNELS.get(what, what)}"
            yield Observation(at, venue, 0, "snapshot", channel, symbol, underlying, None, body)


def _deribit_data(frame: dict[str, Any]) -> Data | None:
    params = frame.get("params")
    channel = params.get("channel") if isinstance(params, dict) else None
    if not isinstance(params, dict) or not isinstance(channel, str):
        return None
    underlying = deribit.channel_underlying(channel)
    at = deribit.exchange_ts(params.get("data"))
    return Data(channel, deribit.channel_instrument(channel), (underlying,) if underlying else (), at)


def _binance_data(frame: dict[str, Any]) -> Data | None:
    stream = frame.get("stream")
    if not isinstance(stream, str):
        return None
    symbol = stream.partition("@")[0].upper()
    return Data(stream, symbol, (binance.underlying_of(symbol),), binance.exchange_ts(frame.get("data")))


_READERS: Mapping[str, Callable[[dict[str, Any]], Data | None]] = {
    bybit.VENUE: bybit.read_data,
    okx.VENUE: okx.read_data,
    bitmex.VENUE: bitmex.read_data,
    deribit.VENUE: _deribit_data,
    binance.USDM.venue: _binance_data,
}


def _microseconds(seconds: bytes) -> int:
    return round(float(seconds) * 1_000_000)
