"""``./run normalize``: files in, JSON lines per topic out, the same each time; one clear line for a bad file."""

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.archive.recorder import FileSet
from collector.archive.store import Store
from collector.raw_log import Entry, RawLog
from collector.recorded.catalog import Selection, find_recordings
from collector.recorded.timeline import recorded_entries
from contracts.partitioning import partition_for
from contracts.wire import WIRE_HEADER_BYTES, Codecs
from gammaflow import normalize_run
from gammaflow.__main__ import main
from gammaflow.errors import UserError
from normalizer.limits import Limits
from normalizer.pipeline import pipeline
from streamkit.broker import Outgoing
from streamkit.drive import Fed, drive, output_digest
from streamkit.units import BUFFERED_RECORDS_HIGH

NAME = "usdm_btcusdt_20240808.gz"
START_NS = 1_723_161_255_000_000_000
SNAPSHOT = {"lastUpdateId": 10, "E": 1, "T": 1, "bids": [["100.0", "1"]], "asks": [["101.0", "2"]]}


def depth(number: int) -> dict[str, Any]:
    levels = {"b": [[f"{100 + number / 10:.1f}", "3"]], "a": []}
    ids = {"U": number, "u": number, "pu": number - 1}
    stamps = {"e": "depthUpdate", "E": 1_723_161_255_000, "T": 1_723_161_255_000, "s": "BTCUSDT"}
    return {"stream": "btcusdt@depth@0ms", "data": {**stamps, **ids, **levels}}


def trade(number: int) -> dict[str, Any]:
    data = {"e": "trade", "E": 1_723_161_255_000, "T": 1_723_161_255_000, "s": "BTCUSDT", "t": number}
    return {"stream": "btcusdt@trade", "data": {**data, "p": "100.5", "q": "0.1", "X": "MARKET", "m": True}}


def recording(folder: Path, frames: Iterable[Any] | None = None) -> Path:
    """Write a capture of ten frames a second."""
    if frames is None:
        frames = [SNAPSHOT, *(make(number) for number in range(10, 40) for make in (depth, trade))]
    path = folder / NAME
    lines = [f"{START_NS + n * 10**8} ".encode() + orjson.dumps(frame) + b"\n" for n, frame in enumerate(frames)]
    path.write_bytes(gzip.compress(b"".join(lines), mtime=0))
    return path


def normalized(source: Path, target: Path, *more: str) -> dict[str, list[dict[str, Any]]]:
    """Run the command and return the lines of every file."""
    assert main(["normalize", "--in", str(source), "--out", str(target), *more]) == 0
    return {
        path.stem: [orjson.loads(line) for line in path.read_bytes().splitlines()]
        for path in sorted(target.glob("*.jsonl"))
    }


