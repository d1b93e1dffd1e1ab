"""faust-streaming: an agent, an in-memory Table with its changelog topic; ``at_least_once`` or ``exactly_once``."""

import sys
from typing import Any, cast

import faust
from bench.stream.job import PARTITIONS, Job
from bench.stream.workload import INPUT, OUTPUT, new_state, step


def new_app(job: Job, guarantee: str) -> faust.App:
    """Return the application; settings are explained in the report's table."""
    codecs = job.codecs()
    app = faust.App(
        f"bench-{job.run_id}",
        broker=f"kafka://{job.bootstrap_servers}",
        processing_guarantee=cast("Any", guarantee),  # cast: typed as its enum, taken as text
        store="memory://",
        datadir="faust",
        autodiscover=False,
        web_enabled=False,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=1024 * 1024,
        broker_max_poll_records=500,
        broker_commit_interval=0.1 if guarantee == "exactly_once" else 1.0,
        broker_commit_every=5_000,
        stream_buffer_maxsize=16_384,
        stream_wait_empty=False,
        producer_acks=-1,
        producer_linger=0.001,
        producer_max_batch_size=128 * 1024,
        producer_compression_type="lz4",
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    source = app.topic(job.input, partitions=PARTITIONS, **cast("Any", raw))
    output = app.topic(job.output, partitions=PARTITIONS, **cast("Any", raw))
    tallies = app.Table("tally", default=new_state, partitions=PARTITIONS)

    async def tally(stream: Any) -> None:
        async for event in stream.events():
            funding = codecs.decode(INPUT, event.value)
            state = tallies[funding.instrument]
            answer = step(state, funding)
            tallies[funding.instrument] = state  # setting it is what writes the changelog
            message = event.message
            await output.send(
                key=funding.underlying.encode(),
                value=codecs.encode(OUTPUT, answer),
                partition=message.partition,
                timestamp=message.timestamp,
            )

    app.agent(source, name="tally", concurrency=1)(tally)
    return app


if __name__ == "__main__":
    faust.Worker(new_app(Job.from_environment(), sys.argv[1]), loglevel="WARNING").execute_from_commandline()
