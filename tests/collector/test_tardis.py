"""Tardis-format tables become the frames of their venue, one for each message that was received."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.bybit import Books as BybitBooks
from collector.deribit import DeribitSession
from collector.events import Connected, Frame, Publish
from collector.observation import Observation
from collector.recorded.catalog import Selection, find_recordings
from collector.recorded.rows import RecordingError
from collector.recorded.tardis import DATA_TYPES, VENUES
from collector.recorded.tardis_frames import MAKERS

AT = 1_795_000_000_000_000
BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
PRINTS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
TICKER = (
    "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,"
    "open_interest,last_price,index_price,mark_price"
)
CHAIN = (
    "exchange,symbol,timestamp,local_timestamp,type,strike_price,expiration,open_interest,last_price,bid_price,"
    "bid_amount,bid_iv,ask_price,ask_amount,ask_iv,mark_price,mark_iv,underlying_index,underlying_price,delta,gamma,"
    "vega,theta,rho"
)
Table = Callable[..., list[Observation]]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Writes a table and reads its frames."""

    def read(name: str, header: str, *rows: str, underlyings: tuple[str, ...] = ("BTC", "ETH")) -> list[Observation]:
        path = tmp_path / name
        path.write_bytes(gzip.compress("\n".join([header, *rows, ""]).encode()))
        [recording] = find_recordings(path, Selection(("tardis",), "*", tuple(VENUES.values()), underlyings))
        return list(recording.read())

    return read


def book_rows(exchange: str, symbol: str) -> list[str]:
    """A snapshot of three levels, then a change of two levels that were received together, at different times."""
    start = f"{exchange},{symbol},{AT},{AT + 500},true"
    return [
        f"{start},bid,65000.5,10",
        f"{start},ask,65001,20",
        f"{start},ask,65001.50,0.25",
        f"{exchange},{symbol},{AT + 1000},{AT + 1700},false,bid,65000.5,0",
        f"{exchange},{symbol},{AT + 2000},{AT + 1700},false,ask,65001,7",
    ]


def data_of(seen: Observation) -> Any:
    frame = orjson.loads(seen.payload)
    return frame["params"]["data"] if "params" in frame else frame["data"]


def test_rows_received_together_are_one_frame_although_their_own_times_differ(table: Table) -> None:
    seen = table(
        "deribit_incremental_book_L2_2026-11-18_BTC-PERPETUAL.csv.gz", BOOK, *book_rows("deribit", "BTC-PERPETUAL")
    )

    assert [(s.received_ts, s.exchange_ts, s.channel, s.instrument, s.underlying) for s in seen] == [
        (AT + 500, AT, "book.BTC-PERPETUAL.raw", "BTC-PERPETUAL", "BTC"),
        (AT + 1700, AT + 2000, "book.BTC-PERPETUAL.raw", "BTC-PERPETUAL", "BTC"),
    ]
    assert data_of(seen[0]) | {"timestamp": 0} == {
        "type": "snapshot", "timestamp": 0, "instrument_name": "BTC-PERPETUAL", "change_id": 1,
        "bids": [["new", 65000.5, 10]], "asks": [["new", 65001, 20], ["new", 65001.5, 0.25]],
    }  # fmt: skip
    change = data_of(seen[1])
    assert (change["prev_change_id"], change["change_id"]) == (1, 2)
    assert (change["bids"], change["asks"]) == ([["delete", 65000.5, 0]], [["change", 65001, 7]])
    assert b"65001.50" in seen[0].payload, "numbers are written as the table has them"


