"""Which options Deribit lists at a moment: expiries by calendar rule, strikes by price level and time to expiry.

The calendar reproduces the venue's introduction policy as seen in recorded chains of 2026: the next four days, three
weeklies, three monthlies and four quarterlies, all at 08:00 UTC; the successor of a weekly, monthly or quarterly is
listed 24 hours before it expires. An expiry that several rules name is listed once, under the longest.
"""

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
EXPIRY_HOUR = 8
DAILIES, WEEKLIES, MONTHLIES, QUARTERLIES = 4, 3, 3, 4
FRIDAY = 4
# Since this date every option expiry has its own future, so that no option is priced off a synthetic underlying.
FUTURE_FOR_EVERY_EXPIRY_MS = int(datetime(2026, 8, 1, tzinfo=UTC).timestamp() * 1000)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

# Up to how many days, then (distance from the money, how many steps coarser than the finest).
_SPACING: tuple[tuple[float, tuple[tuple[float, int], ...]], ...] = (
    (9.0, ((0.08, 0), (math.inf, 1))),
    (35.0, ((0.10, 0), (0.25, 1), (math.inf, 2))),
    (100.0, ((0.10, 1), (0.30, 2), (math.inf, 3))),
    (math.inf, ((0.40, 2), (1.00, 3), (math.inf, 4))),
)
# Tried in turn until the chain is large enough: how far the strikes reach, and how often the finest step is refined.
_WIDENING = ((1.0, 0), (1.5, 0), (2.0, 0), (2.0, 1), (3.0, 1), (3.0, 2), (3.0, 3), (4.0, 4))


@dataclass(frozen=True, slots=True)
class Expiry:
    """One expiry: ``ts_ms`` (ms since the epoch, 08:00 UTC) and Deribit's settlement period (day, week or month)."""

    ts_ms: int
    period: str


@dataclass(frozen=True, slots=True)
class Contract:
    """One option; ``strike`` in USD."""

    name: str
    expiry: Expiry
    strike: float
    is_call: bool


def expiries(now_ms: int) -> list[Expiry]:
    """Return the expiries listed at ``now_ms``, ascending."""
    successors_from_ms = now_ms + DAY_MS
    months = range(1, 13)
    found = dict.fromkeys(_listed(_days(now_ms), DAILIES, now_ms), "day")
    found |= dict.fromkeys(_listed(_fridays(now_ms), WEEKLIES, successors_from_ms), "week")
    found |= dict.fromkeys(_listed(_month_ends(now_ms, months), MONTHLIES, successors_from_ms), "month")
    found |= dict.fromkeys(_listed(_month_ends(now_ms, range(3, 13, 3)), QUARTERLIES, successors_from_ms), "month")
    return [Expiry(ts, found[ts]) for ts in sorted(found)]


def next_expiry_ms(now_ms: int) -> int:
    """Return the first 08:00 UTC after ``now_ms``: the moment the list of expiries changes."""
    return next(_days(now_ms))


def has_future(expiry: Expiry, now_ms: int) -> bool:
    """Tell whether a dated future matches ``expiry`` (else the venue prices its options off a synthetic one)."""
    return now_ms >= FUTURE_FOR_EVERY_EXPIRY_MS or expiry.period == "month"


def expiry_code(ts_ms: int) -> str:
    """Return ``ts_ms`` as Deribit writes it: DMMMYY, no leading zero."""
    at = datetime.fromtimestamp(ts_ms / 1000, UTC)
    return f"{at.day}{MONTHS[at.month - 1]}{at.year % 100:02d}"


def option_name(underlying: str, expiry_ms: int, strike: float, *, is_call: bool) -> str:
    """Return Deribit's name of an option, e.g. ``BTC-6MAR26-95000-C``."""
    digits = f"{strike:.10g}".replace(".", "d")
    return f"{underlying}-{expiry_code(expiry_ms)}-{digits}-{'C' if is_call else 'P'}"


