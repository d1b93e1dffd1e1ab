"""``python -m stack.guard``: ends the registered processes when whoever started it dies, however it dies.

Each line on standard input is ``pid start-mark``. The end of the input means that the starter is gone: the kernel
closes its end even after SIGKILL. A pipe works from any thread and on every Unix, which PR_SET_PDEATHSIG does not.
"""

import signal
import subprocess
import sys
from pathlib import Path

from stack.errors import StackError
from stack.process import Identity, alive, identify, tail, terminate

GRACE_S = 10.0


class Guard:
    """The starter's end: holds the guard process and the pipe whose closing sets it off.

    Processes that the starter forks without exec inherit the pipe and keep it open.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "stack.guard"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.identity = identify(self._child.pid)

    @property
    def alive(self) -> bool:
        """Whether the guard process still watches."""
        return self.identity is not None and alive(self.identity)

    def watch(self, identity: Identity) -> None:
        """End this process, too, when the starter dies."""
        assert self._child.stdin is not None  # noqa: S101 - PIPE was asked for
        try:
            self._child.stdin.write(f"{identity.pid} {identity.started}\n".encode())
            self._child.stdin.flush()
        except BrokenPipeError:
            raise StackError(f"the guard of the child processes was ended: start again.{tail(self._log)}") from None

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
