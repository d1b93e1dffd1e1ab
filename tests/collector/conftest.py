"""What the collector's tests share: payload files, recordings made of them, a writer that keeps entries."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collector.dialect import Dialect
from collector.events import (
    Action,
    Answered,
    Close,
    Connected,
    Event,
    Fetch,
    Frame,
    Publish,
    Request,
    Send,
    Session,
    Tick,
)
from collector.raw_log import Entry
from collector.topic_session import TopicSession
from contracts.provision import provision
from stack import embedded
from stack.embedded import Endpoints

PAYLOADS = Path(__file__).parent / "payloads"
SECOND = 1_000_000
START = 1_795_000_000 * SECOND


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


@contextmanager
def started_broker(directory: Path) -> Iterator[Endpoints]:
    """A broker and a registry with our topics, all empty."""
    try:
        made = embedded.start(directory, print, components=("kafka", "registry"), die_with_starter=True)
        provision(bootstrap_servers=made.bootstrap_servers, registry_url=made.registry_url)
        yield made
    finally:
        embedded.stop(directory)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A stack of this module's own: the raw topics must be empty."""
    with started_broker(tmp_path_factory.mktemp("stack")) as made:
        yield made


@pytest.fixture(scope="module")
def other_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Another one, to play into what was recorded from the first."""
    with started_broker(tmp_path_factory.mktemp("other")) as made:
        yield made


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


@dataclass
class Driven:
    """A session driven in time; keeps every action."""

    session: Session
    now: int = START
    actions: list[Action] = field(default_factory=list)

    def feed(self, event: Event) -> list[Action]:
        actions = self.session.handle(self.now, event)
        self.actions += actions
        return actions

    def after(self, seconds: float, event: Event) -> list[Action]:
        self.now += round(seconds * SECOND)
        return self.feed(event)

    def settle(self, ack: Callable[[str], list[bytes]], *answers: tuple[str, bytes]) -> None:
        """Connect, answer each listing (by a part of its request) and every subscribe call; then forget the actions."""
        sent = self.feed(Connected())
        for action in sent:
            if isinstance(action, Fetch):
                for part, body in answers:
                    if part in f"{action.request.path}?{action.request.params}":
                        sent = [*sent, *self.feed(Answered(action.request, body))]
        while any(isinstance(action, Send) for action in sent):
            sent = self.talk(ack, sent)
        self.actions.clear()

    def talk(self, answer: Callable[[str], list[bytes]], sent: list[Action], *, seconds: int = 1) -> list[Action]:
        """Answer what was sent, second after second, and return what the last second led to."""
        for _ in range(seconds):
            texts = [action.text for action in sent if isinstance(action, Send)]
            sent = [got for text in texts for body in answer(text) for got in self.feed(Frame(body))]
            sent += self.after(1.0, Tick())
        return sent

    def published(self, kind: str) -> list[Publish]:
        return [action for action in self.actions if isinstance(action, Publish) and action.kind == kind]

    def sent(self) -> list[str]:
        return [action.text for action in self.actions if isinstance(action, Send)]

    def fetched(self) -> list[Request]:
        return [action.request for action in self.actions if isinstance(action, Fetch)]

    def closes(self) -> list[str]:
        return [action.reason for action in self.actions if isinstance(action, Close)]


@pytest.fixture
def drive() -> Callable[[Dialect, tuple[str, ...]], Driven]:
    """Makes a session of a dialect, stale after 20 s and a channel silent after 60 s, and drives it."""

    def make(dialect: Dialect, underlyings: tuple[str, ...]) -> Driven:
        return Driven(TopicSession(dialect, underlyings, stale_after_us=20 * SECOND, silent_after_us=60 * SECOND))

    return make
