"""Runs `./run` as a user does: a process of its own, state in a directory of its own."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def gammaflow(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs one command line; all calls of a module share the state directory."""
    state = tmp_path_factory.mktemp("state")

    def run(*arguments: str, timeout_s: float = 280) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "GAMMAFLOW_STATE": str(state), "COLUMNS": "200"}
        command = [str(ROOT / "run"), *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT
        )

    return run


@pytest.fixture(scope="module")
def query(gammaflow: Run) -> Callable[[str], list[list[str]]]:
    """Return a function that asks `./run sql` and returns rows of text."""

    def ask(sql: str) -> list[list[str]]:
        done = gammaflow("sql", sql, "--format", "TSV")
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    return ask
