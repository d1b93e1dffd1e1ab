"""What a venue file makes of a raw frame: typed events, free of venue quirks, before any state is consulted.

Prices, ivs and rates are floats in the units of the contract (vols and rates as decimals, times in microseconds).
Book levels stay decimal text until :mod:`normalizer.book` scales them to integers, so that no float touches them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Kind = Literal["option", "future", "perpetual", "spot"]
Side = Literal["buy", "sell"]
Right = Literal["call", "put"]
LiquidationRole = Literal["none", "maker", "taker", "both"]
Part = Literal["quote", "last", "mark", "index", "underlying", "iv", "greeks", "open_interest", "volume", "funding"]
Value = float | int | str | None
Levels = Sequence[tuple[str, str]]
Action = Literal["partial", "insert", "update", "delete"]
LevelRow = tuple[int, Side | None, str | None, str | None]
"""(id, side, price, size) of a level known by an id; what the venue does not repeat is None."""


class BadMessage(ValueError):
    """The venue (or the wire) sent something that cannot be true; ``reason`` is a short code, ``detail`` names it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentSpec:
    """What an instrument's symbol alone says of it."""

    instrument: str
    underlying: str
    kind: Kind
    linear: bool
    index_name: str
    strike: float | None = None
    expiry_ts: int | None = None
    option_type: Right | None = None


class TradePrint(NamedTuple):
    """One print; ``amount_base`` and ``notional_usd`` already in base coin and USD. ``stream`` names its source.

    A named tuple, for there are many: a frozen dataclass of as many fields takes twice as long to make.

    A venue whose frame counts in ``contracts`` leaves the two open: the core fills them in by the instrument's
    reference data.
    """

    instrument: str
    exchange_ts: int
    trade_id: str
    taker_side: Side
    price: float
    amount_base: float | None
    notional_usd: float | None
    trade_seq: int | None = None
    iv: float | None = None
    mark_price: float | None = None
    index_price: float | None = None
    liquidation: LiquidationRole = "none"
    liquidated_side: Side | None = None
    block_trade_id: str | None = None
    block_leg_count: int | None = None
    combo_id: str | None = None
    combo_trade_id: str | None = None
    block_rfq_id: str | None = None
    stream: str = "trades"
    contracts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerPatch:
    """The fields of a ticker that one frame knows, by part; a field that is not there was not said.

    ``parts`` maps a part to some of its :class:`contracts.records.Ticker` fields. None in it means "there is none"
    (no bid), which is knowledge too. ``polled``: a REST answer, which may well be older than what the stream told.
    ``open_interest_contracts`` is turned into the part of its own by the core, as the sizes of prints are.
    """

    instrument: str
    exchange_ts: int | None
    parts: Mapping[Part, Mapping[str, Value]]
    state: str | None = None
    polled: bool = False
    open_interest_contracts: float | None = None


class Ticks(NamedTuple):
    """Levels as integers, text · 10^decimals: the rows of ``levels`` are price, its decimals, size, its decimals.

    Columns below ``bids`` are bids, those from there to ``total`` asks. The maxima are over all of them: of the
    decimals that count, and of the whole parts of prices and sizes.
    """

    levels: npt.NDArray[np.int64]
    bids: int
    total: int
    price_decimals: int
    size_decimals: int
    largest_price: int
    largest_size: int


class BookUpdate(NamedTuple):
    """A full book or the levels that changed (size 0 removes one), with the venue's sequence numbers.

    ``first_id``..``last_id`` is the range of updates it covers, ``prev_id`` the last id of the message before it;
    ``last_id`` is None if the venue does not number its messages. ``checksum`` is what the venue says the book's is
    once the message is applied, see :mod:`normalizer.checksum`. ``ticks`` are the same levels as integers, where the
    reader of the frame has made them. A named tuple for the reason that :class:`TradePrint` is one.
    """

    instrument: str
    exchange_ts: int | None
    snapshot: bool
    last_id: int | None
    bids: Levels
    asks: Levels
    first_id: int | None = None
    prev_id: int | None = None
    checksum: int | None = None
    ticks: Ticks | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelsById:
    """A message of a book whose levels are known by ids: ``partial`` is the whole book, the others change it."""

    instrument: str
    exchange_ts: int | None
    action: Action
    rows: Sequence[LevelRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPrint:
    """A price of an index, USD; ``index_name`` as the venue writes it (btc_usd)."""

    index_name: str
    exchange_ts: int
    price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Reference data of one instrument; without a contract size it only says that the instrument is listed."""

    spec: InstrumentSpec
    exchange_ts: int | None
    state: str
    quote_currency: str
    settlement_currency: str
    contract_size: float | None
    price_tick: float | None = None
    amount_step: float | None = None
    listed_ts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """An instrument's state as the venue announces it."""

    instrument: str
    exchange_ts: int | None
    state: str


class LiquidationPrint(NamedTuple):
    """An event of a liquidation feed; ``order_side`` is the side of the order that the venue placed.

    Sizes as in :class:`TradePrint`.
    """

    instrument: str
    exchange_ts: int | None
    liquidation_id: str
    order_side: Side
    price: float
    amount_base: float | None
    notional_usd: float | None
    censored: bool
    contracts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingPrint:
    """A settled funding payment; ``settled_ts`` as the venue gives it, jitter included."""

    instrument: str
    exchange_ts: int | None
    settled_ts: int
    rate: float
    period_hours: float
    mark_price: float | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Understood, and of no use to any output (an acknowledgement, a combo's parent print, a volatility index)."""

    why: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """One entry of a list is impossible; the rest of the frame stands."""

    reason: str
    detail: str


Event = (
    TradePrint
    | TickerPatch
    | BookUpdate
    | LevelsById
    | IndexPrint
    | Listing
    | StateChange
    | LiquidationPrint
    | FundingPrint
    | Ignored
    | Invalid
)
