"""An environment made for the run, for peers that are no dependencies here: Quix Streams wants another Kafka client."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.stream.roster import ROOT

QUIX = "quixstreams==3.28.1"
# The contract's own dependencies, as far as its codecs use them.
CODECS = ("fastavro>=1.13", "httpx2>=2.0")
TIMEOUT_S = 300


class NoEnvironment(Exception):
    """The environment cannot be made; the message says why, in one line."""


def make(directory: Path, packages: Sequence[str] = (QUIX, *CODECS)) -> str:
    """Make an environment with ``packages`` in ``directory`` and return its interpreter.

    Raises NoEnvironment, without network, say.
    """
    uv = _uv()
    interpreter = directory / "bin" / "python"
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(directory)])
    _run([uv, "pip", "install", "--quiet", "--python", str(interpreter), *packages])
    return str(interpreter)


def _uv() -> str:
    ours = ROOT / ".venv" / "bin" / "uv"
    found = str(ours) if ours.exists() else shutil.which("uv")
    if found is None:
        raise NoEnvironment("uv is neither in .venv/bin nor on PATH: run ./run once")
    return found


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise NoEnvironment(f"{command[-1]}: not installed within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["uv said nothing"]
        raise NoEnvironment(f"{command[-1]}: not installed: {said[-1].strip()}")
