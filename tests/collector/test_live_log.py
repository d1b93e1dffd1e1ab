"""The live log: order of arrival, back-pressure, heartbeats right after each second."""

import asyncio
from collections.abc import Callable
from typing import Any

from collector.live_log import LiveLog
from collector.observation import Observation
from collector.raw_log import RawLog
from collector.receive_clock import ReceiveClock

BASE = 1_795_000_000_000_000


def seen(number: int, underlying: str = "BTC") -> Observation:
    return Observation(BASE + number, "deribit", 0, "message", "c", None, underlying, None, str(number).encode())


def test_records_keep_the_order_in_which_they_came_though_the_queue_is_full(kept_entries: Callable[..., Any]) -> None:
    writer = kept_entries(room=1)
    log = LiveLog(RawLog(("deribit",)), writer, lambda: BASE)

    async def many() -> None:
        await asyncio.gather(*(log.append(seen(number)) for number in range(5)))

    asyncio.run(many())

    assert [entry.record.payload for entry in writer.entries] == [b"0", b"1", b"2", b"3", b"4"]
    assert writer.refused > 0
    assert log.counts == {("deribit", "message"): 5}


def test_each_partition_has_a_record_at_the_beginning_of_each_second(kept_entries: Callable[..., Any]) -> None:
    writer = kept_entries()
    log = LiveLog(RawLog(("deribit",)), writer, ReceiveClock())

    async def beat() -> None:
        beating = asyncio.create_task(log.beat_forever())
        while len(writer.entries) < 8:
            await asyncio.sleep(0.02)
        beating.cancel()

    asyncio.run(asyncio.wait_for(beat(), 30))

    beats = [(entry.partition, entry.record) for entry in writer.entries]
    assert sorted(partition for partition, _ in beats) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert {record.kind for _, record in beats} == {"heartbeat"}
    assert len({record.received_ts // 1_000_000 for _, record in beats}) == 2
