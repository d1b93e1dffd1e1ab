"""Faults a venue can have: how they are written down, and what each does to the frames that pass.

A fault is a JSON object: ``fault`` names its kind, ``at`` (schedule files only) the second since the start, the rest
are the fields of :class:`Fault`. Everything a fault did is kept for the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stack.simulator.deribit_channels import Frame

Json = dict[str, Any]
VENUES = ("deribit", "usdm", "spot")
KINDS: Mapping[str, str] = {
    "drop": "cut connections without a close frame",
    "skip": "lose the next `count` book messages, so that a sequence number is missing",
    "silence": "send nothing for `duration_s` (absent: forever) on `channel`, or at all, and keep TCP open",
    "malformed": "cut the next `count` frames in half",
    "unknown_fields": "add unknown fields to the next `count` frames",
    "oversize": "blow the next `count` frames up to `size_bytes` with an unknown field",
    "duplicate_trade": "send the next `count` trade messages twice",
    "late_trade": "hold the next `count` trade messages back for `delay_s`",
    "refuse_rest": "answer REST with `status` for `duration_s` (absent: forever)",
    "crossed_book": "hold `instrument`'s best bid above its best ask for `duration_s`",
    "deaf_subscription": "acknowledge the next `count` subscriptions and never send on them",
}
MAX_SIZE = 64_000_000
MAX_EFFECTS = 1000
MAX_ACTIVE = 1000
_REFUSALS = (418, 429, 500, 502, 503)
_BOOK, _TRADE = ("book.*", "*@depth*"), ("trades.*", "*@trade", "*@aggTrade")
_CHANNELS: Mapping[str, tuple[str, ...]] = {"skip": _BOOK, "duplicate_trade": _TRADE, "late_trade": _TRADE}


class FaultError(ValueError):
    """A fault that cannot be: the message names field, value and remedy."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``venue``, ``connection`` and ``channel`` (a glob) narrow it; null means any."""

    fault: str
    venue: str | None = None
    connection: str | None = None
    channel: str | None = None
    instrument: str | None = None
    count: int = 1
    duration_s: float | None = None
    delay_s: float = 5.0
    status: int = 503
    size_bytes: int = 10_000_000
    at: float = 0.0

    def __post_init__(self) -> None:
        _check("fault", self.fault, self.fault in KINDS, f"one of {', '.join(KINDS)}")
        _check("venue", self.venue, self.venue in (None, *VENUES), f"one of {', '.join(VENUES)}")
        _check("count", self.count, 1 <= self.count <= 1_000_000, "1 to 1000000")
        _check("duration_s", self.duration_s, self.duration_s is None or self.duration_s > 0, "above 0 or absent")
        _check("delay_s", self.delay_s, 0 < self.delay_s <= 3600, "above 0 and at most 3600")
        _check("status", self.status, self.status in _REFUSALS, f"one of {_REFUSALS}")
        _check("size_bytes", self.size_bytes, 1000 <= self.size_bytes <= MAX_SIZE, f"1000 to {MAX_SIZE}")
        _check("at", self.at, self.at >= 0, "0 or more seconds")
        _check("instrument", self.instrument, self.instrument or self.fault != "crossed_book", "an instrument's name")

    def meets(self, venue: str, connection: str, channel: str) -> bool:
        """Tell whether a frame of ``channel`` on ``connection`` is this fault's business; "" is no channel."""
        if (self.venue or venue) != venue or (self.connection or connection) != connection:
            return False
        globs = _CHANNELS.get(self.fault)
        if globs and not any(fnmatchcase(channel, g) for g in globs):
            return False
        return self.channel is None or fnmatchcase(channel, self.channel)


def _check(field: str, value: object, holds: object, wanted: str) -> None:
    if not holds:
        raise FaultError(f"{field} is {value!r}, must be {wanted}")


def parse(document: object) -> list[Fault]:
    """Return the faults of a JSON document: one object or a list. Raises :class:`FaultError`."""
    entries = document if isinstance(document, list) else [document]
    if len(entries) > MAX_ACTIVE:
        raise FaultError(f"faults: {len(entries)} are too many, at most {MAX_ACTIVE}")
    return [_parse_one(entry) for entry in entries]


def _parse_one(entry: object) -> Fault:
    if not isinstance(entry, dict):
        raise FaultError(f"a fault is {entry!r}, must be an object with a field fault")
    types = {f.name: getattr(f.type, "__name__", str(f.type)) for f in fields(Fault)}
    for name, value in entry.items():
        if name not in types:
            raise FaultError(f"{name} is unknown, fields are {', '.join(types)}")
        _check(name, value, _fits(value, types[name]), types[name].replace(" | None", ""))
    if "fault" not in entry:
        raise FaultError(f"fault is missing, must be one of {', '.join(KINDS)}")
    return Fault(**entry)


def _fits(value: object, kind: str) -> bool:
    if value is None:
        return "None" in kind
    if "str" in kind:
        return isinstance(value, str)
    return isinstance(value, int | float if "float" in kind else int) and not isinstance(value, bool)


