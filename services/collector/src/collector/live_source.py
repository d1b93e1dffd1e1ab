"""The shell of the ``live`` source: one link per connection slot, all into one log."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from collector import bybit, okx
from collector.backoff import Allowance
from collector.binance import SPOT, USDM, BinanceSession, routes
from collector.bitmex import VENUE as BITMEX
from collector.bitmex import Bitmex
from collector.deribit import VENUE as DERIBIT
from collector.deribit import DeribitSession
from collector.dialect import Dialect
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
    """A session to keep connected, where its REST calls go, and how often it may connect (None: no bound)."""

    venue: str
    session: Session
    rest_url: str
    connects_per_hour: int | None = None


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
                connects=None if slot.connects_per_hour is None else Allowance(slot.connects_per_hour),
            )
        )
    return links


def _venue_slots(settings: Settings, venue: str) -> list[Slot]:
    patience = {
        "stale_after_us": round(settings.stale_after_s * 1e6),
        "silent_after_us": round(settings.silent_after_s * 1e6),
    }
    return list(_SLOTS[venue](settings, patience))


def _deribit(settings: Settings, patience: Mapping[str, int]) -> Iterator[Slot]:
    session = DeribitSession(settings.deribit_ws_url, settings.underlyings, **patience)
    yield Slot(DERIBIT, session, settings.deribit_rest_url)


def _binance_usdm(settings: Settings, patience: Mapping[str, int]) -> Iterator[Slot]:
    for url, streams in routes(USDM, settings.binance_usdm_ws_url).items():
        session = BinanceSession(USDM, url, streams, settings.underlyings, **patience)
        yield Slot(USDM.venue, session, settings.binance_usdm_rest_url)


def _binance_spot(settings: Settings, patience: Mapping[str, int]) -> Iterator[Slot]:
    for url, streams in routes(SPOT, settings.binance_spot_ws_url).items():
        session = BinanceSession(SPOT, url, streams, settings.underlyings, **patience)
        yield Slot(SPOT.venue, session, settings.binance_spot_rest_url)


def _bybit(settings: Settings, patience: Mapping[str, int]) -> Iterator[Slot]:
    for dialect in bybit.connections(settings.bybit_ws_url, settings.underlyings, settings.bybit_option_connections):
        yield _spoken(bybit.VENUE, dialect, settings.bybit_rest_url, settings, patience)


def _okx(settings: Settings, patience: Mapping[str, int]) -> Iterator[Slot]:
    for dialect in okx.connections(settings.okx_ws_url, settings.underlyings):
        yield _spoken(okx.VENUE, dialect, settings.okx_rest_url, settings, patience)


def _bitmex(settings: Settings, patience: Mapping[str, int]) -> Iterator[Slot]:
    dialect = Bitmex(settings.bitmex_ws_url, settings.underlyings)
    yield _spoken(BITMEX, dialect, settings.bitmex_rest_url, settings, patience)


def _spoken(venue: str, dialect: Dialect, rest_url: str, settings: Settings, patience: Mapping[str, int]) -> Slot:
    session = TopicSession(dialect, settings.underlyings, **patience)
    return Slot(venue, session, rest_url, dialect.manners.connects_per_hour)


_SLOTS: Mapping[str, Callable[[Settings, Mapping[str, int]], Iterator[Slot]]] = {
    DERIBIT: _deribit,
    USDM.venue: _binance_usdm,
    SPOT.venue: _binance_spot,
    bybit.VENUE: _bybit,
    okx.VENUE: _okx,
    BITMEX: _bitmex,
}


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
