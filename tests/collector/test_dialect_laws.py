"""Whatever a venue sends, a session answers with actions: nothing it says can end the collector."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.bitmex import Bitmex
from collector.bybit import Bybit
from collector.dialect import Dialect
from collector.events import Answered, Connected, Fetch, Frame, Publish, Tick
from collector.observation import Observation
from collector.okx import Okx
from collector.raw_log import RawLog
from collector.topic_session import TopicSession
from contracts.wire import Codecs

PAYLOADS = Path(__file__).parent / "payloads"
SECOND = 1_000_000
START = 1_795_000_000 * SECOND
CODECS = Codecs.offline()
DIALECTS: dict[str, tuple[str, Callable[[], Dialect]]] = {
    "bybit linear": ("bybit", lambda: Bybit("ws://venue", "linear", ("BTC", "ETH"))),
    "bybit option": ("bybit", lambda: Bybit("ws://venue", "option", ("BTC", "ETH"))),
    "okx swap": ("okx", lambda: Okx("ws://venue", "SWAP", ("BTC", "ETH"))),
    "okx option": ("okx", lambda: Okx("ws://venue", "OPTION", ("BTC", "ETH"))),
    "bitmex": ("bitmex", lambda: Bitmex("ws://venue", ("BTC", "ETH"))),
}
ANSWERS: dict[str, list[Any]] = {
    "bybit": [
        {"success": True, "op": "subscribe", "req_id": "1", "ret_msg": ""},
        {
            "success": False,
            "op": "subscribe",
            "req_id": "1",
            "ret_msg": "error:handler not found,topic:tickers.BTCUSDT",
        },
        {"success": True, "type": "COMMAND_RESP", "data": {"failTopics": ["publicTrade.BTC"], "successTopics": []}},
    ],
    "okx": [
        {"event": "subscribe", "arg": {"channel": "instruments", "instType": "SWAP"}, "connId": "a"},
        {"event": "error", "code": "60018", "msg": "Wrong URL or channel", "id": "1"},
        {"event": "error", "code": "60014", "msg": "Requests too frequent", "id": "1"},
    ],
    "bitmex": [
        {"success": True, "subscribe": "trade:XBTUSD", "request": {"op": "subscribe", "args": ["trade:XBTUSD"]}},
        {"status": 400, "error": "Unknown or expired symbol.", "meta": {}, "request": {"args": ["trade:XBTUSD"]}},
        {"status": 429, "error": "Rate limit exceeded", "meta": {"retryAfter": 1}, "request": {"args": []}},
    ],
}
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8), st.just([]), st.just({}), st.just([[]]), st.just({"a": []}), st.just("1" * 30),
)  # fmt: skip


def frames_of(venue: str) -> list[Any]:
    return [orjson.loads(file.read_bytes()) for file in sorted((PAYLOADS / venue).glob("*.json"))] + ANSWERS[venue]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every node of a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inside for place in places(child, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], odd)
    return copy


@st.composite
def bodies(draw: st.DrawFn, venue: str) -> bytes:
    """A frame or answer of the venue with up to two odd values in it, cut short, or any bytes."""
    frame = draw(st.sampled_from(frames_of(venue)))
    for _ in range(draw(st.integers(0, 2))):
        frame = replaced(frame, draw(st.sampled_from(places(frame))), draw(ODD))
    body = orjson.dumps(frame)
    return draw(st.one_of(st.just(body), st.just(body[: draw(st.integers(0, len(body)))]), st.binary(max_size=30)))


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_whatever_comes_is_recorded_and_nothing_breaks(name: str, data: st.DataObject) -> None:
    """Frames and REST answers with odd values: every frame is a record, every record can be written."""
    venue, make = DIALECTS[name]
    session, log, now = (
        TopicSession(make(), ("BTC", "ETH"), stale_after_us=10**12, silent_after_us=10**12),
        RawLog([venue]),
        START,
    )
    requests = [action.request for action in session.handle(now, Connected()) if isinstance(action, Fetch)]
    for body in data.draw(st.lists(bodies(venue), max_size=8)):
        now += SECOND
        answered = data.draw(st.booleans())
        event = Answered(data.draw(st.sampled_from(requests)), body) if answered else Frame(body)
        actions = [*session.handle(now, event), *session.handle(now, Tick())]
        requests += [action.request for action in actions if isinstance(action, Fetch)]
        records = [action for action in actions if isinstance(action, Publish)]
        assert body in [record.payload for record in records]
        for record in records:
            seen = Observation(
                now, venue, 0, record.kind, record.channel, record.instrument, record.underlying, record.exchange_ts,
                record.payload,
            )  # fmt: skip
            entry = log.append(seen)
            assert CODECS.decode(entry.topic, CODECS.encode(entry.topic, entry.record)) == entry.record
