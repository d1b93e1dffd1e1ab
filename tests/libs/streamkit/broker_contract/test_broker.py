"""What the run loop relies on in a broker, held against the real one and its twin in memory."""

import pytest

from streamkit.broker import BrokerError, Fenced, Outgoing, Refused, TopicPartition, Truncated


def test_a_record_arrives_with_partition_key_timestamp_and_value_as_written(bench):
    writer = bench.producer()
    writer.begin()
    writer.produce(3, [Outgoing(bench.first, b"BTC", b"v", 1_600_000_000_123), Outgoing(bench.first, b"BTC", None, 5)])
    writer.commit(30)
    consumer = bench.assigned(TopicPartition(bench.first, 3))
    slices = []
    while sum(len(piece.records) for piece in slices) < 2:
        slices += consumer.consume(100, 0.2)
    assert {(piece.topic, piece.partition) for piece in slices} == {(bench.first, 3)}
    told = [(r.key, r.timestamp_ms, r.value) for piece in slices for r in piece.records]
    assert told == [(b"BTC", 1_600_000_000_123, b"v"), (b"BTC", 5, None)]


def test_headers_do_not_disturb_the_record(bench):
    writer = bench.producer()
    writer.begin()
    writer.produce(0, [Outgoing(bench.first, None, b"v", 7, (("x-dlq-reason", b"bad"),))])
    writer.commit(30)
    assert [record[1:] for record in bench.stored(1)] == [(None, 7, b"v")]


def test_an_open_transaction_is_invisible_and_holds_back_what_follows(bench):
    opened, other = bench.producer("opened"), bench.producer("other")
    opened.begin()
    opened.produce(0, [bench.outgoing(bench.first, "open")])
    bench.await_written(1)
    bench.write(["later"], producer=other)
    bench.await_written(3)
    assert bench.stored(0) == []
    opened.commit(30)
    assert [record.value for record in bench.stored(2)] == [b"open", b"later"]


def test_aborted_records_are_never_seen_but_keep_their_offsets(bench):
    writer = bench.producer()
    writer.begin()
    writer.produce(0, [bench.outgoing(bench.first, "no")])
    bench.await_written(1)
    writer.abort(30)
    bench.write(["yes"], producer=writer)
    assert [(record.value, record.offset) for record in bench.stored(1)] == [(b"yes", 2)]


def test_control_records_leave_holes_in_the_offsets_and_count_towards_the_end(bench):
    writer = bench.producer()
    bench.write(["a"], producer=writer)
    bench.write(["b"], producer=writer)
    assert [record.offset for record in bench.stored(2)] == [0, 2]
    assert bench.eventually(lambda reader: reader.bounds(TopicPartition(bench.first, 0)), lambda b: b.end == 4) == (
        0,
        4,
    )


def test_the_end_is_the_last_stable_offset(bench):
    writer = bench.producer()
    bench.write(["a"], producer=writer)
    writer.begin()
    writer.produce(0, [bench.outgoing(bench.first, "open")])
    end = bench.eventually(lambda reader: reader.bounds(TopicPartition(bench.first, 0)).end, lambda end: end >= 2)
    assert end == 2
    assert len(bench.stored(1)) == 1
    writer.abort(30)


@pytest.mark.parametrize("begin", [0, 1, 2, 3, 4])
def test_reading_to_the_end_stops_wherever_it_starts(bench, begin):
    writer = bench.producer()
    bench.write(["a"], producer=writer)
    bench.write(["b"], producer=writer)
    expected = [offset for offset in (0, 2) if offset >= begin]
    assert [record.offset for record in bench.stored(len(expected), begin)] == expected


def test_offsets_are_committed_with_the_transaction_only(bench):
    partition = TopicPartition(bench.first, 1)
    consumer, writer = bench.assigned(partition), bench.producer()
    assert consumer.committed([partition]) == {partition: None}
    writer.begin()
    writer.send_offsets({partition: 7}, consumer.group_metadata(), 30)
    writer.abort(30)
    assert consumer.committed([partition]) == {partition: None}
    writer.begin()
    writer.send_offsets({partition: 9}, consumer.group_metadata(), 30)
    writer.commit(30)
    assert consumer.committed([partition]) == {partition: 9}


def test_a_new_owner_of_the_id_aborts_the_open_transaction_and_fences_the_old_one(bench):
    zombie = bench.producer("same")
    zombie.begin()
    zombie.produce(0, [bench.outgoing(bench.first, "zombie")])
    bench.await_written(1)
    owner = bench.producer("same")
    bench.write(["owner"], producer=owner)
    assert [record.value for record in bench.stored(1)] == [b"owner"]
    with pytest.raises(Fenced):
        zombie.commit(30)


