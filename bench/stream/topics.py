"""Topics of one measurement: made for it, filled, and deleted after it with everything a contender made beside them."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bench.stream.job import PARTITIONS, Job
from bench.stream.workload import INPUT, OUTPUT, Line
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # public, without __all__

from contracts.provision import topic_config
from contracts.topics import TOPICS, physical

TIMEOUT_S = 30.0
POLL_S = 0.1
OURS = ("greeks.checkpoint", "greeks.deadletter")  # what streamkit writes beside its output
# Idempotent for the order: a batch that has to be sent again must not come after its successors.
PRODUCER = {
    "enable.idempotence": True,
    "linger.ms": 1,
    "compression.type": "lz4",
    "queue.buffering.max.messages": 1_000_000,
}


@contextmanager
def made(job: Job) -> Iterator[None]:
    """Create the topics of ``job``; afterwards delete every topic with its run id in the name."""
    admin = AdminClient({"bootstrap.servers": job.bootstrap_servers})
    names = {physical(name, job.run_id): name for name in (INPUT, OUTPUT, *OURS)}
    new = [NewTopic(place, PARTITIONS, 1, config=_config(name)) for place, name in names.items()]
    for future in admin.create_topics(new, operation_timeout=TIMEOUT_S).values():
        future.result()
    _await_listed(admin, set(names))
    try:
        yield
    finally:
        left = [name for name in admin.list_topics(timeout=TIMEOUT_S).topics if job.run_id in name]
        for future in admin.delete_topics(left, operation_timeout=TIMEOUT_S).values():
            future.result()


def fill(job: Job, lines: Iterable[Line]) -> None:
    """Write ``lines`` to the input and wait until the broker has them all."""
    producer = writer(job)
    for line in lines:
        write(producer, job.input, line)
    if producer.flush(TIMEOUT_S):
        raise TimeoutError(f"the broker took longer than {TIMEOUT_S:.0f} s for the backlog: is the machine overloaded?")


def writer(job: Job) -> Producer:
    """Return the producer of all input."""
    return Producer({"bootstrap.servers": job.bootstrap_servers, **PRODUCER})


def write(producer: Producer, topic: str, line: Line) -> None:
    """Queue one line, stamped with its own time or that of now."""
    timestamp_ms = int(time.time() * 1000) if line.timestamp_ms is None else line.timestamp_ms
    producer.produce(topic, line.value, line.key, line.partition, None, None, timestamp_ms)


def _config(name: str) -> dict[str, str]:
    config = topic_config(TOPICS[name])
    if name == OUTPUT:
        config["cleanup.policy"] = "delete"  # every output is compared, also those of which a newer one exists
    return config


def _await_listed(admin: AdminClient, names: set[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while names - admin.list_topics(timeout=TIMEOUT_S).topics.keys():
        if time.monotonic() > deadline:
            raise TimeoutError(f"topics not listed {TIMEOUT_S:.0f} s after they were created: see the broker's log")
        time.sleep(POLL_S)
