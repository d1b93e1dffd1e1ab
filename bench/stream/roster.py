"""Who takes part, on what terms."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURSELVES = "streamkit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to run the workload.

    ``backlog_share``: part of the backlog it is given, for those that would take minutes; its rate is that of the
    records it was given. ``isolated``: runs under the interpreter of :mod:`bench.stream.isolation`.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    guarantee: str
    state: str
    settings: str
    environment: Mapping[str, str] = field(default_factory=dict)
    backlog_share: float = 1.0
    isolated: bool = False

    def command(self, interpreter: str = sys.executable) -> list[str]:
        """Return how to start it."""
        return [interpreter, "-m", f"bench.stream.contenders.{self.module}", *self.arguments]


_LOOP = "batches of 500, `linger.ms` 1, lz4, `fetch.wait.max.ms` 20"
_FAUST = (
    "`broker_max_poll_records` 500, `stream_buffer_maxsize` 16,384, `stream_wait_empty` off, `producer_linger` 1 ms, "
    "batches of 128 KiB, lz4, aiokafka and Faust with their C extensions"
)
_QUIX = "`consumer_poll_timeout` 5 ms, `linger.ms` 1, lz4, `fetch.wait.max.ms` 20"

CONTENDERS = (
    Contender(
        name=OURSELVES,
        module="streamkit",
        guarantee="exactly once, state included",
        state="dict, checkpoints in the output's transaction",
        settings=(
            "defaults of a service (a transaction per task, 100 ms or 5,000 records, batches of 500), but checkpoints "
            "every 20,000 records or 5 s per task instead of 200,000 or 30 s"
        ),
        environment={"GAMMAFLOW_CHECKPOINT_MAX_RECORDS": "20000", "GAMMAFLOW_CHECKPOINT_INTERVAL_S": "5"},
    ),
    Contender(
        name="confluent-plain",
        module="confluent",
        arguments=("at_least_once",),
        guarantee="at least once",
        state="dict, lost at the end",
        settings=f"offsets committed once a second after a flush, {_LOOP}, idempotent producer",
    ),
    Contender(
        name="confluent-transactions",
        module="confluent",
        arguments=("transactions",),
        guarantee="exactly once but for the state",
        state="dict, lost at the end",
        settings=f"one producer, a transaction per 100 ms or 5,000 records, {_LOOP}",
    ),
    Contender(
        name="faust",
        module="faust",
        arguments=("at_least_once",),
        guarantee="at least once",
        state="in-memory Table, a changelog record per update",
        settings=f"`broker_commit_interval` 1 s, {_FAUST}",
        backlog_share=0.1,
    ),
    Contender(
        name="faust-exactly-once",
        module="faust",
        arguments=("exactly_once",),
        guarantee="exactly once, as declared",
        state="in-memory Table, a changelog record per update",
        settings=f"`broker_commit_interval` 100 ms, {_FAUST}",
        backlog_share=0.1,
    ),
    Contender(
        name="quix",
        module="quix",
        arguments=("at-least-once",),
        guarantee="at least once",
        state="RocksDB, a changelog record per changed key and commit",
        settings=f"`commit_interval` 1 s, {_QUIX}, idempotent producer",
        backlog_share=0.3,
        isolated=True,
    ),
    Contender(
        name="quix-exactly-once",
        module="quix",
        arguments=("exactly-once",),
        guarantee="exactly once, as declared",
        state="RocksDB, a changelog record per changed key and commit",
        settings=f"`commit_interval` 100 ms, `commit_every` 5,000, {_QUIX}",
        backlog_share=0.3,
        isolated=True,
    ),
)
