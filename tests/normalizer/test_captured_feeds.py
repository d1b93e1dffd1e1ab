"""Captured feeds of Bybit, OKX and BitMEX, read in place: every message accounted for, books level by level.

The captures are read here by themselves, and the books rebuilt from the frames as the venues' documents say, with the
venues' own text for keys and none of our code.
"""

import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from contracts.records import BookSnapshot, RawMessage, Trade
from normalizer.events import BadMessage, Invalid
from normalizer.limits import Limits
from normalizer.seconds import Normalizer
from normalizer.venues import VENUES
from streamkit.core import CloseSecond, Input, Output, RawSecond, Reject

pytestmark = pytest.mark.shared_data
Taken = list[tuple[float, str, bytes]]
"""(receive time, message or snapshot, body) in the order of the capture."""
Sides = dict[str, dict[str, str]]
"""Side (bid, ask) to price text to size text."""

BITMEX_BASE = {
    "XBTM21": "BTC", "XBTU21": "BTC", "ETHUSDM21": "ETH", "ADAM21": "ADA", "BCHM21": "BCH", "TRXM21": "TRX",
    "DOGEUSDT": "DOGE", "XLMUSDT": "XLM", "EOSUSDT": "EOS", "LINKUSDT": "LINK",
}  # fmt: skip


# Reading the captures


def bybit_capture(folder: Path) -> Taken:
    with (folder / "bybit_v5_2026-08-09.jsonl.zst").open("rb") as capture:
        lines = zstandard.ZstdDecompressor().stream_reader(capture, read_across_frames=True).read().splitlines()
    entries = [orjson.loads(line) for line in lines]
    spot = {entry["conn"] for entry in entries if entry["t"] == "connect" and "spot" in entry["addr"]}
    ours = [entry for entry in entries if entry["t"] == "recv" and entry["conn"] not in spot]
    listings = [entry for entry in entries if entry["t"] == "http" and "category=linear" in entry["url"]]
    return [
        (entry["ts"], "snapshot" if entry["t"] == "http" else "message", entry["data"].encode())
        for entry in [*listings, *ours]
    ]


def text_capture(path: Path) -> Taken:
    """Read what was received: ``<unix s>: <frame>`` and ``<url> -> <unix s>: <answer>``."""
    taken = []
    for line in lzma.decompress(path.read_bytes()).splitlines():
        head, _, body = line.partition(b": ")
        if head[:1].isdigit():
            taken.append((float(head), "message", body))
        elif b" -> " in head:
            taken.append((float(head.partition(b" -> ")[2]), "snapshot", body))
    return taken


def okx_capture(folder: Path) -> Taken:
    return text_capture(folder / "2022-02-27_ed5b5350_OKX.0.xz") + text_capture(
        folder / "2022-02-27_ed5b5350_OKX.ws.1.0.xz"
    )


def bitmex_capture(folder: Path) -> Taken:
    """The feed of April 2021; its instruments are those of July, the only ones captured, moved before it."""
    feed = text_capture(folder / "2021-04-05_1312c062_BITMEX-d944be.0.xz")
    (listing,) = text_capture(folder / "2021-11-03_906605df_BITMEX.0.xz")
    return [(feed[0][0], "snapshot", listing[2]), *feed]


# What the collector makes of them


def bybit_place(frame: Any) -> tuple[str, list[str]]:
    topic = frame.get("topic", "")
    symbol = topic.rpartition(".")[2]
    return (topic, [symbol.removesuffix("USDT")]) if topic else ("rpc", ["BTC"])


def okx_place(frame: Any) -> tuple[str, list[str]]:
    if "data" not in frame:
        return "rpc", ["BTC"]
    instrument = frame["arg"]["instId"]
    return f"{frame['arg']['channel']}:{instrument}", [instrument.partition("-")[0]]


def bitmex_place(frame: Any) -> tuple[str, list[str]]:
    if "table" not in frame:
        return "rpc", ["BTC"]
    (symbol,) = {row["symbol"] for row in frame["data"]}
    return f"{frame['table']}:{symbol}", [BITMEX_BASE[symbol]]


