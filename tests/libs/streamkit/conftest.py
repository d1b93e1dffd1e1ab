"""The counting service, and run loops over the broker in memory."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from contracts.topics import TOPICS
from contracts.wire import Codecs
from streamkit.broker import Broker, Outgoing
from streamkit.drive import Fed
from streamkit.loop import LoopConfig, RunLoop
from streamkit.memory import MemoryBroker
from streamkit.metrics import Metrics
from streamkit.pipeline import Pipeline
from streamkit.telemetry import Telemetry
from streamkit.transactions import CheckpointPolicy
from streamkit.watchdog import Watchdog

PARTITIONS = 4


@pytest.fixture(scope="session")
def counting() -> ModuleType:
    """The module beside this file: services and inputs for tests."""
    spec = importlib.util.spec_from_file_location("streamkit_counting", Path(__file__).with_name("counting.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def codecs() -> Codecs:
    return Codecs.offline()


class Log:
    """Collects log lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict]] = []

    def info(self, event, **fields):
        self.lines.append((event, fields))

    warning = error = info

    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


@dataclass
class Kit:
    """Runs loops over one in-memory broker and looks at what they wrote."""

    codecs: Codecs
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(dict.fromkeys(TOPICS, PARTITIONS)))
    now: float = 0.0
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=lambda: Metrics("greeks"))

    def loop(self, pipeline: Pipeline, *, broker: Broker | None = None, **overrides) -> RunLoop:
        config = {"partitions": (0,), "checkpoints": CheckpointPolicy(interval_s=1e9, max_records=50), **overrides}
        hooks, health_file = config.pop("hooks", None), config.pop("health_file", None)
        codecs = config.pop("codecs", self.codecs)
        return RunLoop(
            pipeline=pipeline,
            codecs=codecs,
            broker=broker or self.broker,
            config=LoopConfig(**config),
            telemetry=Telemetry(
                service=pipeline.service,
                log=self.log,
                metrics=self.metrics,
                health_file=health_file,
            ),
            watchdog=Watchdog(5.0, lambda _: None),
            hooks=hooks,
            clock=self.tick,
        )

    def tick(self) -> float:
        self.now += 0.001
        return self.now

    def write(self, topic: str, records: list[Fed], partition: int = 0, *, per_transaction: int = 7) -> None:
        """Write to an input, in small transactions, so that offsets have holes; every third one is written twice,

        aborted the first time.
        """
        producer = self.broker.producer(f"input-{topic}")
        producer.init(1)
        encoded = [self._outgoing(topic, fed) for fed in records]
        for i in range(0, len(encoded), per_transaction):
            if i // per_transaction % 3 == 0:
                producer.begin()
                producer.produce(partition, encoded[i : i + 2])
                producer.abort(1)
            producer.begin()
            producer.produce(partition, encoded[i : i + per_transaction])
            producer.commit(1)

    def written(self, topic: str, partition: int = 0) -> list:
        return [stored.record for stored in self.broker.visible(topic, partition)]

    def _outgoing(self, topic: str, fed: Fed) -> Outgoing:
        key = fed.key.encode() if isinstance(fed.key, str) else fed.key
        value = (
            fed.record if fed.record is None or isinstance(fed.record, bytes) else self.codecs.encode(topic, fed.record)
        )
        return Outgoing(topic, key, value, fed.timestamp_ms)


@pytest.fixture
def kit(codecs: Codecs) -> Kit:
    return Kit(codecs)