def test_the_collectors_own_chain_rules_find_the_books_whole(table: Table) -> None:
    deribit = table(
        "deribit_incremental_book_L2_2026-11-18_BTC-PERPETUAL.csv.gz", BOOK, *book_rows("deribit", "BTC-PERPETUAL")
    )
    session = DeribitSession("ws://venue", ("BTC",), stale_after_us=10**9, silent_after_us=10**9)
    session.handle(AT, Connected())
    actions = [action for seen in deribit for action in session.handle(seen.received_ts, Frame(seen.payload))]
    assert {action.kind for action in actions if isinstance(action, Publish)} == {"message"}

    bybit, check = (
        table("bybit_incremental_book_L2_2026-11-18_BTCUSDT.csv.gz", BOOK, *book_rows("bybit", "BTCUSDT")),
        BybitBooks(),
    )
    assert [check.breaks(seen.channel, orjson.loads(seen.payload)) for seen in bybit] == [False, False]
    assert check.breaks("orderbook.200.BTCUSDT", {"type": "delta", "data": {"u": 9}}), "and could find them broken"

    usdm = table(
        "binance-futures_incremental_book_L2_2026-11-18_BTCUSDT.csv.gz", BOOK, *book_rows("binance-futures", "btcusdt")
    )
    answer, diff = orjson.loads(usdm[0].payload), data_of(usdm[1])
    assert (usdm[0].kind, usdm[0].channel, usdm[0].instrument) == ("snapshot", "rest:depth", "BTCUSDT")
    assert diff["pu"] == answer["lastUpdateId"] == diff["U"] - 1
    assert (diff["b"], diff["a"]) == ([["65000.5", "0"]], [["65001", "7"]])


def test_trades_received_together_are_one_frame(table: Table) -> None:
    rows = [
        f"deribit,ETH-PERPETUAL,{AT + n},{AT + 900},{n},{side},3000.5,1{n}" for n, side in enumerate(("buy", "sell"))
    ]
    [seen] = table("deribit_trades_2026-11-18_ETH-PERPETUAL.csv.gz", PRINTS, *rows)

    assert (seen.channel, seen.instrument, seen.underlying) == ("trades.ETH-PERPETUAL.raw", None, "ETH")
    assert [(t["trade_id"], t["direction"], t["price"], t["amount"]) for t in data_of(seen)] == [
        ("0", "buy", 3000.5, 10), ("1", "sell", 3000.5, 11),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("exchange", "symbol", "told"),
    [
        ("bybit", "BTCUSDT", lambda data: (data[0]["S"], data[0]["v"], data[0]["p"])),
        ("binance-futures", "BTCUSDT", lambda data: (data["o"]["S"], data["o"]["q"], data["o"]["p"])),
        (
            "deribit",
            "BTC-PERPETUAL",
            lambda data: (data[0]["direction"], str(data[0]["amount"]), str(data[0]["price"])),
        ),
    ],
)
def test_a_sell_that_liquidated_a_long_is_told_as_the_venue_tells_it(
    table: Table, exchange: str, symbol: str, told: Callable[[Any], Any]
) -> None:
    """Bybit names the position's side, Binance and Deribit that of the order."""
    [seen] = table(
        f"{exchange}_liquidations_2026-11-18_X.csv.gz", PRINTS, f"{exchange},{symbol},{AT},{AT + 1},77,sell,65000,3"
    )

    side = {"bybit": "Buy", "binance-futures": "SELL", "deribit": "sell"}[exchange]
    assert told(data_of(seen)) == (side, "3", "65000")


def test_a_chain_keeps_what_it_has_and_leaves_out_what_it_lacks(table: Table) -> None:
    name = "BTC-27NOV26-90000-C"
    quote, mark = "12.5,,,,,0.0125,3,53.1", "0.0119,51.5,SYN.BTC-27NOV26,91050.25"
    row = f"deribit,{name},{AT},{AT + 5},call,90000,{AT},{quote},{mark},0.39,0.00002,12.5,-30,1"
    [seen] = table("deribit_options_chain_2026-11-18_OPTIONS.csv.gz", CHAIN, row)

    assert data_of(seen) == {
        "timestamp": AT // 1000,
        "instrument_name": name,
        "open_interest": 12.5,
        "best_bid_price": None,
        "best_ask_price": 0.0125,
        "best_ask_amount": 3,
        "ask_iv": 53.1,
        "mark_price": 0.0119,
        "mark_iv": 51.5,
        "underlying_index": "SYN.BTC-27NOV26",
        "underlying_price": 91050.25,
        "greeks": {"delta": 0.39, "gamma": 0.00002, "vega": 12.5, "theta": -30, "rho": 1},
    }


