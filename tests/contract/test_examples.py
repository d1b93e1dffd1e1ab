"""Every example is a record of its topic and survives the codec unchanged."""

import json
import math
import struct
from pathlib import Path

import pytest

from contracts.examples import ExampleError, load_examples
from contracts.records import OptionGreeks
from contracts.topics import TOPICS
from contracts.wire import Codecs

FOLDER = Path(__file__).parents[2] / "schemas/examples"
EXAMPLES = [
    pytest.param(topic, record, id=f"{topic}/{path.stem}")
    for topic in TOPICS
    for path, record in load_examples(FOLDER, topic)
]
CODECS = Codecs.offline()


@pytest.mark.parametrize(("topic", "record"), EXAMPLES)
def test_an_example_round_trips_twice_to_the_same_bytes(topic: str, record):
    value = CODECS.encode(topic, record)
    again = CODECS.encode(topic, CODECS.decode(topic, value))
    assert again == value
    assert CODECS.encode(topic, CODECS.decode(topic, again)) == value


@pytest.mark.parametrize(("topic", "record"), EXAMPLES)
def test_an_example_says_when_within_the_bounds_of_its_second(topic: str, record):
    """received_ts and exchange_ts are microseconds of the same days as ``second``; a wrong unit shows here."""
    for name in ("received_ts", "exchange_ts"):
        if (moment := getattr(record, name, None)) is not None:
            assert 1_767_225_600 <= moment / 1e6 < 1_767_225_600 + 3600


def test_packed_columns_are_little_endian_with_nan_for_null():
    chain = next(
        record for path, record in load_examples(FOLDER, "options.greeks") if path.stem == "two-priced-one-not"
    )
    assert isinstance(chain, OptionGreeks)
    strikes = struct.unpack("<3d", chain.strike)
    vols = struct.unpack("<3d", chain.vol)
    assert strikes == (80_000.0, 90_000.0, 100_000.0)
    assert math.isnan(vols[0])
    assert vols[1:] == (0.4, 0.462)
    assert struct.unpack("<3q", chain.expiry_ts)[2] == 1_774_598_400_000_000


WIDTHS = {"expiry_ts": 8, "is_call": 1, "forward_source": 1, "vol_source": 1, "quality": 1}


@pytest.mark.parametrize("chain", [r for _, r in load_examples(FOLDER, "options.greeks")], ids=lambda c: c.status)
def test_packed_columns_hold_one_value_per_instrument(chain: OptionGreeks):
    columns = {name: value for name in chain.__slots__ if isinstance(value := getattr(chain, name), bytes)}
    assert set(WIDTHS) < set(columns)
    for name, value in columns.items():
        assert len(value) == len(chain.instruments) * WIDTHS.get(name, 8), name


FUNDING = json.loads((FOLDER / "market.funding/settled.json").read_text())
HEARTBEAT = json.loads((FOLDER / "raw.deribit/heartbeat.json").read_text())


@pytest.mark.parametrize(
    ("topic", "document", "says"),
    [
        ("market.funding", FUNDING | {"rat": 1.0}, "x.json.rat: Funding has no such field"),
        ("market.funding", {k: v for k, v in FUNDING.items() if k != "rate"}, "x.json.rate: missing"),
        ("market.funding", FUNDING | {"rate": "high"}, "gammaflow.Funding.rate"),
        ("market.funding", [FUNDING], "must be an object"),
        ("raw.deribit", HEARTBEAT | {"payload": "quiet"}, "x.json.payload: write bytes as an object"),
        ("raw.deribit", HEARTBEAT | {"payload": {"f4": [1.0]}}, "x.json.payload: write bytes as an object"),
        ("raw.deribit", HEARTBEAT | {"kind": "beat"}, "gammaflow.RawMessage.kind"),
    ],
)
def test_a_wrong_example_is_named_by_file_and_field(tmp_path: Path, topic: str, document, says: str):
    (tmp_path / topic).mkdir()
    (tmp_path / topic / "x.json").write_text(json.dumps(document))
    with pytest.raises(ExampleError) as caught:
        list(load_examples(tmp_path, topic))
    assert says in str(caught.value)
