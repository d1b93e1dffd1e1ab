"""Binance frames: what a symbol and a combined-stream frame say about themselves."""

from typing import Any

QUOTE = "USDT"


def underlying_of(symbol: str) -> str:
    """Return the base asset of a symbol quoted in USDT (BTCUSDT: BTC); the symbol itself if it is another's."""
    return symbol.removesuffix(QUOTE)


def exchange_ts(data: Any) -> int | None:
    """Return the venue's event time ``E`` (ms) of a frame's data as microseconds; spot bookTicker has none."""
    event_ms = data.get("E") if isinstance(data, dict) else None
    return event_ms * 1000 if type(event_ms) is int else None
