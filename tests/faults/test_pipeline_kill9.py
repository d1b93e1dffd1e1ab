"""kill -9 of normalizer, greeks and dealer-flow, all running: what they write is that of a run without faults.

A sample of the kills; ``--full-faults`` makes 30 over 100,000 records (docs/how-to/run-fault-tests.md).
"""

import pytest
from pipeline_kills import Killing, forget
from pipeline_oracle import differences
from pipeline_processes import CLOCKS, Run

from contracts.partitioning import PARTITIONS

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(900)]


def test_a_run_without_faults_writes_what_the_cores_do_without_a_broker(stand, reference):
    assert differences(reference, stand.expected) == []


def test_killed_services_write_the_bytes_of_a_run_without_kills(stand, reference, full_faults):
    each, starting = (10, 3) if full_faults else (3, 1)
    with Run(stand, "killed") as run:
        outcome = Killing(run, at_work=each, starting=starting, seed=3).go()
        print(outcome)
        assert run.differences(reference) == []
    assert len(outcome.at_work()) == 3 * each
    for hit in outcome.at_work():
        assert (hit.tasks, hit.units_closed > 0, hit.units_left > 0) == (PARTITIONS, True, True), f"{hit}: met no work"
    assert outcome.replayed > 0, "no restart had anything to make up for"
    if full_faults:  # nine kills may all fall between two transactions; the run loop's own tests kill within one
        assert outcome.aborted > 0, "no kill met an open transaction"


def begin_and_kill_all(run):
    """Kill every service when each of its tasks has begun and none of the services is done."""
    for service in CLOCKS:
        run.start(service, COMMIT_MAX_RECORDS=300)
    clocks = [(clock, n) for clock in CLOCKS.values() for n in range(PARTITIONS)]
    run.wait(lambda: all(run.watcher.count(clock) for clock in clocks), "every task to begin")
    run.kill()
    assert run.units("dealer-flow") < run.stand.units("dealer-flow"), "nothing left to be done wrong"


def test_lost_checkpoints_are_made_up_for_by_the_whole_log(stand, reference):
    """State is only ever a short cut: without it everything is computed again, and nothing is written twice."""
    with Run(stand, "lost") as run:
        begin_and_kill_all(run)
        run.lose_checkpoints()
        again = len(run.lives)
        for service in CLOCKS:
            run.start(service)
        run.drain()
        starts = [event for life in run.lives[again:] for event in life.events("task_started")]
        assert [event["replaying"] for event in starts] == [True] * len(CLOCKS) * PARTITIONS
        assert {offset for event in starts for offset in event["positions"].values()} == {0}
        assert run.differences(reference) == []


def test_a_service_restored_to_an_empty_state_is_caught(stand, reference):
    """The negative control: every unit is closed once, nothing is lost or doubled, only what is said is wrong."""
    with Run(stand, "forgets") as run:
        begin_and_kill_all(run)
        forget(run, "dealer-flow")
        for service in CLOCKS:
            run.start(service)
        run.drain()
        found = run.written()
    wrong = differences(found, reference)
    assert wrong
    assert all(line.startswith(("dealer.inventory/", "dealer.exposure/", "dealer.clock/")) for line in wrong), wrong
    assert [found["dealer.clock", n].records for n in range(PARTITIONS)] == [
        reference["dealer.clock", n].records for n in range(PARTITIONS)
    ]
