"""The same raw topics through the services again: workers, batch sizes and who decides on partitions do not matter.

A sample of the combinations; ``--full-faults`` runs them all (docs/how-to/run-fault-tests.md).
"""

import pytest
from pipeline_processes import CLOCKS, Run

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(900)]

WORKERS = {"1": ["0,1,2,3"], "2": ["0,1", "2,3"], "4": ["0", "1", "2", "3"], "group": ["group", "group"]}
BATCHES = (1, 100, 10_000)
SAMPLE = {("1", 1), ("group", 100), ("4", 10_000)}  # each batch size, and each way to come by partitions, once


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("workers", WORKERS)
def test_a_replay_writes_the_same_bytes(stand, reference, full_faults, workers, batch):
    """``batch`` is both how many records are read at a time and after how many a transaction is committed."""
    if not full_faults and (workers, batch) not in SAMPLE:
        pytest.skip("runs with --full-faults")
    with Run(stand, f"replay-{workers}-{batch}") as run:
        for service in CLOCKS:
            for assignment in WORKERS[workers]:
                run.start(service, assignment=assignment, POLL_MAX_RECORDS=batch, COMMIT_MAX_RECORDS=batch)
        run.drain()
        assert run.differences(reference) == []
