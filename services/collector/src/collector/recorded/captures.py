"""Recorded Binance sockets: lines ``<local ns> <json>``, the JSON a combined-stream frame or a bare REST snapshot."""

from collections.abc import Iterator
from pathlib import Path

import orjson

from collector.binance import exchange_ts, underlying_of
from collector.observation import Observation
from collector.recorded.rows import RecordingError, read_lines

DEPTH_CHANNEL = "rest:depth"


def read_capture(path: Path, venue: str, symbol: str) -> Iterator[Observation]:
    """Yield each line as it was received; ``symbol`` names the instrument of bare snapshots, which do not.

    Raises RecordingError for a line without a time or without JSON.
    """
    for row, line in enumerate(read_lines(path), start=1):
        nanoseconds, _, body = line.partition(b" ")
        if not nanoseconds.isdigit():
            raise RecordingError(
                path, f"{nanoseconds[:40]!r} is not a count of nanoseconds", "fetch the file again", row=row,
                column="local_ns",
            )  # fmt: skip
        yield _observe(path, row, int(nanoseconds) // 1000, body, venue=venue, symbol=symbol)


def _observe(path: Path, row: int, received_ts: int, body: bytes, *, venue: str, symbol: str) -> Observation:
    try:
        frame = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RecordingError(path, f"not JSON ({error})", "fetch the file again", row=row, column="json") from error
    if isinstance(frame, dict) and isinstance(stream := frame.get("stream"), str):
        instrument = stream.partition("@")[0].upper()
        at = exchange_ts(frame.get("data"))
        return Observation(received_ts, venue, 0, "message", stream, instrument, underlying_of(instrument), at, body)
    if isinstance(frame, dict) and "lastUpdateId" in frame:
        at = exchange_ts(frame)
        return Observation(received_ts, venue, 0, "snapshot", DEPTH_CHANNEL, symbol, underlying_of(symbol), at, body)
    raise RecordingError(
        path, "neither a combined-stream frame nor a depth snapshot", "fetch the file again", row=row, column="json"
    )
