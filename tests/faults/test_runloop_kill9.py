"""kill -9 of a service on the run loop, on the real broker: its outputs are, byte for byte, those of a run without.

The oracle is the pure task over the same input. A sample of the kills: ``runloop_kills.py`` does as many as one likes.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from streamkit.transactions import Failpoint

POINTS: list[Failpoint] = ["after-poll", "after-produce", "after-send-offsets", "before-commit", "after-commit"]
pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def kills() -> ModuleType:
    name = "runloop_kills"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["record", "clocked"])
def test_random_kills_with_fixed_partitions_change_nothing(kills, stack, kind):
    scene = kills.Scene(stack, kind, 12_000, seed=1)
    outcome = kills.run_with_kills(scene, kills=8, life_s=(0.8, 4.0), pace_ms=60)
    assert outcome.identical
    # Eight kills may all fall between two transactions: kills within one, at every step of it, have their own test.
    assert outcome.lives_that_committed >= 2, "the kills came too early to prove anything"


def test_random_kills_of_group_members_change_nothing(kills, stack):
    """The group waits for the dead member's session to end, so lives are longer and fewer."""
    scene = kills.Scene(stack, "clocked", 12_000, seed=2)
    outcome = kills.run_with_kills(scene, kills=3, life_s=(6.0, 9.0), pace_ms=150, assignment="group")
    assert outcome.identical
    assert outcome.lives_that_committed >= 2, "the kills came too early to prove anything"


def test_kills_at_every_step_of_a_transaction_change_nothing(kills, stack):
    scene = kills.Scene(stack, "clocked", 6_000, seed=3)
    for point in POINTS:
        process = scene.start(pace_ms=20, arguments=("--kill-at", f"{point}:9"))
        assert process.wait(60) == -9, scene.told()
    scene.drain([scene.start()])
    assert scene.written() == scene.expected()
    assert scene.aborted() > 0


def test_a_service_that_does_not_restore_its_state_is_caught(kills, stack):
    """The negative control: nothing is lost or doubled then, only the digest tells."""
    scene = kills.Scene(stack, "record", 4_000, seed=4)
    process = scene.start(arguments=("--kill-at", "after-commit:9"))
    assert process.wait(60) == -9, scene.told()
    scene.drain([scene.start(arguments=("--forgetful",))])
    assert scene.count("alerts.events") == 4 * 4_000
    assert scene.written() != scene.expected()


@pytest.mark.parametrize("assignments", [["0,1,2,3"], ["0,1", "2,3"], ["0", "1", "2", "3"], ["group", "group"]])
def test_the_number_of_workers_makes_no_difference(kills, stack, assignments):
    scene = kills.Scene(stack, "clocked", 4_000, seed=5)
    scene.drain([scene.start(assignment=assignment) for assignment in assignments])
    assert scene.written() == scene.expected()


@pytest.mark.parametrize("batch", [1, 100, 10_000])
def test_the_size_of_transactions_makes_no_difference(kills, stack, batch):
    scene = kills.Scene(stack, "clocked", 400, seed=6)
    scene.drain([scene.start(COMMIT_MAX_RECORDS=str(batch))])
    assert scene.written() == scene.expected()