BASES = {
    "bybit": ["BTC", "DOGE", "ETH", "SOL"],
    "okx": ["BTC", "ELON", "ETH", "PROPS", "UNI", "ZEN"],
    "bitmex": sorted(set(BITMEX_BASE.values())),
}
CAPTURES: dict[str, tuple[Callable[[Path], Taken], Callable[[Any], tuple[str, list[str]]]]] = {
    "bybit": (bybit_capture, bybit_place),
    "okx": (okx_capture, okx_place),
    "bitmex": (bitmex_capture, bitmex_place),
}


def raw_records(venue: str, taken: Taken) -> list[RawMessage]:
    """Return the raw log: a frame to each underlying it speaks of, a listing to every one."""
    place, records = CAPTURES[venue][1], list[RawMessage]()
    for received_s, kind, body in taken:
        whose = ("rest:instruments", BASES[venue]) if kind == "snapshot" else place(orjson.loads(body))
        for underlying in whose[1]:
            fields: dict[str, Any] = {"channel": whose[0], "underlying": underlying, "kind": kind, "payload": body}
            at = round(received_s * 1_000_000)
            records.append(RawMessage(venue=venue, conn_id=f"{venue}-0", seq=len(records), received_ts=at, **fields))
    return records


def played(venue: str, records: list[RawMessage]) -> tuple[Normalizer, list[Output | CloseSecond | Reject]]:
    core, topic = Normalizer(Limits(depth=10**6)), f"raw.{venue}"
    items: list[Output | CloseSecond | Reject] = []
    for second, group in groupby(records, key=lambda record: record.received_ts // 1_000_000):
        log = [Input(topic, 0, record.seq, b"", record.received_ts // 1000, record) for record in group]
        items.extend(core.step(RawSecond(second, {topic: log})))
    return core, items


def frames(taken: Taken) -> Iterator[Any]:
    """Yield the pushed frames that hold data."""
    for _, kind, body in taken:
        frame = orjson.loads(body)
        if kind == "message" and "data" in frame:
            yield frame


# Rebuilding the books


def rebuilt_bybit(taken: Taken) -> dict[str, Sides]:
    books: dict[str, Sides] = {}
    for frame in frames(taken):
        if not frame["topic"].startswith("orderbook."):
            continue
        data = frame["data"]
        if frame["type"] == "snapshot":
            books[data["s"]] = {"bid": {}, "ask": {}}
        for side, levels in (("bid", data["b"]), ("ask", data["a"])):
            books[data["s"]][side].update(dict(levels))
    return without_zeros(books)


def rebuilt_okx(taken: Taken) -> dict[str, Sides]:
    books: dict[str, Sides] = {}
    for frame in frames(taken):
        if not frame["arg"]["channel"].startswith("books"):
            continue
        name, (data,) = frame["arg"]["instId"], frame["data"]
        if frame["action"] == "snapshot":
            books[name] = {"bid": {}, "ask": {}}
        for side in ("bid", "ask"):
            books[name][side].update({price: size for price, size, *_ in data[f"{side}s"]})
            books[name][side] = {price: size for price, size in books[name][side].items() if float(size)}
        assert okx_checksum(books[name]) == data["checksum"]
    return books


def okx_checksum(book: Sides) -> int:
    bids = sorted(book["bid"].items(), key=lambda level: -float(level[0]))[:25]
    asks = sorted(book["ask"].items(), key=lambda level: float(level[0]))[:25]
    texts = [f"{level[0]}:{level[1]}" for pair in zip_longest(bids, asks) for level in pair if level]
    crc = zlib.crc32(":".join(texts).encode())
    return crc - 2**32 if crc >= 2**31 else crc


def rebuilt_bitmex(taken: Taken) -> dict[str, Sides]:
    rows: dict[str, dict[tuple[int, str], dict[str, Any]]] = {}
    for frame in frames(taken):
        if frame["table"] != "orderBookL2":
            continue
        for row in frame["data"]:
            levels = rows.setdefault(row["symbol"], {})
            key = (row["id"], row["side"])
            if frame["action"] == "delete":
                del levels[key]
            elif frame["action"] == "update":
                levels[key] = {**levels[key], **row}
            else:
                levels[key] = row
    sides = {"bid": "Buy", "ask": "Sell"}
    return {
        symbol: {
            side: {str(row["price"]): str(row["size"]) for row in levels.values() if row["side"] == theirs}
            for side, theirs in sides.items()
        }
        for symbol, levels in rows.items()
    }


def without_zeros(books: dict[str, Sides]) -> dict[str, Sides]:
    return {
        name: {side: {price: size for price, size in levels.items() if float(size)} for side, levels in sides.items()}
        for name, sides in books.items()
    }


REBUILT: dict[str, Callable[[Taken], dict[str, Sides]]] = {
    "bybit": rebuilt_bybit,
    "okx": rebuilt_okx,
    "bitmex": rebuilt_bitmex,
}


def last_books(items: list[Any]) -> dict[str, BookSnapshot]:
    return {item.key: item.record for item in items if isinstance(item, Output) and item.topic == "market.books"}


def levels_of(book: BookSnapshot) -> dict[str, list[tuple[float, float]]]:
    sides = {
        "bid": (book.bid_price_ints, book.bid_qty_ints),
        "ask": (book.ask_price_ints, book.ask_qty_ints),
    }
    return {
        side: [(p / 10**book.price_scale, q / 10**book.qty_scale) for p, q in zip(prices, sizes, strict=True)]
        for side, (prices, sizes) in sides.items()
    }


def expected_levels(sides: Sides) -> dict[str, list[tuple[float, float]]]:
    return {
        side: sorted(((float(price), float(size)) for price, size in sides[side].items()), reverse=side == "bid")
        for side in ("bid", "ask")
    }


# Tests


def is_of_an_older_api(frame: Any) -> bool:
    """Tell whether a frame is of Bybit before v5, of OKX before v5, or a recorder's own wrapper of a REST answer."""
    topic, data = frame.get("topic", ""), frame.get("data")
    if topic.startswith("liquidation."):
        return not (isinstance(data, dict) and "updatedTime" in data)
    older = topic.startswith(("instrument_info.", "orderBookL2_25.", "orderBook_200.", "trade."))
    return older or "/" in frame.get("table", "") or frame.get("arg", {}).get("channel") == "liquidations"


@pytest.mark.parametrize(
    ("venue", "file", "handled"),
    [
        ("bybit", "bybit", 17),
        ("bybit", "bybit-options", 6),
        ("okx", "okex-swap", 11),
        ("okx", "okex-futures", 12),
        ("okx", "okex-options", 8),
        ("okx", "okex", 6),
        ("bitmex", "bitmex", 18),
    ],
)
def test_every_real_message_of_todays_apis_is_read(shared_data: Path, venue: str, file: str, handled: int) -> None:
    """All others are refused with a reason, and not one of them is taken for something else."""
    read = []
    for line in (shared_data / "shapes" / f"{file}.jsonl").read_bytes().splitlines():
        frame = orjson.loads(line)
        reasons = {refusal(venue, base, line) for base in ("BTC", "ETH", "SOL", "XRP", "LTC", "GALA", "PIPPIN")}
        if is_of_an_older_api(frame):
            assert reasons <= {"unknown_channel", "bad_value", "missing_field"}
        else:
            assert None in reasons
            read.append(frame)
    assert len(read) == handled


def refusal(venue: str, underlying: str, line: bytes) -> str | None:
    """Return the reason for which a message under a base asset is refused, None if it is read."""
    fields: dict[str, Any] = {"channel": "x", "kind": "message", "conn_id": "c", "seq": 0, "received_ts": 1}
    raw = RawMessage(venue=venue, underlying=underlying, payload=line, **fields)
    try:
        found = [event.reason for event in VENUES[venue].parse(raw) if isinstance(event, Invalid)]
    except BadMessage as error:
        return error.reason
    return found[0] if found else None


@pytest.mark.parametrize(
    ("venue", "instruments", "messages"), [("bybit", 4, 1598), ("okx", 10, 3679), ("bitmex", 10, 6393)]
)
def test_captured_books_end_in_an_independent_rebuild_with_no_gap(
    shared_data: Path, venue: str, instruments: int, messages: int
) -> None:
    """Full depth, level by level, every book message applied; OKX's checksum holds after each."""
    taken = CAPTURES[venue][0](shared_data / "cryptofeed")
    core, items = played(venue, raw_records(venue, taken))
    books, expected = last_books(items), REBUILT[venue](taken)
    assert books.keys() == expected.keys()
    assert len(books) == instruments
    for name, book in books.items():
        assert not book.gap
        assert levels_of(book) == expected_levels(expected[name]), name
    counts = sum((Counter(market) for market in core.counts().values()), Counter[str]())
    assert counts["book_applied"] == messages
    assert not {what for what in counts if what.startswith("book")} - {"book_applied"}


def rows_of(venue: str, taken: Taken) -> Counter[str]:
    """Count what the frames hold, by what must become of it."""
    found = Counter[str]()
    for frame in frames(taken):
        if venue == "bybit":
            topic = frame["topic"].partition(".")[0]
            found[topic] += len(frame["data"]) if topic == "publicTrade" else 1
        elif venue == "okx":
            found[frame["arg"]["channel"]] += len(frame["data"])
        else:
            found[frame["table"]] += 1 if frame["table"] == "orderBookL2" else len(frame["data"])
    return found


@pytest.mark.parametrize(
    ("venue", "trades", "tickers"),
    [("bybit", "publicTrade", "tickers"), ("okx", "trades", "tickers"), ("bitmex", "trade", "quote")],
)
def test_every_captured_message_is_accounted_for(shared_data: Path, venue: str, trades: str, tickers: str) -> None:
    """In = emitted, joined, passed over or refused; nothing is refused, no print is lost or doubled."""
    taken = CAPTURES[venue][0](shared_data / "cryptofeed")
    records = raw_records(venue, taken)
    core, items = played(venue, records)
    assert [item for item in items if isinstance(item, Reject)] == []
    closes = [item for item in items if isinstance(item, CloseSecond)]
    assert sum(close.input_records for close in closes) == len(records)
    assert sum(close.rejected_records for close in closes) == 0
    counts = sum((Counter(market) for market in core.counts().values()), Counter[str]())
    rows = rows_of(venue, taken)
    emitted = [item.record for item in items if isinstance(item, Output) and item.topic == "market.trades"]
    assert len(emitted) == counts["trades"] == rows[trades]
    # Besides the rows of the instrument lists only quotes and tickers are joined.
    assert counts["patches"] == rows[tickers] + (counts["listings"] if venue == "bitmex" else 0)
    assert not any("crossed" in book.quality for book in last_books(items).values())


def first_trades(venue: str, taken: Taken) -> dict[str, Trade]:
    _, items = played(venue, raw_records(venue, taken))
    return {
        item.key: item.record for item in reversed(items) if isinstance(item, Output) and item.topic == "market.trades"
    }


def test_captured_sizes_are_by_contract(shared_data: Path) -> None:
    """OKX prints in coins and dollars by the instruments of the same capture; BitMEX quantos as the venue says."""
    trades = first_trades("okx", okx_capture(shared_data / "cryptofeed"))
    option, swap, spot = trades["BTC-USD-220325-40000-C"], trades["UNI-USD-SWAP"], trades["ZEN-USDT"]
    assert (option.amount_base, option.notional_usd) == (10.0, None)  # 100 · 0.1 BTC
    assert (swap.notional_usd, swap.amount_base) == (10.0, 10 / swap.price)  # one contract of $10
    assert spot.notional_usd == spot.amount_base * spot.price
    trades = first_trades("bitmex", bitmex_capture(shared_data / "cryptofeed"))
    assert trades["DOGEUSDT"].notional_usd == 3.417550058892815
    assert trades["XBTU21"].notional_usd % 1 == 0
    assert (trades["TRXM21"].notional_usd, trades["TRXM21"].amount_base % 1) == (None, 0)


@pytest.mark.parametrize(("venue", "name"), [("bybit", "BTCUSDT"), ("okx", "UNI-USD-SWAP"), ("bitmex", "LINKUSDT")])
def test_one_lost_message_gaps_its_instrument_and_no_other(shared_data: Path, venue: str, name: str) -> None:
    """Found by the number, the checksum, or an id that was never inserted; the others end as they would have."""
    taken = CAPTURES[venue][0](shared_data / "cryptofeed")
    records = raw_records(venue, taken)
    told = [record for record in records if record.channel.endswith(name) and b"book" in record.payload.lower()]
    lost = next(record for record in told[200:] if venue != "bitmex" or b'"insert"' in record.payload)
    whole = last_books(played(venue, records)[1])
    core, items = played(venue, [record for record in records if record is not lost])
    torn = last_books(items)
    assert (torn[name].gap, torn[name].n_bids, torn[name].n_asks) == (True, 0, 0)
    assert {other: book for other, book in torn.items() if other != name} == {
        other: book for other, book in whole.items() if other != name
    }
    assert sum(market.get("book_gap", 0) for market in core.counts().values()) == 1
