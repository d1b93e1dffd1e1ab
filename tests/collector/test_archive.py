"""The archive: raw records as files and back, byte for byte; names that tell where to go on; damage that is noticed."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.archive import container
from collector.archive.container import SCHEMA, ContainerWriter, NotAContainer, read_container
from collector.archive.layout import ArchiveFile, file_name, next_offsets, recognise
from collector.archive.playback import archived_entries, archived_files
from collector.archive.recorder import FileSet, Recorded, Unwrapper
from collector.archive.store import ArchiveError, Store
from collector.file_source import run_file_source
from collector.raw_log import Entry
from contracts.records import RawKind, RawMessage
from contracts.wire import WIRE_HEADER_BYTES, Codecs

CODECS = Codecs.offline()
TOPIC = "raw.bybit"
HOUR_US = 3_600_000_000
START = 1_795_000_000_000_000 // HOUR_US * HOUR_US
SYNC = bytes(range(16))
TIMES = st.integers(0, 2**53)
MESSAGES = st.builds(
    RawMessage,
    venue=st.just("bybit"),
    channel=st.text(max_size=40),
    instrument=st.none() | st.text(max_size=40),
    underlying=st.text(max_size=8),
    kind=st.sampled_from(get_args(RawKind)),
    conn_id=st.text(max_size=10),
    seq=st.integers(0, 2**63 - 1),
    exchange_ts=st.none() | TIMES,
    received_ts=TIMES,
    payload=st.binary(max_size=200),
)


def message(number: int, *, received_ts: int | None = None, payload: bytes = b'{"a": 1}') -> RawMessage:
    at = START + number if received_ts is None else received_ts
    return RawMessage(
        venue="bybit", channel="tickers.BTCUSDT", instrument="BTCUSDT", underlying="BTC", kind="message",
        conn_id="bybit-0", seq=number, exchange_ts=None, received_ts=at, payload=payload,
    )  # fmt: skip


def encoded(record: RawMessage) -> bytes:
    return CODECS.encode(TOPIC, record)[WIRE_HEADER_BYTES:]


def contained(records: list[RawMessage], *, block: int = 3) -> bytes:
    out = io.BytesIO()
    writer = ContainerWriter(out, sync=SYNC, metadata={"gammaflow.topic": TOPIC})
    for number, record in enumerate(records, start=1):
        writer.append(encoded(record))
        if number % block == 0:
            writer.flush()
    writer.flush()
    assert writer.bytes_written == len(out.getvalue())
    return out.getvalue()


def write(store: Store, entries: list[tuple[int, int, RawMessage]], *, max_bytes: int = 1 << 30) -> list[Recorded]:
    """Record (partition, offset, record) in this order; returns the files that were finished."""
    finished: list[Recorded] = []
    files = FileSet(store, max_bytes, finished.append)
    for partition, offset, record in entries:
        files.append((TOPIC, partition), offset, record.received_ts // 1000, encoded(record))
    files.close()
    return finished


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "archive"))


@settings(max_examples=200, deadline=None)
@given(st.lists(MESSAGES, max_size=20), st.integers(1, 5))
def test_what_is_read_is_what_was_written_byte_for_byte(records: list[RawMessage], block: int) -> None:
    read = list(read_container(io.BytesIO(contained(records, block=block))))

    assert read == records
    assert [encoded(record) for record in read] == [encoded(record) for record in records]


@settings(max_examples=50, deadline=None)
@given(st.lists(MESSAGES, max_size=10))
def test_any_avro_reader_opens_the_file(records: list[RawMessage]) -> None:
    reader = fastavro.reader(io.BytesIO(contained(records)))

    rows = [RawMessage(**row) for row in reader]  # type: ignore[arg-type]  # fastavro says that a record may be anything
    assert rows == records
    assert reader.metadata["gammaflow.topic"] == TOPIC


def test_a_file_of_an_older_schema_is_read_by_avros_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer had an optional field that we lack now."""
    older = SCHEMA.replace('"fields":[', '"fields":[{"name":"was_here","type":["null","string"],"default":null},')
    if older == SCHEMA:
        older = SCHEMA.replace('"fields": [', '"fields": [{"name":"was_here","type":["null","string"],"default":null},')
    assert older != SCHEMA
    monkeypatch.setattr(container, "SCHEMA", older)
    out = io.BytesIO()
    writer = ContainerWriter(out, sync=SYNC, metadata={})
    writer.append(b"\x00" + encoded(message(7)))
    writer.flush()
    monkeypatch.setattr(container, "SCHEMA", SCHEMA)

    assert list(read_container(io.BytesIO(out.getvalue()))) == [message(7)]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_ends_early_and_never_crashes(data: st.DataObject) -> None:
    whole = contained([message(number) for number in range(7)])
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        broken = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    try:
        read = list(read_container(io.BytesIO(broken)))
    except NotAContainer:
        return
    assert len(read) <= 7