def finest_step(price: float) -> float:
    """Return the finest strike step at a price level: the largest of 1, 2.5, 5 · 10ⁿ not above 1.15 % of it."""
    target = price * 0.0115
    unit = 10.0 ** math.floor(math.log10(target))
    return max(m * unit for m in (1.0, 2.5, 5.0) if m * unit <= target)


def chain(underlying: str, *, price: float, now_ms: int, count: int, listed: Sequence[Expiry]) -> list[Contract]:
    """List up to ``count`` options of the expiries ``listed``, calls and puts in pairs.

    Strikes nearest the money, in standard deviations, come first; strikes are widened and refined until they suffice,
    within reason. Returned in order of expiry, strike, call before put.
    """
    pairs: list[tuple[Expiry, float]] = []
    for reach, refine in _WIDENING:
        pairs = [(e, k) for e in listed for k in _strikes(price, e.ts_ms - now_ms, reach=reach, refine=refine)]
        if 2 * len(pairs) >= count:
            break
    pairs.sort(key=lambda p: abs(math.log(p[1] / price)) / math.sqrt((p[0].ts_ms - now_ms) / YEAR_MS + 0.02))
    kept = sorted(pairs[: count // 2], key=lambda p: (p[0].ts_ms, p[1]))
    return [contract(underlying, e, k, is_call=call) for e, k in kept for call in (True, False)]


def contract(underlying: str, expiry: Expiry, strike: float, *, is_call: bool) -> Contract:
    """Return the contract with its name."""
    return Contract(option_name(underlying, expiry.ts_ms, strike, is_call=is_call), expiry, strike, is_call)


def _strikes(price: float, life_ms: int, *, reach: float, refine: int) -> list[float]:
    width = reach * (0.05 + 1.2 * math.sqrt(life_ms / YEAR_MS))
    finest = finest_step(price / 2**refine)
    low, high = price * math.exp(-width), price * math.exp(width)
    bands = next(bands for days, bands in _SPACING if life_ms <= days * DAY_MS)
    found: set[float] = set()
    for distance, coarser in bands:
        step = _coarser(finest, coarser)
        k = math.ceil(max(low, step) / step) * step
        while k <= high:
            if abs(k / price - 1.0) <= distance:
                found.add(k)
            k += step
    return sorted(found)


def _coarser(step: float, times: int) -> float:
    """Return the ``times``-th of 1, 2, 5 · 10ⁿ above ``step``, which every grid of the chain then shares."""
    for _ in range(times):
        unit = 10.0 ** math.floor(math.log10(step) + 1e-9)
        step = next(m * unit for m in (2.0, 5.0, 10.0) if m * unit > step * 1.001)
    return step


def _listed(moments: Iterator[int], count: int, counted_after_ms: int) -> Iterator[int]:
    """Yield moments until ``count`` of them lie after ``counted_after_ms``."""
    while count:
        ts = next(moments)
        count -= ts > counted_after_ms
        yield ts


def _at_expiry_hour(day: datetime) -> int:
    return int(day.replace(hour=EXPIRY_HOUR, minute=0, second=0, microsecond=0).timestamp() * 1000)


def _days(now_ms: int) -> Iterator[int]:
    day = datetime.fromtimestamp(now_ms / 1000, UTC)
    while True:
        ts = _at_expiry_hour(day)
        if ts > now_ms:
            yield ts
        day += timedelta(days=1)


def _fridays(now_ms: int) -> Iterator[int]:
    return (ts for ts in _days(now_ms) if datetime.fromtimestamp(ts / 1000, UTC).weekday() == FRIDAY)


def _month_ends(now_ms: int, months: Container[int]) -> Iterator[int]:
    for ts in _fridays(now_ms):
        at = datetime.fromtimestamp(ts / 1000, UTC)
        if at.month in months and (at + timedelta(days=7)).month != at.month:
            yield ts
