"""The process that is killed: the sink, with a way to die at a point, and with its defences taken away one by one.

``python sink_service.py [--kill-at POINT:N] [--blind] [--tokenless]``; settings come from the environment as ever.
"""

import argparse
import os
import signal
import threading

from sink import clickhouse
from sink.service import run
from sink.settings import Settings
from sink.storing import Failpoint
from streamkit.settings import load


class Saboteur:
    """Kills its own process at the n-th passage of a point."""

    def __init__(self, point: str, nth: int) -> None:
        self._point, self._left = point, nth
        self._lock = threading.Lock()

    def at(self, point: Failpoint) -> None:
        if point == self._point:
            with self._lock:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


def see_nothing(store: clickhouse.Store, insert: clickhouse.Insert) -> bool:
    return False


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kill-at", default=":0")
    parser.add_argument("--blind", action="store_true", help="do not ask the table after a lost answer")
    parser.add_argument("--tokenless", action="store_true", help="do not let the table recognise tokens")
    options = parser.parse_args()
    if options.blind:
        clickhouse.Store._has_landed = see_nothing
    if options.tokenless:
        clickhouse.INSERT_SETTINGS |= {"insert_deduplicate": 0, "deduplicate_insert": "disable"}
    point, _, nth = options.kill_at.partition(":")
    return run(load(Settings), hooks=Saboteur(point, int(nth)))


if __name__ == "__main__":
    os._exit(main())
