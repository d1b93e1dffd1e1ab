"""BitMEX's symbols: XBTUSD, XBTUSDT, ETHUSD, XBTM26, ETHUSDM26, XBT_USDT.

Prefix is the base asset, which the raw record names; the venue writes Bitcoin as XBT. A month code and a year make a
future that expires on the month's last Friday at 12:00 UTC. Without a quote currency, futures on XBT are priced in USD
and all others in XBT.
"""

import re
from functools import lru_cache
from typing import Final

from normalizer.events import BadMessage, InstrumentSpec, Kind
from normalizer.expiry import MONTH_CODES, last_friday

_TAIL: Final = re.compile(
    r"(?P<spot>_)?(?P<quote>USDT|USDC|USD|EUR)?(?:(?P<code>[FGHJKMNQUVXZ])(?P<year>\d\d))?", re.ASCII
)
_HOUR: Final = 12
_LINEAR: Final = frozenset({"USDT", "USDC"})


@lru_cache(maxsize=65_536)
def read_symbol(symbol: str, underlying: str) -> InstrumentSpec:
    """Read a symbol of a known base asset. BadMessage ``bad_symbol`` if it is none of it."""
    base = venue_currency(underlying)
    match = _TAIL.fullmatch(symbol.removeprefix(base)) if base and symbol.startswith(base) else None
    if (
        match is None
        or not (match["quote"] or match["code"])
        or (match["spot"] and (match["code"] or not match["quote"]))
    ):
        raise BadMessage("bad_symbol", f"symbol: {symbol[:80]!r} is no instrument of {underlying!r}")
    quote = match["quote"] or ("USD" if underlying == "BTC" else "BTC")
    return InstrumentSpec(
        instrument=symbol,
        underlying=underlying,
        kind=_kind(match),
        linear=quote in _LINEAR or match["spot"] is not None,
        index_name=f"{underlying}{quote}",
        expiry_ts=last_friday(int(match["year"]), MONTH_CODES[match["code"]], _HOUR) if match["code"] else None,
    )


def venue_currency(currency: str) -> str:
    """Return how the venue writes a currency."""
    return "XBT" if currency == "BTC" else currency


def _kind(match: re.Match[str]) -> Kind:
    if match["spot"]:
        return "spot"
    return "future" if match["code"] else "perpetual"
