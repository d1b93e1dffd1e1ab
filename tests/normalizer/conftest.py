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
