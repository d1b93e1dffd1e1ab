"""State of one option chain: the last ticker of every live option, and its columns at the end of a second."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.records import Ticker

FloatArray = npt.NDArray[np.float64]

_VALUES: Final = (
    "mark_iv",
    "iv_age_ms",
    "underlying_price",
    "underlying_age_ms",
    "venue_delta",
    "greeks_age_ms",
    "open_interest_base",
    "open_interest_age_ms",
    "index_price",
    "index_age_ms",
    "mark_price",
    "bid_price",
    "ask_price",
    "venue_gamma",
    "venue_vega",
    "venue_theta",
)
_AGES: Final = tuple(name for name in _VALUES if name.endswith("_age_ms"))
_row_of = attrgetter("second", *_VALUES)
_terms_of = attrgetter("expiry_ts", "strike", "option_type", "linear")

Row = tuple[float | None, ...]
"""The ticker's second, then ``_VALUES``."""
Terms = tuple[int, float, str, bool]
"""What a contract is: expiry (µs), strike (USD), call or put, linear or inverse."""


class IncompleteOptionError(ValueError):
    """An option ticker that does not say what the contract is."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What the live options are, by column, ascending by expiry, strike, call before put, name; all of shape (n,)."""

    instruments: tuple[str, ...]
    expiry_ts: npt.NDArray[np.int64]
    strike: FloatArray
    is_call: npt.NDArray[np.bool_]
    linear: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Quotes:
    """What is known of the listed options at the end of a second, by name of the ticker's field; each of shape (n,).

    NaN is unknown. Ages are counted up to the end of the second asked for, not of the ticker's own.
    """

    columns: dict[str, FloatArray]

    def __getitem__(self, name: str) -> FloatArray:
        return self.columns[name]

    def positive(self, name: str) -> FloatArray:
        """Return the column with everything but finite positive numbers taken as unknown."""
        values = self.columns[name]
        return np.where(np.isfinite(values) & (values > 0), values, np.nan)


class Chain:
    """Live options of one (venue, underlying)."""

    __slots__ = ("_listing", "_rows", "_terms")

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._terms: dict[str, Terms] = {}
        self._listing: Listing | None = None

    def update(self, ticker: Ticker) -> None:
        """Take over an option's ticker. Raises :class:`IncompleteOptionError` naming field, value and remedy."""
        terms = _terms_of(ticker)
        if self._terms.get(ticker.instrument) != terms:
            _require_complete(ticker)
            self._terms[ticker.instrument] = terms
            self._listing = None
        self._rows[ticker.instrument] = _row_of(ticker)

    def drop_expired(self, end_ts: int) -> None:
        """Forget the options whose expiry is at or before ``end_ts`` (µs)."""
        gone = [name for name, terms in self._terms.items() if terms[0] <= end_ts]
        for name in gone:
            del self._terms[name], self._rows[name]
        if gone:
            self._listing = None

    def listing(self) -> Listing:
        """Return the live options in their order."""
        if self._listing is None:
            self._listing = _listing(self._terms)
        return self._listing

    def quotes(self, second: int) -> Quotes:
        """Return what is known at the end of ``second``, in the order of :meth:`listing`."""
        rows = [self._rows[name] for name in self.listing().instruments]
        matrix = np.array(rows, dtype=np.float64).reshape(len(rows), 1 + len(_VALUES)).T.copy()
        columns = dict(zip(_VALUES, matrix[1:], strict=True))
        elapsed_ms = 1000.0 * (second - matrix[0])
        for name in _AGES:
            columns[name] += elapsed_ms
        return Quotes(columns)

    def state(self) -> list[list[Any]]:
        """Return the state as plain JSON values."""
        return [[name, list(self._terms[name]), list(self._rows[name])] for name in sorted(self._terms)]

    @classmethod
    def of_state(cls, state: list[list[Any]]) -> "Chain":
        """Return the chain that :meth:`state` wrote down."""
        chain = cls()
        for name, (expiry_ts, strike, option_type, linear), row in state:
            chain._terms[name] = (expiry_ts, strike, option_type, linear)
            chain._rows[name] = tuple(row)
        return chain


def _require_complete(ticker: Ticker) -> None:
    strike = ticker.strike
    if strike is None or not (np.isfinite(strike) and strike > 0):
        raise IncompleteOptionError(f"strike = {strike!r} of option {ticker.instrument}: must be a positive number")
    if ticker.expiry_ts is None:
        raise IncompleteOptionError(f"expiry_ts = None of option {ticker.instrument}: must be microseconds since 1970")
    if ticker.option_type is None:
        raise IncompleteOptionError(f"option_type = None of option {ticker.instrument}: must be call or put")


def _listing(terms: dict[str, Terms]) -> Listing:
    ordered = sorted(terms.items(), key=lambda item: (*item[1][:3], item[0]))  # "call" sorts before "put"
    return Listing(
        instruments=tuple(name for name, _ in ordered),
        expiry_ts=np.array([t[0] for _, t in ordered], dtype=np.int64),
        strike=np.array([t[1] for _, t in ordered], dtype=np.float64),
        is_call=np.array([t[2] == "call" for _, t in ordered], dtype=np.bool_),
        linear=np.array([t[3] for _, t in ordered], dtype=np.bool_),
    )
