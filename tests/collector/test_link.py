"""A connection slot and the venue's bound on how often it may be opened."""

import asyncio
from typing import Any

import aiohttp
import pytest

from collector.backoff import Allowance
from collector.bitmex import Bitmex
from collector.link import Link, LinkSettings
from collector.live_log import LiveLog
from collector.raw_log import RawLog
from collector.receive_clock import ReceiveClock
from collector.rest import RestClient
from collector.topic_session import TopicSession


@pytest.mark.faults
@pytest.mark.parametrize(("per_hour", "least", "most"), [(3, 3, 3), (None, 6, 10_000)])
def test_a_slot_is_opened_no_more_often_than_the_venue_allows(
    kept_entries: Any, per_hour: int | None, least: int, most: int
) -> None:
    """Nobody listens at the address: each attempt fails at once and is made again, or waits for its turn."""
    attempts = 0

    async def run() -> None:
        nonlocal attempts
        served = await asyncio.start_server(lambda _, writer: counted(writer), "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{served.sockets[0].getsockname()[1]}"
        clock, stopping = ReceiveClock(), asyncio.Event()
        async with aiohttp.ClientSession() as http:
            link = Link(
                TopicSession(Bitmex(url, ("BTC",)), ("BTC",), stale_after_us=10**7, silent_after_us=10**7),
                venue="bitmex",
                number=0,
                rest=RestClient("http://unused", http, max_bytes=1000),
                log=LiveLog(RawLog(["bitmex"]), kept_entries(), clock),
                clock=clock,
                settings=LinkSettings(max_frame_bytes=1000, base_s=0.001, cap_s=0.01),
                connects=None if per_hour is None else Allowance(per_hour),
            )
            running = asyncio.create_task(link.run(stopping))
            await asyncio.sleep(1.0)
            stopping.set()
            await asyncio.wait_for(running, 5)
        served.close()

    def counted(writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.transport.abort()

    asyncio.run(run())

    assert least <= attempts <= most
