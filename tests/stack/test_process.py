"""Children are recognised again, end when they should, and nobody else is ever signalled."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack import process
from stack.errors import StackError
from stack.process import Identity, Launch, alive, exit_code, free_ports, identify, spawn, tail, terminate, wait_ready

SLEEP = "import time; time.sleep(600)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
WITH_A_CHILD = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", {SLEEP!r}])
print(child.pid, flush=True)
child.wait()
"""
PARENT = """
import sys, time
from pathlib import Path
from stack.guard import Guard
from stack.process import Launch, spawn
home = Path(sys.argv[1])
guard = Guard(home / "guard.log")
launch = Launch("child", (sys.executable, "-c", "import time; time.sleep(600)"), home, home / "child.log", lambda: True)
child = spawn(launch, guard.watch)
print(child.pid, child.started, flush=True)
time.sleep(600)
"""


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Identity]]:
    """Start Python code as a child; whatever still runs after the test is killed."""
    started: list[Identity] = []

    def _start(code: str) -> Identity:
        launch = Launch("child", (sys.executable, "-S", "-c", code), tmp_path, tmp_path / "child.log", lambda: True)
        started.append(spawn(launch, lambda _: None))
        return started[-1]

    yield _start
    terminate(started, grace_s=0)


def test_a_child_leads_a_group_of_its_own_and_its_output_is_kept(
    start: Callable[[str], Identity], tmp_path: Path
) -> None:
    child = start("import time; print('hello', flush=True); time.sleep(600)")
    assert os.getpgid(child.pid) == child.pid
    assert until(lambda: (tmp_path / "child.log").read_text() == "hello\n")


def test_the_log_of_the_run_before_is_kept(start: Callable[[str], Identity], tmp_path: Path) -> None:
    for word in ("one", "two"):
        child = start(f"print('{word}')")
        assert until(lambda child=child: not alive(child))
    assert (tmp_path / "child.log").read_text() == "two\n"
    assert (tmp_path / "child.log.1").read_text() == "one\n"


def test_a_program_does_not_run_before_it_is_registered(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    launch = Launch("child", ("touch", str(mark)), tmp_path, tmp_path / "child.log", lambda: True)

    def refuse(identity: Identity) -> None:
        raise StackError("no room in the books")

    with pytest.raises(StackError, match="no room"):
        spawn(launch, refuse)
    seen: list[Identity] = []
    child = spawn(launch, seen.append)
    assert until(lambda: not alive(child))
    assert seen == [child]
    assert mark.exists()
    mark.unlink()
    assert not until(mark.exists, seconds=0.5)  # the refused one did not run later either


def test_a_recycled_pid_is_somebody_else(start: Callable[[str], Identity]) -> None:
    child = start(SLEEP)
    stranger = Identity(child.pid, child.started + "0")
    assert alive(child)
    assert not alive(stranger)
    terminate([stranger], grace_s=0)
    assert alive(child)


def test_a_dead_child_is_not_alive_though_nobody_waited_for_it(start: Callable[[str], Identity]) -> None:
    child = start("raise SystemExit(3)")
    assert until(lambda: not alive(child))
    assert identify(child.pid) is None
    assert exit_code(child) == 3


def test_terminate_asks_first(start: Callable[[str], Identity]) -> None:
    child = start(SLEEP)
    terminate([child], grace_s=20)
    assert exit_code(child) == -signal.SIGTERM


def test_terminate_kills_what_does_not_listen(start: Callable[[str], Identity], tmp_path: Path) -> None:
    child = start(STUBBORN)
    assert until(lambda: (tmp_path / "child.log").read_text() == "deaf\n")
    terminate([child], grace_s=0.2)
    assert not alive(child)
    assert exit_code(child) == -signal.SIGKILL


def test_terminate_ends_the_whole_group(start: Callable[[str], Identity], tmp_path: Path) -> None:
    child = start(WITH_A_CHILD)
    log = tmp_path / "child.log"
    assert until(lambda: log.read_text().endswith("\n"))
    grandchild = identify(int(log.read_text()))
    assert grandchild is not None
    terminate([child], grace_s=20)
    assert until(lambda: not alive(grandchild))


def test_a_child_that_ends_while_starting_is_reported_with_its_last_words(tmp_path: Path) -> None:
    command = (sys.executable, "-S", "-c", "raise SystemExit('cannot open the data')")
    launch = Launch("toy", command, tmp_path, tmp_path / "toy.log", lambda: False)
    child = spawn(launch, lambda _: None)
    with pytest.raises(StackError, match=r"toy ended while starting \(exit code 1\)") as error:
        wait_ready(launch, child, deadline_s=20, abandoned=lambda: False)
    assert "cannot open the data" in str(error.value)


def test_a_child_that_never_answers_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    launch = Launch("toy", (sys.executable, "-S", "-c", SLEEP), tmp_path, tmp_path / "toy.log", lambda: False)
    child = spawn(launch, lambda _: None)
    try:
        with pytest.raises(StackError, match="toy did not answer within 0 s"):
            wait_ready(launch, child, deadline_s=0.1, abandoned=lambda: False)
        wait_ready(launch, child, deadline_s=0.1, abandoned=lambda: True)  # no longer wanted: no error
    finally:
        terminate([child], grace_s=0)


def test_only_the_end_of_a_long_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    shown = tail(log).splitlines()
    assert shown[-1] == "  line 99999"
    assert len(shown) == 13
    assert tail(tmp_path / "none.log") == ""


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            assert not process.port_is_free(port)
            assert process.port_answers(port)


def test_free_ports_avoid_what_they_are_told_to() -> None:
    avoided = set(process._PORTS) - {process._PORTS[0]}
    with pytest.raises(StackError, match="no 2 free ports"):
        free_ports(2, avoid=avoided)


def test_the_guard_ends_the_children_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, _, started = parent.stdout.readline().strip().partition(" ")
        child = Identity(int(pid), started)
        assert alive(child)
        parent.kill()
    assert until(lambda: not alive(child))
