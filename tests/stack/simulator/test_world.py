"""The market: the same from the same seed, whoever listens; every option requoted at its rate; truth that adds up."""

import csv
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Container
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.simulator import binance_streams, deribit_channels
from stack.simulator.deribit_channels import Frame
from stack.simulator.path import GivenPath, read_paths
from stack.simulator.recorded import COLUMNS, read_chain
from stack.simulator.world import MarketSettings, World, split_pairs

Small = Callable[..., MarketSettings]


def frames(settings: MarketSettings, ticks: int, wanted: Container[str]) -> list[Frame]:
    """Everything the venues send on ``wanted`` over ``ticks``."""
    world, sent, state = World(settings), [], {}
    for _ in range(ticks):
        tick = world.step()
        sent += deribit_channels.messages(world, tick, wanted, state)
        for venue in ("usdm", "spot"):
            sent += binance_streams.messages(tick, venue, wanted)
    return sent


def digest(sent: list[Frame]) -> str:
    return hashlib.sha256(b"\n".join(f.body for f in sent)).hexdigest()


def test_same_seed_same_bytes_other_seed_other_bytes(small: Small, everything: Container[str]) -> None:
    first = digest(frames(small(), 60, everything))
    assert digest(frames(small(), 60, everything)) == first
    assert digest(frames(small(seed=8), 60, everything)) != first


def test_who_listens_changes_nothing(small: Small, everything: Container[str]) -> None:
    channel = "trades.option.BTC.100ms"
    heard_alone = frames(small(), 60, {channel})
    heard_among_all = [f for f in frames(small(), 60, everything) if f.channel == channel]
    assert heard_alone == heard_among_all
    assert heard_alone


@pytest.mark.parametrize("rate", [0.5, 1.0, 3.0])
def test_each_option_is_requoted_at_the_asked_rate(rate: float, small: Small) -> None:
    world = World(small(updates_per_option_s=rate))
    updates = Counter(int(row) for _ in range(40) for row in world.step().underlyings["BTC"].option_rows)
    assert set(updates) == set(range(60))
    assert set(updates.values()) == {int(4 * rate)}


def test_options_are_split_evenly_in_pairs(small: Small) -> None:
    assert split_pairs(1000, 2) == [500, 500]
    assert split_pairs(10, 3) == [4, 4, 2]
    world = World(small(underlyings=("BTC", "ETH"), options=102))
    assert [len(u.board) for u in world.underlyings.values()] == [52, 50]


def test_inventory_is_the_starting_book_plus_the_sum_of_trades(small: Small) -> None:
    world, dealer, interest = World(small()), defaultdict(int), defaultdict(int)
    for _ in range(300):
        for one in world.step().underlyings["BTC"].option_prints:
            dealer[one.instrument] += one.effect.dealer
            interest[one.instrument] += one.effect.open_interest
    assert len(dealer) > 30
    for name, row in world.inventory().items():
        assert row["q"] == pytest.approx(row["q_start"] + 0.1 * dealer[name], abs=1e-6)
        assert row["oi"] == pytest.approx(row["oi_start"] + 0.1 * interest[name], abs=1e-6)
        assert abs(row["q"]) <= row["oi"] + 1e-9


def test_truth_can_be_bounded_from_the_tape_alone(small: Small) -> None:
    """No instrument's inventory moves by more than its taped volume, nor without trades."""
    world, volume = World(small()), defaultdict(float)
    for _ in range(300):
        for trade in world.step().underlyings["BTC"].option_trades:
            volume[trade["instrument_name"]] += trade["amount"]
    moved = {name: abs(row["q"] - row["q_start"]) for name, row in world.inventory().items()}
    assert all(moved[name] <= volume[name] + 1e-6 for name in moved)
    assert sum(moved.values()) > 0


def test_open_interest_on_the_wire_is_the_true_one(world: World) -> None:
    for _ in range(100):
        world.step()
    u = world.underlyings["BTC"]
    truth = world.inventory()
    for name in u.board.row:
        assert deribit_channels.ticker(u, name, world.now_ms)["open_interest"] == truth[name]["oi"]


def test_trades_carry_what_the_venue_sends(small: Small, everything: Container[str]) -> None:
    sent = frames(small(option_orders_s=60.0), 300, everything)
    trades = [t for f in sent if f.channel == "trades.option.BTC.100ms" for t in json.loads(f.body)["params"]["data"]]
    ids = [int(t["trade_id"]) for t in trades]
    assert ids == sorted(set(ids))
    assert {t["direction"] for t in trades} == {"buy", "sell"}
    assert {t.get("liquidation") for t in trades} == {None, "M", "T"}
    assert any("block_rfq_id" in t for t in trades)
    assert all(t["block_trade_leg_count"] in (1, 2) for t in trades if "block_trade_id" in t)
    by_instrument: dict[str, list[int]] = defaultdict(list)
    for t in trades:
        by_instrument[t["instrument_name"]].append(t["trade_seq"])
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in by_instrument.values())


def test_combo_prints_a_parent_and_its_legs(small: Small, everything: Container[str]) -> None:
    sent = frames(small(option_orders_s=60.0), 200, everything)

    def tape(kind: str) -> list[dict[str, Any]]:
        channel = f"trades.{kind}.BTC.100ms"
        return [t for f in sent if f.channel == channel for t in json.loads(f.body)["params"]["data"]]

    legs = [t for t in tape("option") if "combo_id" in t]
    parents = {t["trade_id"]: t for t in tape("option_combo")}
    assert parents
    assert {t["combo_trade_id"] for t in legs} == set(parents)
    for parent in parents.values():
        assert [leg["combo_id"] for leg in parent["legs"]] == [parent["instrument_name"]] * 2


