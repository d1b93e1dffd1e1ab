"""The table of flags: each can be raised, each is documented, and a clean record has none."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import records
from contracts.records import RawMessage
from normalizer.quality import RULES

OPTION = "BTC-4DEC26-90000-C"
DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "quality-flags.md"
Frame = Callable[..., RawMessage]
Play = Callable[[list[RawMessage]], Any]


def test_the_document_lists_every_flag_with_its_records() -> None:
    """docs/reference/quality-flags.md has one row per flag: name, the records it may stand on."""
    flags, _ = DOCUMENT.read_text().split("What is not a flag")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", flags, re.MULTILINE)
    documented = {flag: {name.strip() for name in where.split(",")} for flag, where in rows}
    table: dict[str, set[str]] = {}
    for rule in RULES:
        table.setdefault(rule.flag, set()).update(rule.records)
    assert documented == table


def test_flags_stand_on_records_that_have_them() -> None:
    """Every record a rule names exists and has a quality field."""
    assert all("quality" in getattr(records, name).__slots__ for rule in RULES for name in rule.records)


def test_a_clean_second_has_no_flags(deribit: Frame, play: Play) -> None:
    """Listed, in order, quoted, in step: trades, books, tickers, instruments all come without a flag."""
    names = ["instruments", "option_ticker", "perpetual_ticker", "index", "option_trade", "book_snapshot"]
    played = play([deribit(name) for name in names])
    shown = [item.record for item in played.items if hasattr(item, "record")]
    assert len(shown) == 6
    assert all(record.quality == () for record in shown)


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"best_bid_price": 0.014}, "crossed"),
        ({"mark_iv": 301.0}, "iv_out_of_range"),
        ({"bid_iv": -5.0}, "iv_out_of_range"),
        ({"timestamp": 1795250400001}, "clock_skew"),
    ],
)
def test_a_ticker_is_flagged_for(deribit: Frame, play: Play, change: dict[str, Any], flag: str) -> None:
    """Crossed quotes, an iv outside (0, 300 %], a venue time after the receive time; the value stays as it came."""
    played = play([deribit("instruments"), deribit("option_ticker", change=change)])
    assert played.ticker(OPTION).quality == (flag,)


@pytest.mark.parametrize("change", [{"mark_iv": 300.0}, {"best_bid_price": 0.0131}, {"timestamp": 1795250400000}])
def test_the_limits_themselves_are_clean(deribit: Frame, play: Play, change: dict[str, Any]) -> None:
    """300 %, bid equal to ask and equal times raise nothing."""
    assert play([deribit("instruments"), deribit("option_ticker", change=change)]).ticker(OPTION).quality == ()


def test_a_quote_turns_stale_after_a_minute(deribit: Frame, heartbeat: Callable[..., RawMessage], play: Play) -> None:
    """At 60.0 s not yet, at 61.0 s it is."""
    played = play(
        [deribit("instruments"), deribit("option_ticker"), heartbeat("deribit", 59), heartbeat("deribit", 60)]
    )
    flags = [r.quality for r in played.records("market.tickers") if r.instrument == OPTION]
    assert flags == [(), (), ("stale_quote",)]


def test_a_crossed_book_is_flagged(deribit: Frame, play: Play) -> None:
    """Best bid above best ask, as the venue sent it; the levels stay."""
    crossed = {"bids": [["new", 88_020.0, 1]]}
    book = play([deribit("instruments"), deribit("book_snapshot", change=crossed)]).books[0]
    assert (book.quality, book.best_bid) == (("crossed",), 88_020.0)


def test_a_jump_of_the_mark_is_flagged_in_its_second_only(
    deribit: Frame, heartbeat: Callable[..., RawMessage], play: Play
) -> None:
    """Over 5 % between two frames of the perpetual."""
    jump = {"mark_price": 93_000.0, "timestamp": 1795250401000}
    frames = [deribit("instruments"), deribit("perpetual_ticker"), deribit("perpetual_ticker", 1.5, jump)]
    played = play([*frames, heartbeat("deribit", 2.5)])
    flags = [r.quality for r in played.records("market.tickers") if r.instrument == "BTC-PERPETUAL"]
    assert flags == [(), ("price_jump",), ()]


def test_a_move_over_a_hole_is_no_jump(deribit: Frame, play: Play) -> None:
    """More than a minute apart the prices may differ by anything."""
    moved = {"mark_price": 93_000.0, "index_price": 93_000.0, "timestamp": 1795250461000}
    played = play([deribit("instruments"), deribit("perpetual_ticker"), deribit("perpetual_ticker", 61.0, moved)])
    assert played.ticker("BTC-PERPETUAL").quality == ()


def test_options_prices_may_jump_but_their_index_may_not(deribit: Frame, play: Play) -> None:
    """An option's mark may double in a second; its index moving by 6 % is flagged."""
    mark = deribit("option_ticker", 0.5, {"mark_price": 0.03})
    assert play([deribit("instruments"), deribit("option_ticker"), mark]).ticker(OPTION).quality == ()
    index = deribit("option_ticker", 1.5, {"index_price": 93_500.0})
    assert play([index]).ticker(OPTION).quality == ("price_jump",)


def test_a_trade_far_from_the_last_one_is_flagged(deribit: Frame, play: Play) -> None:
    """Perpetuals and futures, not options."""
    far = {"price": 93_000.0, "trade_id": "602", "trade_seq": 9002}
    trades = play([deribit("instruments"), deribit("perpetual_trade"), deribit("perpetual_trade", 0.5, far)]).trades
    assert [trade.quality for trade in trades] == [(), ("price_jump",)]


def test_a_trades_iv_is_checked_too(deribit: Frame, play: Play) -> None:
    """Over 300 %."""
    assert play([deribit("instruments"), deribit("option_trade", change={"iv": 420.0})]).trades[0].quality == (
        "iv_out_of_range",
    )


def test_a_ticker_frame_older_than_what_is_held_is_not_applied(deribit: Frame, play: Play) -> None:
    """The newer values stay, and the second says that an older frame came."""
    older = {"timestamp": 1795250399000, "mark_price": 0.5}
    ticker = play([deribit("instruments"), deribit("option_ticker"), deribit("option_ticker", 0.5, older)]).ticker(
        OPTION
    )
    assert (ticker.mark_price, ticker.quality) == (0.01283, ("out_of_order",))


def test_instruments_are_unreferenced_before_the_list_and_unknown_after_it(deribit: Frame, play: Play) -> None:
    """Symbol only: no_reference. The list came and does not have it: unknown_instrument."""
    other = {"instrument_name": "BTC-4DEC26-95000-C"}
    before = play([deribit("option_ticker"), deribit("option_ticker", change=other), deribit("option_trade")])
    after = play([deribit("instruments", 1.0)])
    assert before.ticker(OPTION).quality == before.trades[0].quality == ("no_reference",)
    assert before.ticker(OPTION).strike == 90_000.0
    assert after.ticker(OPTION).quality == ()
    assert after.ticker("BTC-4DEC26-95000-C").quality == ("unknown_instrument",)
