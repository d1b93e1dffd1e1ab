"""Where archive files lie: any file system fsspec knows (``file``, ``memory``; ``s3`` with the package s3fs)."""

from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import fsspec  # type: ignore[import-untyped]  # ships no types

from collector.archive.container import NotAContainer, read_container
from collector.archive.layout import UNFINISHED, ArchiveFile, recognise
from contracts.records import RawMessage


class ArchiveError(Exception):
    """An archive that cannot be opened, read or written; the message names the place and the remedy."""


class Store:
    """The archive below ``url``: a folder, or ``<protocol>://<place>``."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ArchiveError(f"archive {url!r}: {error}; name a folder or <protocol>://<place>") from error
        self._root = str(root).rstrip("/")
        if url.partition("://")[2] == "" and "://" in url:
            raise ArchiveError(f"archive {url!r} names no place; name a folder or <protocol>://<place>")

    def files(self) -> list[ArchiveFile]:
        """Return all finished files, by topic, partition and offset."""
        try:
            found = self._files.find(self._root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed(self._root, "cannot be listed", error) from error
        return sorted(file for path in found if (file := recognise(str(path))) is not None)

    def put(self, name: str, content: BinaryIO) -> int:
        """Store ``content`` as ``name``, whole or not at all; returns its size in bytes."""
        path, size = f"{self._root}/{name}", 0
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            with self._files.open(path + UNFINISHED, "wb") as out:
                while piece := content.read(1 << 20):
                    size += len(piece)
                    out.write(piece)
            self._files.mv(path + UNFINISHED, path)
        except OSError as error:
            raise self._failed(path, "cannot be written", error) from error
        return size

    def read(self, file: ArchiveFile) -> Iterator[RawMessage]:
        """Yield the records of a file in their order; ArchiveError if it is damaged or not what its name says."""
        count = 0
        try:
            with self._files.open(file.path, "rb") as content:
                for record in read_container(cast("BinaryIO", content)):
                    count += 1
                    yield record
        except (OSError, NotAContainer) as error:
            raise self._failed(file.path, "cannot be read", error) from error
        if count != file.last - file.first + 1:
            problem: Any = f"{count} records, {file.last - file.first + 1} by its name"
            raise self._failed(file.path, "is damaged", problem)

    def _failed(self, path: str, what: str, error: object) -> ArchiveError:
        return ArchiveError(f"{path}: {what} ({error}); restore it, or record into another place")
