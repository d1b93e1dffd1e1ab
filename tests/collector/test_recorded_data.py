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
