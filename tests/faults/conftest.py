"""What the tests of the whole pipeline share: the option for the long form, the harness, a broker of their own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS / "e2e" / "pipeline"), str(_TESTS / "faults")]

from pipeline_input import Collecting, Shape  # noqa: E402 - found by the path above
from pipeline_oracle import Place, Written  # noqa: E402 - found by the path above
from pipeline_processes import CLOCKS, Run, Stand  # noqa: E402 - found by the path above
from runloop_kills import stack_of  # noqa: E402 - found by the path above

SAMPLE, FULL = Shape(seconds=48), Shape(seconds=168)  # 29,000 and 106,000 raw records


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full-faults",
        action="store_true",
        help="over 100,000 records, 30 kills and every combination of workers and batch sizes instead of a sample",
    )


@pytest.fixture(scope="session")
def full_faults(request: pytest.FixtureRequest) -> bool:
    """Whether all is to be shown; the default holds as well where this file was found too late for an option."""
    return bool(request.config.getoption("--full-faults", default=False))


@pytest.fixture(scope="session")
def stand(full_faults: bool) -> Iterator[Stand]:
    """A broker that nobody else uses, since raw topics are shared by all runs, with the input in them."""
    entries = Collecting(FULL if full_faults else SAMPLE).run()
    with stack_of(None) as endpoints:
        yield Stand.prepare(endpoints, entries)


@pytest.fixture(scope="session")
def reference(stand: Stand) -> dict[Place, Written]:
    """What the services wrote in a run without faults, one process each."""
    with Run(stand, "reference") as run:
        for service in CLOCKS:
            run.start(service)
        run.drain()
        return run.written()
