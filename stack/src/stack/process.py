"""Children: started in a group of their own, recognised again by (pid, start mark), and ended for certain.

A pid alone names whoever has it now. Everything here that signals a process first compares the start mark the kernel
gives it, so a pid taken over by a stranger is never killed.
"""

import contextlib
import http.client
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

LOOPBACK = "127.0.0.1"
_TAIL_LINES = 12
_TAIL_BYTES = 16_384
_POLL_S = 0.05
_PROBE_S = 2.0
_KILL_S = 10.0
# Below the range from which kernels hand out source ports, so that no outgoing connection takes one in between.
_PORTS = range(18_000, 32_000)
# The child waits for a line before it becomes the program: until its pid is on record it is nobody.
_GATE = ("/bin/sh", "-c", 'read -r _ && exec "$@" </dev/null', "sh")
# Kept so that ended children are reaped and their exit codes known.
_own: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Identity:
    """A process: its pid and the mark of its start (kernel ticks on Linux, the date `ps` prints elsewhere)."""

    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one child and to see that it serves.

    ``ready`` returns whether the child answers; it must itself return within about two seconds.
    """

    name: str
    command: Sequence[str]
    directory: Path
    log: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str] | None = None


def identify(pid: int) -> Identity | None:
    """Return the identity of the process that has ``pid`` now; None if there is none or it is a zombie."""
    if pid in _own:
        _own[pid].poll()
    mark = _linux_mark(pid) if Path("/proc/self/stat").exists() else _ps_mark(pid)
    return Identity(pid, mark) if mark else None


def alive(identity: Identity) -> bool:
    """Return whether exactly this process still runs."""
    return identify(identity.pid) == identity


def exit_code(identity: Identity) -> int | None:
    """Return the exit code of a child of this process, None if it runs or was started by another process."""
    child = _own.get(identity.pid)
    return child.poll() if child else None


def spawn(launch: Launch, register: Callable[[Identity], None]) -> Identity:
    """Start the child in its own session, its output going to ``launch.log`` (the previous log is kept as ``.1``).

    ``register`` is called with the identity before the program proper runs; if it raises, or this process dies in
    it, the program never starts.
    """
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    launch.directory.mkdir(parents=True, exist_ok=True)
    if launch.log.exists():
        launch.log.replace(launch.log.with_suffix(".log.1"))
    with launch.log.open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 - the command is built by this package
            [*_GATE, *launch.command],
            cwd=launch.directory,
            env=None if launch.environment is None else {**os.environ, **launch.environment},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _own[child.pid] = child
    assert child.stdin is not None  # noqa: S101 - PIPE was asked for
    identity = identify(child.pid)
    if identity is None:
        raise StackError(f"{launch.name}: ended at once with code {child.poll()}; see {launch.log}")
    # A child that died before the gate opened shows in wait_ready, with its log.
    with contextlib.suppress(BrokenPipeError), child.stdin as gate:
        register(identity)
        gate.write(b"go\n")
    return identity


def wait_ready(launch: Launch, identity: Identity, *, deadline_s: float, abandoned: Callable[[], bool]) -> None:
    """Return when ``launch.ready()`` is true or ``abandoned()``.

    Raises:
        StackError: the child ended or ``deadline_s`` seconds passed; with the last lines of its log.
    """
    end = time.monotonic() + deadline_s
    while not abandoned():
        if not alive(identity):
            code = exit_code(identity)
            raise StackError(f"{launch.name} ended while starting (exit code {code}).{tail(launch.log)}")
        if launch.ready():
            return
        if time.monotonic() > end:
            raise StackError(f"{launch.name} did not answer within {deadline_s:.0f} s.{tail(launch.log)}")
        time.sleep(_POLL_S)


def terminate(identities: Iterable[Identity], *, grace_s: float) -> None:
    """End these processes and their groups: SIGTERM to all, ``grace_s`` seconds for all, then SIGKILL.

    Raises:
        StackError: one is still there seconds after SIGKILL.
    """
    waiting = [identity for identity in identities if _signal(identity, signal.SIGTERM)]
    end = time.monotonic() + grace_s
    while waiting and time.monotonic() < end:
        time.sleep(_POLL_S)
        waiting = [identity for identity in waiting if alive(identity)]
    for identity in waiting:
        _signal(identity, signal.SIGKILL)
    end = time.monotonic() + _KILL_S
    while waiting := [identity for identity in waiting if alive(identity)]:
        if time.monotonic() > end:
            raise StackError(
                f"pid {waiting[0].pid} does not end even by SIGKILL: it hangs in the kernel; check its disk"
            )
        time.sleep(_POLL_S)


def tail(log: Path) -> str:
    """Return the end of a log as an indented block to follow an error line; empty if there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
    return f" Last lines of {log}:" + "".join(f"\n  {line}" for line in lines)


def free_ports(count: int, *, avoid: Collection[int] = ()) -> tuple[int, ...]:
    """Return ``count`` different loopback ports nobody listens on, none of them in ``avoid``."""
    candidates = random.SystemRandom().sample(_PORTS, k=50 * count)
    free = (port for port in candidates if port not in avoid and port_is_free(port))
    found = tuple(itertools.islice(free, count))
    if len(found) < count:
        raise StackError(f"no {count} free ports found in {_PORTS.start}-{_PORTS.stop}: end programs that listen there")
    return found


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port."""
    with socket.socket() as probe:
        # Without it the remains of closed connections would look like a listener; a listener still refuses.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return not port_answers(port)


def port_answers(port: int) -> bool:
    """Return whether something accepts connections on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=_PROBE_S):
        return True
    return False


def http_ok(port: int, path: str) -> bool:
    """Return whether a GET on this loopback port is answered with 200 within two seconds; no proxy is asked."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PROBE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _signal(identity: Identity, number: signal.Signals) -> bool:
    """Signal the group this process leads; false if the process is gone."""
    if not alive(identity):
        return False
    try:
        os.killpg(identity.pid, number)
    except ProcessLookupError:
        return False
    return True


def _linux_mark(pid: int) -> str:
    try:
        # The command in parentheses may hold anything; fields are counted from the last one on.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    # A killed program's first thread may be gone while others still hold its files and ports.
    gone = fields[0] in "ZX" and int(fields[17]) <= 1
    return "" if gone else fields[19]


def _ps_mark(pid: int) -> str:
    ps = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    state, _, started = subprocess.run(ps, capture_output=True, text=True, check=False).stdout.partition(" ")  # noqa: S603 - no input
    return "" if state.startswith("Z") else started.strip()
