"""The embedded stack: Kafka, registry and ClickHouse as child processes with everything they own in one directory.

``<directory>/stack.json`` says which processes run on which ports and exists exactly while there may be some;
``<directory>/logs`` holds their output. A pid in the file is believed only if its start mark still fits
(:mod:`stack.process`).
"""

import dataclasses
import fcntl
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stack import clickhouse, kafka, registry
from stack.artifacts import Source
from stack.download import Progress
from stack.errors import StackError
from stack.guard import Guard
from stack.process import LOOPBACK, Identity, Launch, free_ports, port_is_free, spawn, terminate, wait_ready
from stack.state import Record, State

# A broker that was killed looks through its logs first.
_READY_S = 120.0
_ANSWER_S = 10.0
_GRACE_S = 20.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the stack answers; empty for a component that does not run."""

    bootstrap_servers: str = ""
    registry_url: str = ""
    clickhouse_url: str = ""


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """One component of a stack: how it does, its process, its address and its log."""

    name: str
    state: Literal["running", "not answering", "dead"]
    pid: int
    url: str
    log: Path

    @property
    def healthy(self) -> bool:
        """Whether it runs and answers."""
        return self.state == "running"

    def __str__(self) -> str:
        return f"{self.name:12} {self.state:14} pid {self.pid:<8} {self.url}"


@dataclass(frozen=True, slots=True)
class _Component:
    """What a start needs to know of a component; the first of its ports is the one clients use."""

    ports: int
    prepare: Callable[[Path, tuple[int, ...], Source, Progress], Launch]
    serves: Callable[[int], bool]
    url: Callable[[int], str]


_COMPONENTS: Mapping[str, _Component] = {
    "kafka": _Component(2, kafka.prepare, kafka.serves, lambda port: f"{LOOPBACK}:{port}"),
    "registry": _Component(2, registry.prepare, registry.serves, registry.url),
    "clickhouse": _Component(1, clickhouse.prepare, clickhouse.serves, clickhouse.url),
}
COMPONENTS = tuple(_COMPONENTS)

# A guard ends the children when its pipe closes, so the pipe must live as long as this process or the stack.
_guards: dict[Path, Guard] = {}


def start(
    directory: Path,
    progress: Progress,
    *,
    components: Iterable[str] = COMPONENTS,
    die_with_starter: bool = False,
    ports: Mapping[str, int] | None = None,
    source: Source | None = None,
) -> Endpoints:
    """Start what does not run yet of ``components``, all at once, and return when they answer.

    What runs and answers is left alone; what died or hangs is started again on its old ports. With
    ``die_with_starter`` the processes started here end when this one dies, even by SIGKILL; else they stay until
    :func:`stop`. ``ports`` are wishes by component; without one a free port is taken. ``progress`` gets short lines,
    one at a time but from any thread. If a component fails, or on Ctrl-C, everything started here is ended again.

    Raises:
        StackError: unknown component; a wished port is taken; nothing cached and no network; a component ended or did
            not answer in time (with the end of its log); another start or stop is at work in the directory.
    """
    names, wishes = tuple(dict.fromkeys(components)), dict(ports or {})
    _check_names((*names, *wishes))
    directory = _writable(directory.absolute())
    with _locked(directory):
        state = State.read(directory)
        broken = [name for name in names if not _is_serving(name, state.records.get(name), wishes.get(name))]
        if broken:
            old = [state.records[name] for name in broken if name in state.records]
            terminate((record.identity for record in old), grace_s=_GRACE_S)
            chosen = _choose_ports(broken, state, wishes)
            guard = _guard(directory, state) if die_with_starter else None
            _Start(directory, state, guard, source or Source.from_environment(), progress).run(chosen)
        return _endpoints(state)


def stop(directory: Path) -> None:
    """End every process of the stack, all at once and for certain, and return when they are gone; data and logs stay.

    Without a stack there it does nothing.

    Raises:
        StackError: another start or stop is at work in the directory.
    """
    directory = directory.absolute()
    if not directory.is_dir():
        return
    with _locked(directory):
        state = State.read(directory)
        terminate(_identities(state), grace_s=_GRACE_S)
        state.drop(tuple(state.records))
        _release(directory)


def running(directory: Path) -> Endpoints | None:
    """Return where the stack answers, None if none of its processes lives; nothing is asked of them."""
    state = State.read(directory.absolute())
    return _endpoints(state) if any(record.alive for record in state.records.values()) else None


def status(directory: Path) -> tuple[ComponentStatus, ...]:
    """Return how each component that was started and not stopped does; empty if there is no stack."""
    directory = directory.absolute()
    return tuple(
        ComponentStatus(name, _condition(name, record), record.identity.pid, record.url, _log(directory, name))
        for name, record in State.read(directory).records.items()
    )


class _Start:
    """One start of several components, each in its thread; if one fails, all are ended again."""

    def __init__(self, directory: Path, state: State, guard: Guard | None, source: Source, progress: Progress) -> None:
        self._directory, self._state, self._guard = directory, state, guard
        self._abandoned = threading.Event()
        self._source = dataclasses.replace(source, abandoned=self._abandoned.is_set)
        self._progress, self._speaking = progress, threading.Lock()

    def run(self, ports: Mapping[str, tuple[int, ...]]) -> None:
        """Return when all components answer; otherwise raise the first failure when none of them runs any more."""
        try:
            with ThreadPoolExecutor(len(ports)) as pool:
                self._await(pool.submit(self._one, name, chosen) for name, chosen in ports.items())
        except BaseException:
            failed = [self._state.records[name].identity for name in ports if name in self._state.records]
            terminate(failed, grace_s=_GRACE_S)
            self._state.drop(ports)
            if not self._state.records:
                _release(self._directory)
            raise

    def _await(self, futures: Iterable[Future[None]]) -> None:
        try:
            for future in as_completed(list(futures)):
                future.result()
        except BaseException:
            self._abandoned.set()  # the pool's end waits for the others
            raise

    def _one(self, name: str, ports: tuple[int, ...]) -> None:
        component, begun = _COMPONENTS[name], time.monotonic()
        try:
            launch = component.prepare(self._directory / name, ports, self._source, self._say)
        except OSError as error:
            raise StackError(f"{name}: cannot be prepared ({error}): check space and rights there") from error
        if self._abandoned.is_set():
            return

        def register(identity: Identity) -> None:
            self._state.put(name, Record(identity, ports, component.url(ports[0])))
            if self._guard:
                self._guard.watch(identity)

        self._say(f"{name}: starting")
        identity = spawn(launch, register)
        wait_ready(launch, identity, deadline_s=_READY_S, abandoned=self._abandoned.is_set)
        self._say(f"{name}: ready at {component.url(ports[0])} after {time.monotonic() - begun:.1f} s")

    def _say(self, line: str) -> None:
        with self._speaking:
            self._progress(line)


def _writable(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "stack.lock").touch()
    except OSError as error:
        raise StackError(f"cannot write to {directory} ({error.strerror}): name another directory") from error
    return directory


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other starts and stops out; the kernel ends the lock with the process that holds it."""
    with (directory / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"another start or stop is at work in {directory}: wait until it is done") from None
        yield


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name not in _COMPONENTS:
            raise StackError(f"unknown component {name!r}: take one of {', '.join(COMPONENTS)}")


