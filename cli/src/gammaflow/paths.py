"""Where things are: the repository, and the directories that hold a running or finished stack."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Tests and second checkouts keep their state apart.
STATE = Path(os.environ.get("GAMMAFLOW_STATE") or ROOT / ".gammaflow").absolute()
UP = STATE / "up"
DEMO = STATE / "demo"


def current() -> Path:
    """Return the directory the last ``up`` or ``demo`` used: ``sql``, ``topics`` and ``status`` look there."""
    stacks = [directory for directory in (UP, DEMO) if directory.exists()]
    running = [directory for directory in stacks if (directory / "stack.json").exists()]
    return max(running or stacks or [UP], key=lambda directory: directory.stat().st_mtime if directory.exists() else 0)
