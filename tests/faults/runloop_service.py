"""The process that is killed: the counting service on the real run loop, slowed down so that kills hit it at work.

``python runloop_service.py <pipeline> [--forgetful] [--pace-ms N] [--kill-at POINT:N]``; settings come from the
environment as for any service.
"""

import argparse
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from streamkit.service import run
from streamkit.settings import ServiceSettings, load
from streamkit.transactions import Failpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "libs" / "streamkit"))
import counting  # after the path: test modules are no package


@dataclass
class Saboteur:
    """Pauses after writing, as a slow core would; kills its own process at the n-th passage of a point."""

    pace_s: float
    point: str
    left: int

    def at(self, point: Failpoint) -> None:
        if point == "after-produce":
            time.sleep(self.pace_s)
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("pipeline", choices=sorted(counting.PIPELINES))
    parser.add_argument("--forgetful", action="store_true")
    parser.add_argument("--pace-ms", type=float, default=0.0)
    parser.add_argument("--kill-at", default=":0")
    options = parser.parse_args()
    point, _, nth = options.kill_at.partition(":")
    pipeline = counting.PIPELINES[options.pipeline](forgetful=options.forgetful)
    return run(pipeline, load(ServiceSettings), hooks=Saboteur(options.pace_ms / 1000, point, int(nth)))


if __name__ == "__main__":
    os._exit(main())
