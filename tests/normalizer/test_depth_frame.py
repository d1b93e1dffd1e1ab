"""Binance depth frames: the compiled reader and the reader of JSON are one, whatever comes."""

import gzip
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.records import RawMessage
from normalizer import binance
from normalizer.binance import Market
from normalizer.book import Book
from normalizer.depth_frame import read_update
from normalizer.events import BadMessage, BookUpdate

USDM = (
    b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT",'
    b'"U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"],["61510.90","0.000"]],'
    b'"a":[["61837.64","1.54698"]]}}'
)
SPOT = (
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,'
    b'"u":50093239202,"b":[],"a":[["61837.64000000","1.54698000"],["61839.85000000","0.00000000"]]}}'
)
MARKETS: tuple[Market, Market] = ("usdm", "spot")


def raw(payload: bytes, channel: str) -> RawMessage:
    return RawMessage(
        venue="binance-usdm",
        channel=channel,
        underlying="BTC",
        kind="message",
        conn_id="c-0",
        seq=0,
        received_ts=1,
        payload=payload,
    )


def parsed(market: Market, payload: bytes, channel: str) -> Any:
    """Return what a frame is read as; only frames of a depth channel are offered to the compiled reader."""
    try:
        return [shown(event) for event in binance.parse(market, raw(payload, channel))]
    except BadMessage as error:
        return (error.reason, error.detail)


def shown(event: Any) -> Any:
    if not isinstance(event, BookUpdate):
        return event
    ids = (event.first_id, event.last_id, event.prev_id)
    levels = [[tuple(level) for level in side] for side in (event.bids, event.asks)]
    return (event.instrument, event.exchange_ts, event.snapshot, ids, levels)


def applied(book: Book, update: BookUpdate) -> Any:
    """Return what becomes of a book, or why it is not changed."""
    try:
        return (book.apply(update, 7), book.dump())
    except BadMessage as error:
        return (error.reason, error.detail, book.dump())


def live_book(market: Market) -> Book:
    """Return a book that takes any USDⓈ-M delta that follows 1, and its scales: one decimal, no decimal."""
    book = Book(market, 10)
    levels = [("61510.9", "2"), ("58710.2", "1")]
    for first, last, is_snapshot in ((0, 10, True), (10, 11, False)):
        asks = [("61837.6", "3")]
        book.apply(
            BookUpdate(
                instrument="BTCUSDT", exchange_ts=None, snapshot=is_snapshot, first_id=first, last_id=last,
                prev_id=first, bids=levels, asks=asks,
            ),
            5,
        )  # fmt: skip
    return book


def require_same(market: Market, payload: bytes) -> None:
    assert parsed(market, payload, "btcusdt@depth@0ms") == parsed(market, payload, "other")
    quick = read_update(payload, chained_by_pu=market == "usdm")
    if quick is None:
        return
    slow_update = quick_without_ticks(quick)
    quick_book, slow_book = live_book(market), live_book(market)
    quick_book.last_id = slow_book.last_id = quick.prev_id if market == "usdm" else (quick.first_id or 0) - 1
    for _ in range(2):  # once more: what is stale then, and what the scales have grown to
        assert applied(quick_book, quick) == applied(slow_book, slow_update)


def quick_without_ticks(update: BookUpdate) -> BookUpdate:
    return BookUpdate(
        instrument=update.instrument, exchange_ts=update.exchange_ts, snapshot=update.snapshot,
        first_id=update.first_id, last_id=update.last_id, prev_id=update.prev_id, bids=list(update.bids),
        asks=list(update.asks),
    )  # fmt: skip


@pytest.mark.parametrize(("market", "payload"), [("usdm", USDM), ("spot", SPOT)])
def test_frames_as_the_venue_writes_them_take_the_quick_way(market: Market, payload: bytes) -> None:
    """Both markets' frames, an empty side too; and they say the same either way."""
    update = read_update(payload, chained_by_pu=market == "usdm")
    assert update is not None
    assert update.ticks is not None
    require_same(market, payload)


