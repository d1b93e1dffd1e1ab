"""The process around the loop: exit codes, and one line that says why."""

import json
import logging
import os
import signal
import socket

import pytest

from contracts.topics import TOPICS
from contracts.wire import Codecs, NotProvisioned, RegistryUnavailable
from streamkit import service
from streamkit.broker import BrokerError, Fenced, Truncated
from streamkit.memory import MemoryBroker
from streamkit.service import DONE, REFUSED, RESTART, run
from streamkit.settings import ServiceSettings


@pytest.fixture(autouse=True)
def _process_as_before():
    """A service owns its process: signals and log."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def registry(monkeypatch):
    """Make ``Codecs.connect`` do, in turn, what it is told; then work."""

    def answers(*steps):
        left = list(steps)

        def connect(_url):
            if left:
                raise left.pop(0)
            return Codecs.offline()

        monkeypatch.setattr(Codecs, "connect", connect)
        monkeypatch.setattr(service, "REGISTRY_RETRY_S", 0.0)

    return answers


class At:
    """Does something at the n-th poll."""

    def __init__(self, nth, action):
        self.left, self.action = nth, action

    def at(self, point):
        self.left -= point == "after-poll"
        if self.left == 0 and point == "after-poll":
            self.action()


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def fails(error):
    def action():
        raise error

    return action


def settings(**changes):
    return ServiceSettings(bootstrap_servers="unused:1", registry_url="http://unused", assignment="0", **changes)


def broker():
    return MemoryBroker(dict.fromkeys(TOPICS, 4))


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_sigterm_ends_it_cleanly(counting, registry, capsys):
    registry()
    assert run(counting.record_pipeline(), settings(), broker=broker(), hooks=At(5, terminate)) == DONE
    events = [line["event"] for line in lines(capsys)]
    assert events == ["started", "task_started", "task_stopped", "stopped"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Fenced("fenced", "another owner"), (RESTART, "broker_failed")),
        (BrokerError("unknown_member", "expelled"), (RESTART, "broker_failed")),
        (RuntimeError("bug"), (RESTART, "crashed")),
        (Truncated("offset_out_of_range", "deleted"), (REFUSED, "refused")),
    ],
)
def test_the_exit_code_says_whether_a_restart_helps(counting, registry, capsys, error, expected):
    code, event = expected
    registry()
    assert run(counting.record_pipeline(), settings(), broker=broker(), hooks=At(3, fails(error))) == code
    last = lines(capsys)[-1]
    assert (last["event"], last["exit_code"], last["level"]) == (event, code, "error")


def test_missing_topics_are_refused_in_one_line(counting, registry, capsys):
    registry()
    assert run(counting.record_pipeline(), settings(run_id="none"), broker=broker()) == REFUSED
    assert "run-none.market.funding" in lines(capsys)[-1]["detail"]


def test_it_waits_for_the_registry_at_the_start(counting, registry, capsys):
    registry(RegistryUnavailable("away"), RegistryUnavailable("away"))
    assert run(counting.record_pipeline(), settings(), broker=broker(), hooks=At(2, terminate)) == DONE
    assert [line["event"] for line in lines(capsys)][:2] == ["waiting", "started"]


def test_schemas_that_are_not_registered_are_refused(counting, registry, capsys):
    registry(NotProvisioned("market.funding-value is not registered: run python -m contracts.provision"))
    assert run(counting.record_pipeline(), settings(), broker=broker()) == REFUSED
    assert "contracts.provision" in lines(capsys)[-1]["detail"]


def test_a_taken_metrics_port_is_refused_in_one_line(counting, registry, capsys):
    registry()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(counting.record_pipeline(), settings(metrics_port=port), broker=broker()) == REFUSED
    assert f"127.0.0.1:{port}" in lines(capsys)[-1]["detail"]


def test_bad_settings_end_the_process_with_a_line_each_and_code_2(monkeypatch, capsys, counting):
    for name in [name for name in os.environ if name.startswith("GAMMAFLOW_")]:
        monkeypatch.delenv(name)
    with pytest.raises(SystemExit) as ended:
        service.main(ServiceSettings, lambda _: counting.record_pipeline())
    assert ended.value.code == REFUSED
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
        "GAMMAFLOW_BOOTSTRAP_SERVERS",
        "GAMMAFLOW_REGISTRY_URL",
    ]
