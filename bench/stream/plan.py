"""What is to be measured, and what has been."""

from dataclasses import dataclass, field
from statistics import median

from bench.stream.measure import Latency, Throughput
from bench.stream.roster import Contender

DISTURBED = 0.10  # share of the machine used by others


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured: ``patience_s`` is how long each measurement waits for a quiet machine.

    A measurement during which others used more than DISTURBED of the machine is taken again, up to ``attempts`` times;
    the least disturbed counts, whatever it shows.
    """

    records: int
    repeat: int
    rate: float
    seconds: float
    drop_s: float
    patience_s: float
    attempts: int


@dataclass(slots=True)
class Results:
    """What one contender has shown so far; ``problems`` are measurements without a figure, and why."""

    contender: Contender
    throughputs: list[Throughput] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float | None:
        """Median records per second."""
        return median(result.rate for result in self.throughputs) if self.throughputs else None
