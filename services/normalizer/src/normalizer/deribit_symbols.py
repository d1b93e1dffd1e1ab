"""Deribit's instrument names: what they say, and which of them are combos.

The day of the month has no leading zero (1AUG26), altcoin strikes write their decimal point as ``d`` (0d128), expiry is
at 08:00 UTC, and a quote currency after the base (SOL_USDC-…) makes the instrument linear.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from normalizer.events import BadMessage, InstrumentSpec, Kind, Right
from normalizer.expiry import MONTHS

_SYMBOL: Final = re.compile(
    r"(?P<base>[A-Z0-9]{1,20})(?:_(?P<quote>[A-Z0-9]{1,20}))?"
    r"(?:-(?:(?P<perpetual>PERPETUAL)"
    r"|(?P<day>[1-9]\d?)(?P<month>[A-Z]{3})(?P<year>\d\d)(?:-(?P<strike>\d{1,12}(?:d\d{1,12})?)-(?P<right>[CP]))?))?",
    re.ASCII,
)
_COMBO: Final = re.compile(r"[A-Z0-9]{1,20}(?:_[A-Z0-9]{1,20})?-[A-Z][A-Z0-9]{0,20}-[A-Za-z0-9_-]{1,60}")
_SETTLEMENT_HOUR: Final = 8
_RIGHTS: Final[dict[str, Right]] = {"C": "call", "P": "put"}


@lru_cache(maxsize=65_536)
def read_symbol(symbol: str) -> InstrumentSpec | None:
    """Read an instrument's name; None for a combo. BadMessage ``bad_symbol`` if it is neither."""
    match = _SYMBOL.fullmatch(symbol)
    if match is None or (match["quote"] is None and "-" not in symbol):
        if _COMBO.fullmatch(symbol):
            return None
        raise BadMessage("bad_symbol", f"instrument_name: {symbol[:80]!r} is no Deribit symbol")
    linear = match["quote"] is not None
    return InstrumentSpec(
        instrument=symbol,
        underlying=match["base"],
        kind=_kind(match),
        linear=linear,
        index_name=f"{match['base']}_{match['quote'] or 'USD'}".lower(),
        strike=float(match["strike"].replace("d", ".")) if match["strike"] else None,
        expiry_ts=_expiry(match) if match["day"] else None,
        option_type=_RIGHTS.get(match["right"]),
    )


def _kind(match: re.Match[str]) -> Kind:
    if match["perpetual"]:
        return "perpetual"
    if match["strike"]:
        return "option"
    return "future" if match["day"] else "spot"


def _expiry(match: re.Match[str]) -> int:
    try:
        day = datetime(
            2000 + int(match["year"]), MONTHS[match["month"]], int(match["day"]), _SETTLEMENT_HOUR, tzinfo=UTC
        )
    except (KeyError, ValueError):
        raise BadMessage("bad_symbol", f"instrument_name: {match[0]!r} has no such day") from None
    return int(day.timestamp()) * 1_000_000
