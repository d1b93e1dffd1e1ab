"""``topics``: what is in each topic, and the last records of one, decoded."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contracts.topics import TOPICS
from contracts.wire import Codecs, WireError
from gammaflow import paths
from gammaflow.errors import UserError
from gammaflow.interface import Command
from stack import embedded

TIMEOUT_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All topics, or one."""
    parser.add_argument("topic", nargs="?", help="without it: every topic with its size")
    parser.add_argument("--last", type=int, default=3, help="how many of the last records per partition")


def run(args: argparse.Namespace) -> int:
    """Print the table, or records as JSON lines."""
    endpoints = embedded.running(paths.current())
    if endpoints is None:
        raise UserError("the stack is not running: ./run up (or ./run demo) starts it; ./run sql works without")
    if args.topic is not None and args.topic not in TOPICS:
        raise UserError(f"topic {args.topic!r} is not known: ./run topics lists all")
    consumer = open_consumer(endpoints.bootstrap_servers)
    try:
        if args.topic is None:
            print_table(consumer)
        else:
            print_records(consumer, Codecs.connect(endpoints.registry_url), args.topic, args.last)
    except KafkaException as error:
        raise UserError(f"Kafka at {endpoints.bootstrap_servers}: {error.args[0].str()}") from error
    finally:
        consumer.close()
    return 0


def open_consumer(bootstrap_servers: str) -> Consumer:
    """Return a consumer that belongs to no group and sees committed records only."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "gammaflow-cli",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )


def print_table(consumer: Consumer) -> None:
    """Print first and end offset summed over partitions; transactions' markers count as offsets."""
    print(f"{'topic':24} {'partitions':>10} {'first':>12} {'end':>12}  description")
    for name, topic in sorted(TOPICS.items()):
        spans = [watermarks(consumer, name, partition) for partition in range(topic.partitions)]
        first, end = (sum(span[side] for span in spans) for side in (0, 1))
        print(f"{name:24} {topic.partitions:>10} {first:>12,} {end:>12,}  {topic.description}")


def watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Return first and last stable offset."""
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S, cached=False)
    return low, high


def print_records(consumer: Consumer, codecs: Codecs, topic: str, last: int) -> None:
    """Print the last records of every partition, oldest first."""
    for partition in range(TOPICS[topic].partitions):
        for message in list(tail(consumer, topic, partition, last))[-last:]:
            print(json.dumps(decoded(codecs, topic, message), default=str, ensure_ascii=False))


def tail(consumer: Consumer, topic: str, partition: int, last: int) -> Iterator[Message]:
    """Yield the records from a little before the end: twice as far back, as commit markers take offsets, too."""
    low, high = watermarks(consumer, topic, partition)
    if low == high:
        return
    consumer.assign([TopicPartition(topic, partition, max(low, high - 2 * last - 8))])
    while (message := consumer.poll(TIMEOUT_S)) is not None and message.error() is None:
        yield message


def decoded(codecs: Codecs, topic: str, message: Message) -> dict[str, Any]:
    """Return where the record lies and what it says; packed columns as their byte count."""
    where = {
        "partition": message.partition(),
        "offset": message.offset(),
        "key": (message.key() or b"").decode("utf-8", "replace"),
    }
    value = message.value()
    if value is None:
        return {**where, "tombstone": True}
    try:
        record = asdict(codecs.decode(topic, value))
    except WireError as error:
        return {**where, "undecodable": str(error)}
    return {
        **where,
        **{name: f"<{len(field)} bytes>" if isinstance(field, bytes) else field for name, field in record.items()},
    }


COMMAND = Command("topics", "topics with their sizes, or the last records of one, decoded", add_arguments, run)
