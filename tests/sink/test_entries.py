"""Cutting into chunks: whatever the batches, the same rows in the same order; one table partition per chunk."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sink.entries import Chunk, Entry, OutOfRange, Refusal, cut, period_of, read
from sink.tables import TABLES
from streamkit.broker import Record

PIECES = st.lists(st.one_of(st.sampled_from([202601, 202602]), st.none()), max_size=60)


def entries_of(pieces, first=0):
    """A period makes an entry, None a refusal; offsets have holes, as transactions leave them."""
    records = [Record(first + 2 * i, None, 0, b"") for i in range(len(pieces))]
    return [
        Refusal(record, "malformed", "") if period is None else Entry(record, object(), period)
        for record, period in zip(records, pieces, strict=True)
    ]


def flattened(parts):
    return [entry for part in parts for entry in (part.entries if isinstance(part, Chunk) else (part,))]


@given(PIECES, st.lists(st.integers(1, 60), max_size=10))
def test_however_a_log_is_split_into_batches_the_same_entries_come_out_in_order(pieces, sizes) -> None:
    entries = entries_of(pieces)
    out, at = [], 0
    for size in [*sizes, len(entries)]:
        out += flattened(cut(entries[at : at + size]))
        at += size
    assert out == entries


@given(PIECES)
def test_a_chunk_is_one_table_partition_and_has_no_refusal_inside(pieces) -> None:
    """So nothing in front of a refused record is missing when its position is passed."""
    entries = entries_of(pieces)
    for part in cut(entries):
        if isinstance(part, Chunk):
            assert len({entry.period for entry in part.entries}) == 1
            inside = [e for e in entries if part.first <= e.record.offset <= part.last]
            assert inside == list(part.entries)


@given(PIECES)
def test_neighbours_that_fit_one_insert_share_it(pieces) -> None:
    parts = list(cut(entries_of(pieces)))
    for one, two in pairwise(parts):
        if isinstance(one, Chunk) and isinstance(two, Chunk):
            assert one.entries[-1].period != two.entries[0].period


@pytest.mark.parametrize(
    ("topic", "time", "period"),
    [
        ("market.tickers", 1_767_225_599, 202512),
        ("market.tickers", 1_767_225_600, 202601),
        ("market.trades", 1_767_225_599_999_999, 202512),
        ("raw.deribit", 1_767_225_600_000_000, 20260101),
        ("normalizer.deadletter", 1_767_225_600_000, 202601),
        ("market.tickers", 0, 197001),
        ("market.tickers", 2**32 - 1, 210602),
    ],
)
def test_periods_are_those_of_the_partition_key_in_utc(topic, time, period) -> None:
    assert period_of(TABLES[topic], time) == period


@pytest.mark.parametrize("time", [-1, 2**32, 1_767_225_600_000_000])
def test_a_time_outside_the_column_is_refused_with_a_hint(time) -> None:
    with pytest.raises(OutOfRange, match="right unit"):
        period_of(TABLES["market.tickers"], time)


def test_every_example_is_readable(codecs, examples, record) -> None:
    for topic, values in examples.items():
        for value in values:
            entry = read(codecs, TABLES[topic], topic, record(7, codecs.encode(topic, value)))
            assert isinstance(entry, Entry), topic
            assert codecs.encode(topic, entry.value) == codecs.encode(topic, value)


def test_bytes_that_are_no_record_are_refused_with_the_codecs_reason(codecs, record) -> None:
    refusal = read(codecs, TABLES["market.trades"], "market.trades", record(7, b"garbage"))
    assert refusal == Refusal(record(7, b"garbage"), "bad_magic", refusal.detail)


def test_a_record_from_an_impossible_time_is_refused(codecs, examples, record) -> None:
    late = dataclasses.replace(examples["market.tickers"][0], second=2**40)
    refusal = read(codecs, TABLES["market.tickers"], "market.tickers", record(7, codecs.encode("market.tickers", late)))
    assert (refusal.reason, "second" in refusal.detail) == ("time_out_of_range", True)


def test_a_tombstone_is_an_entry_only_where_topics_are_compacted(codecs, record) -> None:
    gone = record(7, None, timestamp_ms=1_767_225_600_000)
    assert read(codecs, TABLES["market.instruments"], "market.instruments", gone) == Entry(gone, None, 202601)
    assert read(codecs, TABLES["market.trades"], "market.trades", gone).reason == "no_value"
