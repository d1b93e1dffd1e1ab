"""The shell of the ``live`` source: one link per connection slot, all into one log."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from collector.binance import SPOT, USDM, BinanceSession, routes
from collector.bybit import VENUE as BYBIT
from collector.bybit import connections as bybit_connections
from collector.deribit import VENUE as DERIBIT
from collector.deribit import DeribitSession
from collector.events import Session
from collector.link import Link, LinkSettings
from collector.live_log import LiveLog
from collector.raw_writer import PublishError
from collector.receive_clock import ReceiveClock
from collector.rest import RestClient
from collector.settings import Settings
from collector.topic_session import TopicSession

REPORT_EVERY_S = 0.2
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Slot:
    """A session to keep connected, and where its REST calls go."""

    venue: str
    session: Session
    rest_url: str


def slots(settings: Settings) -> list[Slot]:
    """Return the connections that ``settings`` ask for, in the order of their numbers within a venue."""
    return [slot for venue in settings.venues for slot in _venue_slots(settings, venue)]


async def run_live_source(
    settings: Settings,
    log: LiveLog,
    *,
    clock: ReceiveClock,
    stopped: Callable[[], bool],
    report: Callable[[Mapping[str, bool]], None],
) -> None:
    """Keep every connection up until ``stopped()``; returns when all are closed and told.

    Raises VenueRefused or PublishError, whichever comes first.
    """
    stopping = asyncio.Event()
    async with aiohttp.ClientSession() as http:
        links = _links(settings, http, log, clock)
        try:
            async with asyncio.TaskGroup() as group:
                beats = group.create_task(log.beat_forever())
                running = [group.create_task(link.run(stopping)) for link in links]
                while not stopped():
                    report({link.name: link.connected for link in links})
                    await asyncio.sleep(REPORT_EVERY_S)
                stopping.set()
                await _end(running)
                beats.cancel()
        except BaseExceptionGroup as failures:
            raise _first(failures) from failures


async def _end(running: Sequence[asyncio.Task[None]]) -> None:
    _, hanging = await asyncio.wait(running, timeout=STOP_TIMEOUT_S)
    if hanging:
        raise PublishError(f"{len(hanging)} connections could not write their end: the broker takes no more records")


def _links(settings: Settings, http: aiohttp.ClientSession, log: LiveLog, clock: ReceiveClock) -> list[Link]:
    rests = {
        slot.rest_url: RestClient(slot.rest_url, http, max_bytes=settings.max_frame_bytes) for slot in slots(settings)
    }
    limits = LinkSettings(settings.max_frame_bytes, settings.reconnect_base_s, settings.reconnect_cap_s)
    links: list[Link] = []
    numbers: dict[str, int] = {}
    for slot in slots(settings):
        number = numbers[slot.venue] = numbers.get(slot.venue, -1) + 1
        links.append(
            Link(
                slot.session,
                venue=slot.venue,
                number=number,
                rest=rests[slot.rest_url],
                log=log,
                clock=clock,
                settings=limits,
            )
        )
    return links


def _venue_slots(settings: Settings, venue: str) -> list[Slot]:
    patience = {
        "stale_after_us": round(settings.stale_after_s * 1e6),
        "silent_after_us": round(settings.silent_after_s * 1e6),
    }
    return [Slot(venue, session, rest_url) for session, rest_url in _SESSIONS[venue](settings, patience)]


def _deribit(settings: Settings, patience: Mapping[str, int]) -> Iterator[tuple[Session, str]]:
    yield DeribitSession(settings.deribit_ws_url, settings.underlyings, **patience), settings.deribit_rest_url


def _binance_usdm(settings: Settings, patience: Mapping[str, int]) -> Iterator[tuple[Session, str]]:
    for url, streams in routes(USDM, settings.binance_usdm_ws_url).items():
        session = BinanceSession(USDM, url, streams, settings.underlyings, **patience)
        yield session, settings.binance_usdm_rest_url


def _binance_spot(settings: Settings, patience: Mapping[str, int]) -> Iterator[tuple[Session, str]]:
    for url, streams in routes(SPOT, settings.binance_spot_ws_url).items():
        session = BinanceSession(SPOT, url, streams, settings.underlyings, **patience)
        yield session, settings.binance_spot_rest_url


def _bybit(settings: Settings, patience: Mapping[str, int]) -> Iterator[tuple[Session, str]]:
    for dialect in bybit_connections(settings.bybit_ws_url, settings.underlyings, settings.bybit_option_connections):
        yield TopicSession(dialect, settings.underlyings, **patience), settings.bybit_rest_url


_SESSIONS: Mapping[str, Callable[[Settings, Mapping[str, int]], Iterator[tuple[Session, str]]]] = {
    DERIBIT: _deribit,
    USDM.venue: _binance_usdm,
    SPOT.venue: _binance_spot,
    BYBIT: _bybit,
}


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
