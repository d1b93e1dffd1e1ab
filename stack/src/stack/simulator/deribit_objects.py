"""The JSON objects Deribit sends, made from the market's state: tickers, books, instruments, summaries."""

from collections.abc import Mapping, Sequence
from typing import Any

from stack.simulator.board import COARSE_ABOVE, COARSE_TICK, COLUMNS, FINE_TICK, OptionBoard, ladder
from stack.simulator.futures import CONTRACT_USD, DATED_TICK, PERPETUAL_TICK, DatedFuture, Perpetual, Session
from stack.simulator.ladder import Diff, LevelChange
from stack.simulator.listing import expiry_code, has_future
from stack.simulator.world import Underlying

Json = dict[str, Any]
Levels = Mapping[float, float]
PERPETUAL_EXPIRY_MS = 32_503_708_800_000
_NO_TRADES = Session()


def option_ticker(u: Underlying, row: int, values: Sequence[float], now_ms: int) -> Json:
    """Return the ticker of the option in ``row`` with the board's columns ``values``."""
    contract = u.board.contracts[row]
    q = dict(zip(COLUMNS, values, strict=True))
    session = u.tape.session.get(contract.name, _NO_TRADES)
    index = round(u.path.price, 2)
    return {
        "timestamp": now_ms,
        "instrument_name": contract.name,
        "state": "open",
        "stats": session.stats(),
        "underlying_price": q["underlying_price"],
        "underlying_index": underlying_index(u, row, now_ms),
        "interest_rate": 0.0,
        "index_price": index,
        "estimated_delivery_price": index,
        "open_interest": open_interest(u, row),
        "last_price": session.last,
        "mark_price": q["mark_price"],
        "mark_iv": q["mark_iv"],
        "best_bid_price": q["bid"],
        "best_bid_amount": q["bid_amount"],
        "bid_iv": q["bid_iv"],
        "best_ask_price": q["ask"],
        "best_ask_amount": q["ask_amount"],
        "ask_iv": q["ask_iv"],
        "min_price": max(FINE_TICK, round(q["mark_price"] - 0.04, 4)),
        "max_price": round(q["mark_price"] + 0.04, 4),
        "greeks": {name: q[name] for name in ("delta", "gamma", "vega", "theta", "rho")},
    }


def dated_ticker(u: Underlying, future: DatedFuture, now_ms: int) -> Json:
    """Return the ticker of a dated future."""
    quote = {
        "best_bid_price": future.bid,
        "best_bid_amount": float(future.bid_amount),
        "best_ask_price": future.ask,
        "best_ask_amount": float(future.ask_amount),
        "mark_price": future.mark,
        "open_interest": float(future.open_interest),
    }
    return _futures_ticker(u, future.name, u.futures.session[future.name], now_ms) | quote


def perpetual_ticker(u: Underlying, now_ms: int) -> Json:
    """Return the perpetual's ticker with its funding (decimal, per 8 hours)."""
    p = u.perpetual
    top, tick = p.ladder.top, p.ladder.tick
    return _futures_ticker(u, p.name, p.session, now_ms) | {
        "best_bid_price": round(top.bid * tick, 2),
        "best_bid_amount": float(top.bid_size * p.contract),
        "best_ask_price": round(top.ask * tick, 2),
        "best_ask_amount": float(top.ask_size * p.contract),
        "mark_price": round(u.path.price * (1 + p.premium), 2),
        "open_interest": float(p.open_interest),
        "current_funding": round(p.current_funding, 8),
        "funding_8h": round(p.funding_8h, 8),
        "interest_value": p.interest_value,
    }


def _futures_ticker(u: Underlying, name: str, session: Session, now_ms: int) -> Json:
    index = round(u.path.price, 2)
    return {
        "timestamp": now_ms,
        "instrument_name": name,
        "state": "open",
        "stats": session.stats() | {"volume_notional": round(session.volume_usd, 2)},
        "index_price": index,
        "estimated_delivery_price": index,
        "settlement_price": index,
        "last_price": session.last,
        "min_price": round(index * 0.985, 2),
        "max_price": round(index * 1.015, 2),
    }


def underlying_index(u: Underlying, row: int, now_ms: int) -> str:
    """Return what the option is priced off: its future, else a synthetic one."""
    expiry = u.board.contracts[row].expiry
    future = f"{u.name}-{expiry_code(expiry.ts_ms)}"
    return future if has_future(expiry, now_ms) else f"SYN.{future}"


def open_interest(u: Underlying, row: int) -> float:
    """Return an option's open interest, coin."""
    return round(int(u.accounts.open_interest[row]) * u.board.lot, 1)


def snapshot(name: str, change_id: int, bids: Levels, asks: Levels, now_ms: int) -> Json:
    """Return a book channel's first message: all levels, best first."""
    return {
        "type": "snapshot",
        "timestamp": now_ms,
        "instrument_name": name,
        "change_id": change_id,
        "bids": [["new", p, a] for p, a in sorted(bids.items(), reverse=True)],
        "asks": [["new", p, a] for p, a in sorted(asks.items())],
    }


