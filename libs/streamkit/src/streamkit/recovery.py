"""Where a task starts: from what is committed, what is held, and the newest checkpoint."""

from collections.abc import Callable, Mapping

from streamkit import checkpoint
from streamkit.broker import Bounds, Consumer, Reader, TopicPartition
from streamkit.checkpoint import Snapshot
from streamkit.pipeline import Pipeline
from streamkit.task import Start


class Unrecoverable(Exception):
    """Committed offsets, checkpoint and log do not fit together: going on would lose or double data."""


def find_start(
    *,
    pipeline: Pipeline,
    partition: int,
    physical: Callable[[str], str],
    consumer: Consumer,
    reader: Reader,
) -> Start:
    """Return where task ``partition`` starts. The predecessor's transaction is resolved already.

    Raises Unrecoverable, CheckpointUnusable, or a BrokerError.
    """
    places = {topic: TopicPartition(physical(topic), partition) for topic in pipeline.reads}
    committed = consumer.committed(list(places.values()))
    return decide_start(
        committed={topic: committed[place] for topic, place in places.items()},
        bounds={topic: reader.bounds(place) for topic, place in places.items()},
        snapshot=checkpoint.newest(reader, TopicPartition(physical(pipeline.checkpoint_topic), partition)),
    )


def decide_start(
    *, committed: Mapping[str, int | None], bounds: Mapping[str, Bounds], snapshot: Snapshot | None
) -> Start:
    """Return the start that follows from the three; raises Unrecoverable, with the remedy, if none does."""
    known = {topic: offset for topic, offset in committed.items() if offset is not None}
    if not known:
        if snapshot is not None:
            raise Unrecoverable(
                "a checkpoint exists but no committed offset: the group's offsets were deleted or have expired; "
                "replay under a new run id, or delete the checkpoint topic together with the outputs"
            )
        held = {topic: bound.begin for topic, bound in bounds.items()}
        return Start(positions=held, truncated=frozenset(topic for topic, begin in held.items() if begin > 0))
    if len(known) < len(committed):
        missing = sorted(set(committed) - set(known))
        raise Unrecoverable(f"no committed offset for {', '.join(missing)}, a new input: start under a new run id")
    positions = snapshot.positions if snapshot else dict.fromkeys(committed, 0)
    _require_consistent(known, bounds, positions)
    return Start(positions=positions, committed=known, snapshot=snapshot)


def _require_consistent(
    committed: Mapping[str, int], bounds: Mapping[str, Bounds], positions: Mapping[str, int]
) -> None:
    if set(positions) != set(committed):
        raise Unrecoverable(f"the checkpoint is of inputs {sorted(positions)}, not {sorted(committed)}: new run id")
    for topic, position in positions.items():
        if position > committed[topic]:
            raise Unrecoverable(
                f"{topic}: checkpoint at {position}, committed offset {committed[topic]}: someone moved the group's "
                "offsets; put them back or replay under a new run id"
            )
        if position < bounds[topic].begin:
            raise Unrecoverable(
                f"{topic}: the state continues at offset {position}, the log begins at {bounds[topic].begin}: input "
                "was deleted before it was used; raise the topic's retention and replay under a new run id"
            )
