"""The services in memory again, each dying and going on from its checkpoint every so many units."""

from collections.abc import Mapping, Sequence

from pipeline_oracle import Log, pipelines

from contracts.wire import Codecs
from streamkit import checkpoint
from streamkit.broker import Outgoing, Record
from streamkit.drive import Fed, refeed
from streamkit.task import Start, Task

UNITS_BEHIND = 3  # units between a checkpoint and the death that follows


def run_with_restarts(raw: Log, codecs: Codecs, *, partition: int, every: int) -> tuple[dict[str, list[Outgoing]], int]:
    """Return what :func:`pipeline_oracle.run` does, and how many restarts there were.

    Each service dies after ``every`` units. As on the broker: what a life has written before its death stays, state
    goes back to the checkpoint, which lies some units further back, and the units between are computed again without
    writing.
    """
    logs: dict[str, Sequence[Fed]] = dict(raw)
    written: dict[str, list[Outgoing]] = {}
    restarts = 0
    for pipeline in pipelines().values():
        inputs = {topic: _records(codecs, topic, logs.get(topic, ())) for topic in pipeline.reads}
        start: Start | None = Start(positions=dict.fromkeys(pipeline.reads, 0))
        while start is not None:
            life = Task(pipeline=pipeline, partition=partition, codecs=codecs, start=start)
            start = _live(life, inputs, every)
            for item in life.take():
                written.setdefault(item.topic, []).append(item)
            restarts += start is not None
        logs |= {topic: refeed(written.get(topic, ())) for topic in pipeline.writes}
    return written, restarts


def _live(task: Task, inputs: Mapping[str, Sequence[Record]], units: int) -> Start | None:
    """Let a task compute what it has to make up for and ``units`` more; returns its successor's start, None at the end.

    The checkpoint is of UNITS_BEHIND units before the end of the life, or of its beginning.
    """
    for topic, records in inputs.items():
        ahead = records[task.positions[topic] :]
        if ahead:
            task.feed(topic, ahead)
    while task.replaying:
        task.advance(1, lambda: True)
    snapshot = task.snapshot()
    for number in range(units):
        if task.advance(1, lambda: True) == 0:
            return None
        if number == units - UNITS_BEHIND - 1:
            snapshot = task.snapshot()
    stored = [Record(n, None, 0, chunk) for n, chunk in enumerate(checkpoint.encode(snapshot))]
    newest = checkpoint.newest_complete(stored)
    assert newest is not None
    return Start(positions=newest.positions, committed=dict(task.positions), snapshot=newest)


def _records(codecs: Codecs, topic: str, log: Sequence[Fed]) -> list[Record]:
    return [
        Record(
            offset,
            fed.key.encode() if isinstance(fed.key, str) else fed.key,
            fed.timestamp_ms,
            fed.record if fed.record is None or isinstance(fed.record, bytes) else codecs.encode(topic, fed.record),
        )
        for offset, fed in enumerate(log)
    ]
