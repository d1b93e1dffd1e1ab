"""The alerts service on one screen: exposures and clocks in, alerts out, through Faust."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import faust

from alerts.desk import Desk
from alerts.read_committed import ReadCommittedTransport
from alerts.settings import AlertSettings
from contracts.topics import MAX_DEAD_LETTER_BYTES, physical
from streamkit.broker import Outgoing, Record, TopicPartition

INPUTS: Final = ("dealer.exposure", "market.clock")
OUTPUTS: Final = ("alerts.events", "alerts.deadletter")


def group(run_id: str) -> str:
    """Return the consumer group: one per run."""
    return physical("alerts", run_id)


def new_app(settings: AlertSettings, scratch: Path) -> faust.App:
    """Return the Faust application. At least once: no exactly_once, no tables, no windows, no topics of Faust's own.

    ``scratch`` takes the folders Faust insists on making.
    """
    app = faust.App(
        group(settings.run_id),
        broker=[f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")],
        processing_guarantee="at_least_once",
        store="memory://",
        datadir=str(scratch),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=500,
        broker_commit_every=100,
        broker_commit_interval=1.0,
        broker_session_timeout=10.0,  # after a kill the group waits this long for the dead member
        stream_wait_empty=False,  # on: rebalances hang until every buffered record is worked off
        producer_acks=-1,
        producer_max_request_size=MAX_DEAD_LETTER_BYTES,
    )
    app.transport = ReadCommittedTransport(app.conf.broker_consumer, app)
    return app


def writer(app: faust.App, run_id: str) -> Callable[[int, Outgoing], Any]:
    """Return what writes a record and waits until all in-sync replicas have it."""
    topics = {name: app.topic(physical(name, run_id), value_type=bytes) for name in OUTPUTS}

    async def write(partition: int, outgoing: Outgoing) -> None:
        producer = await app.maybe_start_producer()
        await producer.send_and_wait(
            topics[outgoing.topic].get_topic_name(),
            outgoing.key,
            outgoing.value,
            partition=partition,
            timestamp=outgoing.timestamp_ms / 1000,
            headers=dict(outgoing.headers),
        )

    return write


def connect(app: faust.App, settings: AlertSettings, desk: Desk, failed: Callable[[Exception], None]) -> None:
    """Feed the desk: one agent per input, in the order of each partition; a record is done when the desk says so.

    ``failed`` is told of the first record that could not be worked off. Nothing after it is acknowledged.
    """

    async def read(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            record = Record(message.offset, message.key, round(message.timestamp * 1000), message.value)
            try:
                await desk.take(TopicPartition(message.topic, message.partition), record)
            except Exception as error:  # noqa: BLE001 - Faust would acknowledge the record and go on with the next
                failed(error)
                return
            event.ack()

    names = [physical(name, settings.run_id) for name in INPUTS]
    for name in names:
        topic = app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        app.agent(topic, name=f"alerts-{name}", concurrency=1)(read)

    async def assigned(_app: Any, places: Any, **_: Any) -> None:
        desk.assign([TopicPartition(place.topic, place.partition) for place in places if place.topic in names])

    async def revoked(_app: Any, *_: Any, **__: Any) -> None:
        desk.revoke()

    # cast: the signals' own types fit no function that names its arguments
    app.on_partitions_assigned.connect(cast("Any", assigned), weak=False)
    app.on_partitions_revoked.connect(cast("Any", revoked), weak=False)
