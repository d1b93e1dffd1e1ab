"""Frames from payload files, and a normalizer that plays them second by second."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.records import BookSnapshot, Instrument, RawMessage, Ticker, Trade
from normalizer.limits import Limits
from normalizer.seconds import Normalizer
from streamkit.core import CloseSecond, Input, Item, Output, RawSecond, Reject

PAYLOADS = Path(__file__).parent / "payloads"
START = 1_795_250_400
"""2026-11-21 08:40:00 UTC, just after the payloads' own times."""


def seconds_of(records: Iterable[RawMessage]) -> list[RawSecond]:
    """Group records, in order, into the units that the run loop would make of them."""
    grouped: dict[int, dict[str, list[Input]]] = {}
    for offset, record in enumerate(records):
        topic = f"raw.{record.venue}"
        unit = grouped.setdefault(record.received_ts // 1_000_000, {})
        unit.setdefault(topic, []).append(Input(topic, 0, offset, b"", record.received_ts // 1000, record))
    return [RawSecond(second, records) for second, records in sorted(grouped.items())]


@dataclass
class Played:
    """What came out, by kind, in order."""

    items: list[Item] = field(default_factory=list)

    def records(self, topic: str) -> list[Any]:
        return [item.record for item in self.items if isinstance(item, Output) and item.topic == topic]

    def outputs(self, topic: str) -> list[Output]:
        return [item for item in self.items if isinstance(item, Output) and item.topic == topic]

    @property
    def trades(self) -> list[Trade]:
        return self.records("market.trades")

    @property
    def books(self) -> list[BookSnapshot]:
        return self.records("market.books")

    @property
    def instruments(self) -> list[Instrument]:
        return self.records("market.instruments")

    @property
    def closes(self) -> list[CloseSecond]:
        return [item for item in self.items if isinstance(item, CloseSecond)]

    @property
    def rejects(self) -> list[Reject]:
        return [item for item in self.items if isinstance(item, Reject)]

    def ticker(self, instrument: str) -> Ticker:
        """Return the instrument's last ticker."""
        return [record for record in self.records("market.tickers") if record.instrument == instrument][-1]


def play_into(core: Normalizer, records: Iterable[RawMessage]) -> Played:
    return Played([item for unit in seconds_of(records) for item in core.step(unit)])


@pytest.fixture
def core() -> Normalizer:
    return Normalizer(Limits())


@pytest.fixture(name="seconds_of")
def _seconds_of() -> Callable[[Iterable[RawMessage]], list[RawSecond]]:
    return seconds_of


@pytest.fixture
def play(core: Normalizer) -> Callable[[Sequence[RawMessage]], Played]:
    """Play records through one core; several calls go on where the last one ended."""
    return lambda records: play_into(core, records)


@pytest.fixture
def raw() -> Callable[..., RawMessage]:
    """Build a raw record received ``at`` seconds after START."""

    def build(venue: str, payload: bytes = b"", at: float = 0.0, **fields: Any) -> RawMessage:
        known: dict[str, Any] = {
            "channel": "",
            "underlying": "BTC",
            "kind": "message",
            "conn_id": f"{venue}-0",
            "seq": 0,
        }
        received_ts = round((START + at) * 1_000_000)
        return RawMessage(**{**known, "venue": venue, "payload": payload, "received_ts": received_ts, **fields})

    return build


@pytest.fixture
def deribit(raw: Callable[..., RawMessage]) -> Callable[..., RawMessage]:
    """Build a Deribit frame from its payload file; ``change`` replaces fields of its data."""
    payloads = orjson.loads((PAYLOADS / "deribit.json").read_bytes())

    def build(name: str, at: float = 0.0, change: dict[str, Any] | None = None, **fields: Any) -> RawMessage:
        payload = payloads[name]
        if isinstance(payload, list):
            fields = {"kind": "snapshot", "channel": f"rest:get_{name}", **fields}
            entries = [_changed(entry, change) for entry in payload]
            return raw("deribit", orjson.dumps({"jsonrpc": "2.0", "result": entries}), at, **fields)
        data = _changed(payload["data"], change)
        params = {"channel": payload["channel"], "data": [data] if "trades." in payload["channel"] else data}
        frame = {"jsonrpc": "2.0", "method": "subscription", "params": params}
        return raw("deribit", orjson.dumps(frame), at, **{"channel": payload["channel"], **fields})

    return build


@pytest.fixture
def binance(raw: Callable[..., RawMessage]) -> Callable[..., RawMessage]:
    """Build a Binance frame from its payload file, USDⓈ-M unless ``venue`` says otherwise."""
    payloads = orjson.loads((PAYLOADS / "binance.json").read_bytes())

    def build(name: str, at: float = 0.0, change: dict[str, Any] | None = None, **fields: Any) -> RawMessage:
        payload, venue = payloads[name], fields.pop("venue", "binance-usdm")
        if "stream" not in payload:
            rest = {"depth_answer": "depth", "open_interest": "openInterest", "exchange_info": "exchangeInfo"}[name]
            fields = {"kind": "snapshot", "channel": f"rest:{rest}", "instrument": "BTCUSDT", **fields}
            return raw(venue, orjson.dumps(_changed(payload, change)), at, **fields)
        frame = {"stream": payload["stream"], "data": _changed(payload["data"], change)}
        return raw(venue, orjson.dumps(frame), at, **{"channel": payload["stream"], **fields})

    return build


@pytest.fixture
def bybit(raw: Callable[..., RawMessage]) -> Callable[..., RawMessage]:
    """Build a Bybit frame or REST answer from its payload file."""
    return _builder(raw, "bybit")


@pytest.fixture
def okx(raw: Callable[..., RawMessage]) -> Callable[..., RawMessage]:
    """Build an OKX frame or REST answer from its payload file."""
    return _builder(raw, "okx")


@pytest.fixture
def bitmex(raw: Callable[..., RawMessage]) -> Callable[..., RawMessage]:
    """Build a BitMEX frame or REST answer from its payload file."""
    return _builder(raw, "bitmex")


@pytest.fixture
def shape(raw: Callable[..., RawMessage], shared_data: Path) -> Callable[..., RawMessage]:
    """Build the first real message of ``shapes/<file>.jsonl`` that holds all of ``words``, received when it was sent.

    ``sent`` is seconds since 1970; the channel is what :func:`channel_of` makes of the frame.
    """

    def build(venue: str, file: str, *words: str, sent: float, **fields: Any) -> RawMessage:
        lines = (shared_data / "shapes" / f"{file}.jsonl").read_bytes().splitlines()
        (line, *_) = [line for line in lines if all(word.encode() in line for word in words)]
        return raw(venue, line, sent - START, **{"channel": channel_of(orjson.loads(line)), **fields})

    return build


def channel_of(frame: dict[str, Any]) -> str:
    """Return the channel under which the collector writes a frame of Bybit, OKX or BitMEX."""
    if "topic" in frame:
        return str(frame["topic"])
    if "data" in frame and "arg" in frame:
        argument = frame["arg"]
        names = (argument[name] for name in ("instId", "instFamily", "uly", "instType") if name in argument)
        return f"{argument['channel']}:{next(names, '')}"
    if "data" in frame and "table" in frame:
        symbol = [*frame["data"], frame.get("filter", {})][0].get("symbol", "")
        return f"{frame['table']}:{symbol}"
    return "rpc"


def _builder(raw: Callable[..., RawMessage], venue: str) -> Callable[..., RawMessage]:
    """Return a builder of frames from a payload file; ``change`` replaces fields of its first entry of data."""
    payloads = orjson.loads((PAYLOADS / f"{venue}.json").read_bytes())

    def build(name: str, at: float = 0.0, change: dict[str, Any] | None = None, **fields: Any) -> RawMessage:
        frame = _changed_within(payloads[name], change) if change else payloads[name]
        kind = {"kind": "snapshot", "channel": name} if name.startswith("rest:") else {"channel": channel_of(frame)}
        return raw(venue, orjson.dumps(frame), at, **{**kind, **fields})

    return build


def _changed_within(frame: Any, change: dict[str, Any]) -> Any:
    """Change the first object under data, result and list, if there is one, else the frame itself."""
    for key in ("data", "result", "list"):
        if isinstance(frame, dict) and frame.get(key):
            return {**frame, key: _changed_within(frame[key], change)}
    if isinstance(frame, list):
        return [_changed_within(frame[0], change), *frame[1:]]
    return _changed(frame, change)


def _changed(data: dict[str, Any], change: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in {**data, **(change or {})}.items() if value is not ABSENT}


ABSENT = object()


@pytest.fixture
def absent() -> object:
    """The value that removes a field in ``change``."""
    return ABSENT


@pytest.fixture
def heartbeat(raw: Callable[..., RawMessage]) -> Callable[[str, float], RawMessage]:
    return lambda venue, at: raw(venue, at=at, kind="heartbeat", underlying="")
