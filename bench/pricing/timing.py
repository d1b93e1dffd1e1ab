"""The fastest of several runs: on a shared machine everything else only adds."""

import time
from collections.abc import Callable, Mapping

MIN_RUN_S = 1e-3
"""A run shorter than this repeats the call, so that the clock's steps do not show."""

Clock = Callable[[], float]
processor: Clock = time.process_time
"""For contenders with one thread: what others do on the machine counts only as far as they share its caches."""
wall: Clock = time.perf_counter
"""For contenders with several threads."""


def fastest_s(calls: Mapping[str, Callable[[], object]], repeats: int, clock: Clock = processor) -> dict[str, float]:
    """Return seconds per call of each contender: all take turns ``repeats`` times, after one call that warms up."""
    inner = {name: _calls_per_run(call) for name, call in calls.items()}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            best[name] = min(best[name], _run_s(call, inner[name], clock) / inner[name])
    return best


def _calls_per_run(call: Callable[[], object]) -> int:
    call()
    return max(1, round(MIN_RUN_S / max(_run_s(call, 1, wall), 1e-9)))


def _run_s(call: Callable[[], object], times: int, clock: Clock) -> float:
    started = clock()
    for _ in range(times):
        call()
    return clock() - started
