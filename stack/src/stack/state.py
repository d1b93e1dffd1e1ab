"""``stack.json``: which processes a stack consists of. Replaced whole at every change: no reader sees half."""

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stack.errors import StackError
from stack.process import Identity, alive

FILE = "stack.json"


@dataclass(frozen=True, slots=True)
class Record:
    """A started component: its process, its ports (the first is the one clients use) and its address."""

    identity: Identity
    ports: tuple[int, ...]
    url: str

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return alive(self.identity)


@dataclass(slots=True)
class State:
    """The records of one directory, on disk after every change; may be changed from several threads."""

    directory: Path
    records: dict[str, Record] = field(default_factory=dict)
    guard: Identity | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def read(cls, directory: Path) -> "State":
        """Return the state written there, an empty one if there is none.

        Raises:
            StackError: the file is not one this module wrote.
        """
        path = directory / FILE
        if not path.exists():
            return cls(directory)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            records = {name: _record(entry) for name, entry in content["components"].items()}
            guard = content["guard"]
            return cls(directory, records, Identity(**guard) if guard else None)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StackError(
                f"{path} is damaged ({error}): end the java and stack.bridge processes of {directory}, then delete it"
            ) from error

    def put(self, name: str, record: Record) -> None:
        """Record a component."""
        with self._lock:
            self.records[name] = record
            self._write()

    def drop(self, names: Iterable[str]) -> None:
        """Forget components; without any left the file goes, too."""
        with self._lock:
            for name in tuple(names):
                self.records.pop(name, None)
            self._write()

    def _write(self) -> None:
        path = self.directory / FILE
        if not self.records:
            path.unlink(missing_ok=True)
            return
        content = {
            "components": {name: asdict(record) for name, record in self.records.items()},
            "guard": asdict(self.guard) if self.guard else None,
        }
        fresh = path.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)


def _record(entry: Mapping[str, object]) -> Record:
    identity, ports = entry["identity"], entry["ports"]
    if not isinstance(identity, dict) or not isinstance(ports, list):
        raise TypeError("a component needs an identity and ports")
    return Record(Identity(**identity), tuple(ports), str(entry["url"]))
