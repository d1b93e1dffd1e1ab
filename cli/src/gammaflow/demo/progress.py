"""How far each stage has come, read from the topics themselves: what is in the log is the only truth there is."""

import time
from collections.abc import Collection, Iterable, Mapping

from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, IsolationLevel, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public all the same

from contracts.records import Clock
from contracts.topics import TOPICS
from contracts.wire import Codecs

TIMEOUT_S = 10.0
STAGES = ("market.clock", "options.clock", "dealer.clock")
LOOK_BACK = 8  # offsets before the end that are read first: the last few are often markers of transactions
Place = tuple[str, int]
Unit = tuple[str, str, int]


class Progress:
    """Reads ends of topics, of all partitions at once; opens no group and changes nothing."""

    def __init__(self, bootstrap_servers: str, registry_url: str) -> None:
        self._codecs = Codecs.connect(registry_url)
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
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
        counts = dict.fromkeys(topics, 0)
        for (topic, _), (low, high) in self._spans(counts).items():
            counts[topic] += high - low
        return counts

    def drained(self, raw_topics: Collection[str], client: Client) -> bool:
        """Return whether all that the raw topics have closed has gone through every stage and lies in ClickHouse."""
        return self._stages_level(raw_topics) and self._sunk(client)

    def _stages_level(self, raw_topics: Collection[str]) -> bool:
        last = self._last_messages([*raw_topics, *STAGES])
        return all(self._is_level(last, raw_topics, partition) for partition in range(TOPICS[STAGES[0]].partitions))

    def _is_level(self, last: Mapping[Place, Message], raw_topics: Collection[str], partition: int) -> bool:
        units = {self._unit(stage, last.get((stage, partition))) for stage in STAGES}
        if len(units) > 1:
            return False
        unit, closed = units.pop(), last_raw_second(last, raw_topics, partition)
        return unit is None or closed is None or unit[2] >= closed

    def _unit(self, clock_topic: str, message: Message | None) -> Unit | None:
        if message is None:
            return None
        clock: Clock = self._codecs.decode(clock_topic, message.value() or b"")
        return clock.venue, clock.underlying, clock.second

    def _sunk(self, client: Client) -> bool:
        sunk_topics = [name for name, topic in TOPICS.items() if "sink" in topic.consumers]
        held = positions(client, sunk_topics)
        last = self._last_messages(sunk_topics)
        return all(held.get(place, -1) >= (message.offset() or 0) for place, message in last.items())

    def _spans(self, topics: Iterable[str]) -> dict[Place, tuple[int, int]]:
        """Return begin and end of every partition; the end is that of what is committed."""
        places = [TopicPartition(topic, n) for topic in topics for n in range(TOPICS[topic].partitions)]
        lows = self._offsets(places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        highs = self._offsets(places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {place: (low, highs[place]) for place, low in lows.items()}

    def _offsets(self, places: Iterable[TopicPartition], spec: OffsetSpec) -> dict[Place, int]:
        answers = self._admin.list_offsets(
            dict.fromkeys(places, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT_S
        )
        return {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}

    def _last_messages(self, topics: Iterable[str]) -> dict[Place, Message]:
        """Return the last record of every partition that has any; markers are no records."""
        left = {place: span for place, span in self._spans(topics).items() if span[1] > span[0]}
        last: dict[Place, Message] = {}
        back = LOOK_BACK
        while left:
            starts = {place: max(low, high - back) for place, (low, high) in left.items()}
            last.update(self._last_from(starts))
            left = {place: span for place, span in left.items() if place not in last and starts[place] > span[0]}
            back *= LOOK_BACK
        return last

    def _last_from(self, starts: Mapping[Place, int]) -> dict[Place, Message]:
        """Read from ``starts`` to the ends and return the last record of each partition that gave one."""
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
        last: dict[Place, Message] = {}
        reading = set(starts)
        deadline = time.monotonic() + TIMEOUT_S
        while reading and time.monotonic() < deadline:
            message = self._consumer.poll(TIMEOUT_S)
            if message is None:
                break
            place = (message.topic() or "", message.partition() or 0)
            if message.error() is None:
                last[place] = message
            else:
                reading.discard(place)
        return last


def last_raw_second(last: Mapping[Place, Message], topics: Collection[str], partition: int) -> int | None:
    """Return the last second of a partition that its raw records have closed: the earliest end over the topics."""
    ends = [last[topic, partition].timestamp()[1] // 1000 - 1 for topic in topics if (topic, partition) in last]
    return min(ends) if ends and len(ends) == len(topics) else None


def positions(client: Client, topics: Iterable[str]) -> dict[Place, int]:
    """Return the last offset that ClickHouse holds of every partition of ``topics``."""
    tables = {topic: topic.replace(".", "_").replace("-", "_") for topic in topics}
    query = " UNION ALL ".join(
        f"SELECT '{topic}', _partition, max(_offset) FROM {table} GROUP BY _partition"  # noqa: S608 - a topic of the contract
        for topic, table in tables.items()
    )
    return {(topic, partition): offset for topic, partition, offset in client.query(query).result_rows}
