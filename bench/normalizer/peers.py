"""Peers in environments made for the run: cryptofeed (PyPI), tardis-dev (npm). One that cannot be had has no figure."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.normalizer.book_check import digest
from bench.normalizer.cryptofeed_book import PACKAGE
from bench.normalizer.in_memory import Figure
from bench.stream import isolation
from bench.stream.roster import ROOT

TARDIS: Final = "tardis-dev@13.35.3"
TIMEOUT_S: Final = 600


class NoFigure(Exception):
    """A peer cannot be had or fails; the message says why, in one line."""


def cryptofeed(feed: Path, directory: Path, repeats: int) -> Figure:
    """Time cryptofeed's book. Raises NoFigure."""
    try:
        interpreter = isolation.make(directory / "cryptofeed", [PACKAGE])
    except isolation.NoEnvironment as error:
        raise NoFigure(str(error)) from error
    found = _run([interpreter, "-m", "bench.normalizer.cryptofeed_book", str(feed), str(repeats)], ROOT)
    return Figure(**found)


def tardis(feed: Path, directory: Path, repeats: int) -> Figure:
    """Time tardis-dev's mapper and order book. Raises NoFigure."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NoFigure("node and npm are not on PATH: install Node.js 18 or newer")
    home = directory / "tardis"
    home.mkdir()
    (home / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    _call([npm, "install", "--silent", "--no-audit", "--no-fund", TARDIS], home)
    script = ROOT / "bench" / "normalizer" / "tardis_book.js"
    found = _run([node, str(script), str(feed), str(repeats)], home)
    levels = [[(price, size) for price, size in found.pop(side)] for side in ("bids", "asks")]
    return Figure(**found, book=digest(*levels))


def _run(command: Sequence[str], directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_call(command, directory).splitlines()[-1])
    return found


def _call(command: Sequence[str], directory: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise NoFigure(f"{Path(command[0]).name}: not done within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise NoFigure(f"{Path(command[0]).name} ended with code {done.returncode}: {said[-1].strip()}")
    return done.stdout
