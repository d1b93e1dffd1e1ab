"""What the collector's tests share: payload files, recordings made of them, a writer that keeps entries."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.raw_log import Entry

PAYLOADS = Path(__file__).parent / "payloads"


class KeptEntries:
    """A RawWriter that keeps what it takes; ``room`` is how many it takes before it is full, poll makes room again."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.entries: list[Entry] = []
        self.refused = 0
        self._room = room
        self._free = room

    def offer(self, entry: Entry) -> bool:
        if self._free == 0:
            self.refused += 1
            return False
        self._free -= 1
        self.entries.append(entry)
        return True

    def poll(self, timeout_s: float) -> None:
        self._free = self._room

    def flush(self, timeout_s: float) -> None:
        self.poll(timeout_s)


@pytest.fixture
def kept_entries() -> Callable[..., KeptEntries]:
    return KeptEntries


@pytest.fixture
def payload() -> Callable[[str], bytes]:
    """Reads a payload file by its path below payloads/."""
    return lambda name: (PAYLOADS / name).read_bytes().rstrip(b"\n")


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recording: a payload file, or the text given, gzipped under the name a recording has."""

    def write(name: str, source: str = "", *, text: str | None = None) -> Path:
        path = tmp_path / "recordings" / name
        path.parent.mkdir(exist_ok=True)
        content = (PAYLOADS / "recordings" / source).read_bytes() if text is None else text.encode()
        path.write_bytes(gzip.compress(content))
        return path

    return write
