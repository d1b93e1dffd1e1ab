"""The recordings kept beside the project: every row is played once, and time in a partition never runs backwards."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from collector.raw_log import RawLog
from collector.recorded.catalog import Selection, find_recordings
from collector.recorded.timeline import recorded_entries

pytestmark = pytest.mark.shared_data

VENUES = ("deribit", "binance-usdm", "binance-spot")


def play(path: Path, *kinds: Any, files: str = "*") -> Counter[tuple[str, str]]:
    """(venue, kind or channel family) of every record, heartbeats left out."""
    recordings = find_recordings(path, Selection(kinds, files, VENUES, ("BTC", "ETH")))
    counts: Counter[tuple[str, str]] = Counter()
    latest: dict[tuple[str, int], int] = {}
    for entry in recorded_entries(recordings, RawLog(VENUES)):
        record = entry.record
        place = (entry.topic, entry.partition)
        assert record.received_ts >= latest.get(place, 0)
        latest[place] = record.received_ts
        stream = record.channel.partition("@")[2] or record.channel.partition(".")[0]
        if record.kind != "heartbeat":
            counts[record.venue, stream if record.kind == "message" else record.kind] += 1
    assert len(latest) == 12, "heartbeats reach every partition of every raw topic"
    return counts


def test_the_eight_daily_chains_are_played_whole(shared_data: Path) -> None:
    options = (656, 684, 668, 664, 658, 648, 648, 664)
    futures = (9, 9, 8, 8, 8, 8, 8, 8)

    counts = play(shared_data, "chain", files="*_raw.csv.gz")

    assert counts["deribit", "ticker"] == sum(options) + sum(futures)
    assert counts["deribit", "snapshot"] == 16
    assert counts["deribit", "connect"] == counts["deribit", "disconnect"] >= 8


def test_the_twenty_four_hourly_chains_are_played_whole(shared_data: Path) -> None:
    counts = play(shared_data, "chain", files="*hourly*")

    assert counts == {
        ("deribit", "ticker"): 16_004,
        ("deribit", "snapshot"): 24,
        ("deribit", "connect"): 24,
        ("deribit", "disconnect"): 24,
    }


def test_both_option_tapes_are_played_whole_duplicates_included(shared_data: Path) -> None:
    counts = play(shared_data, "trades")

    assert counts["deribit", "trades"] == 483 + 3_062


def test_the_binance_captures_are_played_whole(shared_data: Path) -> None:
    counts = play(shared_data, "binance")

    assert counts == {
        ("binance-usdm", "depth@0ms"): 6_551,
        ("binance-usdm", "trade"): 21_313,
        ("binance-usdm", "bookTicker"): 66_089,
        ("binance-usdm", "snapshot"): 1,
        ("binance-usdm", "connect"): 1,
        ("binance-usdm", "disconnect"): 1,
        ("binance-spot", "depth@100ms"): 3_451 + 3_044,
        ("binance-spot", "trade"): 9_757 + 10_147,
        ("binance-spot", "bookTicker"): 28_040 + 45_134,
        ("binance-spot", "snapshot"): 1,
        ("binance-spot", "connect"): 1,
        ("binance-spot", "disconnect"): 1,
    }


def feeds(path: Path, venue: str, *underlyings: str) -> Counter[tuple[str, str]]:
    """(underlying, kind or channel family) of every record of a venue's feeds, heartbeats left out."""
    recordings = find_recordings(path, Selection(("feed",), "*", (venue,), underlyings))
    counts: Counter[tuple[str, str]] = Counter()
    for entry in recorded_entries(recordings, RawLog((venue,))):
        record = entry.record
        family = record.channel.partition(":")[0].partition(".")[0]
        what = record.channel if record.channel.startswith("rest:") else family
        if record.kind in {"message", "snapshot"}:
            counts[record.underlying, what] += 1
    return counts


def test_the_bybit_feed_is_played_without_its_spot_market(shared_data: Path) -> None:
    counts = feeds(shared_data, "bybit", "BTC", "ETH", "SOL", "DOGE")

    # 2,142 deltas were recorded in all; 548 of them, two snapshots and 53 tickers on the spot connection.
    books = sum(count for (_, family), count in counts.items() if family == "orderbook")
    assert books == 2_142 - 548 + 4
    assert counts["BTC", "orderbook"] == 413 + 1
    assert counts["BTC", "rest:instruments"] == counts["DOGE", "rest:instruments"] == 1
    assert counts["BTC", "rpc"] == 17, "one acknowledgement for each call"


def test_the_okx_feed_is_played_whole_for_the_underlyings_asked_for(shared_data: Path) -> None:
    everything = ("BTC", "ETH", "UNI", "ZEN", "ELON", "PROPS")
    counts = feeds(shared_data, "okx", *everything)

    families = Counter(dict.fromkeys(("books-l2-tbt", "trades", "tickers"), 0))
    for (_, family), count in counts.items():
        families[family] += count
    assert families["books-l2-tbt"] == 3_659 + 20
    assert families["trades"] == families["tickers"] == 19
    assert counts["BTC", "rest:instruments"] == 4, "spot, swaps, futures and its own options"
    assert counts["UNI", "rest:instruments"] == 3
    few = feeds(shared_data, "okx", "BTC")
    assert few["BTC", "books-l2-tbt"] == counts["BTC", "books-l2-tbt"] > 0
    assert {underlying for underlying, _ in few} == {"BTC"}


def test_the_bitmex_feed_is_played_whole(shared_data: Path) -> None:
    counts = feeds(shared_data, "bitmex", "BTC", "ETH", "LINK", "TRX", "XLM", "DOGE", "ADA", "EOS", "BCH")

    families: Counter[str] = Counter()
    for (_, family), count in counts.items():
        families[family] += count
    assert families["orderBookL2"] == 2_222 + 2_209 + 1_952 + 10
    assert (families["quote"], families["trade"]) == (510, 109)
    assert counts["BTC", "orderBookL2"] == 2_741
    assert counts["BTC", "rest:instruments"] == 1


def test_the_deribit_and_binance_feeds_are_played_whole(shared_data: Path) -> None:
    deribit = feeds(shared_data, "deribit", "BTC", "ETH")
    usdm = feeds(shared_data, "binance-usdm", "SAND", "CHR", "NEO", "CTK", "BAT")

    assert deribit["BTC", "ticker"] + deribit["ETH", "ticker"] == 273
    assert deribit["BTC", "book"] + deribit["ETH", "book"] == 187
    assert deribit["BTC", "rest:get_instruments"] == 2, "its own and what is quoted in USDC"
    assert sum(count for (_, family), count in usdm.items() if "@" in family) == 8_421
    assert [usdm[base, "rest:depth"] for base in ("SAND", "CHR", "NEO", "CTK", "BAT")] == [1] * 5
