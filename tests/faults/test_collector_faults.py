"""The live collector against the venue simulator over real sockets: each fault leaves its record and is resynced.

The simulator's ledger says what it sent on each channel; the raw log must hold every frame of it, once.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from collector.link import VenueRefused
from collector.live_log import LiveLog
from collector.live_source import run_live_source
from collector.raw_log import LARGEST_FRAME_BYTES, Entry, RawLog
from collector.receive_clock import ReceiveClock
from collector.settings import Settings
from contracts.records import RawMessage
from stack.simulator.exchange import Exchange
from stack.simulator.faults import Fault
from stack.simulator.server import Server
from stack.simulator.world import MarketSettings, World

pytestmark = pytest.mark.faults

START_MS = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1000)
VENUES = {"deribit": "deribit", "usdm": "binance-usdm", "spot": "binance-spot"}
PATIENCE_S = 30.0
MARKET = MarketSettings(seed=7, start_ms=START_MS, underlyings=("BTC",), options=40, option_orders_s=5.0)


@dataclass
class Raw:
    """A RawWriter that keeps what it takes, unless told to be full."""

    entries: list[Entry] = field(default_factory=list)
    full: bool = False

    def offer(self, entry: Entry) -> bool:
        if not self.full:
            self.entries.append(entry)
        return not self.full

    def poll(self, timeout_s: float) -> None:
        """There is nothing to acknowledge."""

    def flush(self, timeout_s: float) -> None:
        """There is nothing to wait for."""


@dataclass
class Run:
    """A simulator and a collector connected to it."""

    exchange: Exchange
    raw: Raw

    def records(self, kind: str, venue: str = "deribit") -> list[RawMessage]:
        return [e.record for e in self.raw.entries if e.record.kind == kind and e.record.venue == venue]

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        """Wait for ``holds``; a state that does not come in 30 s fails the test."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not holds():
            assert asyncio.get_running_loop().time() < deadline, f"waited {PATIENCE_S:g} s for {what}"
            await asyncio.sleep(0.05)

    async def in_step(self) -> None:
        """Wait until every venue's books and tickers flow."""
        for venue, channel in (
            ("deribit", "ticker.BTC-PERPETUAL.100ms"),
            ("deribit", "book.BTC-PERPETUAL.100ms"),
            ("binance-usdm", "btcusdt@depth@100ms"),
            ("binance-spot", "btcusdt@depth@100ms"),
        ):
            await self.until(lambda v=venue, c=channel: self.frames(v, c), f"{channel} of {venue}")
        for venue in ("binance-usdm", "binance-spot"):
            await self.until(lambda v=venue: self.records("snapshot", v), f"a snapshot of {venue}")

    def frames(self, venue: str, channel: str) -> list[RawMessage]:
        return [record for record in self.records("message", venue) if record.channel == channel]

    def missing(self) -> Counter[tuple[str, str]]:
        """Frames the simulator sent, by venue and channel, less those in the raw log."""
        sent: Counter[tuple[str, str]] = Counter()
        for connection in self.exchange.hub.ledger()["connections"]:
            for channel, count in connection["channels"].items():
                sent[VENUES[connection["venue"]], channel] += count["frames"]
        kept = Counter((r.venue, r.channel) for v in VENUES.values() for r in self.records("message", v))
        sent.subtract(kept)
        return Counter({key: count for key, count in sent.items() if count})


@asynccontextmanager
async def running(schedule: Sequence[Fault] = (), **settings: Any) -> AsyncIterator[Run]:
    """Start both; at the end the collector is stopped first, in good order."""
    exchange = Exchange(World(MARKET), schedule)
    server, ending, stopped = Server(exchange), asyncio.Event(), asyncio.Event()
    port = await server.listen(0)
    market = asyncio.create_task(server.run(ending))
    run = Run(exchange, Raw())
    collecting = asyncio.create_task(_collect(port, run.raw, stopped, settings))
    try:
        yield run
    finally:
        stopped.set()
        try:
            await asyncio.wait_for(collecting, PATIENCE_S)
        finally:
            ending.set()
            await market
            await server.close()


async def _collect(port: int, raw: Raw, stopped: asyncio.Event, changed: dict[str, Any]) -> None:
    web, http = f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}"
    settings = Settings.model_validate(
        {
            "GAMMAFLOW_BOOTSTRAP_SERVERS": "unused",
            "GAMMAFLOW_REGISTRY_URL": "http://unused",
            "underlyings": "BTC",
            "deribit_ws_url": f"{web}/deribit/ws/api/v2",
            "deribit_rest_url": f"{http}/deribit/api/v2",
            "binance_usdm_ws_url": f"{web}/usdm/public",
            "binance_usdm_rest_url": f"{http}/usdm",
            "binance_spot_ws_url": f"{web}/spot",
            "binance_spot_rest_url": f"{http}/spot",
            "reconnect_base_s": 0.05,
            **changed,
        }
    )
    clock = ReceiveClock()
    log = LiveLog(RawLog(settings.venues), raw, clock)
    await run_live_source(settings, log, clock=clock, stopped=stopped.is_set, report=lambda _: None)


