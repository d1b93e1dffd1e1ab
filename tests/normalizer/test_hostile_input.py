"""Whatever a venue sends, the core answers with records and dead letters, never with an exception."""

import os
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
from normalizer.venues import VENUES
from streamkit.core import CloseSecond, Input, Output, RawSecond, Reject

Frame = Callable[..., RawMessage]

PAYLOADS = {
    venue: sorted(
        name
        for name in orjson.loads((Path(__file__).parent / "payloads" / f"{venue}.json").read_bytes())
        if name != "refused"
    )
    for venue in ("deribit", "binance", "bybit", "okx", "bitmex")
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "0", "-1", "1e400", "nan", "1_0", "٣", "BTC-4DEC26-90000-C", "BTCUSDT", "BTC-USDT-SWAP", "XBTUSD"]
    ),
    st.sampled_from(
        ["x" * 300, "1e308", "0.1", "1795276800000", "2026-11-21T08:39:59.900Z", "Buy", "delete", -1, 1e308]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.lists(st.one_of(st.text(max_size=3), st.integers(-9, 9)), max_size=3), max_size=3),
)
CASES = int(os.environ.get("GAMMAFLOW_TEST_FUZZ_CASES", "300"))
"""Mutations of real messages; more are tried on request."""
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
def frames(
    deribit: Frame, binance: Frame, bybit: Frame, okx: Frame, bitmex: Frame
) -> Callable[[str, str, float], RawMessage]:
    """Build any payload by venue and name."""
    plain = {"bybit": bybit, "okx": okx, "bitmex": bitmex}

    def build(venue: str, name: str, at: float) -> RawMessage:
        if venue in plain:
            return plain[venue](name, at, underlying="ETH" if name.startswith("quanto") else "BTC")
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


# Real messages


REAL = (
    ("deribit", "deribit"), ("binance-usdm", "binance-futures"), ("binance-spot", "binance"), ("bybit", "bybit"),
    ("bybit", "bybit-options"), ("okx", "okex-swap"), ("okx", "okex-futures"), ("okx", "okex-options"),
    ("okx", "okex"), ("bitmex", "bitmex"),
)  # fmt: skip
"""(venue, file of real messages); some are of older versions of a venue's API and are refused as they are."""
BASES = ("BTC", "ETH", "SOL", "XRP", "LTC", "EOS", "ADA", "FIL", "WNCG", "PIPPIN")


@pytest.fixture(scope="session")
def real(shared_data: Path) -> list[RawMessage]:
    """Every real message, under the base asset that it is of as far as one of ours fits."""
    lines = {
        (venue, line)
        for venue, file in REAL
        for line in (shared_data / "shapes" / f"{file}.jsonl").read_bytes().splitlines()
    }
    return [under_its_base(venue, line) for venue, line in sorted(lines)]


def under_its_base(venue: str, line: bytes) -> RawMessage:
    """Return the message under the first base asset with which it is not refused."""
    fields: dict[str, Any] = {"channel": "", "kind": "message", "conn_id": "c", "seq": 0, "received_ts": 10**12}
    records = [RawMessage(venue=venue, underlying=base, payload=line, **fields) for base in BASES]
    accepted = (record for record in records if not any(map(is_reject, play(Normalizer(Limits()), [record]))))
    return next(accepted, records[0])


def is_reject(item: Any) -> bool:
    return hasattr(item, "reason")


@st.composite
def mutated(draw: st.DrawFn, payload: bytes) -> bytes:
    """Draw a damaged copy: a value replaced, left out or repeated, the bytes cut off or changed."""
    how = draw(st.sampled_from(["replace", "remove", "repeat", "cut", "flip"]))
    if how == "cut":
        return payload[: draw(st.integers(0, len(payload) - 1))]
    if how == "flip":
        place = draw(st.integers(0, len(payload) - 1))
        return payload[:place] + bytes([draw(st.integers(0, 255))]) + payload[place + 1 :]
    content = orjson.loads(payload)
    path = draw(st.sampled_from(leaves(content)))
    if how == "replace" or not path:
        return orjson.dumps(with_odd(content, path, draw(ODD)))
    return orjson.dumps(without(content, path) if how == "remove" else repeated(content, path))


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """Return the JSON value without what is at ``path``."""
    changed = value.copy()
    if len(path) == 1:
        del changed[path[0]]
    else:
        changed[path[0]] = without(value[path[0]], path[1:])
    return changed


def repeated(value: Any, path: tuple[Any, ...]) -> Any:
    """Return the JSON value with the list at ``path`` doubled, if it is one."""
    inner = value
    for step in path:
        inner = inner[step]
    return with_odd(value, path, inner * 2) if isinstance(inner, list) else value


@settings(many, max_examples=CASES)
@given(data=st.data())
@pytest.mark.shared_data
def test_no_mutation_of_a_real_message_has_another_outcome_than_records_and_dead_letters(
    real: list[RawMessage], data: st.DataObject
) -> None:
    """Between two good copies: each is applied or refused with a reason, all records encode, the state restores."""
    good = data.draw(st.sampled_from(real))
    damaged = replace(good, payload=data.draw(mutated(good.payload)))
    core, codecs = Normalizer(Limits()), Codecs.offline()
    items = play(core, [good, damaged, good])
    (close,) = [item for item in items if isinstance(item, CloseSecond)]
    assert close.input_records == 3
    assert sum(map(is_reject, items)) == close.rejected_records <= 3
    for item in items:
        assert isinstance(item, Output | CloseSecond | Reject)
        if isinstance(item, Output) and item.record is not None:
            assert codecs.decode(item.topic, codecs.encode(item.topic, item.record)) == item.record
    restored = Normalizer(Limits())
    restored.restore(core.snapshot())
    assert restored.snapshot() == core.snapshot()


def is_no_frame(payload: bytes) -> bool:
    """Tell whether no venue could have sent this; two say pong without JSON, one answers with a bare list."""
    try:
        return not isinstance(orjson.loads(payload), list)
    except orjson.JSONDecodeError:
        return payload != b"pong"


@given(payload=st.binary(max_size=200).filter(is_no_frame))
@pytest.mark.parametrize("venue", sorted(VENUES))
@pytest.mark.parametrize(
    ("kind", "channel"), [("message", "rpc"), ("snapshot", "rest:depth"), ("snapshot", "rest:tickers")]
)
def test_bytes_that_are_no_frame_are_dead_letters(*, venue: str, kind: Any, channel: str, payload: bytes) -> None:
    """Anything at all, as a pushed frame or as a REST answer."""
    record = RawMessage(
        venue=venue,
        channel=channel,
        underlying="BTC",
        kind=kind,
        conn_id="c",
        seq=0,
        received_ts=1,
        payload=payload,
    )
    items = play(Normalizer(Limits()), [record])
    assert [item.rejected_records for item in items if hasattr(item, "rejected_records")] == [1]