@pytest.mark.parametrize(
    ("exchange", "symbol", "said"),
    [
        ("deribit", "BTC-PERPETUAL", {"current_funding": 0.0001, "open_interest": 5, "mark_price": 65000.5}),
        ("bybit", "BTCUSDT", {"fundingRate": "0.0001", "openInterest": "5", "nextFundingTime": str(AT // 1000 + 1)}),
        ("binance-futures", "BTCUSDT", {"r": "0.0001", "p": "65000.5", "T": AT // 1000 + 1}),
    ],
)
def test_a_derivatives_state_is_a_ticker(table: Table, exchange: str, symbol: str, said: dict[str, Any]) -> None:
    row = f"{exchange},{symbol},{AT},{AT + 5},{AT + 1000},0.0001,,5,,65001,65000.5"
    [seen] = table(f"{exchange}_derivative_ticker_2026-11-18_X.csv.gz", TICKER, row)

    data = data_of(seen)
    assert {name: data.get(name) for name in said} == said
    assert not {"last_price", "lastPrice"} & set(data), "an empty cell is no price"


def test_symbols_received_together_are_kept_apart_and_others_left_out(table: Table) -> None:
    rows = [
        f"deribit,{s},{AT},{AT},{n},buy,1,1"
        for n, s in enumerate(("ETH-PERPETUAL", "BTC-PERPETUAL", "SOL_USDC-PERPETUAL"))
    ]

    seen = table("deribit_trades_2026-11-18_PERPETUALS.csv.gz", PRINTS, *rows)
    assert [s.underlying for s in seen] == ["ETH", "BTC"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (f"deribit,BTC-PERPETUAL,{AT},{AT - 1},false,bid,1,1", "column 'local_timestamp': .* is before"),
        (f"deribit,BTC-PERPETUAL,{AT},17950,false,bid,1,1", "column 'local_timestamp': '17950' is not a time"),
        (f"deribit,BTC-PERPETUAL,{AT},{AT},false,buy,1,1", "column 'side': 'buy' is not bid or ask"),
        (f"deribit,BTC-PERPETUAL,{AT},{AT},maybe,bid,1,1", "column 'is_snapshot': 'maybe' is not true or false"),
        (f"deribit,BTC-PERPETUAL,{AT},{AT},false,bid,one,1", "column 'price': 'one' is not a number"),
        (f"deribit,BTC-PERPETUAL,{AT},{AT},false,bid,,1", "column 'price': is empty"),
        (f"deribit,BTC-PERPETUAL,{AT},{AT},false,bid,1", "7 cells where the header has 8"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_with_its_place(table: Table, row: str, problem: str) -> None:
    good = f"deribit,BTC-PERPETUAL,{AT},{AT},true,bid,1,1"

    with pytest.raises(RecordingError, match=f"row 3.*{problem}"):
        table("deribit_incremental_book_L2_2026-11-18_X.csv.gz", BOOK, good, row)


def test_a_type_without_frames_is_refused_with_what_there_is(table: Table) -> None:
    with pytest.raises(RecordingError, match="no frames of bybit are made of options_chain; take one of: incremental"):
        table("bybit_options_chain_2026-11-18_OPTIONS.csv.gz", CHAIN)


def test_every_type_is_made_of_some_exchange() -> None:
    assert {kind for _, kind in MAKERS} == set(DATA_TYPES)
    assert {exchange for exchange, _ in MAKERS} == set(VENUES)
