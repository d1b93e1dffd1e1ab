"""The fastest of several runs: on a shared machine everything else only adds."""

import time
from collections.abc import Callable, Mapping

MIN_RUN_S = 1e-3
"""A run shorter than this repeats the call, so that the clock's steps do not show."""


def fastest_s(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return seconds per call of each contender: all take turns ``repeats`` times, after one call that warms up."""
    inner = {name: _calls_per_run(call) for name, call in calls.items()}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            best[name] = min(best[name], _run_s(call, inner[name]) / inner[name])
    return best


def _calls_per_run(call: Callable[[], object]) -> int:
    call()
    return max(1, round(MIN_RUN_S / max(_run_s(call, 1), 1e-9)))


def _run_s(call: Callable[[], object], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - started