def _is_serving(name: str, record: Record | None, wish: int | None) -> bool:
    """Return whether the component runs and answers; one that is busy gets some seconds for it."""
    if record is None or not record.alive:
        return False
    if wish not in (None, record.ports[0]):
        raise StackError(f"{name} already runs on port {record.ports[0]}, not {wish}: stop the stack first")
    end = time.monotonic() + _ANSWER_S
    while record.alive and time.monotonic() < end:
        if _COMPONENTS[name].serves(record.ports[0]):
            return True
        time.sleep(0.2)
    return False


def _choose_ports(names: Iterable[str], state: State, wishes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return ports by component: the wished one, else those it had (its clients know them), else free ones."""
    chosen: dict[str, tuple[int, ...]] = {}
    for name in names:
        wish, old = wishes.get(name), state.records.get(name)
        if wish is not None and not port_is_free(wish):
            raise StackError(f"port {wish} wished for {name} is taken on {LOOPBACK}: choose another or end its program")
        if wish is None and old and all(map(port_is_free, old.ports)):
            chosen[name] = old.ports
        else:
            chosen[name] = (wish,) if wish is not None else ()
    taken = {*wishes.values(), *(port for ports in chosen.values() for port in ports)}
    spare = iter(free_ports(sum(_COMPONENTS[name].ports for name in chosen), avoid=taken))
    for name, ports in chosen.items():
        chosen[name] = ports + tuple(itertools.islice(spare, _COMPONENTS[name].ports - len(ports)))
    return chosen


def _guard(directory: Path, state: State) -> Guard:
    if directory in _guards and _guards[directory].alive:
        return _guards[directory]
    guard = _guards[directory] = Guard(_log(directory, "stack-guard"))
    state.guard = guard.identity
    return guard


def _release(directory: Path) -> None:
    if directory in _guards:
        _guards.pop(directory).close()


def _identities(state: State) -> list[Identity]:
    return [record.identity for record in state.records.values()] + ([state.guard] if state.guard else [])


def _condition(name: str, record: Record) -> Literal["running", "not answering", "dead"]:
    if not record.alive:
        return "dead"
    return "running" if _COMPONENTS[name].serves(record.ports[0]) else "not answering"


def _endpoints(state: State) -> Endpoints:
    url = {name: record.url for name, record in state.records.items() if record.alive}
    return Endpoints(url.get("kafka", ""), url.get("registry", ""), url.get("clickhouse", ""))


def _log(directory: Path, name: str) -> Path:
    return directory / "logs" / f"{name}.log"
