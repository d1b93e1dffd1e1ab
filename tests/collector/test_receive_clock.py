"""The receive clock: system time that never runs backwards."""

import pytest

from collector.receive_clock import ReceiveClock


class Machine:
    """The two clocks of a machine, in microseconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = 1_000_000
        self.uptime = 0
        monkeypatch.setattr("collector.receive_clock.time.time_ns", lambda: self.wall * 1000)
        monkeypatch.setattr("collector.receive_clock.time.monotonic_ns", lambda: self.uptime * 1000)

    def pass_time(self, microseconds: int, *, step: int = 0) -> None:
        self.uptime += microseconds
        self.wall += microseconds + step


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_it_tells_the_system_time(machine: Machine) -> None:
    clock = ReceiveClock()
    machine.pass_time(70)

    assert clock() == 1_000_070


def test_when_the_system_clock_steps_back_elapsed_time_is_counted_on(machine: Machine) -> None:
    clock = ReceiveClock()
    machine.pass_time(100, step=-500_000)
    first = clock()
    machine.pass_time(25)

    assert (first, clock()) == (1_000_100, 1_000_125)


def test_it_is_back_on_system_time_once_that_has_caught_up(machine: Machine) -> None:
    clock = ReceiveClock()
    machine.pass_time(100, step=-50)
    clock()
    machine.pass_time(10, step=80)

    assert clock() == machine.wall
