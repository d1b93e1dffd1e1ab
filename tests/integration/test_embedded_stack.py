"""The embedded stack as its users see it: it keeps what it acknowledged, refuses what it should, and leaves nothing."""

import pytest

from stack.embedded import Endpoints

pytestmark = pytest.mark.integration


def test_first(stack: Endpoints) -> None:
    assert stack.bootstrap_servers
