"""What a source saw: the one value that live connections and recordings hand to the raw log."""

from typing import NamedTuple

from contracts.records import RawKind


class Observation(NamedTuple):
    """A frame, a REST answer or an event of connection ``<venue>-<connection>``, before it has a place in the log.

    ``received_ts`` and ``exchange_ts`` are microseconds since the epoch; ``payload`` is what came in, untouched, or a
    short UTF-8 reason.
    """

    received_ts: int
    venue: str
    connection: int
    kind: RawKind
    channel: str
    instrument: str | None
    underlying: str
    exchange_ts: int | None
    payload: bytes


def connection_event(
    kind: RawKind, reason: str, *, received_ts: int, venue: str, connection: int, underlying: str
) -> Observation:
    """Return a connect, disconnect or whole-connection gap as ``underlying``'s partition is to see it."""
    return Observation(received_ts, venue, connection, kind, "", None, underlying, None, reason.encode())
