"""The file source's shell: pace, a full queue, topics that are not empty."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.file_source import Pace, run_file_source
from collector.observation import Observation
from collector.raw_log import RawLog
from collector.raw_writer import LogAhead
from collector.recorded.catalog import Recording
from collector.recorded.timeline import recorded_entries

SECOND = 1_000_000
BASE = 1_795_000_000 * SECOND
VENUES = ("deribit",)


def tape(count: int) -> Recording:
    def read() -> Iterator[Observation]:
        for number in range(count):
            yield Observation(BASE + number, "deribit", 0, "message", "c", "i", "BTC", None, b"x")

    return Recording(Path("tape"), "chain", "deribit", ("BTC",), read)


def play(writer: Any, **changed: Any) -> Any:
    given: dict[str, Any] = {"begins": BASE, "floors": {}, "speed": 0.0, "stopped": lambda: False} | changed
    return run_file_source(recorded_entries([tape(5)], RawLog(VENUES, given["floors"])), writer, **given)


def test_recorded_time_is_divided_by_the_speed() -> None:
    pace = Pace(10.0)

    assert [pace.due_s(BASE + offset * SECOND) for offset in (0, 1, 3)] == pytest.approx([0.0, 0.1, 0.3])


def test_holes_are_not_waited_for() -> None:
    pace = Pace(1.0)

    assert [pace.due_s(BASE + offset * SECOND) for offset in (0, 2, 5000, 5001)] == pytest.approx([0.0, 2.0, 2.0, 3.0])


def test_speed_zero_is_never_late() -> None:
    pace = Pace(0.0)

    assert [pace.due_s(BASE + offset) for offset in (0, SECOND)] == [0.0, 0.0]


def test_a_full_queue_loses_nothing_and_keeps_the_order(kept_entries: Callable[..., Any]) -> None:
    writer = kept_entries(room=2)

    play(writer)

    assert writer.refused > 0
    assert writer.entries == list(recorded_entries([tape(5)], RawLog(VENUES)))


def test_what_was_written_is_counted_by_venue_and_kind(kept_entries: Callable[..., Any]) -> None:
    counts = play(kept_entries())

    assert counts == {
        ("deribit", "connect"): 1, ("deribit", "message"): 5, ("deribit", "disconnect"): 1, ("deribit", "heartbeat"): 8,
    }  # fmt: skip


def test_topics_with_later_records_are_refused_before_anything_is_written(kept_entries: Callable[..., Any]) -> None:
    writer = kept_entries()

    with pytest.raises(LogAhead, match=r"raw\.deribit partition 2 .* write to empty topics"):
        play(writer, floors={("raw.deribit", 2): BASE + 1})
    assert writer.entries == []


def test_topics_that_end_before_the_recordings_are_continued(kept_entries: Callable[..., Any]) -> None:
    writer = kept_entries()

    play(writer, floors={("raw.deribit", 2): BASE - 1})

    assert writer.entries[0].record.received_ts == BASE
