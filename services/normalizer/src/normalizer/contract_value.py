"""What a number of contracts is in base coin and in USD, by an instrument's reference data.

What ``contract_size`` counts follows from what the instrument is:

* Spot, options, linear contracts and all that is priced in the currency it is settled in: base coin per contract.
* Inverse contracts (settled in the base coin): quote currency per contract.
* Quanto contracts (settled in a third currency): that currency per unit of price. What one is in base coin depends on
  a price that another partition knows: the venue's own figure on a print is taken.
"""

import math
from typing import Final, Literal

from contracts.records import Instrument

Unit = Literal["base", "quote", "quanto"]

USD_QUOTES: Final = frozenset({"USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "USDP", "DAI"})


def unit(reference: Instrument) -> Unit:
    """Return what the contract size of an instrument counts."""
    if reference.kind in {"option", "spot"} or reference.linear:
        return "base"
    if reference.quote_currency == reference.settlement_currency:
        return "base"
    return "quote" if reference.settlement_currency == reference.underlying else "quanto"


def sizes(
    contracts: float, *, price: float, index_price: float | None, reference: Instrument
) -> tuple[float | None, float | None]:
    """Return (base coin, USD) of ``contracts`` at ``price``; None for what cannot be known.

    An option's USD size is at the index, as :class:`contracts.records.Trade` says.
    """
    size = contracts * reference.contract_size
    in_usd = reference.quote_currency in USD_QUOTES
    match unit(reference):
        case "quote":
            return finite(size / price), finite(size) if in_usd else None
        case "quanto":
            return None, None
        case "base" if reference.kind == "option":
            return finite(size), None if index_price is None else finite(size * index_price)
        case "base":
            return finite(size), finite(size * price) if in_usd else None


def open_interest(contracts: float, reference: Instrument) -> dict[str, float]:
    """Return the one field of a ticker's open interest that ``contracts``, of no quanto, say without a price."""
    size = finite(contracts * reference.contract_size)
    if size is None:
        return {}
    if unit(reference) == "base":
        return {"open_interest_base": size}
    return {"open_interest_usd": size} if reference.quote_currency in USD_QUOTES else {}


def finite(value: float) -> float | None:
    """Return ``value``, None if it overflowed: the figures it was made of cannot both be true."""
    return value if math.isfinite(value) else None