def test_every_topic_is_a_file_and_every_record_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trades one by one, a book and a clock a second; topics without records are empty files."""
    found = normalized(recording(tmp_path), tmp_path / "out")
    assert set(found) == {
        "market.books", "market.clock", "market.funding", "market.instruments", "market.liquidations",
        "market.tickers", "market.trades", "normalizer.deadletter",
    }  # fmt: skip
    assert [line["record"]["trade_id"] for line in found["market.trades"]] == [str(n) for n in range(10, 40)]
    seconds = [line["record"]["second"] for line in found["market.books"]]
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
    best = [line["record"]["best_bid"] for line in found["market.books"]]
    assert best[0] == 100.0 + 14 / 10  # the first second holds the snapshot and the deltas 10 to 14
    assert max(price for price in best if price is not None) == 103.9
    assert sum(line["record"]["input_records"] for line in found["market.clock"]) == 61 + 2  # connect, disconnect
    assert found["normalizer.deadletter"] == []
    assert "30 market.trades" in capsys.readouterr().out


def test_the_same_recording_gives_the_same_bytes(tmp_path: Path) -> None:
    source = recording(tmp_path)
    for name in ("one", "two"):
        normalized(source, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def entries_of(source: Path) -> list[Entry]:
    selection = Selection(kinds=["binance"], files="*", venues=["binance-usdm"], underlyings=["BTC"])
    return list(recorded_entries(find_recordings(source, selection), RawLog(["binance-usdm"])))


def test_files_hold_what_a_task_writes(tmp_path: Path) -> None:
    """Second by second is the same as all at once: the outputs are those of the run loop's task, byte for byte."""
    entries, codecs = entries_of(recording(tmp_path)), Codecs.offline()
    wiring, btc = pipeline(["binance-usdm"], Limits()), partition_for("BTC")
    ours: dict[str, list[Outgoing]] = {}
    for item in normalize_run.normalized(entries, wiring, codecs):
        ours.setdefault(item.topic, []).append(item)
    fed = [
        Fed(record.underlying, record, record.received_ts // 1000)
        for _, partition, record in entries
        if partition == btc
    ]
    expected = drive(wiring, {"raw.binance-usdm": fed}, codecs, partition=btc)
    assert {topic: output_digest(items) for topic, items in ours.items()} == {
        topic: output_digest(items) for topic, items in expected.items()
    }


def test_outputs_come_as_soon_as_their_second_is_whole(tmp_path: Path) -> None:
    """What is held is a second, not the recording."""
    taken = 0

    def watched() -> Iterable[Entry]:
        nonlocal taken
        for entry in entries_of(recording(tmp_path)):
            taken += 1
            yield entry

    first = next(iter(normalize_run.normalized(watched(), pipeline(["binance-usdm"], Limits()), Codecs.offline())))
    assert first.topic == "market.trades"
    assert taken < 40  # two seconds of ten frames and the heartbeats of four partitions; the whole has 100 and more


def test_frames_that_cannot_be_read_are_dead_letters(tmp_path: Path) -> None:
    """With the frame itself in base64, and a reason."""
    found = normalized(recording(tmp_path, [trade(1), {"stream": "btcusdt@x", "data": {}}]), tmp_path / "out")
    (letter,) = found["normalizer.deadletter"]
    assert letter["record"]["reason"] == "unknown_channel"
    assert isinstance(letter["record"]["source_value"], str)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["normalize", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_cannot_be_read_is_one_line_and_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file and the row; files of an earlier run stay as they are."""
    out = tmp_path / "out"
    normalized(recording(tmp_path), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[: len(whole) // 2])
    line = refused(capsys, "--in", str(tmp_path / NAME), "--out", str(out))
    assert NAME in line
    assert "fetch the file again" in line
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--in", "nowhere"], "nowhere"),
        (["--in", "nowhere", "--archive"], "nowhere"),
        (["--in", "a", "b", "--archive"], "--archive takes one archive, not 2"),
        (["--in", "nowhere", "--book-depth", "0"], "--book-depth 0"),
    ],
)
def test_wrong_arguments_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *arguments, "--out", "out")


def test_underlyings_that_no_recording_has_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "--in", str(recording(tmp_path)), "--out", str(tmp_path / "out"), "--underlyings", "ETH")
    assert "is selected" in line


def test_an_archive_gives_what_the_recording_gave(tmp_path: Path) -> None:
    """Raw topics recorded by ./run record are normalized as the recording that they came of."""
    source, codecs = recording(tmp_path), Codecs.offline()
    files = FileSet(Store(str(tmp_path / "archive")), 1 << 30, lambda _: None)
    offsets = Counter[int]()
    for topic, partition, record in entries_of(source):
        encoded = codecs.encode(topic, record)[WIRE_HEADER_BYTES:]
        files.append((topic, partition), offsets[partition], record.received_ts // 1000, encoded)
        offsets[partition] += 1
    files.close()
    expected = normalized(source, tmp_path / "one")
    assert normalized(tmp_path / "archive", tmp_path / "two", "--archive") == expected


def test_a_topic_that_ends_before_the_others_is_named() -> None:
    """An archive of a venue whose recording stopped: nothing would be whole any more, and all of it would be held."""
    wiring = pipeline(["binance-spot", "binance-usdm"], Limits())
    log = RawLog(["binance-usdm"])
    (early, *_), (late, *_) = log.heartbeats(1_000_000), log.heartbeats(2_000_000)
    with pytest.raises(UserError, match=r"raw\.binance-spot: no records for so long"):
        list(normalize_run.normalized([early] * BUFFERED_RECORDS_HIGH + [late], wiring, Codecs.offline()))
