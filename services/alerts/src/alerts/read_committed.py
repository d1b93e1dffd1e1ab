"""Faust's Kafka transport, reading committed records only.

Faust couples the isolation level to its own exactly-once mode, which must not be used. With its default of
read_uncommitted it would act on records of aborted transactions, which every stage before it writes after a crash.
"""

from typing import Any

import aiokafka  # type: ignore[import-untyped]
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport


class ReadCommittedThread(AIOKafkaConsumerThread):
    """The consumer's thread, its client set to read_committed before it starts."""

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        client = super()._create_worker_consumer(transport)
        client._isolation_level = "read_committed"  # noqa: SLF001 - neither library lets one say so; a test holds it
        return client


class ReadCommittedConsumer(Consumer):
    """The consumer with that thread."""

    def _new_consumer_thread(self) -> Any:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)


class ReadCommittedTransport(Transport):
    """The transport with that consumer."""

    Consumer = ReadCommittedConsumer