def test_a_second_begin_is_an_error_and_breaks_nothing(bench):
    writer = bench.producer()
    writer.begin()
    with pytest.raises(BrokerError):
        writer.begin()
    writer.produce(0, [bench.outgoing(bench.first, "kept")])
    writer.commit(30)
    assert [record.value for record in bench.stored(1)] == [b"kept"]


def test_a_record_too_large_is_refused_by_name(bench):
    writer = bench.producer()
    writer.begin()
    with pytest.raises(Refused, match=bench.first):
        writer.produce(0, [Outgoing(bench.first, b"k", bytes(10 * 2**20), 0)])


def test_a_missing_partition_is_refused(bench):
    reader = bench.broker.reader()
    with pytest.raises(Refused):
        reader.bounds(TopicPartition(bench.first, 99))
    reader.close()


def test_a_position_that_is_not_in_the_log_is_an_error_not_a_jump(bench):
    bench.write(["a"])
    consumer = bench.consumer()
    consumer.assign({TopicPartition(bench.first, 0): 5000})
    with pytest.raises(Truncated):
        bench.poll_until(consumer, bool)


def test_seek_goes_back_and_pause_holds_until_resume(bench):
    partition = TopicPartition(bench.first, 0)
    bench.write(["a", "b"])
    consumer = bench.assigned(partition)
    assert bench.poll_until(consumer, lambda seen: len(seen) == 2) == ["a", "b"]
    consumer.seek({partition: 1})
    assert bench.poll_until(consumer, lambda seen: len(seen) == 1) == ["b"]
    consumer.pause([partition])
    bench.write(["c"])
    assert [consumer.consume(10, 0.05) for _ in range(10)] == [[]] * 10
    consumer.resume([partition])
    assert bench.poll_until(consumer, lambda seen: len(seen) == 1) == ["c"]


def test_a_member_alone_gets_every_partition_and_starts_where_it_says(bench):
    bench.write(["a", "b", "c"])
    consumer, recorder = bench.consumer(), bench.recorder()
    consumer.subscribe([bench.first, bench.second], recorder)
    assert bench.poll_until(consumer, lambda seen: len(seen) == 3) == ["a", "b", "c"]
    assert recorder.owned == {TopicPartition(t, n) for t in (bench.first, bench.second) for n in range(4)}


def test_partitions_without_a_start_are_held(bench):
    bench.write(["a"])
    consumer, recorder = bench.consumer(), bench.recorder(hold=True)
    consumer.subscribe([bench.first], recorder)
    bench.poll_until(consumer, lambda _: len(recorder.owned) == 4)
    assert [consumer.consume(10, 0.05) for _ in range(10)] == [[]] * 10


def test_a_second_member_takes_the_same_partitions_of_every_topic_and_gives_them_back(bench):
    one, two = bench.consumer(), bench.consumer()
    first, second = bench.recorder(), bench.recorder()
    one.subscribe([bench.first, bench.second], first)
    bench.poll_until(one, lambda _: len(first.owned) == 8)
    two.subscribe([bench.first, bench.second], second)
    bench.poll_until(one, lambda _: len(first.owned) == len(second.owned) == 4, others=[two])
    numbers = [{(p.topic, p.partition) for p in recorder.owned} for recorder in (first, second)]
    assert all(
        {n for t, n in owned if t == bench.first} == {n for t, n in owned if t == bench.second} for owned in numbers
    )
    assert not numbers[0] & numbers[1]
    two.close()
    bench.poll_until(one, lambda _: len(first.owned) == 8)


def test_offsets_of_a_member_that_left_are_not_taken(bench):
    partition = TopicPartition(bench.first, 0)
    consumer, recorder, writer = bench.consumer(), bench.recorder(), bench.producer()
    consumer.subscribe([bench.first], recorder)
    bench.poll_until(consumer, lambda _: len(recorder.owned) == 4)
    stale = consumer.group_metadata()
    consumer.close()
    writer.begin()
    with pytest.raises(BrokerError):
        writer.send_offsets({partition: 1}, stale, 30)


def test_nothing_is_left_once_all_was_delivered_although_control_records_follow(bench):
    partition = TopicPartition(bench.first, 0)
    consumer = bench.assigned(partition)
    bench.write(["a", "b"])
    bench.stored(2)
    assert bench.poll_until(consumer, lambda seen: len(seen) == 2) == ["a", "b"]
    bench.poll_until(consumer, lambda _: consumer.behind({partition: 2}).get(partition) == 0)
