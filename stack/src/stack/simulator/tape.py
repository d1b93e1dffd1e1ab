"""Deribit's trade tape of one underlying: prints become the venue's trade objects, with ids and sequence numbers.

A combo prints its parent first (on the combo tape) and then each leg; blocks and RFQs share an id over their legs.
Amounts are in coin for options and in USD for futures.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from stack.simulator.board import OptionBoard
from stack.simulator.flow import BLOCK, COMBO, RFQ, OptionPrint
from stack.simulator.futures import Session

Trade = dict[str, Any]
KEPT = 1000
_FIRST_ID = {"BTC": 400_000_000, "ETH": 280_000_000}


class Tape:
    """Numbers trades and keeps the latest for the REST interface."""

    def __init__(self, underlying: str) -> None:
        self._underlying = underlying
        self._prefix = "" if underlying == "BTC" else f"{underlying}-"
        self._last_id = _FIRST_ID[underlying]
        self._sequence: dict[str, int] = {}
        self._orders = 0
        self.session: dict[str, Session] = {}
        self.recent: dict[str, deque[Trade]] = {
            kind: deque(maxlen=KEPT) for kind in ("option", "future", "option_combo")
        }

    def options(
        self, prints: Sequence[OptionPrint], board: OptionBoard, index: float, now_ms: int
    ) -> tuple[list[Trade], list[Trade]]:
        """Return the trades of ``prints`` and the combo parents among them."""
        trades: list[Trade] = []
        parents: list[Trade] = []
        orders: dict[int, list[OptionPrint]] = {}
        for one in prints:
            orders.setdefault(one.order, []).append(one)
        for legs in orders.values():
            tags = self._tags(legs)
            parent = self._parent(legs, board, index, now_ms) if legs[0].order_class == COMBO.name else None
            if parent is not None:
                tags = {"combo_id": parent["instrument_name"], "combo_trade_id": parent["trade_id"]}
            done = [self._option_trade(one, board, index, now_ms) | tags for one in legs]
            trades += done
            if parent is not None:
                parents.append(parent | {"legs": done})
        self.recent["option"].extend(trades)
        self.recent["option_combo"].extend(parents)
        return trades, parents

    def future(
        self,
        name: str,
        session: Session,
        *,
        price: float,
        usd: int,
        contract: int,
        buy: bool,
        mark: float,
        index: float,
        now_ms: int,
        liquidation: str | None,
    ) -> Trade:
        """Return one futures trade of ``usd`` dollars."""
        trade = self._numbered(name, now_ms) | {
            "price": price,
            "mark_price": round(mark, 2),
            "index_price": round(index, 2),
            "direction": "buy" if buy else "sell",
            "amount": float(usd),
            "contracts": float(usd // contract),
            "tick_direction": session.add(price, usd / price, usd),
        }
        if liquidation:
            trade["liquidation"] = liquidation
        self.recent["future"].append(trade)
        return trade

    def _option_trade(self, one: OptionPrint, board: OptionBoard, index: float, now_ms: int) -> Trade:
        amount = round(one.lots * board.lot, 1)
        session = self.session.setdefault(one.instrument, Session())
        trade = self._numbered(one.instrument, now_ms) | {
            "price": one.price,
            "mark_price": one.mark_price,
            "iv": one.iv,
            "index_price": round(index, 2),
            "direction": "buy" if one.buy else "sell",
            "amount": amount,
            "contracts": amount,
            "tick_direction": session.add(one.price, amount, amount * one.price * index),
        }
        if one.liquidation:
            trade["liquidation"] = one.liquidation
        return trade

    def _numbered(self, name: str, now_ms: int) -> Trade:
        self._last_id += 1
        self._sequence[name] = self._sequence.get(name, 0) + 1
        return {
            "trade_seq": self._sequence[name],
            "trade_id": f"{self._prefix}{self._last_id}",
            "timestamp": now_ms,
            "instrument_name": name,
        }

    def _tags(self, legs: Sequence[OptionPrint]) -> Trade:
        if legs[0].order_class not in (BLOCK.name, RFQ.name):
            return {}
        self._orders += 1
        tags: Trade = {"block_trade_id": f"BLOCK-{self._orders}", "block_trade_leg_count": legs[0].legs}
        return tags | ({"block_rfq_id": self._orders} if legs[0].order_class == RFQ.name else {})

    def _parent(self, legs: Sequence[OptionPrint], board: OptionBoard, index: float, now_ms: int) -> Trade:
        first = legs[0]
        signs = [1 if leg.buy == first.buy else -1 for leg in legs]
        amount = round(first.lots * board.lot, 1)
        return self._numbered(combo_name(legs, board), now_ms) | {
            "price": round(sum(s * leg.price for s, leg in zip(signs, legs, strict=True)), 4),
            "mark_price": round(sum(s * leg.mark_price for s, leg in zip(signs, legs, strict=True)), 4),
            "index_price": round(index, 2),
            "direction": "buy" if first.buy else "sell",
            "amount": amount,
            "contracts": amount,
            "tick_direction": 0,
        }


def combo_name(legs: Sequence[OptionPrint], board: OptionBoard) -> str:
    """Return the venue's name of a two-leg combo, e.g. ``BTC-CS-27MAR26-95000_100000``."""
    first, second = (board.contracts[leg.row] for leg in legs)
    if first.is_call == second.is_call:
        kind = "CS" if first.is_call else "PS"
    elif legs[0].buy == legs[1].buy:
        kind = "STRD" if first.strike == second.strike else "STRG"
    else:
        kind = "RR"
    strikes = "_".join(f"{k:.10g}" for k in sorted({first.strike, second.strike}))
    underlying, code = first.name.split("-")[:2]
    return f"{underlying}-{kind}-{code}-{strikes}"
