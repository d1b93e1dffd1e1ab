"""Recordings read as what the venue would have sent; every problem names file, row, column and remedy."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from collector.observation import Observation
from collector.recorded.catalog import NoRecordings, Recording, Selection, find_recordings
from collector.recorded.rows import RecordingError

Write = Callable[..., Path]
ALL = Selection(("chain", "trades", "binance"), "*", ("deribit", "binance-usdm", "binance-spot"), ("BTC", "ETH"))
DAILY = "BTC_20261122_options_raw.csv.gz"
HOURLY = "BTC_hourly_20261123.csv.gz"
TAPE = "trades_BTC-27NOV26-90000-C.csv.gz"
LITERALS = "btc_option_trades_2026-11-22.pydict.txt.gz"
LITERAL_TRADE = (
    "{'trade_seq': 1, 'trade_id': '51', 'timestamp': 1795000000100, 'price': 0.025, "
    "'instrument_name': 'BTC-27NOV26-90000-C', 'direction': 'buy', 'amount': 0.1}\n"
)
SPOT = "spot_btcusdt_20261122.gz"


def read(path: Path) -> list[Observation]:
    [recording] = find_recordings(path, ALL)
    return list(recording.read())


def data_of(seen: Observation) -> dict[str, object]:
    frame = orjson.loads(seen.payload)
    assert frame["jsonrpc"] == "2.0"
    assert frame["method"] == "subscription"
    assert frame["params"]["channel"] == seen.channel
    data: dict[str, object] = frame["params"]["data"]
    return data


def test_a_daily_chain_is_its_instruments_and_then_a_ticker_per_row_in_time_order(recording: Write) -> None:
    snapshot, put, call = read(recording(DAILY, "options.csv"))

    assert (snapshot.kind, snapshot.channel) == ("snapshot", "rest:get_instruments")
    assert snapshot.received_ts == put.received_ts == 1_795_000_001_000_000
    assert (put.kind, put.channel, put.instrument) == (
        "message", "ticker.BTC-27NOV26-90000-P.100ms", "BTC-27NOV26-90000-P",
    )  # fmt: skip
    assert (call.received_ts, call.exchange_ts, call.underlying) == (
        1_795_000_002_500_000,
        1_795_000_002_500_000,
        "BTC",
    )


def test_a_ticker_frame_has_every_field_under_the_venues_name(recording: Write) -> None:
    _, put, _ = read(recording(DAILY, "options.csv"))

    assert data_of(put) == {
        "timestamp": 1_795_000_001_000,
        "instrument_name": "BTC-27NOV26-90000-P",
        "state": "open",
        "open_interest": 7.5,
        "mark_price": 0.0119,
        "index_price": 91000.5,
        "underlying_price": 91050.25,
        "underlying_index": "SYN.BTC-27NOV26",
        "last_price": 0.012,
        "best_bid_price": 0.0115,
        "best_ask_price": 0.0125,
        "mark_iv": 51.5,
        "bid_iv": 50.0,
        "ask_iv": 53.0,
        "settlement_price": 0.011,
        "stats": {"volume": 3.25, "volume_usd": 3500.0, "price_change": -4.5, "low": 0.01, "high": 0.013},
        "greeks": {"delta": -0.39, "gamma": 2e-05, "vega": 12.5, "theta": -30.25, "rho": -1.5},
    }


def test_an_empty_cell_is_null_where_the_venue_sends_null_and_absent_elsewhere_and_zero_stays_zero(
    recording: Write,
) -> None:
    _, _, call = read(recording(DAILY, "options.csv"))

    data = data_of(call)

    assert data["last_price"] is None
    assert "settlement_price" not in data
    assert data["open_interest"] == 0.0
    assert data["stats"] == {"volume": 0.0, "volume_usd": 0.0, "price_change": None, "low": None, "high": None}


def test_the_instruments_of_a_chain_are_listed_as_the_venue_does(recording: Write) -> None:
    snapshot = read(recording(DAILY, "options.csv"))[0]

    put, call = orjson.loads(snapshot.payload)["result"]

    assert (put["instrument_name"], call["instrument_name"]) == ("BTC-27NOV26-90000-P", "BTC-27NOV26-90000-C")
    assert (put["expiration_timestamp"], put["strike"], put["option_type"]) == (1_795_766_400_000, 90000, "put")
    assert (put["contract_size"], put["is_active"], put["state"]) == (1, True, "open")


def test_each_hour_of_an_hourly_file_is_a_chain_and_fields_it_lacks_are_left_out(recording: Write) -> None:
    seen = read(recording(HOURLY, "hourly.csv"))

    assert [one.kind for one in seen] == ["snapshot", "message", "snapshot", "message"]
    assert [one.received_ts for one in seen] == [1_795_395_600_000_000] * 2 + [1_795_399_200_000_000] * 2
    assert data_of(seen[3]) == {
        "timestamp": 1_795_399_200_000,
        "instrument_name": "BTC-27NOV26-90000-C",
        "open_interest": 101.0,
        "mark_iv": 51.75,
        "bid_iv": 50.0,
        "ask_iv": 53.0,
        "stats": {"volume": 6.5},
        "greeks": {"delta": 0.62, "gamma": 2e-05, "vega": 12.5, "theta": -30.0, "rho": 1.5},
    }
    [instrument] = orjson.loads(seen[2].payload)["result"]
    assert instrument["expiration_timestamp"] == 1_795_766_400_000, "08:00 UTC on the expiry date"


def test_a_trade_tape_comes_in_time_order_with_identifiers_as_the_venue_writes_them(recording: Write) -> None:
    first, second = read(recording(TAPE, "trades.csv"))

    assert first.channel == second.channel == "trades.option.BTC.100ms"
    assert first.received_ts == 1_795_341_600_500_000
    [plain], [block] = orjson.loads(first.payload)["params"]["data"], orjson.loads(second.payload)["params"]["data"]
    assert (plain["trade_id"], plain["liquidation"], plain["timestamp"]) == ("900011", "M", 1_795_341_600_500)
    assert (block["block_trade_id"], block["combo_trade_id"]) == ("141952", "900010")
    assert block["combo_id"] == "BTC-CS-27NOV26-90000_95000"
    assert "strike" not in block, "the tape's strike is wrong"
    assert "combo_id" not in plain


def test_duplicate_trades_stay_in_the_log(recording: Write) -> None:
    trades = [
        orjson.loads(seen.payload)["params"]["data"][0] for seen in read(recording(LITERALS, "trades.pydict.txt"))
    ]

    assert [trade["trade_id"] for trade in trades] == ["51", "52", "52"]


def test_a_capture_is_taken_verbatim_and_a_bare_snapshot_is_a_rest_answer(recording: Write) -> None:
    ticker, depth, snapshot = read(recording(SPOT, "spot.txt"))

    assert ticker.received_ts == 1_795_000_000_000_111
    assert (ticker.channel, ticker.instrument, ticker.exchange_ts) == ("btcusdt@bookTicker", "BTCUSDT", None)
    assert ticker.payload.startswith(b'{"stream":"btcusdt@bookTicker"')
    assert (depth.venue, depth.exchange_ts) == ("binance-spot", 1_795_000_001_370_000)
    assert (snapshot.kind, snapshot.channel, snapshot.instrument) == ("snapshot", "rest:depth", "BTCUSDT")


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        (DAILY, "instrument_name,kind\nx,option\n", r"row 1, column 'timestamp': is missing; found instrument_name"),
        (DAILY, "", r"row 1, column 'instrument_name': is missing; found nothing"),
        (TAPE, "trade_seq,trade_id,timestamp,price,instrument_name,direction,amount\n1,2\n", r"row 2: 2 cells where"),
        (
            TAPE,
            "trade_seq,trade_id,timestamp,price,instrument_name,direction,amount\n1,2,2026-11-22 10:00,x,BTC-A,buy,1\n",
            r"row 2, column 'price': 'x' is not a number; correct or leave out the file \(FILES\)",
        ),
        (
            TAPE,
            "trade_seq,trade_id,timestamp,price,instrument_name,direction,amount\n1,2,noon,1,BTC-A,buy,1\n",
            r"row 2, column 'timestamp': 'noon' is not a time",
        ),
        (LITERALS, "{'trade_seq': 1}\n", r"row 1, column 'trade_id': is missing"),
        (LITERALS, "__import__('os').getcwd()\n", r"row 1: not a Python literal"),
        (LITERALS, "-" * 9000 + "1\n", r"row 1: not a Python literal"),
        (
            LITERALS,
            LITERAL_TRADE.replace("1795000000100", "'noon'"),
            r"row 1, column 'timestamp': 'noon' is not a whole",
        ),
        (LITERALS, "[1]\n", r"row 1: not a dict"),
        (SPOT, 'soon {"stream":"a@b"}\n', r"row 1, column 'local_ns': b'soon' is not a count of nanoseconds"),
        (SPOT, "1795000000000111222 {cut\n", r"row 1, column 'json': not JSON"),
        (SPOT, '1795000000000111222 {"a":1}\n', r"row 1, column 'json': neither a combined-stream frame nor"),
    ],
)
def test_a_bad_recording_is_refused_by_file_row_column(recording: Write, name: str, text: str, complaint: str) -> None:
    path = recording(name, text=text)

    with pytest.raises(RecordingError, match=complaint) as refused:
        read(path)
    assert str(path) in str(refused.value)


def test_a_chain_with_another_currencys_row_is_refused(recording: Write) -> None:
    path = recording("ETH_20261122_options_raw.csv.gz", "options.csv")

    with pytest.raises(RecordingError, match=r"row 3, column 'instrument_name': 'BTC-27NOV26-90000-P' is not of ETH"):
        read(path)


def test_a_file_that_is_not_gzip_or_cut_short_is_refused(recording: Write) -> None:
    path = recording(DAILY, "options.csv")
    whole = path.read_bytes()
    for content in (b"plain text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match=r"cannot be read .*; fetch the file again"):
            read(path)


def test_a_line_longer_than_the_limit_is_refused_before_it_is_in_memory(
    recording: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.recorded.rows.MAX_LINE_BYTES", 100)

    with pytest.raises(RecordingError, match=r"row 1: line over 100 bytes"):
        read(recording(SPOT, "spot.txt"))


def test_a_table_with_more_rows_than_are_held_in_memory_is_refused(
    recording: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.recorded.rows.MAX_SORTED_ROWS", 1)

    with pytest.raises(RecordingError, match=r"over 1 rows; split the file by time"):
        read(recording(DAILY, "options.csv"))


@pytest.fixture
def folder(recording: Write, tmp_path: Path) -> Path:
    for name, source in ((DAILY, "options.csv"), (HOURLY, "hourly.csv"), (TAPE, "trades.csv"), (SPOT, "spot.txt")):
        recording(name, source)
    recording("unrelated.gz", text="x")
    return tmp_path


def names(recordings: list[Recording]) -> set[str]:
    return {recording.path.name for recording in recordings}


def test_a_folder_is_searched_deeply_and_other_files_are_left_alone(folder: Path) -> None:
    assert names(find_recordings(folder, ALL)) == {DAILY, HOURLY, TAPE, SPOT}


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (Selection(("chain",), "*", ALL.venues, ("BTC",)), {DAILY, HOURLY}),
        (Selection(ALL.kinds, "*hourly*", ALL.venues, ("BTC",)), {HOURLY}),
        (Selection(ALL.kinds, "*", ("binance-spot",), ("BTC",)), {SPOT}),
    ],
)
def test_recordings_are_selected_by_kind_name_and_venue(folder: Path, selection: Selection, found: set[str]) -> None:
    assert names(find_recordings(folder, selection)) == found


def test_nothing_selected_says_what_is_there_and_what_was_asked_for(folder: Path) -> None:
    with pytest.raises(NoRecordings, match=r"has 4 recordings .* none of them is selected.*UNDERLYINGS=SOL"):
        find_recordings(folder, Selection(ALL.kinds, "*", ALL.venues, ("SOL",)))


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRecordings, match="does not exist; name a folder of recordings"):
        find_recordings(tmp_path / "nowhere", ALL)
