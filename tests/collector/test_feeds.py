"""Captured feeds of several venues: frames as they came, told to the underlyings they are about."""

import lzma
from pathlib import Path

import orjson
import pytest
import zstandard

from collector.observation import Observation
from collector.recorded.catalog import Selection, find_recordings
from collector.recorded.rows import RecordingError

OKX = "2026-11-18_0a1b2c3d_OKX.ws.1.0.xz"
TICKER = b'{"arg":{"channel":"tickers","instId":"BTC-USDT-SWAP"},"data":[{"ts":"1795000000123"}]}'
BOTH = b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"uly":"ETH-USDT"},{"uly":"BTC-USDT"}]}'


def read(path: Path, venue: str, *underlyings: str) -> list[Observation]:
    [recording] = find_recordings(path, Selection(("feed",), "*", (venue,), underlyings))
    return list(recording.read())


def text_capture(folder: Path, *lines: bytes) -> Path:
    path = folder / OKX
    path.write_bytes(lzma.compress(b"\n".join(lines) + b"\n"))
    return path


def json_capture(folder: Path, *entries: object) -> Path:
    path = folder / "bybit_v5_2026-11-18.jsonl.zst"
    lines = [entry if isinstance(entry, bytes) else orjson.dumps(entry) for entry in entries]
    path.write_bytes(zstandard.compress(b"\n".join(lines) + b"\n"))
    return path


def test_what_was_received_is_taken_and_what_was_sent_passed_over(tmp_path: Path) -> None:
    seen = read(
        text_capture(
            tmp_path,
            b'configuration: {"trades":[]}',
            b"wss://ws.okx.com:8443/ws/v5/public <-> 1795000000.1",
            b'wss://ws.okx.com:8443/ws/v5/public <- 1795000000.2: {"op":"subscribe"}',
            b'1795000000.25: {"event":"subscribe"}',
            b"1795000000.300001: " + TICKER,
        ),
        "okx",
        "BTC",
    )

    assert seen == [
        Observation(
            1_795_000_000_250_000, "okx", 0, "message", "rpc", None, "BTC", None, b'{"event":"subscribe"}'
        ),
        Observation(
            1_795_000_000_300_001, "okx", 0, "message", "tickers:BTC-USDT-SWAP", "BTC-USDT-SWAP", "BTC",
            1_795_000_000_123_000, TICKER,
        ),
    ]  # fmt: skip


def test_a_frame_about_two_underlyings_is_told_to_each_and_others_are_left_out(tmp_path: Path) -> None:
    seen = read(text_capture(tmp_path, b"1795000000.1: " + BOTH, b"1795000000.2: " + TICKER), "okx", "ETH", "SOL")
    assert [(s.channel, s.underlying) for s in seen] == [("liquidation-orders:SWAP", "ETH")]

    seen = read(tmp_path / OKX, "okx", "BTC", "ETH")
    assert [s.underlying for s in seen] == ["BTC", "ETH", "BTC"]


def test_rest_answers_go_to_the_underlying_they_were_asked_for_else_to_each(tmp_path: Path) -> None:
    base = b"https://www.okx.com/api/v5/public/instruments?instType="
    path = text_capture(
        tmp_path, base + b"SWAP -> 1795000000.1: {}", base + b'OPTION&uly=ETH-USD -> 1795000000.2: {"a":1}'
    )

    seen = read(path, "okx", "BTC", "ETH")

    assert [(s.kind, s.channel, s.underlying) for s in seen] == [
        ("snapshot", "rest:instruments", "BTC"),
        ("snapshot", "rest:instruments", "ETH"),
        ("snapshot", "rest:instruments", "ETH"),
    ]
    assert seen[-1].payload == b'{"a":1}'


def test_what_cannot_be_read_is_kept_as_it_came(tmp_path: Path) -> None:
    [seen] = read(text_capture(tmp_path, b'1795000000.1: {"arg":{"chan'), "okx", "BTC")

    assert (seen.channel, seen.payload) == ("", b'{"arg":{"chan')


def test_the_spot_connection_is_left_out(tmp_path: Path) -> None:
    ticker = '{"topic":"tickers.BTCUSDT","ts":1795000000123,"data":{}}'
    path = json_capture(
        tmp_path,
        {"t": "header", "format": 2},
        {
            "t": "http",
            "conn": "h",
            "ts": 1.0,
            "url": "https://x/v5/market/instruments-info?category=spot",
            "data": "{}",
        },
        {"t": "connect", "conn": "a", "ts": 1.5, "addr": "wss://x/v5/public/linear"},
        {"t": "connect", "conn": "b", "ts": 1.5, "addr": "wss://x/v5/public/spot"},
        {"t": "send", "conn": "a", "ts": 1.6, "addr": "wss://x/v5/public/linear", "data": "{}"},
        {"t": "recv", "conn": "b", "ts": 2.0, "data": ticker},
        {"t": "recv", "conn": "a", "ts": 2.000_001, "data": ticker},
    )

    assert read(path, "bybit", "BTC") == [
        Observation(
            2_000_001, "bybit", 0, "message", "tickers.BTCUSDT", "BTCUSDT", "BTC", 1_795_000_000_123_000,
            ticker.encode(),
        )
    ]  # fmt: skip


@pytest.mark.parametrize("line", [b"no capture", b"1795000000: {}", b"at 1795000000.1: {}"])
def test_a_line_of_another_format_is_refused_with_its_row(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(RecordingError, match=r"row 2: .* is not a line of a capture; fetch the file again"):
        read(text_capture(tmp_path, b"1795000000.1: {}", line), "okx", "BTC")


@pytest.mark.parametrize(
    "entry", [b"{cut", {"t": "recv", "conn": "a"}, {"t": "recv", "conn": "a", "ts": 1.0, "data": 5}, 7]
)
def test_an_entry_of_another_format_is_refused_with_its_row(tmp_path: Path, entry: object) -> None:
    with pytest.raises(RecordingError, match=r"row 1: not a line of a capture"):
        read(json_capture(tmp_path, entry), "bybit", "BTC")


def test_a_file_that_is_not_compressed_as_it_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / OKX).write_bytes(b"plain")
    (tmp_path / "bybit_v5_2026-11-18.jsonl.zst").write_bytes(b"plain")

    for venue in ("okx", "bybit"):
        with pytest.raises(RecordingError, match="cannot be read"):
            read(tmp_path, venue, "BTC")