def test_at_eight_expired_options_close_and_their_successors_open(small: Small) -> None:
    start = int(datetime(2026, 3, 6, 7, 59, 59, tzinfo=UTC).timestamp() * 1000)
    world = World(small(start_ms=start, options=200))
    before = world.inventory()
    states = [s for _ in range(20) for s in world.step().underlyings["BTC"].states]
    closed = {name for name, state in states if state == "closed"}
    created = {name for name, state in states if state == "created"}
    u = world.underlyings["BTC"]
    assert {n for n in before if "-6MAR26-" in n} == {n for n in closed if n.count("-") == 3}
    assert not closed & (set(u.board.row) | set(u.futures.quotes))
    assert created <= set(u.board.row) | set(u.futures.quotes)
    assert len(u.board) == 200
    assert (u.board.table[0] > 0).all()
    assert {n: before[n]["oi_start"] for n in before} == {n: world.inventory()[n]["oi_start"] for n in before}
    assert all(world.inventory()[n]["oi_start"] == 0 for n in created if n in u.board.row)


def test_a_given_path_is_followed_and_left_at_its_end(small: Small) -> None:
    path = GivenPath([0.0, 2.0, 4.0], [100_000.0, 121_000.0, 60_000.0])
    world = World(small(paths={"BTC": path}))
    prices = []
    for _ in range(50):
        world.step()
        prices.append(world.underlyings["BTC"].path.price)
    assert prices[9] == pytest.approx(110_000.0)
    assert prices[19] == pytest.approx(121_000.0)
    assert prices[39] == pytest.approx(60_000.0)
    assert prices[49] != prices[39]
    u = world.underlyings["BTC"]
    assert u.perpetual.ladder.mid == pytest.approx(prices[49], rel=2e-3)
    assert all(m.ladder.mid == pytest.approx(prices[49], rel=2e-3) for m in u.binance.values())


@settings(deadline=None)
@given(st.floats(0, 10))
def test_between_two_points_a_path_stays_between_their_prices(second: float) -> None:
    price = GivenPath([0.0, 3.0, 10.0], [100.0, 400.0, 50.0]).at(second)
    assert price is not None
    assert 50 - 1e-9 <= price <= 400 + 1e-9


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("second,BTC\n0,1\n0,2\n", "second must ascend"),
        ("second,BTC\n0,1\n1,-2\n", "line 3: BTC is '-2'"),
        ("second,BTC\n0,1\nx,2\n", "line 3: second is 'x'"),
        ("second,XRP\n0,1\n1,2\n", "needs the columns second and one of BTC"),
        ("second,BTC\n0,1\n", "at least two rows"),
    ],
)
def test_a_bad_path_file_is_refused_by_line_and_field(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "path.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_paths(file, ["BTC", "ETH"])


def chain_file(directory: Path, **changes: str) -> Path:
    expiry = str(int(datetime(2026, 3, 27, 8, tzinfo=UTC).timestamp() * 1000))
    base = dict.fromkeys(COLUMNS, "0") | {
        "instrument_name": "BTC-27MAR26-70000-C",
        "strike": "70000",
        "expiration_timestamp": expiry,
        "option_type": "call",
        "settlement_period": "month",
        "open_interest": "12.3",
        "mark_iv": "51.5",
        "index_price": "70500",
        "timestamp": "1772452800000",
    }
    other = base | {"instrument_name": "BTC-27MAR26-70000-P", "option_type": "put", "open_interest": "0"} | changes
    file = directory / "chain.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows([base, other])
    return file


def test_a_recorded_chain_gives_instruments_vols_and_open_interest(tmp_path: Path, small: Small) -> None:
    chain = read_chain(chain_file(tmp_path))
    world = World(small(chains={"BTC": chain}, start_ms=chain.taken_ms))
    ticker = deribit_channels.ticker(world.underlyings["BTC"], "BTC-27MAR26-70000-C", world.now_ms)
    assert ticker["mark_iv"] == 51.5
    assert ticker["open_interest"] == 12.3
    assert ticker["index_price"] == 70_500.0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"option_type": "both"}, "line 3: option_type is 'both'"),
        ({"open_interest": "-1"}, "line 3: open_interest is '-1'"),
        ({"mark_iv": ""}, "line 3: mark_iv is ''"),
        ({"instrument_name": "ETH-27MAR26-70000-P"}, "mixes BTC, ETH"),
    ],
)
def test_a_bad_chain_is_refused_by_line_and_field(tmp_path: Path, changes: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_chain(chain_file(tmp_path, **changes))


@pytest.mark.shared_data
def test_a_real_chain_is_requoted_close_to_its_recorded_quotes(shared_data: Path, small: Small) -> None:
    chain = read_chain(shared_data / "deribit_chain" / "BTC_20260121_options_raw.csv.gz")
    world = World(small(chains={"BTC": chain}, start_ms=chain.taken_ms // 100 * 100))
    board = world.underlyings["BTC"].board
    assert len(board) == len(chain.contracts)
    assert board.table[2] == pytest.approx(100 * np.array(chain.vols), abs=0.006)
    truth = world.inventory()
    assert sum(row["oi"] for row in truth.values()) == pytest.approx(sum(chain.open_interest), rel=1e-6)


def test_perpetual_carries_funding_and_dvol_is_in_percent(world: World) -> None:
    for _ in range(50):
        world.step()
    u = world.underlyings["BTC"]
    ticker = deribit_channels.ticker(u, "BTC-PERPETUAL", world.now_ms)
    assert abs(ticker["current_funding"]) <= 0.005
    assert 20 < u.dvol < 120
    assert ticker["best_bid_price"] < ticker["best_ask_price"]
