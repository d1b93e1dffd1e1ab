"""The heartbeat file: one line of JSON that a probe reads; its age says whether the loop still turns."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEARTBEAT_INTERVAL_S = 1.0


def write(path: Path, beat: Mapping[str, Any]) -> None:
    """Replace the file at once, so that a reader never sees half of it."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(beat, sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(path)
