"""Our run loop: a transaction per task, checkpoints in it, restore and dead letters as in any service."""

import json
from collections.abc import Iterable
from typing import Any

from bench.stream.workload import INPUT, OUTPUT, new_state, step

from streamkit.core import Input, Output
from streamkit.pipeline import Pipeline
from streamkit.service import main
from streamkit.settings import ServiceSettings


class Tallies:
    """The workload as a core."""

    def __init__(self, partition: int) -> None:
        del partition
        self._states: dict[str, list[Any]] = {}

    def step(self, unit: Input) -> Iterable[Output]:
        """See :class:`streamkit.core.Core`."""
        funding = unit.value
        state = self._states.get(funding.instrument)
        if state is None:
            state = self._states[funding.instrument] = new_state()
        return (Output(OUTPUT, funding.underlying, step(state, funding), unit.timestamp_ms),)

    def snapshot(self) -> bytes:
        """See :class:`streamkit.core.Core`."""
        return json.dumps(self._states).encode()

    def restore(self, state: bytes) -> None:
        """See :class:`streamkit.core.Core`."""
        self._states = json.loads(state)


def build(_settings: ServiceSettings) -> Pipeline:
    """Return the pipeline; the name is a service's, because checkpoint topics are in the contract by service."""
    return Pipeline(service="greeks", inputs=(INPUT,), unit="record", new_core=Tallies, outputs=(OUTPUT,))


if __name__ == "__main__":
    main(ServiceSettings, build)
