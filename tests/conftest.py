"""What every test may ask for: the recordings, a running stack, and an id of its own."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.provision import provision
from stack import embedded
from stack.embedded import Endpoints

ROOT = Path(__file__).resolve().parents[1]
LONG = ("e2e", "faults", "integration")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let several workers begin with the long files, so that they end together; alone, quick answers come first."""
    shared_out = hasattr(config, "workerinput")
    items.sort(key=lambda item: any(item.get_closest_marker(name) for name in LONG) is not shared_out)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The recordings kept beside the repository; without them the test is skipped, in CI it fails."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        missing = f"no recordings at {path.relative_to(ROOT.parent)} beside the repository"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return path


@pytest.fixture(scope="session", name="stack")
def _stack() -> Iterator[Endpoints]:
    """A provisioned stack: started for this session and stopped after it, or the running one that is named.

    ``GAMMAFLOW_TEST_STACK`` names the directory of a stack that runs (``./run up``); it is left as it is.
    """
    named = os.environ.get("GAMMAFLOW_TEST_STACK")
    if named:
        yield _provisioned(_running(Path(named)))
        return
    with tempfile.TemporaryDirectory(prefix="gammaflow-test-", ignore_cleanup_errors=True) as directory:
        try:
            yield _provisioned(embedded.start(Path(directory), print, die_with_starter=True))
        finally:
            embedded.stop(Path(directory))


@pytest.fixture
def run_id() -> str:
    """A short id no other test has, for topics of its own (``contracts.topics.physical(topic, run_id)``)."""
    return f"t{uuid.uuid4().hex[:10]}"


def _running(directory: Path) -> Endpoints:
    found = {component.name: component for component in embedded.status(directory) if component.state == "running"}
    missing = [name for name in embedded.COMPONENTS if name not in found]
    if missing:
        pytest.fail(f"GAMMAFLOW_TEST_STACK={directory}: {', '.join(missing)} not running there; start it or unset this")
    return embedded.start(directory, print)


def _provisioned(endpoints: Endpoints) -> Endpoints:
    provision(bootstrap_servers=endpoints.bootstrap_servers, registry_url=endpoints.registry_url, run_id="")
    return endpoints
