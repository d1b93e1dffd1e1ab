"""Rows of Tardis.dev's tables as frames of Deribit, Bybit and Binance USDⓈ-M.

Numbers are written as the table has them. A maker takes the rows of one symbol that were received together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from collector.recorded.chains import subscription_frame
from collector.recorded.rows import Row
from contracts.records import RawKind


@dataclass(frozen=True, slots=True)
class Made:
    """A frame, or a REST answer, and where it was heard."""

    channel: str
    instrument: str | None
    payload: bytes
    kind: RawKind = "message"


class UpdateIds:
    """Counts the updates of each symbol's book, which the tables do not number."""

    def __init__(self) -> None:
        self._last: defaultdict[str, int] = defaultdict(int)

    def next(self, symbol: str) -> int:
        """Return the id of the symbol's next update: 1, 2, …"""
        self._last[symbol] += 1
        return self._last[symbol]


Maker = Callable[[str, list[Row], UpdateIds], Iterator[Made]]


def _milliseconds(row: Row) -> int:
    return row.microseconds("timestamp") // 1000


def _figure(row: Row, column: str) -> orjson.Fragment | None:
    """Return a number as JSON that has the table's digits."""
    text = row.numeral(column)
    return None if text is None else orjson.Fragment(text)


def _text(row: Row, column: str) -> str:
    """Return a number that must be there, as text."""
    text = row.numeral(column)
    if text is None:
        raise row.error(column, "is empty")
    return text


def _side(row: Row) -> str:
    side = row.required("side")
    if side not in {"buy", "sell"}:
        raise row.error("side", f"{side!r} is not buy or sell")
    return side


def _books(rows: Sequence[Row]) -> Iterator[tuple[bool, list[tuple[str, str]], list[tuple[str, str]]]]:
    """Yield (is it a snapshot, bids, asks) for each run of rows that are of a snapshot or are not."""
    run: list[Row] = []
    for row in rows:
        if run and row.text("is_snapshot") != run[-1].text("is_snapshot"):
            yield _book(run)
            run = []
        run.append(row)
    if run:
        yield _book(run)


def _book(run: Sequence[Row]) -> tuple[bool, list[tuple[str, str]], list[tuple[str, str]]]:
    flag = run[0].required("is_snapshot")
    if flag not in {"true", "false"}:
        raise run[0].error("is_snapshot", f"{flag!r} is not true or false")
    sides: dict[str, list[tuple[str, str]]] = {"bid": [], "ask": []}
    for row in run:
        if (side := row.required("side")) not in sides:
            raise row.error("side", f"{side!r} is not bid or ask")
        sides[side].append((_text(row, "price"), _text(row, "amount")))
    return flag == "true", sides["bid"], sides["ask"]


