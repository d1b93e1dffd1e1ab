"""Expiry times as symbols write them."""

from datetime import UTC, datetime, timedelta
from typing import Final

from normalizer.events import BadMessage

MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), start=1
    )
}
MONTH_CODES: Final = {code: number for number, code in enumerate("FGHJKMNQUVXZ", start=1)}
"""The letters by which futures name their delivery month."""

_FRIDAY: Final = 4


def on_day(symbol: str, year: int, month: int, day: int, hour: int) -> int:
    """Return a UTC time in microseconds since 1970; ``year`` counts from 2000. BadMessage if there is no such day."""
    try:
        moment = datetime(2000 + year, month, day, hour, tzinfo=UTC)
    except ValueError:
        raise BadMessage("bad_symbol", f"symbol: {symbol[:80]!r} has no such day") from None
    return int(moment.timestamp()) * 1_000_000


def last_friday(year: int, month: int, hour: int) -> int:
    """Return ``hour`` UTC of a month's last Friday, when quarterly contracts expire; units as :func:`on_day`."""
    next_month = datetime(2000 + year + month // 12, month % 12 + 1, 1, hour, tzinfo=UTC)
    last_day = next_month - timedelta(days=1)
    friday = last_day - timedelta(days=(last_day.weekday() - _FRIDAY) % 7)
    return int(friday.timestamp()) * 1_000_000
