"""Checkpoints: whole or not at all, whatever compaction and aborted transactions have left of the topic."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit import checkpoint
from streamkit.barrier import Total
from streamkit.broker import Record, TopicPartition
from streamkit.checkpoint import CheckpointUnusable, Snapshot
from streamkit.memory import MemoryBroker

PLACE = TopicPartition("c", 0)


def snapshot(sequence: int, size: int = 10) -> Snapshot:
    core = random.Random(sequence).randbytes(size)
    totals = (Total("v", "BTC", "market.trades", sequence, 7),)
    return Snapshot(
        sequence=sequence, positions={"market.trades": sequence * 10}, floor_second=5, totals=totals, core=core
    )


def store(broker: MemoryBroker, made: Snapshot, *, chunks: slice = slice(None), abort: bool = False) -> None:
    producer = broker.producer("t")
    producer.init(1)
    producer.begin()
    producer.produce(0, checkpoint.outgoing("c", made, 0)[chunks])
    if abort:
        producer.abort(1)
    else:
        producer.commit(1)


@pytest.fixture
def broker():
    return MemoryBroker({"c": 1})


def newest(broker):
    return checkpoint.newest(broker.reader(), PLACE)


@given(st.integers(1, 2**60), st.dictionaries(st.text(max_size=5), st.integers(0, 2**60)), st.binary(max_size=500))
def test_what_is_written_is_read_back(sequence, positions, core):
    made = Snapshot(sequence=sequence, positions=positions, totals=(), core=core)
    records = [Record(i, b"", 0, chunk) for i, chunk in enumerate(checkpoint.encode(made))]
    assert checkpoint.newest_complete(records) == made


def test_an_empty_topic_has_none(broker):
    assert newest(broker) is None


def test_the_newest_is_found_among_older_ones(broker):
    for sequence in range(1, 200):
        store(broker, snapshot(sequence))
    assert newest(broker) == snapshot(199)


def test_a_large_state_is_cut_into_chunks_a_default_broker_takes(broker):
    made = snapshot(1, 3_000_000)
    assert len(checkpoint.encode(made)) == 4
    assert max(len(chunk) for chunk in checkpoint.encode(made)) < 1_000_000
    store(broker, made)
    assert newest(broker) == made


def test_chunks_of_an_older_longer_snapshot_are_ignored(broker):
    store(broker, snapshot(1, 3_000_000))
    store(broker, snapshot(2))
    broker.compact(PLACE)
    assert [stored.record.key for stored in broker.visible("c", 0)] == [b"0001", b"0002", b"0003", b"0000"]
    assert newest(broker) == snapshot(2)


def test_an_incomplete_newer_snapshot_gives_way_to_the_complete_older_one(broker):
    store(broker, snapshot(1, 3_000_000))
    store(broker, snapshot(2, 3_000_000), chunks=slice(0, 3))
    assert newest(broker) == snapshot(1, 3_000_000)


def test_an_aborted_snapshot_does_not_exist_even_with_the_same_number(broker):
    store(broker, snapshot(1))
    store(broker, snapshot(2, 50), abort=True)
    store(broker, snapshot(2, 80))
    assert newest(broker) == snapshot(2, 80)


def test_a_snapshot_far_from_the_end_is_found(broker):
    store(broker, snapshot(1))
    producer = broker.producer("t")
    producer.init(1)
    for _ in range(300):
        producer.begin()
        producer.produce(0, checkpoint.outgoing("c", snapshot(9, 3_000_000), 0)[:1])
        producer.abort(1)
    assert newest(broker) == snapshot(1)


def test_a_flipped_bit_is_noticed():
    made = checkpoint.encode(snapshot(2))
    damaged = made[0][:-1] + bytes([made[0][-1] ^ 1])
    older = Record(0, b"", 0, checkpoint.encode(snapshot(1))[0])
    assert checkpoint.newest_complete([older, Record(1, b"", 0, damaged)]) == snapshot(1)


def test_tombstones_and_foreign_values_are_passed_over():
    good = Record(5, b"", 0, checkpoint.encode(snapshot(1))[0])
    assert checkpoint.newest_complete([Record(0, b"", 0, None), Record(1, b"", 0, b"x" * 99), good]) == snapshot(1)


def test_another_format_is_refused_with_the_remedy():
    chunk = bytearray(checkpoint.encode(snapshot(1))[0])
    chunk[4:5] = struct.pack(">B", 9)
    with pytest.raises(CheckpointUnusable, match="format 9, this version reads 1"):
        checkpoint.newest_complete([Record(3, b"", 0, bytes(chunk))])
