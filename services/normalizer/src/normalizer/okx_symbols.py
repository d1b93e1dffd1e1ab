"""OKX's instrument ids: BTC-USDT, BTC-USDT-SWAP, BTC-USD-260327, BTC-USD-260327-100000-C.

Quoted in plain USD a contract is inverse, settled in its base coin; in any other dollar it is linear (``USD_UM``:
priced in USD, settled in dollar coins). All expire at 08:00 UTC.
"""

import re
from functools import lru_cache
from typing import Final

from normalizer.events import BadMessage, InstrumentSpec, Kind, Right
from normalizer.expiry import on_day

_SYMBOL: Final = re.compile(
    r"(?P<base>[A-Z0-9]{1,20})-(?P<quote>[A-Z0-9]{1,20})(?P<margin>_UM)?"
    r"(?:-(?:(?P<swap>SWAP)|(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d)"
    r"(?:-(?P<strike>\d{1,12}(?:\.\d{1,12})?)-(?P<right>[CP]))?))?",
    re.ASCII,
)
_HOUR: Final = 8
_RIGHTS: Final[dict[str, Right]] = {"C": "call", "P": "put"}


@lru_cache(maxsize=65_536)
def read_symbol(symbol: str) -> InstrumentSpec:
    """Read an instrument id. BadMessage ``bad_symbol`` if it is none."""
    match = _SYMBOL.fullmatch(symbol)
    if match is None:
        raise BadMessage("bad_symbol", f"instId: {symbol[:80]!r} is no OKX instrument id")
    return InstrumentSpec(
        instrument=symbol,
        underlying=match["base"],
        kind=_kind(match),
        linear=match["quote"] != "USD" or match["margin"] is not None,
        index_name=f"{match['base']}-{match['quote']}",
        strike=float(match["strike"]) if match["strike"] else None,
        expiry_ts=_expiry(symbol, match),
        option_type=_RIGHTS.get(match["right"]),
    )


def _kind(match: re.Match[str]) -> Kind:
    if match["swap"]:
        return "perpetual"
    if match["strike"]:
        return "option"
    return "future" if match["day"] else "spot"


def _expiry(symbol: str, match: re.Match[str]) -> int | None:
    if not match["day"]:
        return None
    return on_day(symbol, int(match["year"]), int(match["month"]), int(match["day"]), _HOUR)
