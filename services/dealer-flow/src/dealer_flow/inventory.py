"""Dealers' positions in the options of one (venue, underlying), under each sign model.

``naive``
    Dealers are long every call and short every put of the open interest.
``taker_mirror``
    Dealers hold the opposite of all taker flow printed since the record began: a taker buy of n leaves them −n. What
    they held before is unknown, so 0 means "no flow recorded", not "flat": such rows are flagged, and
    ``explained_share`` says how much of the open interest the recorded flow amounts to.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from contracts.records import Clock, DealerInventory, Trade
from dealer_flow.chain import ChainGreeks, FloatArray

SignModel = Literal["naive", "taker_mirror"]
SIGN_MODELS: Final[tuple[SignModel, ...]] = ("naive", "taker_mirror")

FLOW_SINCE_RECORD_START: Final = "flow_since_record_start"
NO_FLOW_RECORDED: Final = "no_trades_since_record_start"
NO_OPEN_INTEREST: Final = "no_open_interest"
_MICROSECONDS: Final = 1_000_000
_REMEMBERED_TRADES: Final = 1_024
_UNLISTED_KEPT_US: Final = 7 * 86_400 * _MICROSECONDS


@dataclass(frozen=True, slots=True)
class Flow:
    """Signed taker flow of one option since the record began."""

    taker_base: float = 0.0
    """Coin, > 0: takers bought"""
    last_trade_ts: int | None = None
    """µs, receive time of the last print"""


Terms = tuple[float, int, bool]
"""Strike (USD), expiry (µs), is_call."""
Written = tuple[float | None, float | None, int | None]
"""Position, open interest, last trade: what a row says that can change."""
_NO_FLOW: Final = Flow()


def record_key(instrument: str, sign_model: str) -> str:
    """Key of an inventory row on its compacted topic."""
    return f"{instrument}|{sign_model}"


class InvalidTradeError(ValueError):
    """A print whose size cannot be counted."""


class Inventory:
    """Positions per option; options are known by name from their prints and listed once a greeks record has them."""

    __slots__ = ("_compared", "_flows", "_recent", "_seen", "_terms", "_written")

    def __init__(self) -> None:
        self._flows: dict[str, Flow] = {}
        self._terms: dict[str, Terms] = {}
        self._written: dict[SignModel, dict[str, Written]] = {model: {} for model in SIGN_MODELS}
        self._recent: deque[str] = deque(maxlen=_REMEMBERED_TRADES)
        self._seen: set[str] = set()
        self._compared: object = None  # inputs of the last comparison: equal ones cannot change a row

    def add(self, trade: Trade) -> bool:
        """Count an option's print; False if it is one of the last 1,024 counted. Raises :class:`InvalidTradeError`."""
        amount = trade.amount_base
        if amount is None or not (math.isfinite(amount) and amount > 0):
            raise InvalidTradeError(
                f"amount_base = {amount!r} of {trade.instrument} {trade.trade_id}: must be a number > 0"
            )
        if not self._remember(f"{trade.instrument} {trade.trade_id}"):
            return False
        signed = amount if trade.taker_side == "buy" else -amount
        before = self._flows.get(trade.instrument, _NO_FLOW)
        self._flows[trade.instrument] = Flow(before.taker_base + signed, trade.received_ts)
        return True

    def positions(self, instruments: tuple[str, ...], chain: ChainGreeks) -> dict[SignModel, FloatArray]:
        """Return dealers' position per option of the chain, coin, > 0 is long; NaN where unknown."""
        open_interest = chain.open_interest_base
        taker = np.array([self._flows.get(name, _NO_FLOW).taker_base for name in instruments], dtype=np.float64)
        return {"naive": np.where(chain.is_call, open_interest, -open_interest), "taker_mirror": 0.0 - taker}

    def book_quality(self, model: SignModel, instruments: tuple[str, ...]) -> tuple[str, ...]:
        """Return the flags of a whole book: what its positions leave out."""
        if model == "naive":
            return ()
        recorded = any(name in self._flows for name in instruments)
        return (FLOW_SINCE_RECORD_START,) if recorded else (FLOW_SINCE_RECORD_START, NO_FLOW_RECORDED)

    def changed_rows(
        self, instruments: tuple[str, ...], chain: ChainGreeks, positions: dict[SignModel, FloatArray], clock: Clock
    ) -> Iterator[tuple[str, DealerInventory]]:
        """Yield key and row of each position that is not what was last written, by sign model, in the chain's order."""
        times = tuple(self._flows.get(name, _NO_FLOW).last_trade_ts for name in instruments)
        inputs = (instruments, times, chain.open_interest_base.tobytes(), positions["taker_mirror"].tobytes())
        if inputs == self._compared:
            return
        self._compared = inputs
        for model in SIGN_MODELS:
            yield from self._changed(model, instruments, chain, positions[model], clock)

    def expire(self, end_ts: int) -> Iterator[str]:
        """Forget options that expire at or before ``end_ts`` (µs) and yield the keys of their rows, to be tombstoned.

        The flow of an option that no greeks record has listed within seven days of its last print is forgotten, too.
        """
        gone = [(terms[1], name) for name, terms in self._terms.items() if terms[1] <= end_ts]
        for _, name in sorted(gone):
            del self._terms[name]
            self._flows.pop(name, None)
            for model in SIGN_MODELS:
                if self._written[model].pop(name, None) is not None:
                    yield record_key(name, model)
        for name in [name for name, flow in self._flows.items() if self._is_lost(name, flow, end_ts)]:
            del self._flows[name]

    def state(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "flows": [[name, flow.taker_base, flow.last_trade_ts] for name, flow in sorted(self._flows.items())],
            "terms": [[name, *terms] for name, terms in sorted(self._terms.items())],
            "written": {m: [[name, *row] for name, row in sorted(rows.items())] for m, rows in self._written.items()},
            "recent": list(self._recent),
        }

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Inventory":
        """Return the inventory that :meth:`state` wrote down."""
        inventory = cls()
        inventory._flows = {name: Flow(taker, last) for name, taker, last in state["flows"]}
        inventory._terms = {name: (strike, expiry_ts, is_call) for name, strike, expiry_ts, is_call in state["terms"]}
        for model in SIGN_MODELS:
            inventory._written[model] = {name: (q, oi, last) for name, q, oi, last in state["written"][model]}
        inventory._recent.extend(state["recent"])
        inventory._seen.update(state["recent"])
        return inventory

    def _remember(self, trade: str) -> bool:
        if trade in self._seen:
            return False
        if len(self._recent) == _REMEMBERED_TRADES:
            self._seen.discard(self._recent[0])
        self._recent.append(trade)
        self._seen.add(trade)
        return True

    def _is_lost(self, name: str, flow: Flow, now_ts: int) -> bool:
        return name not in self._terms and (flow.last_trade_ts or 0) + _UNLISTED_KEPT_US <= now_ts

    def _changed(
        self,
        model: SignModel,
        instruments: tuple[str, ...],
        chain: ChainGreeks,
        position: FloatArray,
        clock: Clock,
    ) -> Iterator[tuple[str, DealerInventory]]:
        written = self._written[model]
        rows = zip(instruments, _nullable(position), _nullable(chain.open_interest_base), strict=True)
        for i, (name, held, open_interest) in enumerate(rows):
            row = (held, open_interest, self._flows.get(name, _NO_FLOW).last_trade_ts)
            if written.get(name) == row:
                continue
            written[name] = row
            self._terms[name] = (float(chain.strike[i]), int(chain.expiry_ts[i]), bool(chain.is_call[i]))
            yield record_key(name, model), self._row(name, model, row, clock)

    def _row(self, name: str, model: SignModel, row: Written, clock: Clock) -> DealerInventory:
        held, open_interest, last_trade_ts = row
        strike, expiry_ts, is_call = self._terms[name]
        return DealerInventory(
            venue=clock.venue,
            instrument=name,
            underlying=clock.underlying,
            sign_model=model,
            second=clock.second,
            received_ts=(clock.second + 1) * _MICROSECONDS if clock.received_ts is None else clock.received_ts,
            strike=strike,
            expiry_ts=expiry_ts,
            is_call=is_call,
            position_base=held,
            open_interest_base=open_interest,
            explained_share=_explained_share(held, open_interest),
            last_trade_ts=last_trade_ts,
            quality=_quality(model, open_interest, last_trade_ts),
        )


def _nullable(values: FloatArray) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _explained_share(position: float | None, open_interest: float | None) -> float | None:
    """|position| / open interest, at most 1; None where there is nothing to be explained."""
    if position is None or not open_interest:
        return None
    return min(1.0, abs(position) / open_interest)


def _quality(model: SignModel, open_interest: float | None, last_trade_ts: int | None) -> tuple[str, ...]:
    flags = []
    if open_interest is None:
        flags.append(NO_OPEN_INTEREST)
    if model == "taker_mirror" and last_trade_ts is None:
        flags.append(NO_FLOW_RECORDED)
    return tuple(flags)
