"""Live observations into the writer, in order; waits when the writer's queue is full, and so do the sockets."""

import asyncio
from collections import Counter
from collections.abc import Callable

from collector.observation import Observation
from collector.raw_log import SECOND_US, Entry, RawLog
from collector.raw_writer import RawWriter

_FULL_QUEUE_WAIT_S = 0.02
_POLL_EVERY_S = 0.05
# A timer may fire a little early by another clock; the heartbeat must fall into the new second.
_PAST_BOUNDARY_S = 0.001


class LiveLog:
    """The only door to the raw topics: entries get their time and place here, one after the other."""

    def __init__(self, log: RawLog, writer: RawWriter, clock: Callable[[], int]) -> None:
        self._log = log
        self._writer = writer
        self._clock = clock
        self._turn = asyncio.Lock()  # first come, first served: order of arrival is order in the log
        self.counts: Counter[tuple[str, str]] = Counter()

    async def append(self, seen: Observation) -> None:
        """Write ``seen``; returns once the writer has taken it. Raises PublishError."""
        async with self._turn:
            await self._write(self._log.append(seen))

    async def beat_forever(self) -> None:
        """Write the heartbeats due right after each second's end, and let acknowledgements in. Raises PublishError."""
        while True:
            now = self._clock()
            to_boundary_s = (SECOND_US - now % SECOND_US) / SECOND_US
            await asyncio.sleep(min(_POLL_EVERY_S, to_boundary_s + _PAST_BOUNDARY_S))
            self._writer.poll(0)
            await self._beat(now // SECOND_US)

    async def _beat(self, last_second: int) -> None:
        if self._clock() // SECOND_US > last_second:
            async with self._turn:
                for entry in self._log.heartbeats(self._clock()):
                    await self._write(entry)

    async def _write(self, entry: Entry) -> None:
        while not self._writer.offer(entry):
            self._writer.poll(0)
            await asyncio.sleep(_FULL_QUEUE_WAIT_S)
        self.counts[entry.record.venue, entry.record.kind] += 1
