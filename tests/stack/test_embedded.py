"""The life of a stack, with components that start at once in place of the real ones."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stack import embedded
from stack.errors import StackError
from stack.process import free_ports, identify, port_answers

pytestmark = pytest.mark.usefixtures("toys")
BOTH = ("kafka", "registry")


def silent(line: str) -> None:
    pass


@pytest.fixture
def directory(tmp_path: Path):
    yield tmp_path / "stack"
    embedded.stop(tmp_path / "stack")


def pids(directory: Path) -> dict[str, int]:
    return {component.name: component.pid for component in embedded.status(directory)}


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_a_started_stack_answers_where_it_says(directory: Path) -> None:
    endpoints = embedded.start(directory, silent, components=BOTH)
    assert port_answers(port(endpoints.bootstrap_servers))
    assert port_answers(port(endpoints.registry_url))
    assert endpoints.clickhouse_url == ""
    assert embedded.running(directory) == endpoints
    assert {str(component).split()[1] for component in embedded.status(directory)} == {"running"}


def test_a_second_start_changes_nothing(directory: Path) -> None:
    first, before = embedded.start(directory, silent, components=BOTH), pids(directory)
    assert embedded.start(directory, silent, components=BOTH) == first
    assert pids(directory) == before


def test_a_component_can_be_added_later(directory: Path) -> None:
    first = embedded.start(directory, silent, components=("kafka",))
    second = embedded.start(directory, silent, components=("registry",))
    assert second.bootstrap_servers == first.bootstrap_servers
    assert set(pids(directory)) == set(BOTH)


@pytest.mark.parametrize("victim", BOTH)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_hanging_component_is_started_again_where_it_was(
    directory: Path, victim: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_ANSWER_S", 0.2)
    monkeypatch.setattr(embedded, "_GRACE_S", 0.2)
    first, before = embedded.start(directory, silent, components=BOTH), pids(directory)
    os.kill(before[victim], number)
    (other,) = set(BOTH) - {victim}
    assert {c.name: c.healthy for c in embedded.status(directory)} == {victim: False, other: True}
    assert embedded.start(directory, silent, components=BOTH) == first
    after = pids(directory)
    assert after[victim] != before[victim]
    assert after[other] == before[other]
    assert identify(before[victim]) is None


def test_stop_leaves_no_process_and_no_state_but_the_data(directory: Path) -> None:
    endpoints, started = embedded.start(directory, silent, components=BOTH), pids(directory)
    (directory / "kafka" / "data").touch()
    embedded.stop(directory)
    assert all(identify(pid) is None for pid in started.values())
    assert not port_answers(port(endpoints.bootstrap_servers))
    assert embedded.status(directory) == ()
    assert embedded.running(directory) is None
    assert (directory / "kafka" / "data").exists()


def test_stop_where_nothing_is_does_nothing(tmp_path: Path) -> None:
    embedded.stop(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_if_one_component_fails_the_other_is_ended_too(directory: Path) -> None:
    (directory / "registry").mkdir(parents=True)
    (directory / "registry" / "refuse").touch()
    with pytest.raises(StackError, match="registry ended while starting") as error:
        embedded.start(directory, silent, components=BOTH)
    assert "told to refuse" in str(error.value)
    assert embedded.status(directory) == ()
    assert not (directory / "stack.json").exists()
    (directory / "registry" / "refuse").unlink()
    embedded.start(directory, silent, components=BOTH)


def test_a_failed_repair_leaves_what_ran_alone(directory: Path) -> None:
    embedded.start(directory, silent, components=("kafka",))
    before = pids(directory)
    (directory / "registry").mkdir()
    (directory / "registry" / "refuse").touch()
    with pytest.raises(StackError, match="registry"):
        embedded.start(directory, silent, components=BOTH)
    assert pids(directory) == before


def test_ctrl_c_while_starting_ends_everything(directory: Path) -> None:
    def interrupt(line: str) -> None:
        if "ready" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedded.start(directory, interrupt, components=BOTH)
    assert embedded.status(directory) == ()


def test_a_second_start_at_the_same_time_is_refused(directory: Path) -> None:
    directory.mkdir()
    with (directory / "stack.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for action in (lambda: embedded.start(directory, silent, components=BOTH), lambda: embedded.stop(directory)):
            with pytest.raises(StackError, match="another start or stop is at work in"):
                action()


def test_a_wished_port_is_taken_if_it_is_free(directory: Path) -> None:
    (wish,) = free_ports(1)
    endpoints = embedded.start(directory, silent, components=BOTH, ports={"kafka": wish})
    assert endpoints.bootstrap_servers == f"127.0.0.1:{wish}"
    with pytest.raises(StackError, match=f"kafka already runs on port {wish}, not 1234"):
        embedded.start(directory, silent, components=BOTH, ports={"kafka": 1234})


def test_a_wished_port_that_is_taken_is_named(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(StackError, match=f"port {taken} wished for kafka is taken"):
            embedded.start(directory, silent, components=BOTH, ports={"kafka": taken})
    assert embedded.status(directory) == ()


def test_an_unknown_component_is_named_with_the_known_ones(directory: Path) -> None:
    with pytest.raises(StackError, match="unknown component 'kafak': take one of kafka, registry"):
        embedded.start(directory, silent, components=("kafak",))


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="name another directory"):
        embedded.start(tmp_path / "file" / "stack", silent, components=BOTH)


@pytest.mark.parametrize("content", ["", "[]", '{"components": {"kafka": {}}, "guard": null}', '{"components": {}}'])
def test_a_damaged_state_file_is_named_and_nothing_is_started(directory: Path, content: str) -> None:
    directory.mkdir()
    (directory / "stack.json").write_text(content)
    with pytest.raises(StackError, match=r"stack\.json is damaged"):
        embedded.start(directory, silent, components=BOTH)
    (directory / "stack.json").unlink()


def test_a_pid_in_the_state_that_is_now_another_process_is_dead_and_left_alone(directory: Path) -> None:
    embedded.start(directory, silent, components=("kafka",))
    real = pids(directory)["kafka"]
    state = json.loads((directory / "stack.json").read_text())
    state["components"]["registry"] = {"identity": {"pid": os.getpid(), "started": "1"}, "ports": [1], "url": "x"}
    (directory / "stack.json").write_text(json.dumps(state))
    assert {c.name: c.state for c in embedded.status(directory)} == {"kafka": "running", "registry": "dead"}
    embedded.stop(directory)  # would end this very test run
    assert identify(real) is None


def test_processes_tied_to_their_starter_end_with_stop_and_so_does_the_guard(directory: Path) -> None:
    embedded.start(directory, silent, components=BOTH, die_with_starter=True)
    guard = json.loads((directory / "stack.json").read_text())["guard"]["pid"]
    assert identify(guard) is not None
    embedded.stop(directory)
    assert identify(guard) is None


def test_the_lines_of_a_start_come_one_at_a_time(directory: Path) -> None:
    lines: list[str] = []
    embedded.start(directory, lines.append, components=BOTH)
    assert sorted(line.split(" at ")[0] for line in lines) == [
        "kafka: ready",
        "kafka: starting",
        "registry: ready",
        "registry: starting",
    ]


def test_importing_the_stack_starts_nothing() -> None:
    code = "import threading, stack.embedded; print(threading.active_count())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