def read_schedule(file: Path) -> list[Fault]:
    """Read a JSON list of faults, each with ``at`` in seconds since the start. Raises :class:`FaultError`."""
    try:
        document = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise FaultError(f"{file}: is not JSON ({error})") from error
    try:
        return parse(document)
    except FaultError as error:
        raise FaultError(f"{file}: {error}") from error


class Held(NamedTuple):
    """A frame held back until ``due_ms``."""

    due_ms: int
    connection: str
    frame: Frame


@dataclass(slots=True)
class Running:
    """A fault at work: ``left`` uses, ``until_ms`` None without end, ``effects`` what it did."""

    number: int
    spec: Fault
    since_ms: int
    until_ms: int | None
    left: int
    total: int
    effects: list[Json]

    def note(self, now_ms: int, **what: str) -> None:
        """Record an effect; the list is bounded, ``total`` is not."""
        self.total += 1
        if len(self.effects) < MAX_EFFECTS:
            self.effects.append({"at_ms": now_ms} | what)

    def record(self) -> Json:
        """Return the ledger's entry."""
        times = {"number": self.number, "since_ms": self.since_ms, "until_ms": self.until_ms}
        return times | asdict(self.spec) | {"total": self.total, "effects": self.effects}


class FaultDesk:
    """All faults of a run: passes frames through the active ones. Times are the market's, ms."""

    def __init__(self) -> None:
        self.history: list[Running] = []
        self._active: list[Running] = []
        self._held: list[Held] = []

    def start(self, spec: Fault, now_ms: int) -> Running:
        """Activate a fault. Raises :class:`FaultError` when too many are active."""
        if len(self._active) >= MAX_ACTIVE:
            raise FaultError(f"faults: {MAX_ACTIVE} are active already; wait until some end")
        until = None if spec.duration_s is None else now_ms + round(1000 * spec.duration_s)
        running = Running(len(self.history) + 1, spec, now_ms, until, spec.count, 0, [])
        self.history.append(running)
        if spec.fault not in ("drop", "crossed_book"):
            self._active.append(running)
        return running

    def expire(self, now_ms: int) -> None:
        """End the faults whose time or uses are over."""
        if self._active:
            self._active = [r for r in self._active if r.left > 0 and (r.until_ms is None or now_ms < r.until_ms)]

    def due(self, now_ms: int) -> list[Held]:
        """Return, and forget, the frames whose delay is over."""
        if not self._held:
            return []
        ready = [h for h in self._held if h.due_ms <= now_ms]
        self._held = [h for h in self._held if h.due_ms > now_ms]
        return ready

    def pass_on(self, venue: str, connection: str, frame: Frame, now_ms: int) -> Sequence[bytes]:
        """Return what really goes out instead of ``frame``."""
        bodies: list[bytes] = [frame.body]
        for running in self._active:
            kind = running.spec.fault
            if running.left <= 0 or not bodies or not running.spec.meets(venue, connection, frame.channel):
                continue
            if kind == "silence":
                bodies = []
            elif kind in _REWRITES and frame.channel:
                bodies = _REWRITES[kind](running.spec, bodies)
                running.left -= 1
            elif kind == "late_trade":
                self._held.append(Held(now_ms + round(1000 * running.spec.delay_s), connection, frame))
                bodies = []
                running.left -= 1
            else:
                continue
            running.note(now_ms, connection=connection, channel=frame.channel, last_id=frame.last_id)
        return bodies

    def deafens(self, venue: str, connection: str, channel: str, now_ms: int) -> bool:
        """Tell whether a new subscription is to be acknowledged but never served."""
        for running in self._active:
            usable = running.spec.fault == "deaf_subscription" and running.left > 0
            if usable and running.spec.meets(venue, connection, channel):
                running.left -= 1
                running.note(now_ms, connection=connection, channel=channel)
                return True
        return False

    def refusal(self, venue: str, path: str, now_ms: int) -> int | None:
        """Return the HTTP status with which REST is refused now, if it is."""
        self.expire(now_ms)
        for running in self._active:
            if running.spec.fault == "refuse_rest" and running.spec.meets(venue, running.spec.connection or "", path):
                running.note(now_ms, path=path)
                return running.spec.status
        return None


def _halved(_spec: Fault, bodies: list[bytes]) -> list[bytes]:
    return [body[: len(body) // 2] for body in bodies]


def _with_unknown_fields(_spec: Fault, bodies: list[bytes]) -> list[bytes]:
    members = b'"zz_unknown":{"nested":[1,null,"x"]},'
    return [b"{" + members + b[1:].replace(b'"data":{', b'"data":{' + members, 1) for b in bodies]


def _oversized(spec: Fault, bodies: list[bytes]) -> list[bytes]:
    head, tail = b'{"zz_padding":"', b'",'
    return [head + b"x" * (spec.size_bytes - len(b) + 1 - len(head) - len(tail)) + tail + b[1:] for b in bodies]


def _twice(_spec: Fault, bodies: list[bytes]) -> list[bytes]:
    return bodies * 2


def _lost(_spec: Fault, _bodies: list[bytes]) -> list[bytes]:
    return []


_REWRITES = {
    "skip": _lost,
    "malformed": _halved,
    "unknown_fields": _with_unknown_fields,
    "oversize": _oversized,
    "duplicate_trade": _twice,
}
