"""How far each stage has come, read from the topics themselves: what is in the log is the only truth there is."""

import time
from collections.abc import Iterable, Mapping

from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Message, TopicPartition

from contracts.records import Clock
from contracts.topics import TOPICS
from contracts.wire import Codecs

TIMEOUT_S = 10.0
STAGES = ("market.clock", "options.clock", "dealer.clock")
Unit = tuple[str, str, int]


class Progress:
    """Reads ends of topics; opens no group and changes nothing."""

    def __init__(self, bootstrap_servers: str, registry_url: str) -> None:
        self._codecs = Codecs.connect(registry_url)
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "gammaflow-demo-view",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            }
        )

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def ends(self, topics: Iterable[str]) -> dict[str, int]:
        """Return the number of offsets per topic; transactions' markers take some of them."""
        return {topic: sum(high - low for low, high in self._spans(topic)) for topic in topics}

    def _spans(self, topic: str) -> list[tuple[int, int]]:
        partitions = range(TOPICS[topic].partitions)
        return [
            self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S, cached=False)
            for partition in partitions
        ]

    def last_offsets(self, topic: str) -> dict[int, int]:
        """Return, per partition that has records, the offset of the last one (markers are no records)."""
        last = ((partition, self._last_message(topic, partition)) for partition in range(TOPICS[topic].partitions))
        return {partition: message.offset() or 0 for partition, message in last if message is not None}

    def last_unit(self, clock_topic: str, partition: int) -> Unit | None:
        """Return the unit that the last clock record of a partition closed."""
        message = self._last_message(clock_topic, partition)
        if message is None:
            return None
        clock: Clock = self._codecs.decode(clock_topic, message.value() or b"")
        return clock.venue, clock.underlying, clock.second

    def last_raw_second(self, topics: Iterable[str], partition: int) -> int | None:
        """Return the last second of a partition that its raw records have closed: the earliest end over the topics."""
        messages = [self._last_message(topic, partition) for topic in topics]
        ends = [message.timestamp()[1] // 1000 - 1 for message in messages if message is not None]
        return min(ends) if len(ends) == len(messages) and ends else None

    def _last_message(self, topic: str, partition: int) -> Message | None:
        low, high = self._spans(topic)[partition]
        back = 8
        while high > low:
            start = max(low, high - back)
            message = self._last_from(topic, partition, start)
            if message is not None or start == low:
                return message
            back *= 8
        return None

    def _last_from(self, topic: str, partition: int, start: int) -> Message | None:
        """Read from ``start`` to the end and return the last record; None if there are only markers."""
        self._consumer.assign([TopicPartition(topic, partition, start)])
        last: Message | None = None
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            message = self._consumer.poll(TIMEOUT_S)
            if message is None or message.error() is not None:
                break
            last = message
        return last

    def drained(self, raw_topics: Iterable[str], client: Client) -> bool:
        """Return whether all that the raw topics have closed has gone through every stage and lies in ClickHouse."""
        return self._stages_level(tuple(raw_topics)) and self._sunk(client)

    def _stages_level(self, raw_topics: tuple[str, ...]) -> bool:
        for partition in range(TOPICS[STAGES[0]].partitions):
            closed = self.last_raw_second(raw_topics, partition)
            units = [self.last_unit(stage, partition) for stage in STAGES]
            if len(set(units)) > 1:
                return False
            if units[0] is not None and closed is not None and units[0][2] < closed:
                return False
        return True

    def _sunk(self, client: Client) -> bool:
        sunk_topics = [name for name, topic in TOPICS.items() if "sink" in topic.consumers]
        return all(sunk(client, topic, self.last_offsets(topic)) for topic in sunk_topics)


def sunk(client: Client, topic: str, last_offsets: Mapping[int, int]) -> bool:
    """Return whether a topic's table holds everything up to the last offset of each partition."""
    if not last_offsets:
        return True
    table = topic.replace(".", "_").replace("-", "_")
    rows = client.query(f"SELECT _partition, max(_offset) FROM {table} GROUP BY _partition").result_rows  # noqa: S608 - a topic of the contract
    held: dict[int, int] = {partition: offset for partition, offset in rows}  # noqa: C416 - rows are typed as sequences
    return all(held.get(partition, -1) >= offset for partition, offset in last_offsets.items())
