"""The state of one underlying at one venue, and what a second of it comes to.

:meth:`Market.open` starts a second, :meth:`Market.apply` takes its events as they come, :meth:`Market.close` yields it:
trades, liquidations, funding, changed instruments, a book per booked and a ticker per live instrument, and the close
that counts what went in.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from contracts.records import BookSnapshot, Instrument, RawMessage, Ticker, from_dict
from normalizer.book import Book
from normalizer.book_snapshot import book_fields
from normalizer.events import (
    BadMessage,
    BookUpdate,
    Event,
    FundingPrint,
    IndexPrint,
    InstrumentSpec,
    Invalid,
    LevelsById,
    LiquidationPrint,
    Listing,
    StateChange,
    TickerPatch,
    TradePrint,
)
from normalizer.instrument import InstrumentState, on_the_hour
from normalizer.limits import Limits
from normalizer.prints import (
    Circumstances,
    funding_record,
    instrument_record,
    liquidation_record,
    tagged_liquidations,
    trade_record,
)
from normalizer.quality import flags
from normalizer.recent_ids import RecentIds
from normalizer.venues import Venue
from streamkit.core import CloseSecond, Output

_Printed = Literal["market.trades", "market.liquidations", "market.funding"]
BOOKS: Final = "market.books"
FUNDING: Final[_Printed] = "market.funding"
INSTRUMENTS: Final = "market.instruments"
LIQUIDATIONS: Final[_Printed] = "market.liquidations"
TICKERS: Final = "market.tickers"
TRADES: Final[_Printed] = "market.trades"

_SECOND_US: Final = 1_000_000


class Market:
    """All that is held of (venue, underlying). ``counts`` says what became of each event since the log began."""

    def __init__(self, venue: Venue, underlying: str, limits: Limits) -> None:
        self.venue = venue
        self.underlying = underlying
        self.counts: dict[str, int] = {}
        self._limits = limits
        self._instruments: dict[str, InstrumentState] = {}
        self._books: dict[str, Book] = {}
        self._indices: dict[str, tuple[float, int, int]] = {}
        self._seen = RecentIds(limits.dedupe_window)
        self._last_second: int | None = None

    def open(self, second: int) -> None:
        """Start a second: instruments whose expiry it has reached are gone from its beginning."""
        self._second = second
        self._printed: dict[_Printed, list[Output]] = {TRADES: [], LIQUIDATIONS: [], FUNDING: []}
        self._relisted: set[str] = set()
        self._tombstones: list[str] = []
        self._received_ts: int | None = None
        self._input_records = 0
        self._rejected_records = 0
        for name in [name for name, state in self._instruments.items() if self._expired(state.spec)]:
            if self._instruments.pop(name).reference is not None:
                self._tombstones.append(name)
            self._books.pop(name, None)

    def _expired(self, spec: InstrumentSpec) -> bool:
        return spec.expiry_ts is not None and spec.expiry_ts <= self._second * _SECOND_US

    # What comes in

    def note_input(self, raw: RawMessage) -> None:
        """Count a raw record of this market, whatever it holds."""
        self._input_records += 1
        self._received_ts = raw.received_ts

    def note_rejected(self) -> None:
        """Count a raw record of this market that went to the dead letters."""
        self._rejected_records += 1

    def lose(self, *, instrument: str | None, conn_id: str) -> None:
        """Mark gapped the book of ``instrument``, or every book fed by the connection if it is None."""
        for name, book in self._books.items():
            if name == instrument or (instrument is None and book.conn_id == conn_id):
                book.lose()
                self._count("books_lost")

    def apply(self, event: Event, raw: RawMessage) -> Invalid | None:
        """Apply one event of a frame; return what is impossible about it, if anything is."""
        change = self._apply.get(type(event))
        if change is None:
            return self._pass_over(event)
        try:
            change(self, event, raw)
        except BadMessage as error:
            if isinstance(event, BookUpdate | LevelsById):
                self.lose(instrument=event.instrument, conn_id=raw.conn_id)
            return Invalid(error.reason, error.detail)
        return None

    def _pass_over(self, event: Event) -> Invalid | None:
        if isinstance(event, Invalid):
            return event
        self._count("ignored")
        return None

    def _spec(self, instrument: str, raw: RawMessage) -> InstrumentSpec | None:
        """Return the spec of an instrument of this market; None if it is of no use here (a combo, a foreign list)."""
        spec = self.venue.read_symbol(instrument, self.underlying)
        if spec is None:
            self._count("ignored")
            return None
        if spec.underlying == self.underlying:
            return spec
        if raw.kind != "snapshot":
            raise BadMessage(
                "wrong_underlying",
                f"instrument: {instrument!r} came under {self.underlying!r}; route its channel by its own base asset",
            )
        self._count("foreign")  # A REST list is shared by all underlyings of its currency.
        return None

    def _live(self, instrument: str, raw: RawMessage) -> InstrumentState | None:
        """Return the state of an instrument, made at first sight; None if it has expired or is of no use here."""
        state = self._instruments.get(instrument)
        if state is not None:
            return state
        spec = self._spec(instrument, raw)
        if spec is None:
            return None
        if self._expired(spec):
            self._count("after_expiry")
            return None
        if len(self._instruments) >= self._limits.max_instruments:
            raise BadMessage(
                "too_many_instruments",
                f"instrument: {instrument!r} would be number {len(self._instruments) + 1}; raise max_instruments",
            )
        state = self._instruments[instrument] = InstrumentState(spec)
        state.received_ts = raw.received_ts
        return state

    def _apply_patch(self, patch: TickerPatch, raw: RawMessage) -> None:
        state = self._live(patch.instrument, raw)
        if state is None:
            return
        before = state.state
        if patch.open_interest_contracts is not None:
            said = state.open_interest(patch.open_interest_contracts)
            patch = replace(patch, parts={**patch.parts, "open_interest": said} if said else patch.parts)
        settled = state.patch(patch, raw.received_ts, self._limits)
        if settled is not None and not self.venue.tells_funding:
            self._fund(settled, raw, ("inferred_rate",))
        self._relist(state, before)
        self._count("patches")

    def _apply_state(self, change: StateChange, raw: RawMessage) -> None:
        state = self._live(change.instrument, raw)
        if state is None:
            return
        before, state.state = state.state, change.state
        self._relist(state, before)
        self._count("states")

    def _relist(self, state: InstrumentState, before: str) -> None:
        """Republish the reference if the venue's state of the instrument changed."""
        if state.reference is not None and state.state != before:
            state.reference = replace(state.reference, state=state.state)
            self._relisted.add(state.spec.instrument)

    def _apply_listing(self, listing: Listing, raw: RawMessage) -> None:
        state = self._live(listing.spec.instrument, raw)
        if state is None:
            return
        state.listed = True
        state.state = listing.state
        reference = instrument_record(listing, venue=self.venue.name, received_ts=raw.received_ts)
        if reference is not None and reference != _restamped(state.reference, raw.received_ts):
            state.reference = reference
            self._relisted.add(state.spec.instrument)
        self._count("listings")

    def _apply_index(self, index: IndexPrint, raw: RawMessage) -> None:
        if not index.index_name.upper().startswith((f"{self.underlying}_", f"{self.underlying}-")):
            raise BadMessage("wrong_underlying", f"index_name: {index.index_name!r} came under {self.underlying!r}")
        held = self._indices.get(index.index_name)
        if held is None or index.exchange_ts >= held[2]:
            self._indices[index.index_name] = (index.price, raw.received_ts, index.exchange_ts)
        self._count("index_prints")

    def _apply_book(self, update: BookUpdate, raw: RawMessage) -> None:
        book = self._book(update.instrument, raw)
        if book is not None:
            self._count(f"book_{book.apply(update, raw.received_ts)}")

    def _apply_levels(self, update: LevelsById, raw: RawMessage) -> None:
        book = self._book(update.instrument, raw)
        if book is not None:
            self._count(f"book_{book.apply_by_id(update, raw.received_ts)}")

    def _book(self, instrument: str, raw: RawMessage) -> Book | None:
        """Return the book of an instrument, made at first sight; None if the instrument has expired."""
        if self._live(instrument, raw) is None:
            return None
        book = self._books.get(instrument)
        if book is None:
            book = self._books[instrument] = Book(self.venue.book_rules, self._limits.buffer_deltas)
        if raw.kind == "message":
            book.conn_id = raw.conn_id
        return book

    def _apply_trade(self, trade: TradePrint, raw: RawMessage) -> None:
        state = self._instruments.get(trade.instrument)
        spec = self._spec(trade.instrument, raw) if state is None else state.spec
        if spec is None:
            return
        state = state or self._live(trade.instrument, raw)
        if state is not None:
            state.trade_stream = state.trade_stream or trade.stream
            if state.trade_stream != trade.stream:
                self._count("trades_of_second_stream")
                return
        if not self._seen.add(f"{trade.instrument}/{trade.trade_id}"):
            self._count("trades_duplicate")
            return
        trade = trade if state is None else state.sized(trade)
        known = self._reference_flags(trade.instrument)
        raised = known if state is None else (*known, *state.trade(trade, raw.received_ts, self._limits))
        self._print(TRADES, trade_record(trade, spec, self._circumstances(raw), raised))
        if trade.liquidation == "none":
            return
        for print_ in tagged_liquidations(trade, spec):
            record = liquidation_record(print_, spec, self._circumstances(raw), known, source="trade")
            self._print(LIQUIDATIONS, record)

    def _apply_liquidation(self, print_: LiquidationPrint, raw: RawMessage) -> None:
        spec = self._spec(print_.instrument, raw)
        if spec is None:
            return
        if not self._seen.add(f"{print_.instrument}/liquidation/{print_.liquidation_id}"):
            self._count("liquidations_duplicate")
            return
        state = self._live(print_.instrument, raw)
        print_ = print_ if state is None else state.sized(print_)
        known = self._reference_flags(print_.instrument)
        record = liquidation_record(print_, spec, self._circumstances(raw), known, source="feed")
        self._print(LIQUIDATIONS, record)

    def _apply_funding(self, funding: FundingPrint, raw: RawMessage) -> None:
        if self._live(funding.instrument, raw) is not None:
            self._fund(funding, raw, ())

    def _fund(self, funding: FundingPrint, raw: RawMessage, raised: tuple[str, ...]) -> None:
        if not self._seen.add(f"{funding.instrument}/funding/{on_the_hour(funding.settled_ts)}"):
            self._count("funding_duplicate")
            return
        spec = self._instruments[funding.instrument].spec
        raised = (*raised, *self._reference_flags(funding.instrument))
        self._print(FUNDING, funding_record(funding, spec, self._circumstances(raw), raised))

    def _circumstances(self, raw: RawMessage) -> Circumstances:
        return Circumstances(self.venue.name, raw.received_ts, self._limits)

    def _print(self, topic: _Printed, record: Any) -> None:
        self._printed[topic].append(Output(topic, record.instrument, record, self._second * 1000))
        self._count(topic.removeprefix("market."))

    def _reference_flags(self, instrument: str) -> tuple[str, ...]:
        state = self._instruments.get(instrument)
        if state is None:
            return ("after_expiry",)
        if state.reference is not None:
            return ()
        return ("unknown_instrument",) if "listings" in self.counts and not state.listed else ("no_reference",)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    _apply: Final[Mapping[type, Callable[["Market", Any, RawMessage], None]]] = {
        TickerPatch: _apply_patch,
        BookUpdate: _apply_book,
        LevelsById: _apply_levels,
        TradePrint: _apply_trade,
        IndexPrint: _apply_index,
        LiquidationPrint: _apply_liquidation,
        FundingPrint: _apply_funding,
        StateChange: _apply_state,
        Listing: _apply_listing,
    }

    # What goes out

    def close(self) -> Iterator[Output | CloseSecond]:
        """Yield the second that was opened last, grouped, then its close."""
        for topic in (TRADES, LIQUIDATIONS, FUNDING):
            yield from self._printed[topic]
        yield from self._instrument_changes()
        yield from self._book_snapshots()
        yield from self._tickers()
        last, self._last_second = self._last_second, self._second
        yield CloseSecond(
            venue=self.venue.name,
            underlying=self.underlying,
            second=self._second,
            received_ts=self._received_ts,
            skipped_seconds=0 if last is None else self._second - last - 1,
            input_records=self._input_records,
            rejected_records=self._rejected_records,
        )

    def _instrument_changes(self) -> Iterator[Output]:
        for name in sorted(self._tombstones):
            yield Output(INSTRUMENTS, name, None, self._second * 1000)
        for name in sorted(self._relisted):
            yield Output(INSTRUMENTS, name, self._instruments[name].reference, self._second * 1000)

    def _book_snapshots(self) -> Iterator[Output]:
        end_ts = (self._second + 1) * _SECOND_US
        for name in sorted(self._books):
            book = self._books[name]
            row = {
                "venue": self.venue.name,
                "instrument": name,
                "underlying": self.underlying,
                "kind": self._instruments[name].spec.kind,
                "second": self._second,
                **book_fields(book, end_ts=end_ts, depth=self._limits.depth),
            }
            book.n_updates = 0
            quality = flags("BookSnapshot", row, self._limits, self._reference_flags(name))
            yield Output(BOOKS, name, BookSnapshot(**row, quality=quality), self._second * 1000)

    def _tickers(self) -> Iterator[Output]:
        for name in sorted(self._instruments):
            state = self._instruments[name]
            index = self._indices.get(state.spec.index_name)
            row = state.ticker_fields(second=self._second, index=None if index is None else index[:2])
            row["venue"] = self.venue.name
            raised = (*state.take_raised(), *self._reference_flags(name))
            row["quality"] = flags("Ticker", row, self._limits, raised)
            yield Output(TICKERS, name, from_dict(Ticker, row), self._second * 1000)

    # Between seconds

    def dump(self) -> dict[str, Any]:
        """Return the state between two seconds as JSON values; ``load`` of it behaves identically from then on."""
        return {
            "last_second": self._last_second,
            "instruments": {name: state.dump() for name, state in self._instruments.items()},
            "books": {name: book.dump() for name, book in self._books.items()},
            "indices": self._indices,
            "seen": self._seen.dump(),
            "counts": self.counts,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take the state that ``dump`` described."""
        self._last_second = state["last_second"]
        for name, held in state["instruments"].items():
            spec = self.venue.read_symbol(name, self.underlying)
            assert spec is not None  # noqa: S101 - combos never become instruments
            self._instruments[name] = InstrumentState.load(held, spec)
        for name, held in state["books"].items():
            self._books[name] = Book.load(held, self.venue.book_rules, self._limits.buffer_deltas)
        self._indices = {name: (held[0], held[1], held[2]) for name, held in state["indices"].items()}
        self._seen.load(state["seen"])
        self.counts = dict(state["counts"])


def _restamped(reference: Instrument | None, received_ts: int) -> Instrument | None:
    return None if reference is None else replace(reference, received_ts=received_ts)
