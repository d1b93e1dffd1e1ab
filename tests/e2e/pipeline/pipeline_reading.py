"""Reading whole partitions: along with a run as it goes, or anew from the beginning."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import confluent_kafka as ck
from pipeline_oracle import Place

from streamkit.broker import Record

READ_S = 60.0


class Watcher:
    """Reads along, read_committed, from before the first record is written; :attr:`records` by place."""

    def __init__(self, bootstrap: str, places: Sequence[Place], physical: Callable[[str], str]) -> None:
        self.records: dict[Place, list[Record]] = {place: [] for place in places}
        self._logical = {physical(topic): topic for topic, _ in places}
        self._consumer = _consumer(bootstrap, "read_committed")
        self._consumer.assign([ck.TopicPartition(physical(topic), n, 0) for topic, n in places])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def count(self, place: Place) -> int:
        return len(self.records[place])

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(1000, 0.01):
                if message.error() is None:
                    place = self._logical[message.topic()], message.partition()
                    self.records[place].append(_record(message))
        self._consumer.close()


def read(
    bootstrap: str, places: Iterable[Place], physical: Callable[[str], str], isolation: str = "read_committed"
) -> dict[Place, list[Record]]:
    """Return all records of ``places``, from the beginning to what is stable (or written at all) now."""
    found: dict[Place, list[Record]] = {place: [] for place in places}
    logical = {physical(topic): topic for topic, _ in found}
    consumer = _consumer(bootstrap, isolation)
    consumer.assign([ck.TopicPartition(physical(topic), n, 0) for topic, n in found])
    open_places, deadline = set(found), time.monotonic() + READ_S
    while open_places:
        assert time.monotonic() < deadline, f"no end of {sorted(open_places)} in {READ_S:g} s"
        for message in consumer.consume(2000, 0.05):
            place = logical[message.topic()], message.partition()
            if message.error() is None:
                found[place].append(_record(message))
            elif message.error().code() == ck.KafkaError._PARTITION_EOF:
                open_places.discard(place)
    consumer.close()
    return found


def _record(message: ck.Message) -> Record:
    return Record(message.offset(), message.key(), message.timestamp()[1], message.value())


def _consumer(bootstrap: str, isolation: str) -> ck.Consumer:
    return ck.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reads-for-tests",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10,
        }
    )
