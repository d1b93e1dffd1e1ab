"""What a contender's process is told, through the environment every service of ours is told by."""

import os
import signal
from dataclasses import dataclass
from types import FrameType

from bench.stream.workload import INPUT, OUTPUT

from contracts.topics import physical
from contracts.wire import Codecs

PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Job:
    """Where to work; the working directory is the contender's own and is deleted after the measurement."""

    bootstrap_servers: str
    registry_url: str
    run_id: str

    @classmethod
    def from_environment(cls) -> "Job":
        """Read the three variables; raises KeyError for one that is not set."""
        return cls(*(os.environ[f"GAMMAFLOW_{name}"] for name in ("BOOTSTRAP_SERVERS", "REGISTRY_URL", "RUN_ID")))

    @property
    def environment(self) -> dict[str, str]:
        """The variables :meth:`from_environment` reads."""
        return {
            "GAMMAFLOW_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "GAMMAFLOW_REGISTRY_URL": self.registry_url,
            "GAMMAFLOW_RUN_ID": self.run_id,
        }

    @property
    def input(self) -> str:
        """Topic to read."""
        return physical(INPUT, self.run_id)

    @property
    def output(self) -> str:
        """Topic to write."""
        return physical(OUTPUT, self.run_id)

    def codecs(self) -> Codecs:
        """Return the contract's codecs."""
        return Codecs.connect(self.registry_url)


class StopSignal:
    """True once SIGTERM came."""

    def __init__(self) -> None:
        self._came = False
        signal.signal(signal.SIGTERM, self._remember)

    def __bool__(self) -> bool:
        return self._came

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
