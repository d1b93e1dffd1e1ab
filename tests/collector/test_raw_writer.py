"""The Kafka writer against a real broker: order, times, keys, refusals, and where a restart goes on."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # public, not in its __all__

from collector.observation import Observation
from collector.raw_log import LARGEST_FRAME_BYTES, Entry, RawLog
from collector.raw_writer import KafkaRawWriter, LogAhead, PublishError, last_received, require_clock_ahead
from contracts.partitioning import partition_for
from contracts.provision import topic_config
from contracts.topics import TOPICS
from contracts.wire import Codecs
from stack.embedded import Endpoints

BASE = 1_795_000_000_000_000


@pytest.fixture
def topic(stack: Endpoints, run_id: str) -> Iterator[str]:
    """A raw topic of this test's own."""
    name = f"run-{run_id}.raw.deribit"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    config = topic_config(TOPICS["raw.deribit"])
    admin.create_topics([NewTopic(name, 4, 1, config=dict(config))])[name].result(timeout=20)
    yield name
    admin.delete_topics([name])[name].result(timeout=20)


def entry(topic: str, number: int, *, payload: bytes = b"x", instrument: str | None = "BTC-PERPETUAL") -> Entry:
    seen = Observation(BASE + number, "deribit", 0, "message", "c", instrument, "BTC", None, payload)
    return RawLog(("deribit",)).append(seen)._replace(topic=topic)


def read(stack: Endpoints, topic: str, count: int) -> list[tuple[bytes | None, int, bytes]]:
    """(key, timestamp ms, value) of the first records of BTC's partition."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "unused"})
    consumer.assign([TopicPartition(topic, partition_for("BTC"), 0)])
    try:
        messages = consumer.consume(count, timeout=20)
        return [(m.key(), m.timestamp()[1], m.value() or b"") for m in messages]
    finally:
        consumer.close()


@pytest.mark.integration
def test_records_lie_in_their_partition_in_order_under_their_key_and_receive_time(stack: Endpoints, topic: str) -> None:
    codecs = Codecs.connect(stack.registry_url)
    writer = KafkaRawWriter(stack.bootstrap_servers, codecs)
    entries = [entry(topic, number * 1000, instrument="A" if number % 2 else None) for number in range(500)]

    assert all(writer.offer(one) for one in entries)
    writer.flush(30)

    kept = read(stack, topic, 500)
    assert [codecs.decode(topic, value) for _, _, value in kept] == [one.record for one in entries]
    assert [key for key, _, _ in kept] == [b"A" if number % 2 else b"" for number in range(500)]
    assert [timestamp for _, timestamp, _ in kept] == [(BASE + number * 1000) // 1000 for number in range(500)]


@pytest.mark.integration
def test_a_frame_of_the_largest_size_fits(stack: Endpoints, topic: str) -> None:
    writer = KafkaRawWriter(stack.bootstrap_servers, Codecs.connect(stack.registry_url))
    incompressible = bytes(n * n % 251 for n in range(1024)) * (LARGEST_FRAME_BYTES // 1024)

    assert writer.offer(entry(topic, 0, payload=incompressible))
    writer.flush(30)


@pytest.mark.integration
def test_the_last_receive_time_of_each_partition_is_found_and_empty_ones_have_none(
    stack: Endpoints, topic: str
) -> None:
    assert last_received(stack.bootstrap_servers, {topic: 4}) == {}
    writer = KafkaRawWriter(stack.bootstrap_servers, Codecs.connect(stack.registry_url))
    for number in (0, 5_000_123):
        writer.offer(entry(topic, number))
    writer.flush(30)

    found = last_received(stack.bootstrap_servers, {topic: 4})

    assert found == {(topic, partition_for("BTC")): BASE + 5_000_999}, "no later than a millisecond after the record"


@pytest.mark.integration
def test_a_topic_that_does_not_exist_is_refused_with_the_remedy(stack: Endpoints) -> None:
    with pytest.raises(PublishError, match="run the provisioning job"):
        last_received(stack.bootstrap_servers, {"raw.nowhere": 1})

    writer = KafkaRawWriter(stack.bootstrap_servers, Codecs.connect(stack.registry_url))
    writer.offer(entry("run-none.raw.deribit", 0))
    with pytest.raises(PublishError, match="run the provisioning job"):
        writer.flush(30)


def test_a_broker_that_is_away_is_reported_and_what_waits_is_counted() -> None:
    writer = KafkaRawWriter("127.0.0.1:1", Codecs.offline())
    assert writer.offer(entry("raw.deribit", 0))

    with pytest.raises(PublishError, match=r"1 records not acknowledged within 0.2 s: the broker is away"):
        writer.flush(0.2)


def test_a_full_queue_is_said_and_the_entry_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.raw_writer.QUEUED_RECORDS", 3)
    writer = KafkaRawWriter("127.0.0.1:1", Codecs.offline())

    assert [writer.offer(entry("raw.deribit", number)) for number in range(5)] == [True, True, True, False, False]


def test_a_clock_behind_the_log_by_over_a_minute_is_refused() -> None:
    floors = {("raw.deribit", 2): BASE + 61_000_000}

    require_clock_ahead(BASE + 1_000_000, floors)
    with pytest.raises(LogAhead, match=r"raw\.deribit partition 2 holds records 61 s in the future"):
        require_clock_ahead(BASE, floors)
