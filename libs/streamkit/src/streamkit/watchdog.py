"""Ends the process when a broker call outlives its limit: some calls ignore their own timeout and never return."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CHECK_INTERVAL_S = 0.25


class Watchdog:
    """Calls ``on_overrun(name)`` from its own thread when a guarded block runs longer than its limit.

    Several threads may be in guarded blocks at the same time. ``on_overrun`` is expected not to return to normal life:
    the guarded thread is still stuck.
    """

    def __init__(self, limit_s: float, on_overrun: Callable[[str], None]) -> None:
        self.limit_s = limit_s
        self._on_overrun = on_overrun
        self._guarded: dict[object, tuple[str, float]] = {}  # name and deadline of each block being run
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._thread.join()

    @contextmanager
    def guard(self, name: str, limit_s: float | None = None) -> Iterator[None]:
        """Watch the block, for ``limit_s`` or the usual limit."""
        block = object()
        self._guarded[block] = (name, time.monotonic() + (limit_s or self.limit_s))
        try:
            yield
        finally:
            del self._guarded[block]

    def _watch(self) -> None:
        while not self._stopped.wait(CHECK_INTERVAL_S):
            for name, deadline in tuple(self._guarded.values()):
                if time.monotonic() > deadline:
                    self._on_overrun(name)
                    return
