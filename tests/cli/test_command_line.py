"""Bad input at the command line: one clear line with the remedy, exit code 2, never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

MISTAKES = {
    "missing path": (("demo", "--source", "recorded", "--path", "no/such/folder"), "no such folder"),
    "no path": (("demo", "--source", "recorded"), "needs --path"),
    "path without recordings": (("demo", "--source", "recorded", "--path", "{tmp}"), "no recordings found"),
    "endless source with --once": (("demo", "--source", "sim", "--once"), "give --seconds"),
    "no time": (("demo", "--source", "sim", "--seconds", "0"), "must be above 0"),
    "unknown benchmark": (("bench", "nothing"), "choose one of"),
    "no data yet": (("sql", "SELECT 1"), "there is no data yet"),
    "no stack": (("topics",), "the stack is not running"),
    "nothing to record from": (("record", "{tmp}"), "the stack is not running"),
    "unknown log": (("logs", "nothing"), "choose one of"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_with_the_remedy(mistake: str, tmp_path: Path) -> None:
    """Exit code 2 and one line on standard error."""
    arguments, expected = MISTAKES[mistake]
    command = [sys.executable, "-m", "gammaflow", *(part.format(tmp=tmp_path) for part in arguments)]
    environment = {"GAMMAFLOW_STATE": str(tmp_path / "state"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("gammaflow: ")
    assert expected in done.stderr


def test_help_lists_every_command() -> None:
    """`./run --help` is the table of contents."""
    done = subprocess.run([sys.executable, "-m", "gammaflow", "--help"], capture_output=True, text=True, check=True)
    for name in ("demo", "test", "check", "up", "down", "status", "logs", "sql", "topics", "record", "doctor", "bench"):
        assert f"    {name} " in done.stdout


def test_what_follows_test_goes_to_pytest() -> None:
    """Options, too: `./run test --version` is pytest's."""
    command = [sys.executable, "-m", "gammaflow", "test", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "pytest" in done.stdout + done.stderr


def test_an_unknown_argument_is_refused() -> None:
    """Only commands that pass arguments on take what they do not know."""
    command = [sys.executable, "-m", "gammaflow", "status", "--nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unrecognized arguments: --nothing" in done.stderr
