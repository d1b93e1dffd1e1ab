"""Aligners: whatever the interleaving and the batches, the same units come out in the same order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.wire import Codecs
from streamkit.barrier import Ledger
from streamkit.broker import Record
from streamkit.core import CloseSecond
from streamkit.units import Aligned, Aligner, ClockedSeconds, InvariantBroken, RawSeconds, RecordUnits

CODECS = Codecs.offline()
TOPICS = ("a", "b")


def record(offset: int, timestamp_ms: int, value: bytes = b"") -> Record:
    return Record(offset, None, timestamp_ms, value or b"\0\0\0\0\0" + f"{offset}@{timestamp_ms}".encode())


def logs(*timestamps: Sequence[int]) -> dict[str, list[Record]]:
    """One log per sequence of timestamps, with holes in the offsets."""
    return {
        topic: [record(3 * i, ts) for i, ts in enumerate(times)]
        for topic, times in zip("abcd", timestamps, strict=False)
    }


def drain(aligner: Aligner) -> list[Aligned]:
    units = []
    while (unit := aligner.next()) is not None:
        units.append(unit)
    return units


def interleaved(aligner: Aligner, held: dict[str, list[Record]], turns: Sequence[tuple[int, int]]) -> list[Aligned]:
    """Feed by ``turns`` of (topic number, batch size), then whatever is left; take units after every batch."""
    left = {topic: list(records) for topic, records in held.items()}
    units = []
    for number, size in [*turns, *((n, 10_000) for n in range(len(left)))]:
        topic = list(left)[number % len(left)]
        batch, left[topic] = left[topic][:size], left[topic][size:]
        if batch:
            aligner.feed(topic, batch)
            units += drain(aligner)
    return units


turns = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 7)), max_size=40)
timestamps = st.lists(st.integers(0, 9_000), max_size=30)


@given(timestamps, timestamps, turns)
def test_raw_seconds_do_not_depend_on_arrival(first, second, order):
    held = logs(first, second)
    whole = interleaved(RawSeconds(TOPICS), held, [])
    assert interleaved(RawSeconds(TOPICS), held, order) == whole
    assert [unit.head for unit in whole] == sorted({unit.head for unit in whole})


@given(timestamps, timestamps, turns)
def test_raw_seconds_keep_every_record_once_in_log_order(first, second, order):
    held = logs(first, second)
    aligner = RawSeconds(TOPICS)
    units = interleaved(aligner, held, order)
    for topic in TOPICS:
        taken = [taken for unit in units for taken in unit.records[topic]]
        assert taken == held[topic][: len(taken)]
        assert len(taken) + aligner.buffered()[topic] == len(held[topic])


@given(timestamps, timestamps, st.data())
def test_raw_seconds_go_on_after_a_restart_at_any_unit_as_if_there_had_been_none(first, second, data):
    held = logs(first, second)
    whole = interleaved(RawSeconds(TOPICS), held, [])
    done = data.draw(st.integers(0, len(whole)))
    positions = dict.fromkeys(TOPICS, 0)
    for unit in whole[:done]:
        positions.update(unit.ends)
    rest = {topic: [r for r in records if r.offset >= positions[topic]] for topic, records in held.items()}
    assert interleaved(RawSeconds(TOPICS), rest, []) == whole[done:]


def test_a_raw_second_waits_for_a_later_record_of_every_topic():
    aligner = RawSeconds(TOPICS)
    aligner.feed("a", [record(0, 1_000), record(1, 2_000)])
    assert aligner.next() is None
    aligner.feed("b", [record(0, 1_999)])
    assert aligner.next() is None
    aligner.feed("b", [record(1, 2_000)])
    unit = aligner.next()
    assert (unit.head, len(unit.records["a"]), len(unit.records["b"])) == (1, 1, 1)
    assert unit.ends == {"a": 1, "b": 1}
    assert aligner.next() is None


def test_a_late_record_joins_the_second_its_partition_has_reached():
    aligner = RawSeconds(["a"])
    aligner.feed("a", [record(0, 5_100), record(1, 6_200), record(2, 4_000), record(3, 7_000)])
    assert [(unit.head, [r.offset for r in unit.records["a"]]) for unit in drain(aligner)] == [(5, [0]), (6, [1, 2])]


def test_seconds_without_records_do_not_exist():
    aligner = RawSeconds(["a"])
    aligner.feed("a", [record(0, 1_000), record(1, 9_000), record(2, 10_000)])
    assert [unit.head for unit in drain(aligner)] == [1, 9]


def test_the_topic_that_is_waited_for_is_never_congested_and_the_others_are_when_full():
    aligner = RawSeconds(TOPICS, records_high=10)
    aligner.feed("a", [record(i, 1_000 + i * 1_000) for i in range(10)])
    assert aligner.congested() == {"a"}
    aligner.feed("b", [record(i, 1_500) for i in range(50)])
    assert aligner.congested() == {"a"}
    aligner.feed("b", [record(50, 9_500)])
    drain(aligner)
    assert aligner.congested() == frozenset()


def test_a_congested_topic_stays_so_until_half_is_used_up():
    aligner = RawSeconds(TOPICS, records_high=10)
    aligner.feed("a", [record(i, 1_000 + i * 1_000) for i in range(10)])
    assert aligner.congested() == {"a"}
    aligner.feed("b", [record(0, 1_000), record(1, 4_000)])
    drain(aligner)
    assert aligner.buffered()["a"] == 7
    assert aligner.congested() == {"a"}
    aligner.feed("b", [record(2, 7_000)])
    drain(aligner)
    assert aligner.congested() == frozenset()


def test_bytes_count_as_well_as_records():
    aligner = RawSeconds(TOPICS, bytes_high=1_000)
    aligner.feed("a", [record(0, 1_000, bytes(600)), record(1, 2_000, bytes(600))])
    assert aligner.congested() == {"a"}


def test_single_records_are_congested_when_too_many_wait():
    aligner = RecordUnits("a")
    aligner.feed("a", [record(i, 0) for i in range(50_000)])
    assert aligner.congested() == {"a"}
    assert aligner.next().ends == {"a": 1}


# --- clocked seconds ---


def clocked_logs(counts: Sequence[tuple[int, int]], first_second: int = 100) -> dict[str, list[Record]]:
    """Logs of data topics a and b and their clock: unit i is second ``first_second + i // 2`` of venue i % 2."""
    held: dict[str, list[Record]] = {"a": [], "b": [], "clock": []}
    ledger = Ledger(TOPICS)
    for i, unit in enumerate(counts):
        second = first_second + i // 2
        for topic, count in zip(TOPICS, unit, strict=True):
            for _ in range(count):
                made = record(3 * len(held[topic]), second * 1000)
                held[topic].append(made)
                ledger.count(topic, made.value)
        clock = ledger.close(CloseSecond(f"v{i % 2}", "BTC", second, None))
        held["clock"].append(record(2 * i, second * 1000, CODECS.encode("market.clock", clock)))
    return held