def test_names_tell_what_they_hold_and_sort_as_the_log_does() -> None:
    name = file_name(TOPIC, 2, START // 1000, 9, 120)

    assert recognise(f"/deep/in/{name}") == ArchiveFile(TOPIC, 2, 9, 120, f"/deep/in/{name}")
    assert recognise(name + ".part") is None
    assert file_name(TOPIC, 2, START // 1000, 121, 122) > name
    held = [ArchiveFile(TOPIC, 2, 0, 8, ""), ArchiveFile(TOPIC, 2, 9, 120, ""), ArchiveFile(TOPIC, 0, 5, 6, "")]
    assert next_offsets(held) == {(TOPIC, 2): 121, (TOPIC, 0): 7}


def test_a_file_ends_with_its_hour_its_size_and_where_offsets_jump(store: Store) -> None:
    entries = [(0, 0, message(0)), (0, 1, message(1, received_ts=START + HOUR_US - 1))]
    entries += [(0, 2, message(2, received_ts=START + HOUR_US)), (0, 10, message(3, received_ts=START + HOUR_US))]

    write(store, entries)
    large = Store(store.url + "-large")
    noise = random.Random(1).randbytes(700_000)
    write(large, [(1, offset, message(offset, payload=noise)) for offset in range(4)], max_bytes=100_000)

    assert [(file.first, file.last) for file in store.files()] == [(0, 1), (2, 2), (10, 10)]
    assert len({file.path.split("/")[-2] for file in store.files()}) == 2
    assert [(file.first, file.last) for file in large.files()] == [(0, 1), (2, 3)], "as soon as a block is written"


def test_the_same_records_make_the_same_bytes(store: Store) -> None:
    entries = [(0, offset, message(offset)) for offset in range(50)]
    other = Store(store.url + "-again")
    for place in (store, other):
        write(place, entries)

    [one], [two] = store.files(), other.files()
    assert Path(one.path).read_bytes() == Path(two.path).read_bytes()


def test_what_was_not_finished_is_not_there(store: Store) -> None:
    files = FileSet(store, 1 << 30, lambda _: None)
    files.append((TOPIC, 0), 0, START // 1000, encoded(message(0)))
    assert store.files() == []
    write(store, [(0, 0, message(0))])
    [whole] = store.files()
    Path(whole.path + ".part").write_bytes(b"left by a crash")

    assert store.files() == [whole]
    assert next_offsets(store.files()) == {(TOPIC, 0): 1}


def test_an_archive_is_played_as_it_was_partition_by_partition_in_receive_order(
    store: Store, kept_entries: Callable[..., Any]
) -> None:
    heartbeat = RawMessage(
        venue="bybit", channel="", instrument=None, underlying="", kind="heartbeat", conn_id="bybit-heartbeat",
        seq=0, exchange_ts=None, received_ts=START + 2, payload=b"",
    )  # fmt: skip
    first = [(2, 0, message(0)), (3, 0, heartbeat), (2, 1, message(5))]
    second = [(2, 2, message(9)), (3, 1, message(7))]
    for entries in (first, second):
        write(store, entries)
    writer = kept_entries()

    counts = run_file_source(
        archived_entries(store, archived_files(store, ["bybit"])), writer, begins=START, floors={}, speed=0.0,
        stopped=lambda: False,
    )  # fmt: skip

    assert writer.entries == [
        Entry(TOPIC, 2, message(0)),
        Entry(TOPIC, 3, heartbeat),
        Entry(TOPIC, 2, message(5)),
        Entry(TOPIC, 3, message(7)),
        Entry(TOPIC, 2, message(9)),
    ]
    assert counts == {("bybit", "message"): 4, ("bybit", "heartbeat"): 1}


def test_files_that_overlap_are_refused(store: Store) -> None:
    write(store, [(0, 0, message(0)), (0, 1, message(1))])
    write(store, [(0, 1, message(1)), (0, 2, message(2))])

    with pytest.raises(ArchiveError, match=r"overlap; leave one of them out"):
        archived_files(store, ["bybit"])


def test_a_file_with_fewer_records_than_its_name_says_is_refused(store: Store) -> None:
    write(store, [(0, offset, message(offset)) for offset in range(4)])
    [file] = store.files()
    Path(file.path).write_bytes(contained([message(0), message(1)]))

    with pytest.raises(ArchiveError, match=r"is damaged \(2 records, 4 by its name\); restore it"):
        list(store.read(file))


def test_an_archive_without_the_venues_asked_for_is_refused(store: Store) -> None:
    with pytest.raises(ArchiveError, match=r"holds nothing of raw\.okx"):
        archived_files(store, ["okx"])


def test_any_file_system_fsspec_knows_will_do() -> None:
    """Here the one in memory; S3 is another of its names."""
    store = Store("memory://archive-of-a-test")
    write(store, [(0, 0, message(0))])

    [entry] = archived_entries(store, archived_files(store, ["bybit"]))
    assert entry.record == message(0)


@pytest.mark.parametrize("url", ["nowhere://x", "file://"])
def test_a_place_that_cannot_be_is_refused_with_its_name(url: str) -> None:
    with pytest.raises(ArchiveError, match=url):
        Store(url)


def test_values_lose_their_header_and_those_of_another_schema_are_encoded_anew() -> None:
    unwrap = Unwrapper(CODECS)
    value = CODECS.encode(TOPIC, message(1))

    assert unwrap(TOPIC, value) == unwrap(TOPIC, value) == encoded(message(1))
    assert unwrap(TOPIC, CODECS.encode(TOPIC, message(2))) == encoded(message(2))