def played(scenario: Callable[[Run], Any], schedule: Sequence[Fault] = (), **settings: Any) -> Run:
    """Run a scenario and return what is left when all has been stopped."""

    async def play() -> Run:
        async with running(schedule, **settings) as run:
            await run.in_step()
            await scenario(run)
        return run

    return asyncio.run(play())


def kinds_of(run: Run, *wanted: str, venue: str = "deribit") -> list[str]:
    return [e.record.kind for e in run.raw.entries if e.record.venue == venue and e.record.kind in wanted]


async def a_while(run: Run) -> None:
    await asyncio.sleep(2.0)


def test_without_faults_every_frame_sent_is_in_the_raw_log_once() -> None:
    run = played(a_while)

    assert not run.missing()
    for venue in VENUES.values():
        assert kinds_of(run, "connect", "disconnect", "gap", venue=venue)[0] == "connect"
        assert run.records("gap", venue) == []
    numbers = defaultdict(list)
    for entry in run.raw.entries:
        numbers[entry.record.conn_id].append(entry.record.seq)
    assert set(numbers) >= {"deribit-0", "binance-usdm-0", "binance-usdm-1", "binance-spot-0"}
    assert all(found == list(range(len(found))) for found in numbers.values()), "a hole in seq is a loss"


def test_every_listed_instrument_is_followed_and_every_partition_gets_its_second_closed() -> None:
    run = played(a_while)

    underlying = run.exchange.world.underlyings["BTC"]
    listed = {*underlying.board.row, *underlying.futures.quotes, underlying.perpetual.name}
    assert {r.instrument for r in run.records("message") if r.channel.startswith("ticker.")} == listed
    seconds = defaultdict(set)
    for entry in run.raw.entries:
        seconds[entry.topic, entry.partition].add(entry.record.received_ts // 1_000_000)
    assert len(seconds) == 12
    assert len({(min(found), max(found)) for found in seconds.values()}) <= 2
    assert all(len(found) == max(found) - min(found) + 1 for found in seconds.values()), "a second without a record"


def test_a_dropped_connection_is_recorded_and_everything_is_subscribed_again() -> None:
    async def drop(run: Run) -> None:
        run.exchange.inject([Fault("drop", venue="deribit")])
        await run.until(lambda: len(run.records("connect")) == 2, "the reconnect")
        again = len(run.raw.entries)
        for start in ("ticker.", "book.", "rest:get_instruments"):
            await run.until(lambda s=start: any(e.record.channel.startswith(s) for e in run.raw.entries[again:]), start)

    run = played(drop)

    assert kinds_of(run, "connect", "disconnect") == ["connect", "disconnect", "connect", "disconnect"]
    assert b"connection lost" in run.records("disconnect")[0].payload
    assert kinds_of(run, "connect", "disconnect", venue="binance-spot") == ["connect", "disconnect"]
    assert {venue for venue, _ in run.missing()} <= {"deribit"}, "only what was under way when it was cut"


@pytest.mark.parametrize(
    ("venue", "instrument", "resync"),
    [("deribit", "BTC-PERPETUAL", "message"), ("usdm", "BTCUSDT", "snapshot"), ("spot", "BTCUSDT", "snapshot")],
)
def test_a_hole_in_a_books_sequence_is_recorded_and_that_book_resynced(
    venue: str, instrument: str, resync: str
) -> None:
    name = VENUES[venue]

    def resynced(run: Run) -> bool:
        records = [e.record for e in run.raw.entries if e.record.venue == name and e.record.instrument == instrument]
        gap = next((n for n, record in enumerate(records) if record.kind == "gap"), len(records))
        return any(r.kind == resync and (resync == "snapshot" or b'"snapshot"' in r.payload) for r in records[gap:])

    async def skip(run: Run) -> None:
        run.exchange.inject([Fault("skip", venue=venue)])
        await run.until(lambda: resynced(run), "the resync")

    run = played(skip)

    assert [gap.instrument for gap in run.records("gap", name)] == [instrument]
    ends = {venue: len(run.records("disconnect", venue)) for venue in VENUES.values()}
    assert ends == {"deribit": 1, "binance-usdm": 2, "binance-spot": 1}, "each connection ends once, at the end"
    assert not run.missing()


def test_a_connection_that_falls_silent_is_given_up_and_made_anew() -> None:
    async def silence(run: Run) -> None:
        run.exchange.inject([Fault("silence", venue="deribit", duration_s=2.0)])
        await run.until(lambda: len(run.records("connect")) > 1, "the reconnect")
        again = len(run.raw.entries)
        await run.until(lambda: any(e.record.channel.startswith("ticker.") for e in run.raw.entries[again:]), "tickers")

    run = played(silence, stale_after_s=1.5)

    assert run.records("disconnect")[0].payload.startswith(b"stale: no ")
    assert not run.missing()


def test_a_subscription_that_is_acknowledged_and_never_served_is_a_gap_and_renewed() -> None:
    channel = "ticker.BTC-PERPETUAL.100ms"

    async def wait(run: Run) -> None:
        """Being in step means that the deaf channel has spoken."""

    run = played(wait, [Fault("deaf_subscription", venue="deribit", channel=channel)], silent_after_s=1.5)

    [gap] = [gap for gap in run.records("gap") if gap.channel == channel]
    assert gap.instrument == "BTC-PERPETUAL"
    assert gap.seq < run.frames("deribit", channel)[0].seq
    assert not run.missing()


def test_a_malformed_frame_is_kept_as_it_came_and_its_book_resynced() -> None:
    async def malform(run: Run) -> None:
        run.exchange.inject([Fault("malformed", venue="deribit", channel="book.*")])
        await run.until(lambda: run.records("gap"), "the gap")
        again = len(run.raw.entries)
        book = "book.BTC-PERPETUAL.100ms"
        await run.until(lambda: any(e.record.channel == book for e in run.raw.entries[again:]), "the book")

    run = played(malform)

    [cut] = [record for record in run.records("message") if record.channel == ""]
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(cut.payload)
    assert [gap.instrument for gap in run.records("gap")] == ["BTC-PERPETUAL"]
    assert len(run.records("disconnect")) == 1, "only the one at the end"
    assert run.missing() == {("deribit", "book.BTC-PERPETUAL.100ms"): 1, ("deribit", ""): -1}, "nothing is lost"


def test_unknown_fields_change_nothing() -> None:
    async def extend(run: Run) -> None:
        run.exchange.inject([Fault("unknown_fields", count=50)])
        await run.until(lambda: any(b"zz_unknown" in r.payload for r in run.records("message")), "the field")
        await a_while(run)

    run = played(extend)

    assert all(run.records("gap", venue) == [] for venue in VENUES.values())
    assert len(run.records("disconnect")) == 1
    assert not run.missing()


@pytest.mark.parametrize("venue", ["deribit", "usdm"])
def test_a_frame_of_ten_megabytes_costs_the_connection_and_says_so(venue: str) -> None:
    name = VENUES[venue]
    channel = "ticker.BTC-PERPETUAL.100ms" if venue == "deribit" else "btcusdt@depth@100ms"

    async def blow_up(run: Run) -> None:
        before = len(run.records("connect", name))
        run.exchange.inject([Fault("oversize", venue=venue, channel=channel, size_bytes=10_000_000)])
        await run.until(lambda: len(run.records("connect", name)) > before, "the reconnect")
        again = len(run.raw.entries)
        await run.until(lambda: any(e.record.channel == channel for e in run.raw.entries[again:]), channel)

    run = played(blow_up)

    assert run.records("disconnect", name)[0].payload == f"oversize: a frame above {LARGEST_FRAME_BYTES} bytes".encode()
    assert max(len(record.payload) for record in run.records("message", name)) <= LARGEST_FRAME_BYTES


def test_refused_rest_calls_are_made_again_until_the_chain_is_listed() -> None:
    async def wait(run: Run) -> None:
        await run.until(lambda: any(r.channel == "rest:get_instruments" for r in run.records("snapshot")), "a listing")

    run = played(wait, [Fault("refuse_rest", status=429, duration_s=3.0)])

    options = [r for r in run.records("snapshot") if b'"kind":"option"' in r.payload]
    assert len(options) == 1
    assert not run.missing()


def test_a_full_log_stops_the_reading_and_loses_nothing() -> None:
    async def fill(run: Run) -> None:
        run.raw.full = True
        held = len(run.raw.entries)
        await asyncio.sleep(2.0)
        assert len(run.raw.entries) == held
        run.raw.full = False
        await a_while(run)

    run = played(fill)

    assert not run.missing()
    assert kinds_of(run, "connect", "disconnect") == ["connect", "disconnect"], "a pause does not cost the connection"


@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"underlyings": "BTC,SOL"}, "does not grant channel .*SOL.*; check UNDERLYINGS or upgrade the collector"),
        ({"deribit_ws_url": "http://127.0.0.1:1/"}, "is not a WebSocket URL; correct the .*_WS_URL setting"),
    ],
)
def test_what_connecting_again_cannot_cure_ends_the_collector_with_the_remedy(
    changed: dict[str, str], remedy: str
) -> None:
    async def play() -> None:
        async with running(**changed) as run:
            await run.until(lambda: False, "the end")

    with pytest.raises(VenueRefused, match=remedy):
        asyncio.run(asyncio.wait_for(play(), 3))
