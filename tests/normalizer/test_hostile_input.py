"""Whatever a venue sends, the core answers with records and dead letters, never with an exception."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.records import RawMessage
from contracts.topics import TOPICS
from contracts.wire import Codecs
from normalizer.limits import Limits
from normalizer.seconds import Normalizer
from streamkit.core import Input, Output, RawSecond

Frame = Callable[..., RawMessage]

PAYLOADS = {
    venue: sorted(orjson.loads((Path(__file__).parent / "payloads" / f"{venue}.json").read_bytes()))
    for venue in ("deribit", "binance")
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "0", "-1", "1e400", "nan", "1_0", "٣", "BTC-4DEC26-90000-C", "BTCUSDT", "x" * 300]),
    st.just([]),
    st.just({}),
    st.lists(st.lists(st.one_of(st.text(max_size=3), st.integers(-9, 9)), max_size=3), max_size=3),
)
many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in a JSON value, containers included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in leaves(item, (*path, key)))]


def with_odd(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """Return the JSON value with ``odd`` at ``path``."""
    if not path:
        return odd
    changed = value.copy()
    changed[path[0]] = with_odd(value[path[0]], path[1:], odd)
    return changed


@pytest.fixture
def frames(deribit: Frame, binance: Frame) -> Callable[[str, str, float], RawMessage]:
    """Build any payload by venue and name."""

    def build(venue: str, name: str, at: float) -> RawMessage:
        if name == "funding_history":
            return deribit(name, at, channel="rest:get_funding_rate_history", instrument="BTC-PERPETUAL")
        if name == "book_summary":
            return deribit(name, at, channel="rest:get_book_summary_by_currency")
        if name == "linear_option_trade":
            return deribit(name, at, underlying="SOL")
        spot = {"venue": "binance-spot"} if name.endswith("spot") else {}
        return deribit(name, at) if venue == "deribit" else binance(name, at, **spot)

    return build


@many
@given(data=st.data())
def test_no_odd_value_anywhere_in_a_frame_breaks_the_core_or_its_outputs(
    frames: Callable[[str, str, float], RawMessage], data: st.DataObject
) -> None:
    """One value of a good frame replaced by an odd one: at most one dead letter, and all records still encode."""
    core, codecs = Normalizer(Limits()), Codecs.offline()
    venue = data.draw(st.sampled_from(sorted(PAYLOADS)))
    name = data.draw(st.sampled_from(PAYLOADS[venue]))
    good = frames(venue, name, 0.0)
    content = orjson.loads(good.payload)
    odd = with_odd(content, data.draw(st.sampled_from(leaves(content))), data.draw(ODD))
    unit = data.draw(st.sampled_from([[odd], [content, odd], [odd, content]]))
    records = [replace(good, payload=orjson.dumps(payload)) for payload in unit]
    items = play(core, records)
    assert sum(hasattr(item, "reason") for item in items) <= 1
    for item in items:
        if isinstance(item, Output) and item.record is not None:
            assert type(item.record) is TOPICS[item.topic].record
            assert codecs.decode(item.topic, codecs.encode(item.topic, item.record)) == item.record
    restored = Normalizer(Limits())
    restored.restore(core.snapshot())
    assert restored.snapshot() == core.snapshot()


def play(core: Normalizer, records: list[RawMessage]) -> list[Any]:
    topic = f"raw.{records[0].venue}"
    inputs = [Input(topic, 2, offset, b"", 0, record) for offset, record in enumerate(records)]
    return list(core.step(RawSecond(records[0].received_ts // 1_000_000, {topic: inputs})))


@given(payload=st.binary(max_size=200))
@pytest.mark.parametrize("venue", ["deribit", "binance-usdm", "binance-spot"])
@pytest.mark.parametrize("kind", ["message", "snapshot"])
def test_bytes_that_are_no_frame_are_dead_letters(venue: str, kind: Any, payload: bytes) -> None:
    """Anything at all, as a pushed frame or as a REST answer."""
    record = RawMessage(
        venue=venue,
        channel="rest:depth",
        underlying="BTC",
        kind=kind,
        conn_id="c",
        seq=0,
        received_ts=1,
        payload=payload,
    )
    items = play(Normalizer(Limits()), [record])
    assert [item.rejected_records for item in items if hasattr(item, "rejected_records")] == [1]
