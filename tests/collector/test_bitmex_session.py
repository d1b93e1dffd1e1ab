"""BitMEX's protocol with literal events: what is subscribed and recorded, and each fault's record and resync."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from collector.backoff import Allowance
from collector.bitmex import Bitmex, underlying_of
from collector.events import Answered, Connected, Frame, Publish, Tick

Payload = Callable[[str], bytes]
Drive = Callable[..., Any]
SECOND = 1_000_000
BOOK = "orderBookL2:XBTUSD"
TOPICS = sorted(f"{table}:XBTUSD" for table in ("instrument", "trade", "orderBookL2", "liquidation", "funding"))
AT = int(datetime(2026, 11, 18, 10, tzinfo=UTC).timestamp()) * SECOND


def ack(text: str) -> list[bytes]:
    """What the venue answers to a call: an event for each topic."""
    if text == "ping":
        return [b"pong"]
    call = orjson.loads(text)
    return [orjson.dumps({"success": True, call["op"]: topic, "request": call}) for topic in call["args"]]


def calls(venue: Any) -> list[tuple[str, list[str]]]:
    made = [orjson.loads(text) for text in venue.sent() if text != "ping"]
    return [(call["op"], call["args"]) for call in made]


@pytest.fixture
def venue(drive: Drive, payload: Payload) -> Any:
    """Connected, XBTUSD listed, everything subscribed."""
    venue = drive(Bitmex("ws://venue", ("BTC", "ETH")), ("BTC", "ETH"))
    venue.settle(ack, ("XBT", payload("bitmex/instruments.json")))
    return venue


def test_open_perpetuals_are_subscribed_and_nothing_else(drive: Drive, payload: Payload) -> None:
    made = drive(Bitmex("ws://venue", ("BTC",)), ("BTC",))
    made.feed(Connected())
    [request] = made.fetched()
    assert orjson.loads(dict(request.params)["filter"]) == {"state": "Open", "rootSymbol": "XBT"}
    made.feed(Answered(request, payload("bitmex/instruments.json")))

    assert calls(made) == [("subscribe", TOPICS)]
    assert made.published("snapshot")[0].underlying == "BTC"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("book_partial", [(BOOK, "XBTUSD", "BTC", AT + 123_000)]),
        ("trade", [("trade:ETHUSDT", "ETHUSDT", "ETH", AT + 456_000)]),
        ("empty_partial", [("liquidation:ETHUSD", "ETHUSD", "ETH", None)]),
        ("many", [("instrument", None, "BTC", AT + SECOND), ("instrument", None, "ETH", AT + SECOND)]),
        ("welcome", [("rpc", None, "BTC", None)]),
    ],
)
def test_every_frame_is_recorded_untouched_once_for_each_underlying_it_speaks_of(
    venue: Any, payload: Payload, file: str, said: list[Any]
) -> None:
    body = payload(f"bitmex/{file}.json")
    venue.feed(Frame(body))

    records = venue.published("message")
    assert [(r.channel, r.instrument, r.underlying, r.exchange_ts) for r in records] == said
    assert {record.payload for record in records} == {body}


@pytest.mark.parametrize("body", [b'{"table":"trade"', b"[]", b'{"table":"trade","data":5}', b'{"data":[]}'])
def test_what_is_no_frame_is_recorded_all_the_same(venue: Any, body: bytes) -> None:
    assert venue.feed(Frame(body)) == [Publish("message", "", None, "BTC", body)]


def test_a_book_whose_levels_are_known_is_whole(venue: Any, payload: Payload) -> None:
    for file in ("book_delete", "book_partial", "book_insert", "book_update", "book_delete", "book_partial"):
        venue.feed(Frame(payload(f"bitmex/{file}.json")))

    assert venue.published("gap") == [], "what comes before the partial is not of the book"


@pytest.mark.parametrize("file", ["update_of_unknown", "delete_of_unknown", "insert_of_known"])
def test_a_level_that_cannot_be_shows_a_loss_and_renews_that_book_alone(
    venue: Any, payload: Payload, file: str
) -> None:
    venue.feed(Frame(payload("bitmex/book_partial.json")))
    gap, frame, *_ = venue.feed(Frame(payload(f"bitmex/{file}.json")))

    assert gap == Publish("gap", BOOK, "XBTUSD", "BTC", b"update ids do not continue")
    assert frame.kind == "message"
    venue.feed(Frame(payload(f"bitmex/{file}.json")))
    assert len(venue.published("gap")) == 1, "reported once until the next partial"
    for body in ack(venue.after(1, Tick())[-1].text):
        venue.feed(Frame(body))
    venue.after(1, Tick())
    assert calls(venue) == [("unsubscribe", [BOOK]), ("subscribe", [BOOK])]


def test_a_ping_goes_out_after_five_quiet_seconds(venue: Any, payload: Payload) -> None:
    for _ in range(10):
        venue.feed(Frame(payload("bitmex/trade.json")))
        venue.after(1, Tick())
    assert "ping" not in venue.sent()
    for _ in range(5):
        venue.after(1, Tick())

    assert venue.sent().count("ping") == 1


def test_a_topic_the_venue_does_not_know_is_a_gap_and_the_rest_stands(venue: Any, payload: Payload) -> None:
    def answer(text: str) -> list[bytes]:
        call = orjson.loads(text) if text != "ping" else {"args": []}
        error = {"status": 400, "error": "Unknown or expired symbol.", "meta": {}, "request": call}
        return [
            orjson.dumps(error if topic.startswith("funding") else {"success": True, "subscribe": topic})
            for topic in call["args"]
        ]

    sent = venue.talk(answer, venue.feed(Connected()), seconds=5)
    venue.feed(Frame(payload("bitmex/book_partial.json")))
    asked = calls(venue)
    venue.talk(answer, sent, seconds=5)

    assert {gap.channel for gap in venue.published("gap")} == {"funding:XBTUSD"}
    assert calls(venue) == asked, "and then all is settled"


def test_too_many_subscriptions_wait_as_long_as_the_venue_says(venue: Any) -> None:
    venue.feed(Connected())
    text = next(text for text in venue.sent() if text != "ping")
    venue.actions.clear()
    error = {"status": 429, "error": "Rate limit exceeded", "meta": {"retryAfter": 3}, "request": orjson.loads(text)}
    venue.feed(Frame(orjson.dumps(error)))

    venue.after(2.9, Tick())
    assert calls(venue) == []
    venue.after(0.2, Tick())
    assert [text] == [sent for sent in venue.sent() if sent != "ping"]


def test_a_topic_we_hold_already_is_granted(venue: Any) -> None:
    venue.feed(Connected())
    topics = calls(venue)[-1][1]
    for topic in topics:
        error = {"status": 400, "error": f"You are already subscribed to this topic: {topic}", "meta": {}}
        venue.feed(Frame(orjson.dumps(error)))

    assert venue.published("gap") == []
    assert venue.session._subscriptions.outstanding is None


def test_twenty_connections_may_come_at_once_and_then_one_each_three_minutes() -> None:
    allowance = Allowance(20)

    waits = [allowance.take(AT) for _ in range(22)]

    assert waits[:20] == [0.0] * 20
    assert waits[20:] == pytest.approx([180.0, 360.0])
    assert allowance.take(AT + 2 * 3600 * SECOND) == 0.0


@pytest.mark.parametrize(
    ("symbol", "base"),
    [("XBTUSD", "BTC"), ("XBTM26", "BTC"), ("ETHUSDT", "ETH"), ("ETHUSDM26", "ETH"), ("XBT_USDT", "BTC")],
)
def test_a_symbol_tells_its_base_asset_by_our_name(symbol: str, base: str) -> None:
    assert underlying_of(symbol) == base
