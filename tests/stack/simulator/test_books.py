"""Books: what a client rebuilds from snapshot and changes is what the simulator holds."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.simulator import binance_session, deribit_api
from stack.simulator.exchange import Exchange
from stack.simulator.ladder import Diff, Ladder

Json = dict[str, Any]
Open = Callable[[str], Any]
Data = Callable[[list[Json], str], list[Any]]


def rebuilt(messages: list[Json]) -> tuple[int, dict[float, float], dict[float, float]]:
    """Follow Deribit's book rules: a snapshot first, each change naming its predecessor and doing what it says."""
    first, *changes = messages
    assert first["type"] == "snapshot"
    last = first["change_id"]
    sides: dict[str, dict[float, float]] = {s: {p: a for _, p, a in first[s]} for s in ("bids", "asks")}
    for message in changes:
        assert message["type"] == "change"
        assert message["prev_change_id"] == last
        assert message["change_id"] > last
        last = message["change_id"]
        for side, book in sides.items():
            for action, price, amount in message[side]:
                assert (action == "new") == (price not in book)
                if action == "delete":
                    del book[price]
                else:
                    book[price] = amount
    return last, sides["bids"], sides["asks"]


def test_deribit_books_rebuild_to_the_simulators(exchange: Exchange, client: Open, data: Data) -> None:
    u = exchange.world.underlyings["BTC"]
    names = ["BTC-PERPETUAL", next(iter(u.futures.quotes)), *list(u.board.row)[20:40]]
    c = client("deribit")
    exchange.step()
    messages = c.subscribe(*(f"book.{n}.100ms" for n in names)) + c.run(12)
    for name in names:
        own = data(messages, f"book.{name}.100ms")
        assert len(own) > 8
        change_id, bids, asks = rebuilt(own)
        truth = deribit_api.call(exchange.world, "public/get_order_book", {"instrument_name": name, "depth": 10000})
        assert change_id == truth["change_id"]
        assert bids == dict(truth["bids"])
        assert asks == dict(truth["asks"])


def test_a_late_subscriber_gets_a_book_of_its_own(exchange: Exchange, client: Open, data: Data) -> None:
    early, late = client("deribit"), client("deribit")
    first = early.subscribe("book.BTC-PERPETUAL.100ms") + early.run(3)
    second = late.subscribe("book.BTC-PERPETUAL.100ms")
    first += early.run(3)
    second += late.take()
    books = [rebuilt(data(m, "book.BTC-PERPETUAL.100ms")) for m in (first, second)]
    assert books[0] == books[1]


@pytest.mark.parametrize("venue", ["usdm", "spot"])
def test_binance_snapshot_and_diffs_rebuild_to_the_simulators(
    exchange: Exchange, client: Open, data: Data, venue: str
) -> None:
    """The venue's own rule: buffer, take the snapshot, drop older diffs, the first kept one spans it, then a chain."""
    c = client(venue)
    c.subscribe("btcusdt@depth@100ms")
    messages = c.run(1)
    status, snapshot = binance_session.rest(exchange, venue, "depth", {"symbol": "BTCUSDT", "limit": "1000"})
    assert status == 200
    messages += c.run(5)
    diffs = data(messages, "btcusdt@depth@100ms")
    last = snapshot["lastUpdateId"]
    kept = [d for d in diffs if d["u"] >= last]
    assert len(kept) < len(diffs)
    assert kept[0]["U"] <= last <= kept[0]["u"]
    for before, after in pairwise(diffs):
        assert after["pu"] == before["u"] if venue == "usdm" else after["U"] == before["u"] + 1
    if venue == "usdm":
        assert any(after["U"] > after["pu"] + 1 for after in diffs)
    book: dict[str, dict[str, str]] = {side: dict(snapshot[name]) for side, name in (("b", "bids"), ("a", "asks"))}
    for diff in kept:
        for side, levels in book.items():
            levels.update(diff[side])
    alive = {side: {p: q for p, q in levels.items() if float(q)} for side, levels in book.items()}
    assert alive == published(exchange, venue)


def published(exchange: Exchange, venue: str) -> dict[str, dict[str, str]]:
    """The book as last published: what has happened since is taken back."""
    ladder = exchange.world.underlyings["BTC"].binance[venue].ladder
    ahead = binance_session.rest(exchange, venue, "depth", {"symbol": "BTCUSDT", "limit": "1000"})[1]
    book: dict[str, dict[str, str]] = {"b": dict(ahead["bids"]), "a": dict(ahead["asks"])}
    pending = ladder.publish()
    assert pending is not None
    spec = exchange.world.underlyings["BTC"].binance[venue].spec
    for side, changes in (("b", pending.bids), ("a", pending.asks)):
        for level in changes:
            price = f"{level.price * spec.tick:.{spec.price_decimals}f}"
            book[side].pop(price, None)
            if level.before:
                book[side][price] = f"{level.before * spec.size_step:.{spec.size_decimals}f}"
    return book


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.lists(st.floats(90_000, 91_000), min_size=1, max_size=25), st.booleans())
def test_any_walk_published_rebuilds_the_ladder(seed: int, mids: list[float], sparse: bool) -> None:
    ladder = Ladder(
        mid=mids[0],
        tick=0.5,
        depth=40,
        typical_size=50,
        first_id=1000,
        sparse_ids=sparse,
        rng=np.random.default_rng(seed),
    )
    bids, asks, last = dict(ladder.bids), dict(ladder.asks), ladder.published_id
    for mid in mids:
        ladder.walk(mid, changes=6)
        ladder.take(5, buy=seed % 2 == 0)
        diff = ladder.publish()
        if diff is None:
            continue
        assert diff.previous_id == last < diff.first_id <= diff.last_id
        assert sparse or diff.first_id == last + 1
        last = diff.last_id
        apply(diff, bids, asks)
        assert (bids, asks) == (ladder.bids, ladder.asks)
        assert max(bids) < min(asks)
        assert ladder.mid == pytest.approx(mid, abs=2.0)


def apply(diff: Diff, bids: dict[int, int], asks: dict[int, int]) -> None:
    for book, changes in ((bids, diff.bids), (asks, diff.asks)):
        for level in changes:
            assert book.get(level.price, 0) == level.before
            book[level.price] = level.size
            if not level.size:
                del book[level.price]


@pytest.mark.parametrize("venue", ["usdm", "spot"])
def test_trades_happen_at_the_best_price_and_book_tickers_show_the_top(client: Open, venue: str) -> None:
    c = client(venue)
    c.subscribe("btcusdt@trade", "btcusdt@bookTicker", "btcusdt@aggTrade")
    bid = ask = None
    trades = 0
    for message in c.run(20):
        event = message["data"]
        if message["stream"].endswith("bookTicker"):
            bid, ask = float(event["b"]), float(event["a"])
            assert bid < ask
        elif bid is not None and message["stream"].endswith("@trade"):
            trades += 1
            assert float(event["p"]) == pytest.approx(bid if event["m"] else ask, rel=2e-4)
    assert trades > 20


def test_liquidations_are_at_most_one_per_symbol_and_second(client: Open) -> None:
    c = client("usdm")
    c.subscribe("btcusdt@forceOrder", "btcusdt@trade")
    messages = c.run(120)
    orders = [m["data"] for m in messages if m["stream"].endswith("forceOrder")]
    seconds = [o["E"] // 1000 for o in orders]
    assert orders
    assert len(seconds) == len(set(seconds))
    fills = {(m["data"]["p"], m["data"]["q"]) for m in messages if m["stream"].endswith("@trade")}
    assert all((o["o"]["ap"], o["o"]["q"]) in fills for o in orders)
