"""What every contender gets: BTCUSDT of the recorded Binance USDⓈ-M feed, depth or trades, as they were sent."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, Literal

import orjson

from collector.raw_log import SECOND_US, Entry, RawLog
from collector.recorded.catalog import Selection, find_recordings
from collector.recorded.timeline import recorded_entries
from contracts.partitioning import partition_for
from streamkit.core import Input, RawSecond

VENUE: Final = "binance-usdm"
TOPIC: Final = f"raw.{VENUE}"
PARTITION: Final = partition_for("BTC")
FILES: Final = "usdm_btcusdt_*.gz"

Kind = Literal["depthUpdate", "trade"]


@dataclass(frozen=True, slots=True)
class Workload:
    """A recording cut down to one kind of message; ``entries`` also hold snapshot, heartbeats, connection events."""

    kind: Kind
    entries: tuple[Entry, ...]

    @property
    def messages(self) -> list[bytes]:
        """The frames, without the REST snapshot."""
        return [entry.record.payload for entry in self.entries if entry.record.kind == "message"]

    def units(self) -> list[RawSecond]:
        """Return what the run loop would hand the core, second by second."""
        units = []
        for second, group in groupby(enumerate(self.entries), key=lambda at: at[1].record.received_ts // SECOND_US):
            log = [Input(TOPIC, PARTITION, n, b"BTC", e.record.received_ts // 1000, e.record) for n, e in group]
            units.append(RawSecond(second, {TOPIC: log}))
        return units

    def book_feed(self) -> list[bytes]:
        """Return the REST snapshot and the depth frames that it does not cover: a book from one end to the other."""
        (snapshot,) = [entry.record.payload for entry in self.entries if entry.record.kind == "snapshot"]
        last = orjson.loads(snapshot)["lastUpdateId"]
        return [snapshot, *(frame for frame in self.messages if orjson.loads(frame)["data"]["u"] >= last)]


def recorded(data: Path, kind: Kind) -> Workload:
    """Read the recording's messages of ``kind`` (and the snapshot, for depth) under ``data``."""
    selection = Selection(kinds=["binance"], files=FILES, venues=[VENUE], underlyings=["BTC"])
    log = recorded_entries(find_recordings(data, selection), RawLog([VENUE]))
    return Workload(kind, tuple(_only(log, kind)))


def _only(entries: Iterable[Entry], kind: Kind) -> Iterator[Entry]:
    wanted = f'"e":"{kind}"'.encode()
    for entry in entries:
        record = entry.record
        left_out = (record.kind == "message" and wanted not in record.payload) or (
            record.kind == "snapshot" and kind != "depthUpdate"
        )
        if entry.partition == PARTITION and not left_out:
            yield entry