def clocked(clocks: Sequence[str] = ("clock",), **options) -> ClockedSeconds:
    return ClockedSeconds(TOPICS, clocks, lambda _, value: CODECS.decode("market.clock", value), **options)


units = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=14)


@given(units, turns)
def test_clocked_seconds_do_not_depend_on_arrival(counts, order):
    held = clocked_logs(counts)
    got = interleaved(clocked(), held, order)
    assert got == interleaved(clocked(), held, [])
    assert [tuple(len(unit.records[topic]) for topic in TOPICS) for unit in got] == counts


@given(units, turns)
def test_several_clocks_are_zipped(counts, order):
    held = clocked_logs(counts)
    held["other"] = list(held["clock"])
    got = interleaved(clocked(("clock", "other")), held, order)
    assert [unit.ends["other"] for unit in got] == [record.offset + 1 for record in held["other"]]


@given(units, st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), turns)
def test_truncated_logs_start_at_the_first_second_that_all_hold_whole(counts, cut_a, cut_b, cut_clock, order):
    """The start is a whole second, nothing after it is missing, and it is the earliest provable one."""
    held = clocked_logs(counts)
    cuts = {"a": cut_a, "b": cut_b, "clock": cut_clock}
    left = {topic: held[topic][cuts[topic] :] for topic in held}
    truncated = {topic for topic in held if cuts[topic]}
    whole = interleaved(clocked(), held, [])
    got = interleaved(clocked(truncated=truncated), left, order)
    if all(left[topic] for topic in truncated):
        floor = max((left[topic][0].timestamp_ms // 1000 + 1 for topic in truncated), default=0)
        expected = [unit for unit in whole if unit.head.second >= floor]
        assert [unit.head for unit in got] == [unit.head for unit in expected]
        assert [unit.records for unit in got] == [unit.records for unit in expected]
    else:
        assert got == []


def test_records_left_out_are_counted_and_the_floor_is_known():
    held = clocked_logs([(2, 2)] * 8)
    aligner = clocked(truncated={"a"})
    got = interleaved(aligner, held | {"a": held["a"][1:]}, [])
    assert aligner.floor_second == 101
    assert aligner.skipped == 3 + 4 + 2
    assert len(got) == 6


def test_a_restart_after_a_truncated_start_still_leaves_out_what_is_older():
    held = clocked_logs([(2, 2)] * 8)
    positions = {"clock": interleaved(clocked(truncated={"a"}), held, [])[0].ends["clock"]}
    rest = held | {
        "clock": [r for r in held["clock"] if r.offset >= positions["clock"]],
        "b": held["b"][6:],
        "a": held["a"][6:],
    }
    assert len(interleaved(clocked(floor_second=101), rest, [])) == 5


def test_a_changed_record_is_named_with_topic_second_and_both_digests():
    held = clocked_logs([(2, 1), (1, 1)])
    held["b"][1] = record(3, 100_000, b"\0\0\0\0\0changed")
    with pytest.raises(InvariantBroken, match=r"^b, second 100 of v1 BTC: digest \d+ expected .*, got \d+"):
        interleaved(clocked(), held, [])


def test_clocks_that_disagree_are_named():
    held = clocked_logs([(0, 0), (0, 0)])
    held["other"] = held["clock"][1:]
    with pytest.raises(InvariantBroken, match=r"clock at offset 0 says .*v0.*other at offset 2 says .*v1"):
        interleaved(clocked(("clock", "other")), held, [])


def test_a_topic_no_clock_counts_is_named():
    aligner = ClockedSeconds(("a", "z"), ("clock",), lambda _, value: CODECS.decode("market.clock", value))
    aligner.feed("clock", clocked_logs([(0, 0)])["clock"])
    with pytest.raises(InvariantBroken, match="z not counted by clock"):
        aligner.next()


def test_what_the_next_unit_lacks_is_read_on_while_the_rest_waits():
    held = clocked_logs([(20, 1)] * 4)
    aligner = clocked(records_high=10)
    aligner.feed("clock", held["clock"])
    aligner.feed("b", held["b"] * 5)
    aligner.feed("a", held["a"][:15])
    assert aligner.next() is None
    assert aligner.congested() == {"b"}
