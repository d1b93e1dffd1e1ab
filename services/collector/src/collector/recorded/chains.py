"""Recorded Deribit chains (one row per instrument and time) as the ticker frames the venue would have pushed.

A chain begins with the ``public/get_instruments`` answer its rows imply. What a table does not have is left out of the
frame: an absent field is not a zero.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from collector.observation import Observation
from collector.recorded.rows import Row, read_table, sorted_rows

VENUE = "deribit"
INSTRUMENTS_CHANNEL = "rest:get_instruments"
DELIVERY_HOUR = time(8, tzinfo=UTC)

_TICKER_FIGURES = (
    "open_interest", "mark_price", "index_price", "underlying_price", "last_price", "best_bid_price",
    "best_bid_amount", "best_ask_price", "best_ask_amount", "mark_iv", "bid_iv", "ask_iv", "interest_rate",
    "settlement_price", "estimated_delivery_price", "min_price", "max_price", "interest_value", "current_funding",
    "funding_8h",
)  # fmt: skip
_GREEKS = ("delta", "gamma", "vega", "theta", "rho")
_STATS = ("volume", "volume_usd", "volume_notional", "price_change", "low", "high")
_INSTRUMENT_FIGURES = (
    "expiration_timestamp", "creation_timestamp", "tick_size", "contract_size", "strike", "instrument_id",
    "min_trade_amount", "maker_commission", "taker_commission", "block_trade_commission",
    "block_trade_min_trade_amount", "block_trade_tick_size", "max_leverage", "max_liquidation_commission",
)  # fmt: skip
_INSTRUMENT_TEXTS = (
    "price_index", "kind", "instrument_type", "instrument_name", "option_type", "future_type", "settlement_currency",
    "settlement_period", "base_currency", "counter_currency", "quote_currency",
)  # fmt: skip
# The venue sends these as null when there is nothing to say; other empty fields it does not send.
_NULL_WHEN_EMPTY = frozenset({"last_price", "price_change", "low", "high"})


@dataclass(frozen=True, slots=True)
class ChainLayout:
    """How a table spells the venue's fields: ``greeks`` and ``stats`` are prefixes of their columns."""

    time_column: str
    required: tuple[str, ...]
    greeks: str
    stats: str
    chain_per_time: bool


DAILY = ChainLayout(
    time_column="timestamp",
    required=("instrument_name", "timestamp", "kind", "expiration_timestamp", "mark_price", "open_interest", "state_y"),
    greeks="greeks_",
    stats="stats_",
    chain_per_time=False,
)
HOURLY = ChainLayout(
    time_column="date",
    required=("date", "instrument_name", "expiry_date", "strike", "type", "volume", "open_interest", "mark_iv"),
    greeks="",
    stats="",
    chain_per_time=True,
)


def read_chains(path: Path, underlying: str, layout: ChainLayout) -> Iterator[Observation]:
    """Yield, in time order, each chain of the file: its instruments as a snapshot, then a ticker frame per row."""
    timed = sorted_rows(read_table(path, layout.required), layout.time_column)
    for _, chain in groupby(timed, key=lambda pair: pair[0] if layout.chain_per_time else 0):
        rows = list(chain)
        answer = _instruments(rows, layout)
        yield Observation(rows[0][0] * 1000, VENUE, 0, "snapshot", INSTRUMENTS_CHANNEL, None, underlying, None, answer)
        for milliseconds, row in rows:
            name = row.required("instrument_name")
            if not name.startswith(f"{underlying}-"):
                raise row.error("instrument_name", f"{name!r} is not of {underlying}")
            channel = f"ticker.{name}.100ms"
            frame = subscription_frame(channel, _ticker(milliseconds, row, layout))
            at = milliseconds * 1000
            yield Observation(at, VENUE, 0, "message", channel, name, underlying, at, frame)


def subscription_frame(channel: str, data: Any) -> bytes:
    """Return the bytes of a JSON-RPC notification as the venue pushes it on ``channel``."""
    return orjson.dumps({"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}})


def _ticker(milliseconds: int, row: Row, layout: ChainLayout) -> dict[str, Any]:
    data: dict[str, Any] = {"timestamp": milliseconds, "instrument_name": row.required("instrument_name")}
    data |= _figures(row, {name: name for name in _TICKER_FIGURES})
    if stats := _figures(row, {name: layout.stats + name for name in _STATS}):
        data["stats"] = stats
    if greeks := _figures(row, {name: layout.greeks + name for name in _GREEKS}):
        data["greeks"] = greeks
    if index := row.text("underlying_index"):
        data["underlying_index"] = index
    if state := row.text("state_y"):
        data["state"] = state
    return data


def _figures(row: Row, columns: Mapping[str, str]) -> dict[str, int | float | None]:
    figures = {name: row.figure(column) for name, column in columns.items() if column in row.fields}
    return {name: figure for name, figure in figures.items() if figure is not None or name in _NULL_WHEN_EMPTY}


def _instruments(rows: list[tuple[int, Row]], layout: ChainLayout) -> bytes:
    describe = _named_instrument if layout is HOURLY else _listed_instrument
    return orjson.dumps({"jsonrpc": "2.0", "result": [describe(row) for _, row in rows], "testnet": False})


def _listed_instrument(row: Row) -> dict[str, Any]:
    entry: dict[str, Any] = {name: row.text(name) for name in _INSTRUMENT_TEXTS if row.text(name)}
    entry |= _figures(row, {name: name for name in _INSTRUMENT_FIGURES})
    entry["is_active"] = row.text("is_active") == "True"
    entry["state"] = row.text("state_x") or row.required("state_y")
    return entry


def _named_instrument(row: Row) -> dict[str, Any]:
    expiry = datetime.combine(datetime.fromisoformat(row.required("expiry_date")), DELIVERY_HOUR)
    name = row.required("instrument_name")
    return {
        "instrument_name": name,
        "kind": "option",
        "base_currency": name.split("-")[0],
        "expiration_timestamp": round(expiry.timestamp() * 1000),
        "strike": row.figure("strike"),
        "option_type": row.required("type"),
        "is_active": True,
    }
