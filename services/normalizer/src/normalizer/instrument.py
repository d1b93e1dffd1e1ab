"""All that is known of one instrument: an as-of join of the parts of its ticker, each with its own receive time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, TypeVar

from contracts.records import Instrument
from normalizer import contract_value
from normalizer.events import (
    FundingPrint,
    InstrumentSpec,
    LiquidationPrint,
    Part,
    TickerPatch,
    TradePrint,
    Value,
)
from normalizer.limits import Limits

_Sized = TypeVar("_Sized", TradePrint, LiquidationPrint)

PARTS: Final[Mapping[Part, tuple[str, ...]]] = {
    "quote": ("bid_price", "bid_amount", "ask_price", "ask_amount"),
    "last": ("last_price",),
    "mark": ("mark_price",),
    "index": ("index_price",),
    "underlying": ("underlying_price", "underlying_index", "interest_rate"),
    "iv": ("mark_iv", "bid_iv", "ask_iv"),
    "greeks": ("venue_delta", "venue_gamma", "venue_vega", "venue_theta", "venue_rho"),
    "open_interest": ("open_interest_base", "open_interest_usd"),
    "volume": ("volume_24h_base",),
    "funding": ("funding_rate", "predicted_funding_rate", "next_funding_ts"),
}
"""The fields of a Ticker that arrive and age together."""

AGES: Final[Mapping[Part, str]] = {
    "quote": "quote_age_ms",
    "last": "last_age_ms",
    "mark": "mark_age_ms",
    "index": "index_age_ms",
    "underlying": "underlying_age_ms",
    "iv": "iv_age_ms",
    "greeks": "greeks_age_ms",
    "open_interest": "open_interest_age_ms",
    "funding": "funding_age_ms",
}

_EMPTY: Final[Mapping[str, Value]] = {name: None for names in PARTS.values() for name in names}
_SETTLED_RATE_AGE_US: Final = 60_000_000
_HOUR_US: Final = 3_600_000_000


class InstrumentState:
    """The state of one live instrument. Times are receive times in microseconds unless named otherwise."""

    __slots__ = (
        "_raised",
        "base_per_contract",
        "exchange_ts",
        "exchange_ts_of",
        "last_trade_exchange_ts",
        "last_trade_seq",
        "listed",
        "received_ts",
        "received_ts_of",
        "reference",
        "spec",
        "state",
        "trade_stream",
        "values",
    )

    def __init__(self, spec: InstrumentSpec) -> None:
        self.spec = spec
        self.reference: Instrument | None = None
        self.listed = False
        self.state = "unknown"
        self.values: dict[str, Value] = dict(_EMPTY)
        self.received_ts_of: dict[Part, int] = {}
        self.exchange_ts_of: dict[Part, int] = {}
        self.exchange_ts: int | None = None
        self.received_ts = 0
        self.trade_stream: str | None = None
        self.last_trade_seq: int | None = None
        self.last_trade_exchange_ts = 0
        self.base_per_contract: float | None = None
        self._raised: set[str] = set()

    def patch(self, patch: TickerPatch, received_ts: int, limits: Limits) -> FundingPrint | None:
        """Join a frame's parts; a part older (by venue time) than what is held is not applied, and flagged.

        Returns the funding payment that the patch shows to have been settled, if it does.
        """
        settled = self._settled(patch.parts.get("funding"), received_ts)
        applied = False
        for part, said in patch.parts.items():
            if patch.exchange_ts is not None and patch.exchange_ts < self.exchange_ts_of.get(part, 0):
                # Trades and tickers race for the last price, polls lag behind the stream: neither is disorder.
                if part != "last" and not patch.polled:
                    self._raised.add("out_of_order")
                continue
            applied = True
            self._join(part, said, patch.exchange_ts, received_ts, limits)
        if applied:
            self.state = patch.state or self.state
            self.exchange_ts, self.received_ts = patch.exchange_ts, received_ts
        return settled

    def _join(
        self, part: Part, said: Mapping[str, Value], exchange_ts: int | None, received_ts: int, limits: Limits
    ) -> None:
        values = self.values
        if part == "last" and said["last_price"] == values["last_price"] and "last" in self.received_ts_of:
            return  # Frames repeat the last price: its age is that of the trade, not of the repetition.
        if part in {"mark", "index"}:
            self._watch(part, said, received_ts, limits)
        if part == "quote":
            self._forget_overtaken(said)
        values.update(said)
        self.received_ts_of[part] = received_ts
        if exchange_ts is not None:
            self.exchange_ts_of[part] = exchange_ts

    def _forget_overtaken(self, said: Mapping[str, Value]) -> None:
        """Keep a new price from standing beside the old one's size (a REST summary has none), and no quote by an iv."""
        for side in ("bid", "ask"):
            price = said.get(f"{side}_price", self.values[f"{side}_price"])
            if price != self.values[f"{side}_price"]:
                self.values[f"{side}_amount"] = None
            if price is None:
                self.values[f"{side}_iv"] = None

    def _watch(self, part: Part, said: Mapping[str, Value], received_ts: int, limits: Limits) -> None:
        """Raise price_jump for the index, and for the mark of all but options."""
        if part == "mark" and self.spec.kind == "option":
            return
        name = PARTS[part][0]
        if jumped(self.values[name], said[name], received_ts - self.received_ts_of.get(part, 0), limits):
            self._raised.add("price_jump")

    def _settled(self, said: Mapping[str, Value] | None, received_ts: int) -> FundingPrint | None:
        """A payment was settled when the next settlement time moves on; its rate is the last one seen before."""
        before, after = self.values["next_funding_ts"], None if said is None else said.get("next_funding_ts")
        rate, mark_price = self.values["funding_rate"], self.values["mark_price"]
        if not (isinstance(before, int) and isinstance(after, int) and isinstance(rate, float) and after > before):
            return None
        if received_ts - self.received_ts_of["funding"] > _SETTLED_RATE_AGE_US:
            return None  # We were away: the rate may have moved until it was paid.
        settled_ts, next_ts = on_the_hour(before), on_the_hour(after)
        return FundingPrint(
            instrument=self.spec.instrument,
            exchange_ts=None,
            settled_ts=settled_ts,
            rate=rate,
            period_hours=(next_ts - settled_ts) / _HOUR_US,
            mark_price=mark_price if isinstance(mark_price, float) else None,
        )

    def trade(self, trade: TradePrint, received_ts: int, limits: Limits) -> list[str]:
        """Join a print; return the flags it earns. A print older than the last one leaves the last price alone."""
        if self._is_older(trade):
            return ["out_of_order"]
        raised = []
        since = received_ts - self.received_ts_of.get("last", 0)
        if self.spec.kind != "option" and jumped(self.values["last_price"], trade.price, since, limits):
            raised.append("price_jump")
        self.values["last_price"] = trade.price
        self.received_ts_of["last"] = received_ts
        self.exchange_ts_of["last"] = trade.exchange_ts
        self.last_trade_exchange_ts = trade.exchange_ts
        self.last_trade_seq = trade.trade_seq
        self.exchange_ts, self.received_ts = trade.exchange_ts, received_ts
        if trade.contracts is not None and trade.amount_base is not None:
            self.base_per_contract = contract_value.finite(trade.amount_base / trade.contracts)
        return raised

    def sized(self, print_: _Sized) -> _Sized:
        """Return a print with its contracts in base coin and USD: by the reference data, else as the frame says.

        A quanto that the frame does not size is sized by its last print; what cannot be known stays None.
        """
        if print_.contracts is None:
            return print_
        base, usd = self._by_reference(print_, print_.contracts)
        if base is None and print_.amount_base is not None:
            return print_
        if base is None and self.reference is not None and self.base_per_contract is not None:
            base = contract_value.finite(print_.contracts * self.base_per_contract)
            usd = None if base is None else contract_value.finite(base * print_.price)
        return print_._replace(amount_base=base, notional_usd=usd)

    def _by_reference(self, print_: _Sized, contracts: float) -> tuple[float | None, float | None]:
        if self.reference is None:
            return None, None
        index_price = print_.index_price if isinstance(print_, TradePrint) else None
        return contract_value.sizes(contracts, price=print_.price, index_price=index_price, reference=self.reference)

    def open_interest(self, contracts: float) -> Mapping[str, Value]:
        """Return the fields of the open interest that ``contracts`` say; none if their value is not known."""
        if self.reference is None:
            return {}
        if contract_value.unit(self.reference) != "quanto":
            return contract_value.open_interest(contracts, self.reference)
        base = None if self.base_per_contract is None else contract_value.finite(contracts * self.base_per_contract)
        return {} if base is None else {"open_interest_base": base}

    def _is_older(self, trade: TradePrint) -> bool:
        if trade.trade_seq is not None and self.last_trade_seq is not None:
            return trade.trade_seq < self.last_trade_seq
        return trade.exchange_ts < self.last_trade_exchange_ts

    def ticker_fields(self, *, second: int, index: tuple[float, int] | None) -> dict[str, Any]:
        """Return the fields of :class:`contracts.records.Ticker` at the end of ``second``, without venue and quality.

        ``index`` is the newest print of the instrument's index and its receive time; the newer of it and of the
        instrument's own is taken, the print if they came together.
        """
        spec, reference = self.spec, self.reference
        end_ts = (second + 1) * 1_000_000
        row: dict[str, Any] = {
            "instrument": spec.instrument,
            "underlying": spec.underlying,
            "kind": spec.kind,
            "second": second,
            "exchange_ts": self.exchange_ts,
            "received_ts": self.received_ts,
            "state": self.state,
            "linear": spec.linear if reference is None else reference.linear,
            "contract_size": None if reference is None else reference.contract_size,
            "strike": spec.strike,
            "expiry_ts": spec.expiry_ts,
            "option_type": spec.option_type,
            **self.values,
        }
        received_ts_of = self.received_ts_of
        for part, age in AGES.items():
            received_ts = received_ts_of.get(part)
            row[age] = None if received_ts is None else (end_ts - received_ts) // 1000
        if index is not None and index[1] >= received_ts_of.get("index", 0):
            row["index_price"], row["index_age_ms"] = index[0], (end_ts - index[1]) // 1000
        return row

    def take_raised(self) -> Sequence[str]:
        """Return and forget the flags raised within the second."""
        if not self._raised:
            return ()
        raised = sorted(self._raised)
        self._raised.clear()
        return raised

    def dump(self) -> dict[str, Any]:
        """Return the state at the end of a second as JSON values; ``load`` of it behaves identically from then on."""
        return {
            "reference": None if self.reference is None else asdict(self.reference),
            "listed": self.listed,
            "state": self.state,
            "values": {name: value for name, value in self.values.items() if value is not None},
            "received_ts_of": self.received_ts_of,
            "exchange_ts_of": self.exchange_ts_of,
            "stamps": [self.exchange_ts, self.received_ts],
            "trades": [self.trade_stream, self.last_trade_seq, self.last_trade_exchange_ts, self.base_per_contract],
        }

    @classmethod
    def load(cls, state: Mapping[str, Any], spec: InstrumentSpec) -> "InstrumentState":
        """Build the state that ``dump`` described."""
        loaded = cls(spec)
        reference = state["reference"]
        if reference is not None:
            loaded.reference = Instrument(**{**reference, "quality": tuple(reference["quality"])})
        loaded.listed, loaded.state = state["listed"], state["state"]
        loaded.values.update(state["values"])
        loaded.received_ts_of = dict(state["received_ts_of"])
        loaded.exchange_ts_of = dict(state["exchange_ts_of"])
        loaded.exchange_ts, loaded.received_ts = state["stamps"]
        loaded.trade_stream, loaded.last_trade_seq, loaded.last_trade_exchange_ts = state["trades"][:3]
        loaded.base_per_contract = state["trades"][3]
        return loaded


def jumped(before: Value, after: Value, apart_us: int, limits: Limits) -> bool:
    """Tell whether a price moved by more than the limit within the window; unknown prices never do."""
    if not isinstance(before, float) or not isinstance(after, float) or before <= 0:
        return False
    return apart_us <= limits.jump_window_s * 1_000_000 and abs(after / before - 1) > limits.jump


def on_the_hour(timestamp: int) -> int:
    """Round microseconds to the nearest hour: venues settle on the hour, and their stamps jitter by milliseconds."""
    return (timestamp + _HOUR_US // 2) // _HOUR_US * _HOUR_US
