"""Binance's trade frames on the quick way: one look at each field that a print is made of.

What is unusual in any way gives None here and is read field by field like every other frame, which also says what is
wrong with it; both ways lead to the same print.
"""

from math import inf
from typing import Final

import orjson

from normalizer.events import TradePrint
from normalizer.json_fields import LATEST_MS, MAX_LONG

_MARKET: Final = "MARKET"


def read_print(payload: bytes) -> TradePrint | None:
    """Return what a frame of the stream ``trade`` says, its quote currency taken for USD; None if it is unusual."""
    try:
        frame = orjson.loads(payload)
        data = frame["data"]
        price_text, amount_text, buyer_is_maker = data["p"], data["q"], data["m"]
        price, amount = float(price_text), float(amount_text)
        exchange_ms, number = data["T"], data["t"]
        usual = (
            data["e"] == "trade"
            and data.get("X", _MARKET) == _MARKET
            and type(frame["stream"]) is type(data["s"]) is type(price_text) is type(amount_text) is str
            and frame["stream"]
            and data["s"]
            and type(exchange_ms) is type(number) is int
            and 0 < exchange_ms < LATEST_MS
            and 0 <= number <= MAX_LONG
            and 0.0 < price < inf
            and 0.0 < amount < inf
            and type(buyer_is_maker) is bool
            and "_" not in price_text
            and "_" not in amount_text
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    if not usual:
        return None
    return TradePrint(
        instrument=data["s"],
        exchange_ts=exchange_ms * 1000,
        trade_id=str(number),
        taker_side="sell" if buyer_is_maker else "buy",
        price=price,
        amount_base=amount,
        notional_usd=price * amount,
        stream="trade",
    )
