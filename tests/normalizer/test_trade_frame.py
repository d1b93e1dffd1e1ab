"""Binance trade frames: the quick reader and the reader of every field are one, whatever comes."""

import gzip
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import RawMessage
from normalizer import binance
from normalizer.binance import Market
from normalizer.events import BadMessage
from normalizer.trade_frame import read_print

FRAME: dict[str, Any] = {
    "stream": "btcusdt@trade",
    "data": {
        "e": "trade", "E": 1723161256322, "T": 1723161256321, "s": "BTCUSDT", "t": 5266583935, "p": "61800.30",
        "q": "0.006", "X": "MARKET", "m": False,
    },
}  # fmt: skip
MARKETS: tuple[Market, Market] = ("usdm", "spot")
ALPHABET = b'0123456789.,{}":-+eE_tsXmMp\x00\xff'


def parsed(market: Market, payload: bytes, channel: str) -> Any:
    """Return what a frame is read as; only frames of a trade channel are offered to the quick reader."""
    raw = RawMessage(
        venue="binance-usdm", channel=channel, underlying="BTC", kind="message", conn_id="c-0", seq=0, received_ts=1,
        payload=payload,
    )  # fmt: skip
    try:
        return list(binance.parse(market, raw))
    except BadMessage as error:
        return (error.reason, error.detail)


def require_same(payload: bytes) -> None:
    for market in MARKETS:
        assert parsed(market, payload, "btcusdt@trade") == parsed(market, payload, "other")


def changed(**fields: Any) -> bytes:
    return orjson.dumps({**FRAME, "data": {**FRAME["data"], **fields}})


def test_a_frame_as_the_venue_writes_it_takes_the_quick_way() -> None:
    """With and without the field that only futures have."""
    print_ = read_print(changed())
    assert print_ is not None
    assert (print_.instrument, print_.trade_id, print_.taker_side, print_.price) == (
        "BTCUSDT", "5266583935", "buy", 61800.3,
    )  # fmt: skip
    data = {name: value for name, value in FRAME["data"].items() if name != "X"}
    assert read_print(orjson.dumps({**FRAME, "data": data})) == print_


def test_a_price_that_is_not_in_dollars_has_no_value_in_them() -> None:
    """Quoted in euros: price and size stand, the USD are not known."""
    (print_,) = parsed("spot", changed(s="BTCEUR"), "btceur@trade")
    assert (print_.price, print_.notional_usd) == (61800.3, None)
    require_same(changed(s="BTCEUR"))


@pytest.mark.parametrize("name", [*FRAME["data"], "other"])
@pytest.mark.parametrize(
    "value",
    [
        None, "", "x", "0", "-1", "1_0", "1e400", "nan", "inf", " 1", "NA", "BTCBUSD", "ETHUSDT", "aggTrade", 0, 1, -1,
        1.5, 2**63, 10**14, True, False, [], {},
    ],
)  # fmt: skip
def test_any_value_of_any_field_is_read_alike(name: str, value: Any) -> None:
    """The same print, or the same refusal in the same words."""
    require_same(changed(**{name: value}))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b'{"stream":"","data":{}}', b'{"stream":1}', b'{"result":null,"id":1}']
)
def test_frames_of_another_kind_are_read_alike(payload: bytes) -> None:
    """Protocol answers and what is no frame at all."""
    require_same(payload)


@pytest.mark.parametrize("stream", ["", None, 1, [], "btcusdt@trade"])
def test_frames_with_another_stream_are_read_alike(stream: Any) -> None:
    """The stream must be a text, though nothing of it is used."""
    require_same(orjson.dumps({**FRAME, "stream": stream}))


@given(
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 3), st.lists(st.sampled_from(ALPHABET), max_size=3).map(bytes)),
        max_size=4,
    )
)
def test_mutated_frames_are_read_alike(edits: list[tuple[float, int, bytes]]) -> None:
    """Bytes put in, taken out, replaced anywhere."""
    payload = changed()
    for place, removed, inserted in edits:
        at = round(place * len(payload))
        payload = payload[:at] + inserted + payload[at + removed :]
    require_same(payload)


@pytest.mark.shared_data
def test_recorded_frames_are_read_alike_and_mutated_ones_too(shared_data: Path) -> None:
    """Every market print takes the quick way; of every tenth frame a damaged copy as well."""
    rng = random.Random(7)
    lines = gzip.decompress((shared_data / "binance" / "usdm_btcusdt_20240808.gz").read_bytes()).splitlines()
    frames = [payload for line in lines if b'"e":"trade"' in (payload := line.split(b" ", 1)[1])]
    assert len(frames) > 20_000
    assert all((read_print(payload) is not None) is (b'"X":"MARKET"' in payload) for payload in frames)
    for payload in frames[::10]:
        require_same(payload)
        at = rng.randrange(len(payload))
        require_same(payload[:at] + bytes([rng.choice(ALPHABET)]) + payload[at + rng.randrange(3) :])
