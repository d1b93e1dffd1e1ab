"""Real recordings, read in place: nothing lost, books level by level, chains field by field."""

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.raw_log import RawLog
from collector.recorded.catalog import Selection, find_recordings
from collector.recorded.timeline import recorded_entries
from contracts.records import RawMessage, Ticker
from normalizer.events import BadMessage, Event, Ignored, Invalid
from normalizer.limits import Limits
from normalizer.seconds import Normalizer
from normalizer.venues import VENUES
from streamkit.core import CloseSecond, Input, Output, RawSecond, Reject

pytestmark = pytest.mark.shared_data
BTC_PARTITION = 2


def recorded_units(path: Path, files: str) -> Iterator[RawSecond]:
    """Yield the units of the BTC partition of what the collector's file source makes of recordings."""
    selection = Selection(kinds=("chain", "trades", "binance"), files=files, venues=tuple(VENUES), underlyings=("BTC",))
    recordings = find_recordings(path, selection)
    log = RawLog(sorted({recording.venue for recording in recordings}))
    second, records = None, dict[str, list[Input]]()
    for offset, (topic, partition, record) in enumerate(recorded_entries(recordings, log)):
        if partition != BTC_PARTITION:
            continue
        if second is not None and record.received_ts // 1_000_000 != second:
            yield RawSecond(second, records)
            records = {}
        second = record.received_ts // 1_000_000
        records.setdefault(topic, []).append(Input(topic, partition, offset, b"", record.received_ts // 1000, record))


def play(core: Normalizer, units: Iterator[RawSecond]) -> Iterator[Output | CloseSecond | Reject]:
    for unit in units:
        yield from core.step(unit)


# Message shapes


def shape_events(venue: str, path: Path) -> Iterator[tuple[str, list[Event]]]:
    """Yield (stream or channel, events) of each message; a refusal shows as one Invalid."""
    for line in path.read_bytes().splitlines():
        frame = orjson.loads(line)
        name = frame.get("stream") or frame["params"]["channel"]
        raw = RawMessage(
            venue=venue,
            channel=name,
            underlying=_underlying(frame),
            kind="message",
            conn_id="c-0",
            seq=0,
            received_ts=0,
            payload=line,
        )
        try:
            yield name, list(VENUES[venue].parse(raw))
        except BadMessage as error:
            yield name, [Invalid(error.reason, error.detail)]


def _underlying(frame: dict[str, Any]) -> str:
    data = frame.get("data", {})
    symbol: str = data.get("s") or data.get("o", {}).get("s") or data.get("symbol") or ""
    return next((symbol[:-4] for quote in ("USDT", "USDC") if symbol.endswith(quote)), symbol[:3])


def test_every_deribit_message_is_handled(shared_data: Path) -> None:
    """All 18 are read; only the three combos are passed over."""
    shapes = list(shape_events("deribit", shared_data / "shapes" / "deribit.jsonl"))
    assert not [event for _, events in shapes for event in events if isinstance(event, Invalid)]
    passed_over = [name for name, events in shapes if events == [Ignored("combo")]]
    assert (len(shapes), len(passed_over)) == (18, 3)


@pytest.mark.parametrize(
    ("venue", "file", "unknown"),
    [
        ("binance-spot", "binance.jsonl", {"btcusdc@depthSnapshot", "gntbtc@depthSnapshot"}),
        ("binance-usdm", "binance-futures.jsonl", {"btcusdt@depthSnapshot", "btcusdt@openInterest"}),
    ],
)
def test_every_binance_message_is_handled_or_explicitly_unknown(
    shared_data: Path, venue: str, file: str, unknown: set[str]
) -> None:
    """Unknown are only the recorder's own wrappers of REST answers, which no venue sends."""
    refused = {
        (name, event.reason)
        for name, events in shape_events(venue, shared_data / "shapes" / file)
        for event in events
        if isinstance(event, Invalid)
    }
    assert refused == {(name, "unknown_channel") for name in unknown}


# Books


def rebuilt(path: Path, files: list[str], chained_by_pu: bool) -> dict[str, dict[str, str]]:
    """Rebuild a Binance book from scratch as its documentation says: text keys, no integers, none of our code."""
    lines = [line for file in files for line in gzip.decompress((path / file).read_bytes()).splitlines()]
    frames = [orjson.loads(line.split(b" ", 1)[1]) for line in lines]
    (snapshot,) = [frame for frame in frames if "lastUpdateId" in frame]
    diffs = [frame["data"] for frame in frames if frame.get("data", {}).get("e") == "depthUpdate"]
    sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
    for diff in diffs:
        if diff["u"] < snapshot["lastUpdateId"] + (not chained_by_pu):
            continue
        for side in "ba":
            sides[side].update(diff[side])
    return {side: {p: q for p, q in levels.items() if float(q)} for side, levels in sides.items()}


@pytest.mark.parametrize(
    ("venue", "files"),
    [
        ("binance-usdm", ["usdm_btcusdt_20240808.gz"]),
        ("binance-spot", ["spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"]),
    ],
)
def test_recorded_binance_ends_in_an_independent_rebuild_with_no_gap(
    shared_data: Path, venue: str, files: list[str]
) -> None:
    """Full depth level by level; no gap after the first second; every record and every print accounted for."""
    core, counted, topics, gaps, skewed = Normalizer(Limits(depth=10**6)), 0, Counter[str](), [], 0
    units = recorded_units(shared_data / "binance", files[0].split("_")[0] + "_*")
    fed = Counter[str]()

    def watched() -> Iterator[RawSecond]:
        for unit in units:
            for source in unit.records.get(f"raw.{venue}", ()):
                fed["heartbeat" if source.value.kind == "heartbeat" else "record"] += 1
                fed["trade"] += b'"e":"trade"' in source.value.payload
                fed["depth"] += b'"e":"depthUpdate"' in source.value.payload
            yield unit

    last = None
    for item in play(core, watched()):
        assert not isinstance(item, Reject)
        if isinstance(item, CloseSecond):
            counted += item.input_records
        else:
            topics[item.topic] += 1
            if item.topic == "market.books" and item.record.asof_ts is not None and not item.record.gap:
                last = item.record
                skewed += "clock_skew" in last.quality
            elif item.topic == "market.books":
                gaps.append(item.record.second)
    counts = core.counts()[venue, "BTC"]
    assert counted == fed["record"]
    assert topics["market.trades"] == counts["trades"] == fed["trade"]
    # The deltas that the snapshot covers are the only ones not applied; the snapshot itself is.
    assert 0 <= fed["depth"] - counts["book_applied"] <= counts["book_buffered"]
    assert "book_gap" not in counts
    assert len(gaps) <= 2  # before the first snapshot, and the end of the recording
    assert skewed > 300
    expected = rebuilt(shared_data / "binance", files, venue == "binance-usdm")
    assert last is not None
    for side, prices, sizes in (
        ("b", last.bid_price_ints, last.bid_qty_ints),
        ("a", last.ask_price_ints, last.ask_qty_ints),
    ):
        ours = [(p / 10**last.price_scale, q / 10**last.qty_scale) for p, q in zip(prices, sizes, strict=True)]
        theirs = sorted(((float(p), float(q)) for p, q in expected[side].items()), reverse=side == "b")
        assert ours == theirs


# Captured feeds, as the collector's file source tells them


COINS = (
    "BTC", "ETH", "SOL", "DOGE", "UNI", "ELON", "ZEN", "PROPS", "ADA", "BCH", "TRX", "XLM", "EOS", "LINK",
    "BAT", "CHR", "CTK", "NEO", "SAND",
)  # fmt: skip


def feed_logs(path: Path, files: str) -> dict[int, dict[int, dict[str, list[Input]]]]:
    """Return partition, second and topic to the raw records that a feed becomes."""
    selection = Selection(kinds=("feed",), files=files, venues=tuple(VENUES), underlyings=COINS)
    recordings = find_recordings(path, selection)
    logs: dict[int, dict[int, dict[str, list[Input]]]] = {}
    for offset, (topic, partition, record) in enumerate(
        recorded_entries(recordings, RawLog(sorted({recording.venue for recording in recordings})))
    ):
        second = logs.setdefault(partition, {}).setdefault(record.received_ts // 1_000_000, {})
        entry = Input(topic, partition, offset, b"", record.received_ts // 1000, record)
        second.setdefault(topic, []).append(entry)
    return logs


@pytest.mark.parametrize(
    ("files", "books", "trades", "patches"),
    [
        ("bybit_v5_*", 1598, 327, 758),
        ("*_OKX.*", 3679, 19, 19),
        ("2021-04-05*_BITMEX*", 6393, 122, 1836),
        ("2021-11-03*_BITMEX*", 0, 0, 21),
        ("*_DERIBIT*", 187, 0, 273),
        ("*_BINANCE_FUTURES*", 4423 - 28, 574, 3424),  # 28 deltas came before the snapshot that has them
    ],
)
def test_what_the_collector_makes_of_a_feed_is_what_the_normalizer_reads(
    *, shared_data: Path, files: str, books: int, trades: int, patches: int
) -> None:
    """The contract between the two: every record counted, none refused, no book gapped before the recording ends."""
    counts, fed, counted = Counter[str](), 0, 0
    for seconds in feed_logs(shared_data / "cryptofeed", files).values():
        core = Normalizer(Limits())
        for second, records in sorted(seconds.items()):
            fed += sum(source.value.kind != "heartbeat" for log in records.values() for source in log)
            for item in core.step(RawSecond(second, records)):
                assert not isinstance(item, Reject), item
                counted += item.input_records if isinstance(item, CloseSecond) else 0
        for market in core.counts().values():
            counts.update(market)
    assert counted == fed
    assert (counts["book_applied"], counts["trades"], counts["patches"]) == (
        books,
        trades,
        patches,
    )
    assert not {"book_gap", "trades_duplicate", "after_expiry"} & counts.keys()


# Chains


FIELDS = {
    "bid_amount": "best_bid_amount", "ask_amount": "best_ask_amount", "mark_price": "mark_price",
    "underlying_price": "underlying_price", "interest_rate": "interest_rate", "open_interest_base": "open_interest",
    "venue_delta": "greeks_delta", "venue_gamma": "greeks_gamma", "venue_vega": "greeks_vega",
    "venue_theta": "greeks_theta", "venue_rho": "greeks_rho", "volume_24h_base": "stats_volume",
    "strike": "strike", "index_price": "index_price", "contract_size": "contract_size",
}  # fmt: skip
"""Ticker field: column, for what is passed on as it stands."""


def last_tickers(units: Iterator[RawSecond]) -> dict[str, Ticker]:
    """Return the last ticker of every instrument."""
    found = {}
    for item in play(Normalizer(Limits()), units):
        assert not isinstance(item, Reject)
        if isinstance(item, Output) and item.topic == "market.tickers":
            found[item.key] = item.record
    return found


@pytest.mark.parametrize("day", [f"202601{day}" for day in range(14, 22)])
def test_a_daily_chain_gives_one_ticker_per_option_with_all_its_fields(shared_data: Path, day: str) -> None:
    """Every field of every row, ivs as decimals, no quote as null, against the table read by csv alone."""
    folder = shared_data / "deribit_chain"
    tickers = last_tickers(recorded_units(folder, f"BTC_{day}_options_raw*"))
    with gzip.open(folder / f"BTC_{day}_options_raw.csv.gz", "rt", newline="") as table:
        rows = {row["instrument_name"]: row for row in csv.DictReader(table)}
    assert tickers.keys() == rows.keys()
    for name, row in rows.items():
        ticker = tickers[name]
        for field, column in FIELDS.items():
            said = float(row[column]) if row[column] else None
            if field in {"bid_amount", "ask_amount"} and not said:
                said = None
            assert getattr(ticker, field) == said, (name, field)
        assert (ticker.bid_price or 0.0) == float(row["best_bid_price"] or 0)
        assert (ticker.ask_price or 0.0) == float(row["best_ask_price"] or 0)
        assert ticker.mark_iv == float(row["mark_iv"]) / 100
        assert (ticker.bid_price is None) <= (ticker.bid_iv is None)
        assert (ticker.option_type, ticker.state) == (row["option_type"], row["state_y"])
        assert ticker.underlying_index == row["underlying_index"]
        assert ticker.expiry_ts == int(row["expiration_timestamp"]) * 1000
        assert ticker.received_ts == ticker.exchange_ts == int(row["timestamp"]) * 1000


def test_the_hourly_chain_leaves_what_it_does_not_have_null(shared_data: Path) -> None:
    """No forward, index or mark: null with null age and a flag; ivs, greeks and open interest are there."""
    tickers = last_tickers(recorded_units(shared_data / "deribit_chain", "BTC_hourly_*"))
    assert len(tickers) > 600
    for ticker in tickers.values():
        assert (ticker.underlying_price, ticker.index_price, ticker.mark_price) == (None, None, None)
        assert (ticker.underlying_age_ms, ticker.index_age_ms, ticker.mark_age_ms) == (None, None, None)
        assert None not in (ticker.mark_iv, ticker.venue_delta, ticker.open_interest_base, ticker.iv_age_ms)
        assert "no_underlying" in ticker.quality


def test_recorded_option_trades_come_out_once_each(shared_data: Path) -> None:
    """3,062 + 483 lines less duplicates; provenance of blocks, combos and liquidations kept."""
    core = Normalizer(Limits())
    units = recorded_units(shared_data / "deribit_trades", "*")
    fed = []

    def watched() -> Iterator[RawSecond]:
        for unit in units:
            fed.extend(i.value for i in unit.records.get("raw.deribit", ()) if i.value.kind == "message")
            yield unit

    items = list(play(core, watched()))
    trades = [item.record for item in items if isinstance(item, Output) and item.topic == "market.trades"]
    source = [orjson.loads(record.payload)["params"]["data"][0] for record in fed]
    unique = {(trade["instrument_name"], trade["trade_id"]) for trade in source}
    assert len(source) == 3_062 + 483
    assert {(trade.instrument, trade.trade_id) for trade in trades} == unique
    assert len(trades) == len(unique) == len(source) - core.counts()["deribit", "BTC"]["trades_duplicate"]
    tape = [trade for trade in trades if trade.instrument == "BTC-28JUN24-70000-C"]
    assert sum(trade.block_trade_id is not None for trade in tape) == 94
    assert sum(trade.combo_id is not None for trade in tape) == 78
    assert sum(trade.liquidation != "none" for trade in tape) == 17
    sides = {(trade["instrument_name"], trade["trade_id"]): len(trade.get("liquidation", "")) for trade in source}
    liquidations = [item for item in items if isinstance(item, Output) and item.topic == "market.liquidations"]
    assert len(liquidations) == sum(sides.values())
    without_iv = {(trade["instrument_name"], trade["trade_id"]) for trade in source if not trade["iv"]}
    assert {(trade.instrument, trade.trade_id) for trade in trades if trade.iv is None} == without_iv
    assert all(0.1 < trade.iv < 3 for trade in trades if trade.iv is not None)
