"""The table of venues: adding one is a file beside this one and a line here."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from contracts.records import RawMessage
from normalizer import (
    binance,
    bitmex,
    bitmex_symbols,
    bybit,
    bybit_symbols,
    deribit,
    deribit_symbols,
    okx,
    okx_symbols,
)
from normalizer.events import Event, InstrumentSpec
from normalizer.sequencing import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """What the core must know of a venue.

    Attributes:
        name: As in raw.<name>.
        book_rules: How its book messages chain.
        parse: Frame to events; raises BadMessage.
        read_symbol: (symbol, underlying of the raw record) to spec, None for combos; raises BadMessage.
        book_instrument: Instrument whose book a frame belongs to by its channel alone, None if it is no book's.
        tells_funding: The venue reports settled payments, so none is inferred from its tickers.
    """

    name: str
    book_rules: Rules
    parse: Callable[[RawMessage], Iterator[Event]]
    read_symbol: Callable[[str, str], InstrumentSpec | None]
    book_instrument: Callable[[RawMessage], str | None]
    tells_funding: bool = False


def _deribit_symbol(symbol: str, _underlying: str) -> InstrumentSpec | None:
    return deribit_symbols.read_symbol(symbol)


def _okx_symbol(symbol: str, _underlying: str) -> InstrumentSpec:
    return okx_symbols.read_symbol(symbol)


VENUES: Final[Mapping[str, Venue]] = {
    venue.name: venue
    for venue in (
        Venue(
            name="binance-spot",
            book_rules="spot",
            parse=partial(binance.parse, "spot"),
            read_symbol=partial(binance.read_symbol, "spot"),
            book_instrument=binance.book_instrument,
        ),
        Venue(
            name="binance-usdm",
            book_rules="usdm",
            parse=partial(binance.parse, "usdm"),
            read_symbol=partial(binance.read_symbol, "usdm"),
            book_instrument=binance.book_instrument,
        ),
        Venue(
            name="bitmex",
            book_rules="bitmex",
            parse=bitmex.parse,
            read_symbol=bitmex_symbols.read_symbol,
            book_instrument=bitmex.book_instrument,
            tells_funding=True,
        ),
        Venue(
            name="bybit",
            book_rules="bybit",
            parse=bybit.parse,
            read_symbol=bybit_symbols.read_symbol,
            book_instrument=bybit.book_instrument,
            tells_funding=True,
        ),
        Venue(
            name="deribit",
            book_rules="deribit",
            parse=deribit.parse,
            read_symbol=_deribit_symbol,
            book_instrument=deribit.book_instrument,
        ),
        Venue(
            name="okx",
            book_rules="okx",
            parse=okx.parse,
            read_symbol=_okx_symbol,
            book_instrument=okx.book_instrument,
            tells_funding=True,
        ),
    )
}
