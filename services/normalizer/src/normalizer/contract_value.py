"""What a number of contracts is in base coin and in USD, by an instrument's reference data.

What ``contract_size`` counts follows from what the instrument is:

* Linear contracts, options, and contracts priced in another coin: base coin per contract.
* Inverse contracts (priced in USD, settled in the base coin): USD per contract.
* Quanto contracts (priced in USD, settled in a third coin): settlement coin per USD of price. What one is in base coin
  depends on the third coin's price, which another partition knows: the venue's own figure on a print is taken.
"""

import math
from typing import Final, Literal

from contracts.records import Instrument

Unit = Literal["base", "usd", "quanto"]

USD_QUOTES: Final = frozenset({"USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "USDP", "DAI"})


def unit(reference: Instrument) -> Unit:
    """Return what the contract size of an instrument counts."""
    priced_in_usd = reference.quote_currency in USD_QUOTES
    if reference.kind in {"option", "spot"} or reference.linear or not priced_in_usd:
        return "base"
    return "usd" if reference.settlement_currency == reference.underlying else "quanto"


def sizes(
    contracts: float, *, price: float, index_price: float | None, reference: Instrument
) -> tuple[float | None, float | None]:
    """Return (base coin, USD) of ``contracts`` at ``price``; None for what cannot be known.

    An option's USD size is at the index, as :class:`contracts.records.Trade` says.
    """
    size = contracts * reference.contract_size
    match unit(reference):
        case "usd":
            return finite(size / price), finite(size)
        case "quanto":
            return None, None
        case "base" if reference.kind == "option":
            return finite(size), None if index_price is None else finite(size * index_price)
        case "base":
            return finite(size), finite(size * price) if reference.quote_currency in USD_QUOTES else None


def open_interest(contracts: float, reference: Instrument) -> dict[str, float]:
    """Return the one field of a ticker's open interest that ``contracts`` say without a price; none for a quanto."""
    field = {"base": "open_interest_base", "usd": "open_interest_usd"}.get(unit(reference))
    size = finite(contracts * reference.contract_size)
    return {} if field is None or size is None else {field: size}


def finite(value: float) -> float | None:
    """Return ``value``, None if it overflowed: the figures it was made of cannot both be true."""
    return value if math.isfinite(value) else None
