"""``python -m stack.guard``: ends the registered processes when whoever started it dies, however it dies.

Each line on standard input is ``pid start-mark``. The end of the input means that the starter is gone: the kernel
closes its end even after SIGKILL. A pipe works from any thread and on every Unix, which PR_SET_PDEATHSIG does not.
"""

import signal
import subprocess
import sys
from pathlib import Path

from stack.process import Identity, identify, terminate

GRACE_S = 10.0


class Guard:
    """The starter's end: holds the guard process and the pipe whose closing sets it off."""

    def __init__(self, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "stack.guard"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.identity = identify(self._child.pid)

    def watch(self, identity: Identity) -> None:
        """End this process, too, when the starter dies."""
        assert self._child.stdin is not None  # noqa: S101 - PIPE was asked for
        self._child.stdin.write(f"{identity.pid} {identity.started}\n".encode())
        self._child.stdin.flush()

    def close(self) -> None:
        """Set the guard off: what is still alive of the watched processes is ended."""
        self._child.communicate()


def main() -> None:
    """Collect identities until the input ends, then end them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watched = []
    for line in sys.stdin:
        pid, _, started = line.rstrip("\n").partition(" ")
        watched.append(Identity(int(pid), started))
    terminate(watched, grace_s=GRACE_S)


if __name__ == "__main__":
    main()
