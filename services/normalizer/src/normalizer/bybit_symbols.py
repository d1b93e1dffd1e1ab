"""Bybit's names of derivatives: perpetuals, futures and options, linear and inverse.

Prefix is the base asset, which the raw record names (1000PEPEUSDT is of 1000PEPE). What follows it::

    USDT, PERP                  linear perpetual in USDT, in USDC
    USDT-29AUG25, -29DEC23      linear future in USDT, in USDC
    USD, USDU23                 inverse perpetual, inverse quarterly future by month code
    -28APR23-29500-C[-USDT]     option, in USDC if no currency follows

All expire at 08:00 UTC; the day has no leading zero.
"""

import re
from functools import lru_cache
from typing import Final

from normalizer.events import BadMessage, InstrumentSpec, Kind, Right
from normalizer.expiry import MONTH_CODES, MONTHS, last_friday, on_day

_HOUR: Final = 8
_TAIL: Final = re.compile(
    r"(?P<perpetual>USDT|PERP|USD)"
    r"|USD(?P<code>[FGHJKMNQUVXZ])(?P<code_year>\d\d)"
    r"|(?P<quote>USDT)?-(?P<day>[1-9]\d?)(?P<month>[A-Z]{3})(?P<year>\d\d)"
    r"(?:-(?P<strike>\d{1,12}(?:\.\d{1,12})?)-(?P<right>[CP])(?:-(?P<option_quote>USDT))?)?",
    re.ASCII,
)
_PERPETUAL_QUOTES: Final = {"USDT": "USDT", "PERP": "USDC", "USD": "USD"}
_RIGHTS: Final[dict[str, Right]] = {"C": "call", "P": "put"}


@lru_cache(maxsize=65_536)
def read_symbol(symbol: str, underlying: str) -> InstrumentSpec:
    """Read a symbol of a known base asset. BadMessage ``bad_symbol`` if it is none of it."""
    tail = symbol.removeprefix(underlying) if underlying else symbol
    match = _TAIL.fullmatch(tail)
    if tail == symbol or match is None or (match["quote"] and match["strike"]):
        raise BadMessage("bad_symbol", f"symbol: {symbol[:80]!r} is no derivative of {underlying!r}")
    quote = _quote(match)
    return InstrumentSpec(
        instrument=symbol,
        underlying=underlying,
        kind=_kind(match),
        linear=quote != "USD",
        index_name=f"{underlying}{quote}",
        strike=float(match["strike"]) if match["strike"] else None,
        expiry_ts=_expiry(symbol, match),
        option_type=_RIGHTS.get(match["right"]),
    )


def _quote(match: re.Match[str]) -> str:
    """Return the currency of the price."""
    if match["perpetual"]:
        return _PERPETUAL_QUOTES[match["perpetual"]]
    return "USD" if match["code"] else match["quote"] or match["option_quote"] or "USDC"


def _kind(match: re.Match[str]) -> Kind:
    if match["perpetual"]:
        return "perpetual"
    return "option" if match["strike"] else "future"


def _expiry(symbol: str, match: re.Match[str]) -> int | None:
    if match["perpetual"]:
        return None
    if match["code"]:
        return last_friday(int(match["code_year"]), MONTH_CODES[match["code"]], _HOUR)
    return on_day(symbol, int(match["year"]), MONTHS.get(match["month"], 0), int(match["day"]), _HOUR)
