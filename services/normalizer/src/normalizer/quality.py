"""Every flag that validation can raise, in one table: name, where it appears, what it says, and how it is found.

A rule with a ``holds`` looks at the finished fields of a record; one without is raised where the evidence is (the state
knows the previous price, the record does not). ``docs/reference/quality-flags.md`` is this table in words; a test keeps
the two together. A flagged value is passed on as the venue gave it: flags never correct.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from normalizer.limits import Limits

Fields = Mapping[str, Any]

_DELTA_DECAY_MS: Final = 30 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One flag: the records it may stand on, its meaning, and the test of a record's fields that raises it."""

    flag: str
    records: tuple[str, ...]
    meaning: str
    holds: Callable[[Fields, Limits], bool] | None = None


def _crossed_ticker(row: Fields, _limits: Limits) -> bool:
    bid, ask = row["bid_price"], row["ask_price"]
    return bid is not None and ask is not None and bool(bid > ask)


def _crossed_book(row: Fields, _limits: Limits) -> bool:
    bids, asks = row["bid_price_ints"], row["ask_price_ints"]
    return bool(bids and asks and bids[0] > asks[0])


def _stale_quote(row: Fields, limits: Limits) -> bool:
    age_ms = row["quote_age_ms"]
    return age_ms is not None and age_ms > limits.stale_quote_s * 1000


def _impossible_iv(row: Fields, limits: Limits) -> bool:
    for name in ("mark_iv", "bid_iv", "ask_iv", "iv"):  # spelled out for speed: once per trade and ticker
        iv = row.get(name)
        if iv is not None and not 0 < iv <= limits.max_iv:
            return True
    return False


def _clock_skew(row: Fields, _limits: Limits) -> bool:
    exchange_ts, received_ts = row["exchange_ts"], row.get("received_ts", row.get("asof_ts"))
    return exchange_ts is not None and received_ts is not None and exchange_ts > received_ts


def _no_underlying(row: Fields, _limits: Limits) -> bool:
    return row["kind"] == "option" and row["underlying_price"] is None and row["index_price"] is None


def _unknown_size(row: Fields, _limits: Limits) -> bool:
    return row["amount_base"] is None


def _delta_decay(row: Fields, _limits: Limits) -> bool:
    if row["venue"] != "deribit" or row["kind"] != "option":
        return False
    left_ms = row["expiry_ts"] // 1000 - (row["second"] + 1) * 1000
    return bool(0 <= left_ms < _DELTA_DECAY_MS)


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        flag="after_expiry",
        records=("Trade", "Liquidation"),
        meaning="The print came in after its instrument expired; the instrument's state is gone, the print is real.",
    ),
    Rule(
        flag="clock_skew",
        records=("Trade", "BookSnapshot", "Ticker", "Liquidation", "Funding"),
        meaning="The venue's time is later than the receive time: one of the two clocks is off. Neither is corrected.",
        holds=_clock_skew,
    ),
    Rule(
        flag="crossed",
        records=("Ticker",),
        meaning="Best bid above best ask.",
        holds=_crossed_ticker,
    ),
    Rule(
        flag="crossed",
        records=("BookSnapshot",),
        meaning="Best bid above best ask.",
        holds=_crossed_book,
    ),
    Rule(
        flag="delta_decay",
        records=("Ticker",),
        meaning="Last half hour of a Deribit option: the venue's delta is being decayed to 0 while its gamma is not.",
        holds=_delta_decay,
    ),
    Rule(
        flag="inferred_rate",
        records=("Funding",),
        meaning="Not told by the venue as settled: the last rate seen before the next settlement time moved on.",
    ),
    Rule(
        flag="iv_out_of_range",
        records=("Trade", "Ticker"),
        meaning="An implied vol is not within (0, 300 %].",
        holds=_impossible_iv,
    ),
    Rule(
        flag="no_reference",
        records=("Trade", "BookSnapshot", "Ticker", "Liquidation", "Funding"),
        meaning="No complete reference data of the instrument has come yet: kind, strike, expiry are the symbol's.",
    ),
    Rule(
        flag="no_underlying",
        records=("Ticker",),
        meaning="An option of which neither forward nor index is known.",
        holds=_no_underlying,
    ),
    Rule(
        flag="out_of_order",
        records=("Trade", "Ticker"),
        meaning="Trade: older than one seen before. Ticker: a frame older than what is held came in and was ignored.",
    ),
    Rule(
        flag="price_jump",
        records=("Trade", "Ticker"),
        meaning="The price (ticker: mark or index) moved by more than 5 % within 60 s; options' own prices excepted.",
    ),
    Rule(
        flag="stale_quote",
        records=("Ticker",),
        meaning="Best bid and ask are older than 60 s.",
        holds=_stale_quote,
    ),
    Rule(
        flag="unknown_instrument",
        records=("Trade", "BookSnapshot", "Ticker", "Liquidation", "Funding"),
        meaning="Reference data of this venue and underlying has come, and does not list the instrument.",
    ),
    Rule(
        flag="unknown_size",
        records=("Trade", "Liquidation"),
        meaning="The size came in contracts whose value is not known (yet): base coin and USD are null.",
        holds=_unknown_size,
    ),
)

_BY_RECORD: Final[Mapping[str, tuple[tuple[str, Callable[[Fields, Limits], bool]], ...]]] = {
    record: tuple((rule.flag, rule.holds) for rule in RULES if record in rule.records and rule.holds is not None)
    for record in ("Trade", "BookSnapshot", "Ticker", "Liquidation", "Funding")
}


def flags(record: str, row: Fields, limits: Limits, raised: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the flags of a record, sorted: those ``raised`` by the state and those its fields call for."""
    found = [flag for flag, holds in _BY_RECORD[record] if holds(row, limits)]
    found.extend(raised)
    return tuple(sorted(found)) if found else ()
