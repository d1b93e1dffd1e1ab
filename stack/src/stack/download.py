"""One pinned file from a Maven repository: resumed, retried, verified, and only then put in place."""

import errno
import hashlib
import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

_ATTEMPTS = 4
_PAUSE_S = 0.5
_TIMEOUT_S = 30
_CHUNK = 1 << 18
_HOPELESS = (401, 403, 404)
_UNSATISFIABLE = 416
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pin:
    """One file of a Maven repository: its path there, its size in bytes and its SHA-256 in hex."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


class Meter:
    """Says how much has arrived, in steps of a tenth, and ends an abandoned download; thread-safe.

    ``total`` is in bytes; ``add`` raises StackError once ``abandoned()``.
    """

    def __init__(self, title: str, total: int, progress: Progress, abandoned: Callable[[], bool]) -> None:
        self._title, self._total, self._progress, self._abandoned = title, total, progress, abandoned
        self._done = self._said = 0
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        """Count ``size`` bytes."""
        if self._abandoned():
            raise StackError(f"{self._title}: download abandoned; the next start resumes it")
        with self._lock:
            # A server that cannot resume sends again what was counted.
            self._done = min(self._done + size, self._total)
            tenth = 10 * self._done // self._total
            if tenth > self._said:
                self._said = tenth
                self._progress(f"{self._title}: fetched {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: Path, pin: Pin) -> bool:
    """Return whether ``path`` is the pinned file."""
    return path.is_file() and path.stat().st_size == pin.size and digest(path) == pin.sha256


def fetch(pin: Pin, destination: Path, repository: str, meter: Meter) -> None:
    """Put the pinned file at ``destination``; what an earlier attempt or run got, kept in a ``.part`` file, is used.

    Raises:
        StackError: unreachable, not there, not the pinned file, or no room for it.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(destination.name + ".part")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _download(f"{repository}/{pin.path}", part, pin.size, meter)
        except (OSError, http.client.HTTPException) as error:
            if attempt == _ATTEMPTS or _is_hopeless(error, part):
                raise StackError(_why(error, pin, repository, destination)) from error
            time.sleep(_PAUSE_S * attempt)
        else:
            if is_intact(part, pin):
                part.replace(destination)
                return
            part.unlink()
    raise StackError(
        f"{pin.name} from {repository} is not the pinned file (SHA-256 {pin.sha256[:12]}…) in {_ATTEMPTS} attempts: "
        "a proxy may alter it; set GAMMAFLOW_MAVEN_URL to a mirror"
    )


def _download(url: str, part: Path, size: int, meter: Meter) -> None:
    """Fetch what ``part`` lacks.

    Raises:
        http.client.IncompleteRead: the answer ended early.
    """
    start = part.stat().st_size if part.exists() else 0
    if start >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the repository's scheme
        resumed = answer.status == http.client.PARTIAL_CONTENT
        meter.add(start if resumed else 0)
        with part.open("ab" if resumed else "wb") as file:
            # One byte more than pinned is enough to know that it is not the file.
            for chunk in _chunks(answer, size + 1 - (start if resumed else 0)):
                file.write(chunk)
                meter.add(len(chunk))
    if part.stat().st_size < size:
        raise http.client.IncompleteRead(b"", size - part.stat().st_size)


def _chunks(answer: http.client.HTTPResponse, limit: int) -> Iterator[bytes]:
    while limit > 0 and (chunk := answer.read(min(_CHUNK, limit))):
        limit -= len(chunk)
        yield chunk


def _is_hopeless(error: Exception, part: Path) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        if error.code == _UNSATISFIABLE:
            part.unlink()  # what is there is longer than the file; begin anew
        return error.code in _HOPELESS
    return isinstance(error, OSError) and error.errno in _DISK


def _why(error: Exception, pin: Pin, repository: str, destination: Path) -> str:
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"cannot write {destination} ({error.strerror}): make room there, or set GAMMAFLOW_CACHE to a directory"
    reason = str(error) if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", None) or error
    return (
        f"cannot fetch {pin.name} from {repository} ({reason}) and it is not in the cache: connect to the network "
        f"(HTTPS_PROXY is honoured), set GAMMAFLOW_MAVEN_URL to a mirror, or copy the file to {destination}"
    )
