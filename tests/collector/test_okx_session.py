"""OKX's protocol with literal events: what is subscribed, polled and recorded, and each fault's record and resync."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from collector.events import Answered, Connected, Frame, Publish, Send, Tick
from collector.okx import MANNERS, Okx, arg_of, channel_of, connections

Payload = Callable[[str], bytes]
Drive = Callable[..., Any]
BOOK = "books:BTC-USDT-SWAP"
CALL = "BTC-USD-261127-90000-C"


def ack(text: str) -> list[bytes]:
    """What the venue answers to a call: an event for each channel."""
    if text == "ping":
        return [b"pong"]
    call = orjson.loads(text)
    return [orjson.dumps({"event": call["op"], "arg": arg, "connId": "a4d3ae55"}) for arg in call["args"]]


def calls(venue: Any) -> list[tuple[str, list[str | None]]]:
    made = [orjson.loads(text) for text in venue.sent() if text != "ping"]
    return [(call["op"], [channel_of(arg) for arg in call["args"]]) for call in made]


@pytest.fixture
def swaps(drive: Drive, payload: Payload) -> Any:
    """Connected, one swap listed, everything subscribed."""
    venue = drive(Okx("ws://venue", "SWAP", ("BTC", "ETH")), ("BTC", "ETH"))
    venue.settle(ack, ("BTC-USDT", payload("okx/swaps.json")))
    return venue


@pytest.fixture
def options(drive: Drive, payload: Payload) -> Any:
    """Connected, one option listed, everything subscribed."""
    venue = drive(Okx("ws://venue", "OPTION", ("BTC",)), ("BTC",))
    venue.settle(ack, ("public/instruments", payload("okx/options.json")))
    return venue


def test_swaps_and_options_have_a_connection_each() -> None:
    assert [dialect.always for dialect in connections("ws://v5/public", ("BTC",))] == [
        ("instruments:SWAP", "liquidation-orders:SWAP"),
        ("instruments:OPTION", "liquidation-orders:OPTION"),
    ]


def test_a_live_swap_is_subscribed_whole(drive: Drive, payload: Payload) -> None:
    venue = drive(Okx("ws://venue", "SWAP", ("BTC",)), ("BTC",))
    for body in ack(venue.feed(Connected())[1].text):
        venue.feed(Frame(body))
    venue.feed(Answered(venue.fetched()[0], payload("okx/swaps.json")))
    venue.after(1, Tick())

    names = ("books", "trades", "tickers", "mark-price", "funding-rate", "open-interest")
    wanted = [*(f"{name}:BTC-USDT-SWAP" for name in names), "index-tickers:BTC-USDT"]
    assert calls(venue)[-1] == ("subscribe", sorted(wanted))


def test_an_option_and_its_family_are_subscribed(drive: Drive, payload: Payload) -> None:
    venue = drive(Okx("ws://venue", "OPTION", ("BTC",)), ("BTC",))
    for body in ack(venue.feed(Connected())[1].text):
        venue.feed(Frame(body))
    venue.feed(Answered(venue.fetched()[0], payload("okx/options.json")))
    venue.after(1, Tick())

    assert calls(venue)[-1][1] == [
        f"mark-price:{CALL}", "opt-summary:BTC-USD", "option-trades:BTC-USD", f"tickers:{CALL}",
    ]  # fmt: skip


def test_what_only_rest_tells_is_polled(drive: Drive) -> None:
    swaps, options = (
        drive(Okx("ws://v", "SWAP", ("BTC",)), ("BTC",)),
        drive(Okx("ws://v", "OPTION", ("BTC",)), ("BTC",)),
    )
    for venue in (swaps, options):
        venue.feed(Connected())

    assert [(r.channel, r.params) for r in swaps.fetched()] == [
        ("rest:instruments", (("instType", "SWAP"), ("instFamily", "BTC-USDT"))),
        ("rest:instruments", (("instType", "SWAP"), ("instFamily", "BTC-USD"))),
        ("rest:long-short-ratio", (("ccy", "BTC"), ("period", "5m"))),
        ("rest:funding-history", (("instId", "BTC-USDT-SWAP"), ("limit", "3"))),
        ("rest:funding-history", (("instId", "BTC-USD-SWAP"), ("limit", "3"))),
    ]
    assert [(r.channel, r.params) for r in options.fetched()] == [
        ("rest:instruments", (("instType", "OPTION"), ("instFamily", "BTC-USD"))),
        ("rest:open-interest", (("instType", "OPTION"), ("instFamily", "BTC-USD"))),
    ]


@pytest.mark.parametrize(
    "arg",
    [
        {"channel": "books", "instId": "BTC-USDT-SWAP"},
        {"channel": "opt-summary", "instFamily": "BTC-USD"},
        {"channel": "option-trades", "instType": "OPTION", "instFamily": "BTC-USD"},
        {"channel": "liquidation-orders", "instType": "SWAP"},
        {"channel": "instruments", "instType": "OPTION"},
    ],
)
def test_a_channel_as_we_write_it_names_the_venues_subscription(arg: dict[str, str]) -> None:
    channel = channel_of(arg)

    assert channel is not None
    assert arg_of(channel) == arg


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("book_snapshot", [(BOOK, "BTC-USDT-SWAP", "BTC", 1_795_000_000_123_000)]),
        ("ticker_option", [(f"tickers:{CALL}", CALL, "BTC", 1_795_000_000_199_000)]),
        ("opt_summary", [("opt-summary:ETH-USD", None, "ETH", 1_795_000_000_301_000)]),
        ("option_trades", [("option-trades:BTC-USD", None, "BTC", 1_795_000_000_402_000)]),
        (
            "liquidations",
            [
                ("liquidation-orders:SWAP", None, "ETH", 1_795_000_000_502_000),
                ("liquidation-orders:SWAP", None, "BTC", 1_795_000_000_502_000),
            ],
        ),
        ("count", [("rpc", None, "BTC", None)]),
    ],
)
def test_every_frame_is_recorded_untouched_once_for_each_underlying_it_speaks_of(
    swaps: Any, payload: Payload, file: str, said: list[Any]
) -> None:
    body = payload(f"okx/{file}.json")
    swaps.feed(Frame(body))

    records = swaps.published("message")
    assert [(r.channel, r.instrument, r.underlying, r.exchange_ts) for r in records] == said
    assert {record.payload for record in records} == {body}


@pytest.mark.parametrize("body", [b'{"arg":{"channel":"books"', b"[]", b'{"arg":5,"data":[]}', b'{"arg":{},"data":[]}'])
def test_what_is_no_frame_is_recorded_all_the_same(swaps: Any, body: bytes) -> None:
    assert swaps.feed(Frame(body)) == [Publish("message", "", None, "BTC", body)]


def test_a_chain_with_a_quiet_minute_and_an_id_that_was_reset_is_unbroken(swaps: Any, payload: Payload) -> None:
    for file in ("book_snapshot", "book_update", "book_quiet", "book_reset"):
        swaps.feed(Frame(payload(f"okx/{file}.json")))

    assert swaps.published("gap") == []


def test_a_hole_in_a_book_is_recorded_before_the_frame_and_renews_that_book_alone(swaps: Any, payload: Payload) -> None:
    swaps.feed(Frame(payload("okx/book_snapshot.json")))
    gap, frame = swaps.feed(Frame(payload("okx/book_after_gap.json")))

    assert gap == Publish("gap", BOOK, "BTC-USDT-SWAP", "BTC", b"update ids do not continue")
    assert frame.kind == "message"
    for body in ack(swaps.after(1, Tick())[-1].text):
        swaps.feed(Frame(body))
    swaps.after(1, Tick())
    assert calls(swaps) == [("unsubscribe", [BOOK]), ("subscribe", [BOOK])]


def test_news_of_listings_are_followed_within_a_second(options: Any, payload: Payload) -> None:
    options.feed(Frame(payload("okx/instruments_push.json")))
    options.after(1, Tick())
    [request] = options.fetched()
    options.actions.clear()

    sent = options.feed(Answered(request, payload("okx/options_after.json")))
    for body in ack(sent[-1].text):
        options.feed(Frame(body))
    options.after(1, Tick())

    put = CALL.replace("-C", "-P")
    assert calls(options) == [
        ("unsubscribe", [f"mark-price:{CALL}", f"tickers:{CALL}"]),
        ("subscribe", [f"mark-price:{put}", f"tickers:{put}"]),
    ]


def test_a_base_asset_without_options_is_not_asked_about_again_and_again(drive: Drive, payload: Payload) -> None:
    venue = drive(Okx("ws://venue", "OPTION", ("SOL",)), ("SOL",))
    venue.feed(Connected())
    venue.feed(Answered(venue.fetched()[0], payload("okx/no_family.json")))
    venue.actions.clear()
    venue.after(9, Tick())

    assert [request.channel for request in venue.fetched()] == []


def test_a_listing_that_is_refused_for_now_is_asked_for_again(options: Any, payload: Payload) -> None:
    options.feed(Connected())
    request = options.fetched()[0]
    options.feed(Answered(request, payload("okx/busy.json")))
    options.actions.clear()
    options.after(5, Tick())

    assert options.fetched() == [request]


def test_a_ping_goes_out_only_when_nothing_comes_in_and_its_pong_is_enough(options: Any, payload: Payload) -> None:
    for _ in range(30):
        options.after(1, Tick())
        options.feed(Frame(payload("okx/ticker_option.json")))
    assert "ping" not in options.sent()

    options.talk(ack, [], seconds=25)
    assert options.sent().count("ping") == 2
    assert options.closes() == []
    assert [record.channel for record in options.published("message") if record.payload == b"pong"] == ["rpc"] * 2


def test_a_channel_that_does_not_exist_is_found_and_the_others_stand(options: Any) -> None:
    """The venue grants what it knows of a call and sends an error that says in words what it does not."""

    def answer(text: str) -> list[bytes]:
        call: dict[str, Any] = {"args": [], "op": "", "id": ""} if text == "ping" else orjson.loads(text)
        good = [arg for arg in call["args"] if arg["channel"] != "opt-summary"]
        error = {"event": "error", "code": "60018", "msg": "Wrong URL or channel", "id": call["id"]}
        wrong = [orjson.dumps(error)] if len(good) < len(call["args"]) else []
        return [*wrong, *ack(orjson.dumps(call | {"args": good}).decode())]

    options.talk(answer, options.feed(Connected()), seconds=9)
    asked = calls(options)
    options.after(1, Tick())

    assert [gap.channel for gap in options.published("gap")] == ["opt-summary:BTC-USD"]
    assert calls(options) == asked, "and then all is settled"
    assert options.closes() == []


def test_too_many_requests_makes_the_same_call_again_later(options: Any) -> None:
    sent = options.feed(Connected())
    number = orjson.loads(next(action.text for action in sent if isinstance(action, Send)))["id"]
    error = {"event": "error", "code": "60014", "msg": "Requests too frequent", "id": number}
    options.feed(Frame(orjson.dumps(error)))
    before = calls(options)
    options.after(4.9, Tick())
    assert calls(options) == before
    options.after(0.2, Tick())
    assert calls(options) == [*before, before[-1]]


def test_no_more_calls_an_hour_than_the_venue_allows(swaps: Any, payload: Payload) -> None:
    """A book that breaks every second would cost two calls each time."""
    sent: list[Any] = []
    for _ in range(400):
        for file in ("book_snapshot", "book_after_gap"):
            swaps.feed(Frame(payload(f"okx/{file}.json")))
        sent = swaps.talk(ack, sent, seconds=3)

    assert 450 < len(calls(swaps)) <= (MANNERS.calls_per_hour or 0)


def test_a_connection_that_will_be_closed_is_left_at_once(swaps: Any, payload: Payload) -> None:
    swaps.feed(Frame(payload("okx/notice.json")))

    assert "service upgrade" in swaps.closes()[0]
