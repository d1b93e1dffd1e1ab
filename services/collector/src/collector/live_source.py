"""The shell of the ``live`` source: one link per connection slot, all into one log."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from collector.binance import SPOT, USDM, BinanceMarket, BinanceSession, routes
from collector.deribit import VENUE as DERIBIT
from collector.deribit import DeribitSession
from collector.events import Session
from collector.link import Link, LinkSettings
from collector.live_log import LiveLog
from collector.raw_writer import PublishError
from collector.receive_clock import ReceiveClock
from collector.rest import RestClient
from collector.settings import Settings

REPORT_EVERY_S = 0.2
STOP_TIMEOUT_S = 10.0
_BINANCE = {market.venue: market for market in (USDM, SPOT)}


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
    stale_us, silent_us = round(settings.stale_after_s * 1e6), round(settings.silent_after_s * 1e6)
    if venue == DERIBIT:
        session = DeribitSession(
            settings.deribit_ws_url, settings.underlyings, stale_after_us=stale_us, silent_after_us=silent_us
        )
        return [Slot(venue, session, settings.deribit_rest_url)]
    market: BinanceMarket = _BINANCE[venue]
    spot = market is SPOT
    base_url = settings.binance_spot_ws_url if spot else settings.binance_usdm_ws_url
    rest_url = settings.binance_spot_rest_url if spot else settings.binance_usdm_rest_url
    return [
        Slot(
            venue,
            BinanceSession(
                market, url, streams, settings.underlyings, stale_after_us=stale_us, silent_after_us=silent_us
            ),
            rest_url,
        )
        for url, streams in routes(market, base_url).items()
    ]


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