def _given(row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the figures under the venue's names; empty cells are left out."""
    return {ours: figure for theirs, ours in names.items() if (figure := _figure(row, theirs)) is not None}


def _given_text(row: Row, names: Mapping[str, str]) -> dict[str, str]:
    return {ours: text for theirs, ours in names.items() if (text := row.numeral(theirs)) is not None}


# Deribit


def _deribit_book(symbol: str, rows: list[Row], updates: UpdateIds) -> Iterator[Made]:
    channel = f"book.{symbol}.raw"
    for snapshot, bids, asks in _books(rows):
        update_id = updates.next(symbol)
        data: dict[str, Any] = {
            "type": "snapshot" if snapshot else "change",
            "timestamp": _milliseconds(rows[-1]),
            "instrument_name": symbol,
            "change_id": update_id,
            "bids": [_deribit_level(*level, snapshot=snapshot) for level in bids],
            "asks": [_deribit_level(*level, snapshot=snapshot) for level in asks],
        }
        if not snapshot:
            data["prev_change_id"] = update_id - 1
        yield Made(channel, symbol, subscription_frame(channel, data))


def _deribit_level(price: str, amount: str, *, snapshot: bool) -> tuple[str, Any, Any]:
    # The tables write a level that is gone as amount 0.
    change = "new" if snapshot else "delete" if not float(amount) else "change"
    return change, orjson.Fragment(price), orjson.Fragment(amount)


def _deribit_trades(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    yield _deribit_prints(symbol, [_deribit_print(symbol, row) for row in rows])


def _deribit_liquidations(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    """The venue tells a liquidation as a trade; the table's side is that of the liquidation's order, the taker's."""
    yield _deribit_prints(symbol, [_deribit_print(symbol, row) | {"liquidation": "T"} for row in rows])


def _deribit_prints(symbol: str, prints: list[dict[str, Any]]) -> Made:
    channel = f"trades.{symbol}.raw"
    return Made(channel, None, subscription_frame(channel, prints))


def _deribit_print(symbol: str, row: Row) -> dict[str, Any]:
    return {
        "trade_id": row.required("id"),
        "timestamp": _milliseconds(row),
        "instrument_name": symbol,
        "direction": _side(row),
        "price": orjson.Fragment(_text(row, "price")),
        "amount": orjson.Fragment(_text(row, "amount")),
    }


_DERIBIT_TICKER = {
    "open_interest": "open_interest",
    "last_price": "last_price",
    "index_price": "index_price",
    "mark_price": "mark_price",
    "funding_rate": "current_funding",
}
_DERIBIT_OPTION = {
    "open_interest": "open_interest",
    "last_price": "last_price",
    "bid_price": "best_bid_price",
    "bid_amount": "best_bid_amount",
    "bid_iv": "bid_iv",
    "ask_price": "best_ask_price",
    "ask_amount": "best_ask_amount",
    "ask_iv": "ask_iv",
    "mark_price": "mark_price",
    "mark_iv": "mark_iv",
    "underlying_price": "underlying_price",
}
_GREEKS = {name: name for name in ("delta", "gamma", "vega", "theta", "rho")}


def _deribit_ticker(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    for row in rows:
        yield _deribit_state(symbol, row, _given(row, _DERIBIT_TICKER))


def _deribit_option(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    for row in rows:
        # A chain's row is the whole state: a side without a price has no quote.
        said = {"best_bid_price": None, "best_ask_price": None, **_given(row, _DERIBIT_OPTION)}
        said["underlying_index"] = row.text("underlying_index")
        if greeks := _given(row, _GREEKS):
            said["greeks"] = greeks
        yield _deribit_state(symbol, row, said)


def _deribit_state(symbol: str, row: Row, said: Mapping[str, Any]) -> Made:
    channel = f"ticker.{symbol}.100ms"
    data = {"timestamp": _milliseconds(row), "instrument_name": symbol, **said}
    return Made(channel, symbol, subscription_frame(channel, data))


# Bybit


def _bybit(topic: str, symbol: str, kind: str, row: Row, data: Any) -> Made:
    name = f"{topic}.{symbol}"
    return Made(name, symbol, orjson.dumps({"topic": name, "type": kind, "ts": _milliseconds(row), "data": data}))


def _bybit_book(symbol: str, rows: list[Row], updates: UpdateIds) -> Iterator[Made]:
    for snapshot, bids, asks in _books(rows):
        # Id 1 of a delta would say that the venue's service has restarted.
        data = {"s": symbol, "b": bids, "a": asks, "u": updates.next(symbol) + 1}
        yield _bybit("orderbook.200", symbol, "snapshot" if snapshot else "delta", rows[-1], data)


def _bybit_trades(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    prints = [_bybit_print(symbol, row, _side(row)) | {"i": row.required("id")} for row in rows]
    yield _bybit("publicTrade", symbol, "snapshot", rows[-1], prints)


def _bybit_liquidations(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    """The venue's ``S`` is the position's side, the table's the order's that closed it: a sell closed a long (Buy)."""
    position = {"sell": "buy", "buy": "sell"}
    prints = [_bybit_print(symbol, row, position[_side(row)]) for row in rows]
    yield _bybit("allLiquidation", symbol, "snapshot", rows[-1], prints)


def _bybit_print(symbol: str, row: Row, side: str) -> dict[str, Any]:
    figures = {"v": _text(row, "amount"), "p": _text(row, "price")}
    return {"T": _milliseconds(row), "s": symbol, "S": side.capitalize(), **figures}


_BYBIT_TICKER = {
    "open_interest": "openInterest",
    "last_price": "lastPrice",
    "index_price": "indexPrice",
    "mark_price": "markPrice",
    "funding_rate": "fundingRate",
}


def _bybit_ticker(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    for row in rows:
        data: dict[str, Any] = {"symbol": symbol, **_given_text(row, _BYBIT_TICKER)}
        if row.text("funding_timestamp"):
            data["nextFundingTime"] = str(row.microseconds("funding_timestamp") // 1000)
        yield _bybit("tickers", symbol, "snapshot", row, data)


# Binance USDⓈ-M


def _binance(stream: str, symbol: str, event: str, row: Row, data: Mapping[str, Any]) -> Made:
    name = f"{symbol.lower()}@{stream}"
    body = {"e": event, "E": _milliseconds(row), **data}
    return Made(name, symbol.upper(), orjson.dumps({"stream": name, "data": body}))


def _binance_book(symbol: str, rows: list[Row], updates: UpdateIds) -> Iterator[Made]:
    for snapshot, bids, asks in _books(rows):
        update_id = updates.next(symbol)
        if snapshot:
            answer = {"lastUpdateId": update_id, "E": _milliseconds(rows[-1]), "bids": bids, "asks": asks}
            yield Made("rest:depth", symbol.upper(), orjson.dumps(answer), "snapshot")
        else:
            ids = {"U": update_id, "u": update_id, "pu": update_id - 1}
            diff = {"T": _milliseconds(rows[-1]), "s": symbol.upper(), **ids, "b": bids, "a": asks}
            yield _binance("depth@100ms", symbol, "depthUpdate", rows[-1], diff)


def _binance_trades(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    for row in rows:
        identifier = row.required("id")
        if not identifier.isdecimal():
            raise row.error("id", f"{identifier!r} is not a whole number")
        data = {
            "a": int(identifier),
            "s": symbol.upper(),
            "p": _text(row, "price"),
            "q": _text(row, "amount"),
            "T": _milliseconds(row),
            "m": _side(row) == "sell",  # the buyer was the maker
        }
        yield _binance("aggTrade", symbol, "aggTrade", row, data)


def _binance_liquidations(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    for row in rows:
        order = {
            "s": symbol.upper(),
            "S": _side(row).upper(),
            "p": _text(row, "price"),
            "ap": _text(row, "price"),
            "q": _text(row, "amount"),
            "z": _text(row, "amount"),
            "X": "FILLED",
            "T": _milliseconds(row),
        }
        yield _binance("forceOrder", symbol, "forceOrder", row, {"o": order})


def _binance_ticker(symbol: str, rows: list[Row], _: UpdateIds) -> Iterator[Made]:
    """Mark, index and funding; the venue tells the last price and open interest elsewhere, the table's are left out."""
    for row in rows:
        if row.numeral("mark_price") is None:
            continue
        data: dict[str, Any] = {"s": symbol.upper()}
        data |= _given_text(row, {"mark_price": "p", "index_price": "i", "funding_rate": "r"})
        if row.text("funding_timestamp"):
            data["T"] = row.microseconds("funding_timestamp") // 1000
        yield _binance("markPrice@1s", symbol, "markPriceUpdate", row, data)


MAKERS: Mapping[tuple[str, str], Maker] = {
    ("deribit", "incremental_book_L2"): _deribit_book,
    ("deribit", "trades"): _deribit_trades,
    ("deribit", "liquidations"): _deribit_liquidations,
    ("deribit", "derivative_ticker"): _deribit_ticker,
    ("deribit", "options_chain"): _deribit_option,
    ("bybit", "incremental_book_L2"): _bybit_book,
    ("bybit", "trades"): _bybit_trades,
    ("bybit", "liquidations"): _bybit_liquidations,
    ("bybit", "derivative_ticker"): _bybit_ticker,
    ("binance-futures", "incremental_book_L2"): _binance_book,
    ("binance-futures", "trades"): _binance_trades,
    ("binance-futures", "liquidations"): _binance_liquidations,
    ("binance-futures", "derivative_ticker"): _binance_ticker,
}