def change(
    name: str, ids: tuple[int, int], before: tuple[Levels, Levels], now: tuple[Levels, Levels], now_ms: int
) -> Json:
    """Return a book channel's next message; ``ids`` are the previous and the new change id."""
    return {
        "type": "change",
        "timestamp": now_ms,
        "instrument_name": name,
        "prev_change_id": ids[0],
        "change_id": ids[1],
        "bids": _level_changes(before[0], now[0]),
        "asks": _level_changes(before[1], now[1]),
    }


def perpetual_levels(p: Perpetual) -> tuple[Levels, Levels]:
    """Return the perpetual's bids and asks: USD → USD."""
    tick, contract = p.ladder.tick, p.contract
    bids, asks = (
        {round(k * tick, 2): float(v * contract) for k, v in s.items()} for s in (p.ladder.bids, p.ladder.asks)
    )
    return bids, asks


def perpetual_change(p: Perpetual, diff: Diff, now_ms: int) -> Json:
    """Return the perpetual's book message for ``diff``."""

    def entry(level: LevelChange) -> list[Any]:
        action = "delete" if level.size == 0 else "change" if level.before else "new"
        return [action, round(level.price * p.ladder.tick, 2), float(level.size * p.contract)]

    return {
        "type": "change",
        "timestamp": now_ms,
        "instrument_name": p.name,
        "prev_change_id": diff.previous_id,
        "change_id": diff.last_id,
        "bids": [entry(level) for level in diff.bids],
        "asks": [entry(level) for level in diff.asks],
    }


def _level_changes(before: Levels, now: Levels) -> list[list[Any]]:
    gone = [["delete", p, 0.0] for p in before if p not in now]
    kept = [["change" if p in before else "new", p, a] for p, a in now.items() if before.get(p) != a]
    return gone + kept


def option_levels(board: OptionBoard, row: int) -> tuple[Levels, Levels]:
    """Return an option's bids and asks: coin → coin."""
    return ladder(board.table, row, board.lot)


def instruments(u: Underlying, now_ms: int) -> list[Json]:
    """Return every listed instrument of ``u``: options, dated futures, the perpetual."""
    options = [_option_instrument(u, i) for i in range(len(u.board))]
    dated = [
        _future_instrument(u, f.name, f.expiry.ts_ms, f.expiry.period, f.listed_ms) for f in u.futures.quotes.values()
    ]
    return [*options, *dated, _future_instrument(u, u.perpetual.name, PERPETUAL_EXPIRY_MS, "perpetual", now_ms)]


def _common(u: Underlying, kind: str, name: str, tick: float) -> Json:
    return {
        "kind": kind,
        "instrument_name": name,
        "instrument_type": "reversed",
        "is_active": True,
        "base_currency": u.name,
        "counter_currency": "USD",
        "settlement_currency": u.name,
        "price_index": f"{u.name.lower()}_usd",
        "tick_size": tick,
        "maker_commission": 0.0003,
        "taker_commission": 0.0003,
        "state": "open",
    }


def _option_instrument(u: Underlying, row: int) -> Json:
    c = u.board.contracts[row]
    return _common(u, "option", c.name, FINE_TICK) | {
        "option_type": "call" if c.is_call else "put",
        "strike": c.strike,
        "expiration_timestamp": c.expiry.ts_ms,
        "creation_timestamp": int(u.board.listed_ms[row]),
        "settlement_period": c.expiry.period,
        "quote_currency": u.name,
        "contract_size": 1.0,
        "min_trade_amount": u.board.lot,
        "tick_size_steps": [{"above_price": COARSE_ABOVE, "tick_size": COARSE_TICK}],
    }


def _future_instrument(u: Underlying, name: str, expiry_ms: int, period: str, listed_ms: int) -> Json:
    perpetual = period == "perpetual"
    return _common(u, "future", name, (PERPETUAL_TICK if perpetual else DATED_TICK)[u.name]) | {
        "future_type": "reversed",
        "expiration_timestamp": expiry_ms,
        "creation_timestamp": 1_534_242_287_000 if perpetual else listed_ms,
        "settlement_period": period,
        "quote_currency": "USD",
        "contract_size": float(CONTRACT_USD[u.name]),
        "min_trade_amount": float(CONTRACT_USD[u.name]),
        "max_leverage": 50 if perpetual else 25,
        "tick_size_steps": [],
    }


def summary(ticker: Json, u: Underlying) -> Json:
    """Return the book summary that belongs to ``ticker``: null, not 0, where there is no quote."""
    bid, ask = ticker["best_bid_price"] or None, ticker["best_ask_price"] or None
    stats = ticker["stats"]
    option = "mark_iv" in ticker
    kept = ("mark_iv", "underlying_price", "underlying_index", "interest_rate", "current_funding", "funding_8h")
    return {
        "instrument_name": ticker["instrument_name"],
        "base_currency": u.name,
        "quote_currency": u.name if option else "USD",
        "creation_timestamp": ticker["timestamp"],
        "bid_price": bid,
        "ask_price": ask,
        "mid_price": None if bid is None or ask is None else round((bid + ask) / 2, 5 if option else 2),
        "mark_price": ticker["mark_price"],
        "last": ticker["last_price"],
        "open_interest": ticker["open_interest"],
        "estimated_delivery_price": ticker["estimated_delivery_price"],
        **{k: stats[k] for k in ("high", "low", "price_change", "volume", "volume_usd")},
    } | {k: ticker[k] for k in kept if k in ticker}
