"""One market, the connections to it and the schedule of faults, moved together tick by tick. No sockets here."""

from collections.abc import Iterable, Sequence
from typing import Any

from stack.simulator import binance_streams, deribit_channels
from stack.simulator.faults import Fault, FaultError
from stack.simulator.hub import Closing, Hub
from stack.simulator.ladder import Ladder
from stack.simulator.world import VENUES, World

Json = dict[str, Any]
CROSSED_TICKS = 3


class Exchange:
    """The simulator without its sockets."""

    def __init__(self, world: World, schedule: Sequence[Fault] = ()) -> None:
        self.world = world
        self.hub = Hub()
        self._schedule = sorted(schedule, key=lambda f: f.at)
        self._incremental: dict[str, Json] = {}
        self._crossed: list[tuple[int, Ladder]] = []

    @property
    def now_ms(self) -> int:
        """Return the market's time, ms since the epoch."""
        return self.world.now_ms

    def step(self) -> None:
        """Move the market by one tick and send what it brought."""
        self._start_due_faults()
        tick = self.world.step()
        now = tick.now_ms
        self.hub.beat(now)
        wanted = self.hub.wanted("deribit")
        if wanted:
            self.hub.publish("deribit", deribit_channels.messages(self.world, tick, wanted, self._incremental), now)
        for venue in VENUES:
            if self.hub.wanted(venue):
                self.hub.publish(venue, binance_streams.messages(tick, venue, self.hub.wanted(venue)), now)

    def inject(self, faults: Iterable[Fault]) -> list[int]:
        """Start faults now and return their numbers. Raises :class:`FaultError`."""
        faults = list(faults)
        for spec in faults:
            if spec.at:
                raise FaultError(f"at is {spec.at}, must be absent: a fault sent now starts now")
            if spec.instrument is not None:
                self._ladder(spec)
        return [self._start(spec) for spec in faults]

    def _start_due_faults(self) -> None:
        elapsed_s = (self.now_ms - self.world.settings.start_ms) / 1000
        while self._schedule and self._schedule[0].at <= elapsed_s:
            self._start(self._schedule.pop(0))
        for until_ms, ladder in [c for c in self._crossed if c[0] <= self.now_ms]:
            ladder.cross(0)
            self._crossed.remove((until_ms, ladder))

    def _start(self, spec: Fault) -> int:
        running = self.hub.desk.start(spec, self.now_ms)
        if spec.fault == "drop":
            for name in self.hub.drop(spec):
                running.note(self.now_ms, connection=name)
        if spec.fault == "crossed_book":
            ladder = self._ladder(spec)
            ladder.cross(CROSSED_TICKS)
            until_ms = self.now_ms + round(1000 * (spec.duration_s or 1.0))
            self._crossed.append((until_ms, ladder))
            running.note(self.now_ms, instrument=str(spec.instrument), until_ms=str(until_ms))
        return running.number

    def check_schedule(self) -> None:
        """Raise :class:`FaultError` for a scheduled fault that names an unknown instrument."""
        for spec in self._schedule:
            if spec.instrument is not None:
                self._ladder(spec)

    def _ladder(self, spec: Fault) -> Ladder:
        books = {u.perpetual.name: u.perpetual.ladder for u in self.world.underlyings.values()}
        for venue in VENUES:
            if spec.venue == venue:
                books = {u.binance[venue].symbol: u.binance[venue].ladder for u in self.world.underlyings.values()}
        if spec.instrument not in books:
            known = f"one of {', '.join(books)} (venue {spec.venue or 'deribit'})"
            raise FaultError(f"instrument is {spec.instrument!r}, must be {known}")
        return books[spec.instrument]

    def hang_up(self, reason: str) -> None:
        """Ask every connection to close."""
        for connection in self.hub.connections.values():
            connection.end(Closing.CLOSE, reason)
