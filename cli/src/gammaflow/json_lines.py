"""Records of topics as files of JSON lines: ``<topic>.jsonl``, a line ``{"key", "timestamp_ms", "record"}`` each."""

import base64
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson

from contracts.records import to_dict
from contracts.wire import Codecs
from streamkit.broker import Outgoing


class JsonLines:
    """A file per topic in ``directory``; one that has its name is replaced once all are whole, not before.

    ``record`` is null for a tombstone; bytes (of a dead letter) are text in base64. ``counts`` is by topic.
    """

    def __init__(self, directory: Path, topics: Iterable[str], codecs: Codecs) -> None:
        self.counts: Counter[str] = Counter()
        self._codecs = codecs
        self._paths = {topic: directory / f"{topic}.jsonl" for topic in topics}
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> Self:
        for topic, path in self._paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files[topic] = _partial(path).open("wb")
            self.counts[topic] = 0
        return self

    def write(self, item: Outgoing) -> None:
        """Append one output to the file of its topic."""
        record = None if item.value is None else to_dict(self._codecs.decode(item.topic, item.value))
        line = {"key": None if item.key is None else item.key.decode(), "timestamp_ms": item.timestamp_ms}
        text = orjson.dumps({**line, "record": record}, default=_plain, option=orjson.OPT_APPEND_NEWLINE)
        self._files[item.topic].write(text)
        self.counts[item.topic] += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        for path in self._paths.values():
            if kind is None:
                _partial(path).replace(path)
            else:
                _partial(path).unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
