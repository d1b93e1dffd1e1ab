"""Recorded time: merged, holes marked, seconds closed in every partition of every raw topic."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.observation import Observation
from collector.raw_log import Entry, RawLog
from collector.recorded.catalog import Recording
from collector.recorded.rows import RecordingError
from collector.recorded.timeline import HOLE_US, merge_lazily, recorded_entries
from contracts.topics import TOPICS

SECOND = 1_000_000
BASE = 1_795_000_000 * SECOND
VENUES = ("deribit", "binance-spot")
TOPIC_PARTITIONS = {(f"raw.{venue}", number) for venue in VENUES for number in range(4)}


def tape(*offsets: int, venue: str = "deribit", opened: list[str] | None = None, name: str = "a") -> Recording:
    """A recording with a frame at each offset (µs); notes when it is opened."""

    def read() -> Iterator[Observation]:
        if opened is not None:
            opened.append(name)
        for offset in offsets:
            yield Observation(BASE + offset, venue, 0, "message", "c", "i", "BTC", None, name.encode())

    return Recording(Path(name), "chain", venue, ("BTC",), read)


def entries(*recordings: Recording) -> list[Entry]:
    return list(recorded_entries(recordings, RawLog(VENUES)))


def told(entries: list[Entry], venue: str = "deribit") -> list[tuple[str, int]]:
    """(kind, second) of a venue's own records, without heartbeats."""
    records = [entry.record for entry in entries if entry.record.venue == venue]
    return [(r.kind, (r.received_ts - BASE) // SECOND) for r in records if r.kind != "heartbeat"]


def open_places(entries: list[Entry], second: int) -> set[tuple[str, int]]:
    """The partitions that have a record at or after ``second``."""
    return {(e.topic, e.partition) for e in entries if e.record.received_ts >= BASE + second * SECOND}


def test_topics_of_the_contract_have_the_partitions_this_test_assumes() -> None:
    assert {TOPICS[topic].partitions for topic, _ in TOPIC_PARTITIONS} == {4}


def test_a_recording_is_connected_played_lost_and_its_seconds_closed_everywhere() -> None:
    played = entries(tape(100_000, 1_200_000))

    assert told(played) == [("connect", 0), ("message", 0), ("message", 1), ("disconnect", 2)]
    assert open_places(played, 2) == TOPIC_PARTITIONS, "closes the last frame's second"
    assert open_places(played, 3) == TOPIC_PARTITIONS, "closes the disconnect's second"
    assert open_places(played, 4) == set()


def test_a_hole_is_a_disconnect_and_a_connect_and_costs_two_seconds_of_heartbeats() -> None:
    played = entries(tape(100_000, 100_000 + 3600 * SECOND))

    assert told(played) == [
        ("connect", 0), ("message", 0), ("disconnect", 1), ("connect", 3600), ("message", 3600), ("disconnect", 3601),
    ]  # fmt: skip
    beats = {(e.record.received_ts - BASE) // SECOND for e in played if e.record.kind == "heartbeat"}
    assert beats == {1, 2, 3601, 3602}


@pytest.mark.parametrize(("quiet_us", "lost"), [(HOLE_US, False), (HOLE_US + 1, True)])
def test_a_hole_is_more_than_five_seconds(quiet_us: int, lost: bool) -> None:
    kinds = [kind for kind, _ in told(entries(tape(0, quiet_us)))]

    assert kinds.count("disconnect") == (2 if lost else 1)


def test_a_venue_that_falls_quiet_is_lost_while_others_go_on() -> None:
    steady = tape(*range(0, 20 * SECOND, SECOND), venue="binance-spot")

    played = entries(tape(0, 10 * SECOND), steady)

    assert told(played) == [
        ("connect", 0), ("message", 0), ("disconnect", 1), ("connect", 10), ("message", 10), ("disconnect", 11),
    ]  # fmt: skip
    assert [kind for kind, _ in told(played, "binance-spot")] == ["connect", *["message"] * 20, "disconnect"]


def test_a_short_pause_is_filled_with_a_heartbeat_per_second_and_partition() -> None:
    beats = [e for e in entries(tape(500_000, 3_500_000)) if e.record.kind == "heartbeat"]

    in_pause = [e for e in beats if e.record.received_ts <= BASE + 3 * SECOND]
    assert sorted({e.record.received_ts - BASE for e in in_pause}) == [SECOND, 2 * SECOND, 3 * SECOND]
    assert len(in_pause) == 3 * len(TOPIC_PARTITIONS)


recorded = st.lists(st.lists(st.integers(0, 40 * SECOND), min_size=1, max_size=12).map(sorted), min_size=1, max_size=4)


@given(recorded)
def test_every_frame_is_played_once_in_order_and_every_second_with_a_record_is_closed(files: list[list[int]]) -> None:
    tapes = [tape(*offsets, venue=VENUES[n % 2], name=str(n)) for n, offsets in enumerate(files)]

    played = entries(*tapes)

    times = [entry.record.received_ts for entry in played]
    assert times == sorted(times)
    frames = [entry.record for entry in played if entry.record.kind == "message"]
    for number, offsets in enumerate(files):
        own = [frame.received_ts - BASE for frame in frames if frame.payload == str(number).encode()]
        assert own == offsets
    last_frame = max(frame.received_ts for frame in frames)
    assert open_places(played, (last_frame - BASE) // SECOND + 1) == TOPIC_PARTITIONS


def test_a_file_is_opened_for_reading_only_when_recorded_time_reaches_it() -> None:
    opened: list[str] = []
    early, late = tape(0, 1, opened=opened, name="early"), tape(10, opened=opened, name="late")
    merged = merge_lazily([late, early])
    next(merged)
    assert opened == ["late", "early", "early"], "each was looked at for its beginning, early alone is being read"

    rest = [seen.payload for seen in merged]

    assert rest == [b"early", b"late"]
    assert opened[3:] == ["late"]


def test_stopping_ends_recorded_time_there_tidily() -> None:
    answers = iter([False, False, True, True])

    played = list(recorded_entries([tape(0, 10, 20, 30)], RawLog(VENUES), lambda: next(answers)))

    assert told(played) == [("connect", 0), ("message", 0), ("message", 0), ("disconnect", 1)]
    assert open_places(played, 2) == TOPIC_PARTITIONS


def test_an_empty_recording_is_refused() -> None:
    with pytest.raises(RecordingError, match="holds no rows of BTC; leave out the file"):
        entries(tape())
