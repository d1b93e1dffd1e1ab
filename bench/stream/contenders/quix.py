"""Quix Streams: a stateful apply over its RocksDB store with changelog; ``at-least-once`` or ``exactly-once``.

Runs under an interpreter of its own (:mod:`bench.stream.isolation`): it needs an older confluent-kafka than we do.
"""

import sys
from typing import Any, Literal, cast

from bench.stream.job import Job
from bench.stream.workload import INPUT, OUTPUT, new_state, step
from quixstreams import Application, State
from quixstreams.models.serializers.base import Deserializer, Serializer

from contracts.records import Funding, Threshold
from contracts.wire import Codecs


class Decoder(Deserializer):  # type: ignore[misc]  # the package is not in our environment
    """The contract's codec behind their interface."""

    def __init__(self, codecs: Codecs) -> None:
        super().__init__()
        self._codecs = codecs

    def __call__(self, value: bytes, ctx: Any) -> Any:  # noqa: ARG002 - their interface
        return self._codecs.decode(INPUT, value)


class Encoder(Serializer):  # type: ignore[misc]  # as above
    """The same the other way."""

    def __init__(self, codecs: Codecs) -> None:
        super().__init__()
        self._codecs = codecs

    def __call__(self, value: Threshold, ctx: Any) -> bytes:  # noqa: ARG002 - their interface
        return self._codecs.encode(OUTPUT, value)


def tally(funding: Funding, state: State) -> Threshold:
    """Advance the state of the message's key, the instrument."""
    numbers = state.get("tally") or new_state()
    answer = step(numbers, funding)
    state.set("tally", numbers)
    return answer


def main(guarantee: Literal["at-least-once", "exactly-once"]) -> None:
    """Work until SIGTERM."""
    job = Job.from_environment()
    codecs = job.codecs()
    app = Application(
        job.bootstrap_servers,
        consumer_group=f"bench-{job.run_id}",
        auto_offset_reset="earliest",
        processing_guarantee=guarantee,
        commit_interval=0.1 if guarantee == "exactly-once" else 1.0,
        commit_every=5_000 if guarantee == "exactly-once" else 0,
        consumer_poll_timeout=0.005,
        consumer_extra_config={"fetch.wait.max.ms": 20, "isolation.level": "read_committed"},
        producer_extra_config={"linger.ms": 1, "compression.type": "lz4", "partitioner": "murmur2"},
        loglevel="WARNING",
    )
    source = app.topic(job.input, value_deserializer=Decoder(codecs))
    output = app.topic(job.output, key_serializer="string", value_serializer=Encoder(codecs))
    frame = app.dataframe(source).apply(tally, stateful=True)
    frame.to_topic(output, key=lambda answer: answer.underlying)
    app.run()


if __name__ == "__main__":
    main(cast("Any", sys.argv[1]))
