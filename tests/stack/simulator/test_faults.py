"""Each fault does what it says, to whom it says, for as long as it says; and the ledger tells."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stack.simulator.exchange import Exchange
from stack.simulator.faults import FaultError, parse, read_schedule
from stack.simulator.hub import Closing
from stack.simulator.world import MarketSettings, World

Json = dict[str, Any]
Open = Callable[[str], Any]
Data = Callable[[list[Json], str], list[Any]]
BOOK = "book.BTC-PERPETUAL.100ms"
INDEX = "deribit_price_index.btc_usd"
TRADES = "trades.option.BTC.100ms"


def inject(exchange: Exchange, **fault: Any) -> None:
    exchange.inject(parse(fault))


def effects(exchange: Exchange) -> list[Json]:
    return [effect for fault in exchange.hub.ledger()["faults"] for effect in fault["effects"]]


def test_skip_loses_exactly_the_asked_number_of_book_messages(exchange: Exchange, client: Open, data: Data) -> None:
    c = client("deribit")
    c.subscribe(BOOK, INDEX)
    before = data(c.run(1), BOOK)
    inject(exchange, fault="skip", count=2)
    messages = c.run(2)
    book = data(messages, BOOK)
    lost = [effect["last_id"] for effect in effects(exchange)]
    assert book[0]["prev_change_id"] == int(lost[1])
    assert before[-1]["change_id"] != book[0]["prev_change_id"]
    assert all(b["prev_change_id"] == a["change_id"] for a, b in itertools.pairwise(book))
    assert len(data(messages, INDEX)) == 2


def test_skip_breaks_a_binance_chain_on_that_venue_only(exchange: Exchange, client: Open, data: Data) -> None:
    usdm, spot = client("usdm"), client("spot")
    for c in (usdm, spot):
        c.subscribe("btcusdt@depth@100ms")
    last = {c: data(c.run(1), "btcusdt@depth@100ms")[-1]["u"] for c in (usdm,)}[usdm]
    spot_before = data(spot.take(), "btcusdt@depth@100ms")
    inject(exchange, fault="skip", venue="usdm")
    after = data(usdm.run(1), "btcusdt@depth@100ms")
    assert after[0]["pu"] != last
    spot_all = spot_before + data(spot.take(), "btcusdt@depth@100ms")
    assert all(b["U"] == a["u"] + 1 for a, b in itertools.pairwise(spot_all))


def test_silence_of_a_channel_leaves_the_others_and_ends_in_time(exchange: Exchange, client: Open, data: Data) -> None:
    c = client("deribit")
    c.subscribe(BOOK, INDEX)
    inject(exchange, fault="silence", channel="book.*", duration_s=2)
    during = c.run(1.9)
    assert data(during, BOOK) == []
    assert len(data(during, INDEX)) == 1
    assert len(data(c.run(1), BOOK)) >= 8


def test_silence_of_a_connection_swallows_even_answers_and_heartbeats(exchange: Exchange, client: Open) -> None:
    c, other = client("deribit"), client("deribit")
    c.call("public/set_heartbeat", interval=10)
    for one in (c, other):
        one.subscribe(INDEX)
    inject(exchange, fault="silence", connection=c.connection.name)
    assert c.run(15) == []
    assert c.call("public/test") == []
    assert len(other.take()) == 15
    assert c.connection.closing is None


def test_malformed_frame_is_half_a_frame(exchange: Exchange, client: Open) -> None:
    c = client("deribit")
    c.subscribe(INDEX)
    inject(exchange, fault="malformed")
    for _ in range(20):
        exchange.step()
    first, second = c.raw()
    with pytest.raises(json.JSONDecodeError):
        json.loads(first)
    assert json.loads(second)["params"]["channel"] == INDEX


def test_unknown_fields_keep_the_known_ones(exchange: Exchange, client: Open) -> None:
    c = client("deribit")
    c.subscribe(INDEX)
    inject(exchange, fault="unknown_fields")
    strange, normal = c.run(2)
    assert strange["zz_unknown"] == strange["params"]["data"]["zz_unknown"]
    assert set(strange["params"]["data"]) - {"zz_unknown"} == set(normal["params"]["data"])


def test_oversize_frame_is_valid_json_of_the_asked_size(exchange: Exchange, client: Open) -> None:
    c = client("usdm")
    c.subscribe("btcusdt@markPrice@1s")
    inject(exchange, fault="oversize")
    for _ in range(10):
        exchange.step()
    (frame,) = c.raw()
    assert len(frame) == 10_000_000
    assert json.loads(frame)["data"]["e"] == "markPriceUpdate"


def test_duplicate_trade_comes_twice_identical(exchange: Exchange, client: Open) -> None:
    c = client("deribit")
    c.subscribe(TRADES)
    inject(exchange, fault="duplicate_trade")
    first, second, *rest = c.run(3)
    assert first == second
    assert second not in rest


def test_late_trade_arrives_after_its_delay_with_its_own_time(exchange: Exchange, client: Open, data: Data) -> None:
    c = client("deribit")
    c.subscribe(TRADES)
    inject(exchange, fault="late_trade", delay_s=3)
    tapes = data(c.run(6), TRADES)
    times = [tape[0]["timestamp"] for tape in tapes]
    late = next(i for i in range(1, len(times)) if times[i] < times[i - 1])
    assert times[late] == min(times)
    assert times[late + 1] - times[late] >= 2900
    ids = [int(t["trade_id"]) for tape in tapes for t in tape]
    assert len(ids) == len(set(ids))


def test_crossed_book_is_crossed_then_recovers_without_a_gap(exchange: Exchange, client: Open, data: Data) -> None:
    c = client("deribit")
    snapshot = data(c.subscribe(BOOK), BOOK)[0]
    inject(exchange, fault="crossed_book", instrument="BTC-PERPETUAL", duration_s=1)
    bids, asks = ({p: a for _, p, a in snapshot[side]} for side in ("bids", "asks"))
    crossed, last = [], snapshot["change_id"]
    for _ in range(30):
        for message in data(c.run(0.1), BOOK):
            assert message["prev_change_id"] == last
            last = message["change_id"]
            for book, side in ((bids, "bids"), (asks, "asks")):
                book.update({p: a for _, p, a in message[side]})
        alive = [{p for p, a in book.items() if a} for book in (bids, asks)]
        crossed.append(max(alive[0]) >= min(alive[1]))
    assert all(crossed[:10])
    assert not any(crossed[11:])


def test_deaf_subscription_is_acknowledged_and_never_emits(exchange: Exchange, client: Open) -> None:
    c = client("deribit")
    inject(exchange, fault="deaf_subscription", channel=INDEX)
    assert c.subscribe(INDEX)[0]["result"] == [INDEX]
    assert c.run(3) == []
    c.call("public/unsubscribe", channels=[INDEX])
    c.subscribe(INDEX)
    assert len(c.run(3)) == 3


def test_drop_cuts_the_named_connection_only(exchange: Exchange, client: Open) -> None:
    first, second = client("deribit"), client("deribit")
    inject(exchange, fault="drop", connection=first.connection.name)
    assert first.connection.closing is Closing.ABORT
    assert second.connection.closing is None
    assert [e["connection"] for e in effects(exchange)] == [first.connection.name]


def test_refused_rest_is_refused_on_that_venue_until_it_ends(exchange: Exchange) -> None:
    inject(exchange, fault="refuse_rest", venue="spot", status=429, duration_s=1)
    desk = exchange.hub.desk
    assert desk.refusal("spot", "/spot/api/v3/depth", exchange.now_ms) == 429
    assert desk.refusal("usdm", "/usdm/fapi/v1/depth", exchange.now_ms) is None
    assert desk.refusal("spot", "/spot/api/v3/depth", exchange.now_ms + 1000) is None


def test_schedule_starts_each_fault_at_its_second(small: Callable[..., MarketSettings], tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text('[{"fault":"malformed","at":2.0},{"fault":"skip","at":1.0}]')
    exchange = Exchange(World(small()), read_schedule(file))
    for _ in range(40):
        exchange.step()
    started = [(f["fault"], f["since_ms"] - exchange.world.settings.start_ms) for f in exchange.hub.ledger()["faults"]]
    assert started == [("skip", 1000), ("malformed", 2000)]


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"fault": "explode"}, "fault is 'explode', must be one of drop"),
        ({"fault": "drop", "who": 1}, "who is unknown, fields are fault, venue"),
        ({"fault": "skip", "count": 0}, "count is 0, must be 1"),
        ({"fault": "skip", "count": "2"}, "count is '2', must be int"),
        ({"fault": "silence", "duration_s": -1}, "duration_s is -1"),
        ({"fault": "refuse_rest", "status": 200}, "status is 200, must be one of"),
        ({"fault": "oversize", "size_bytes": 10**9}, "size_bytes is 1000000000"),
        ({"fault": "crossed_book"}, "instrument is None, must be an instrument"),
        ({"fault": "drop", "venue": "okx"}, "venue is 'okx', must be one of deribit"),
        ({"count": 1}, "fault is missing"),
        ("drop", "a fault is 'drop', must be an object"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_by_field(fault: object, complaint: str) -> None:
    with pytest.raises(FaultError, match=complaint):
        parse(fault)


def test_crossing_an_unknown_book_is_refused(exchange: Exchange) -> None:
    with pytest.raises(FaultError, match=r"instrument is 'XRP', must be one of BTC-PERPETUAL"):
        inject(exchange, fault="crossed_book", instrument="XRP")


def test_a_fault_sent_now_cannot_name_a_second(exchange: Exchange) -> None:
    with pytest.raises(FaultError, match=r"at is 5\.0, must be absent"):
        inject(exchange, fault="drop", at=5.0)


def test_ledger_counts_what_was_really_sent(exchange: Exchange, client: Open) -> None:
    c = client("deribit")
    c.subscribe(BOOK, INDEX)
    inject(exchange, fault="skip", count=3)
    for _ in range(50):
        exchange.step()
    sent = [json.loads(frame)["params"] for frame in c.raw()]
    (entry,) = exchange.hub.ledger()["connections"]
    books = [p["data"]["change_id"] for p in sent if p["channel"] == BOOK]
    # The snapshot was taken from the outbox when it was subscribed.
    assert entry["channels"][BOOK]["frames"] == len(books) + 1
    assert entry["channels"][BOOK]["last_id"] == str(books[-1])
    assert entry["channels"][INDEX]["frames"] == 5