def test_integers_of_a_frame_are_those_of_its_text() -> None:
    """Zeros at the end of a decimal do not count; the maxima are over both sides."""
    update = read_update(USDM, chained_by_pu=True)
    assert update is not None
    ticks = update.ticks
    assert ticks is not None
    assert ticks.levels[:, : ticks.total].T.tolist() == [[587102, 1, 14, 3], [615109, 1, 0, 0], [6183764, 2, 154698, 5]]
    assert (ticks.bids, ticks.total) == (2, 3)
    maxima = (ticks.price_decimals, ticks.size_decimals, ticks.largest_price, ticks.largest_size)
    assert maxima == (2, 5, 61837, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"E":1723161256299', b'"E": 1723161256299'),
        (b'"E":1723161256299', b'"E":01723161256299'),
        (b'"T":1723161256298,', b""),
        (b'"T":1723161256298', b'"T":0'),
        (b'"T":1723161256298', b'"T":100000000000000'),
        (b',"pu":5123107831937', b""),
        (b'"U":5123107832006', b'"U":9223372036854775807'),
        (b'"U":5123107832006', b'"U":1e3'),
        (b'"U":5123107832006', b'"U":-1'),
        (b"depthUpdate", b"trade"),
        (b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'),
        (b'"s":"BTCUSDT"', b'"s":"btcusdt"'),
        (b'"s":"BTCUSDT"', b'"s":""'),
        (b'"58710.20"', b'"58710."'),
        (b'"58710.20"', b'".20"'),
        (b'"58710.20"', b'""'),
        (b'"58710.20"', b'"-1"'),
        (b'"58710.20"', b'"1e5"'),
        (b'"58710.20"', b'"0058710.20"'),
        (b'"58710.20"', b"58710.20"),
        (b'"58710.20"', b'"999999999999999999"'),
        (b'"58710.20"', b'"9999999999999999999"'),
        (b'"58710.20"', b'"92233720368547758.1"'),
        (b'"58710.20"', b'"1.000000000000000001"'),
        (b'"58710.20"', b'"1.0000000000000000001"'),
        (b'"0.014"', b'"0.014","x"'),
        (b'["58710.20","0.014"],', b""),
        (b'["58710.20","0.014"],', b'["58710.20","0.014"]'),
        (b'"0.014"]', b'"0.014"],["58710.20","0"]'),
        (b"]]}}", b"]]}} "),
        (b"]]}}", b"]]}}x"),
        (b"]]}}", b"]]}"),
        (b"]]}}", b"]]},\"x\":1}"),
        (b"btcusdt@depth", b"\xff"),
        (b"btcusdt@depth@0ms", b""),
        (USDM, b""),
    ],
)  # fmt: skip
def test_every_deviation_is_read_as_json_reads_it(old: bytes, new: bytes) -> None:
    """Valid or not: the same update, the same refusal in the same words, the same book."""
    assert old in USDM
    for market in MARKETS:
        require_same(market, USDM.replace(old, new))


ALPHABET = b'0123456789.,[]{}":-+eE btsuUapTxX@\x00\xff'


@given(
    market=st.sampled_from(MARKETS),
    payload=st.sampled_from((USDM, SPOT)),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 3),
            st.binary(max_size=3) | st.sampled_from(ALPHABET).map(chr).map(str.encode),
        ),
        max_size=4,
    ),
)
@example(market="usdm", payload=USDM, edits=[])
def test_mutated_frames_are_read_alike(market: Market, payload: bytes, edits: list[tuple[float, int, bytes]]) -> None:
    """Bytes put in, taken out, replaced anywhere."""
    for place, removed, inserted in edits:
        at = round(place * len(payload))
        payload = payload[:at] + inserted + payload[at + removed :]
    require_same(market, payload)


decimals = st.builds(
    lambda whole, fraction, zeros: whole + (f".{fraction}{zeros}" if fraction or zeros else ""),
    st.integers(0, 10**6).map(str) | st.from_regex(r"[0-9]{1,19}", fullmatch=True),
    st.from_regex(r"[0-9]{0,9}", fullmatch=True),
    st.sampled_from(["", "0", "00000"]),
)
levels = st.lists(st.tuples(decimals, decimals).map(list), max_size=6)


@given(bids=levels, asks=levels)
def test_frames_with_any_levels_make_the_same_book(bids: list[list[str]], asks: list[list[str]]) -> None:
    """Finer than the book, larger than 64 bits once scaled, the same price twice."""
    data = orjson.loads(USDM)
    data["data"].update({"b": bids, "a": asks})
    require_same("usdm", orjson.dumps(data))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("market", "file"), [("usdm", "usdm_btcusdt_20240808.gz"), ("spot", "spot_btcusdt_20240809.gz")]
)
def test_every_recorded_frame_takes_the_quick_way_and_mutated_ones_are_read_alike(
    shared_data: Path, market: Market, file: str
) -> None:
    """All that is recorded, levels as text against levels as integers; of every tenth a damaged copy as well."""
    rng = random.Random(7)
    lines = gzip.decompress((shared_data / "binance" / file).read_bytes()).splitlines()
    frames = [payload for line in lines if b'"depthUpdate"' in (payload := line.split(b" ", 1)[1])]
    assert len(frames) > 3_000
    for payload in frames:
        update = read_update(payload, chained_by_pu=market == "usdm")
        assert update is not None
        ticks = update.ticks
        assert ticks is not None
        assert (ticks.bids, ticks.total) == (len(update.bids), len(update.bids) + len(update.asks))
    for payload in frames[::10]:
        require_same(market, payload)
        at = rng.randrange(len(payload))
        require_same(market, payload[:at] + bytes([rng.choice(ALPHABET)]) + payload[at + rng.randrange(3) :])
