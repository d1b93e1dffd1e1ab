"""The one clock that receive times come from."""

import time


class ReceiveClock:
    """Microseconds since the epoch, never backwards: when the system clock steps back, elapsed time is counted on."""

    def __init__(self) -> None:
        self._latest_us = time.time_ns() // 1000
        self._monotonic_us = time.monotonic_ns() // 1000

    def __call__(self) -> int:
        """Return the current time."""
        monotonic_us = time.monotonic_ns() // 1000
        elapsed_us = monotonic_us - self._monotonic_us
        self._monotonic_us = monotonic_us
        self._latest_us = max(time.time_ns() // 1000, self._latest_us + elapsed_us)
        return self._latest_us
