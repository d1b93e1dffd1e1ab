"""Bybit's protocol with literal events: what is subscribed, polled and recorded, and each fault's record and resync."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from collector.bybit import Bybit, Share, connections, topic_instrument, underlying_of
from collector.events import Answered, Close, Connected, Disconnected, Frame, Publish, Tick, Unanswered

Payload = Callable[[str], bytes]
Drive = Callable[..., Any]
BOOK = "orderbook.200.BTCUSDT"
CALL = "tickers.BTC-27NOV26-90000-C-USDT"
PUT = "tickers.BTC-27NOV26-90000-P-USDT"


def ack(text: str) -> list[bytes]:
    """What the venue answers to a call."""
    call = orjson.loads(text)
    if call["op"] == "ping":
        return [b'{"success":true,"ret_msg":"pong","op":"ping"}']
    return [orjson.dumps({"success": True, "ret_msg": "", "req_id": call["req_id"], "op": call["op"]})]


def calls(venue: Any) -> list[tuple[str, list[str]]]:
    return [(c["op"], c["args"]) for c in map(orjson.loads, venue.sent()) if c["op"] != "ping"]


@pytest.fixture
def linear(drive: Drive, payload: Payload) -> Any:
    """Connected, BTCUSDT listed, everything subscribed."""
    venue = drive(Bybit("ws://venue", "linear", ("BTC", "ETH")), ("BTC", "ETH"))
    venue.settle(ack, ("'BTC'), ('limit", payload("bybit/linear.json")))
    return venue


@pytest.fixture
def options(drive: Drive) -> Any:
    return drive(Bybit("ws://venue", "option", ("BTC",)), ("BTC",))


def test_each_category_has_a_connection_and_the_options_as_many_as_are_asked_for() -> None:
    made = list(connections("ws://v5", ("BTC",), 3))

    assert [dialect.url for dialect in made] == ["ws://v5/linear", "ws://v5/inverse", *["ws://v5/option"] * 3]
    assert [dialect.always for dialect in made] == [(), (), ("publicTrade.BTC",), (), ()], "trades of options once"


def test_every_option_is_on_exactly_one_connection() -> None:
    names = [f"BTC-27NOV26-{strike}-C-USDT" for strike in range(50_000, 51_000)]
    shares = [Share(number, 4) for number in range(4)]

    taken = [[share.takes(name) for share in shares].count(True) for name in names]

    assert set(taken) == {1}
    assert all(150 < sum(map(share.takes, names)) < 350 for share in shares), "evenly"


def test_connecting_asks_for_listings_and_statistics_of_each_underlying(drive: Drive) -> None:
    venue = drive(Bybit("ws://venue", "inverse", ("BTC", "ETH")), ("BTC", "ETH"))
    venue.feed(Connected())

    assert [(r.path, r.channel, r.underlying, r.instrument) for r in venue.fetched()] == [
        ("/v5/market/instruments-info", "rest:instruments", "BTC", None),
        ("/v5/market/open-interest", "rest:open-interest", "BTC", "BTCUSD"),
        ("/v5/market/account-ratio", "rest:long-short-ratio", "BTC", "BTCUSD"),
        ("/v5/market/funding/history", "rest:funding-history", "BTC", "BTCUSD"),
        ("/v5/market/instruments-info", "rest:instruments", "ETH", None),
        ("/v5/market/open-interest", "rest:open-interest", "ETH", "ETHUSD"),
        ("/v5/market/account-ratio", "rest:long-short-ratio", "ETH", "ETHUSD"),
        ("/v5/market/funding/history", "rest:funding-history", "ETH", "ETHUSD"),
    ]
    assert dict(venue.fetched()[0].params) == {"category": "inverse", "baseCoin": "BTC", "limit": "1000"}


def test_trading_perpetuals_are_subscribed_and_nothing_else(drive: Drive, payload: Payload) -> None:
    venue = drive(Bybit("ws://venue", "linear", ("BTC",)), ("BTC",))
    venue.feed(Connected())
    venue.feed(Answered(venue.fetched()[0], payload("bybit/linear.json")))

    topics = ["allLiquidation.BTCUSDT", "orderbook.200.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"]
    assert calls(venue) == [("subscribe", topics)]


def test_a_listing_of_two_pages_is_read_whole_before_anything_is_dropped(options: Any, payload: Payload) -> None:
    options.feed(Connected())
    first = options.fetched()[0]
    [_, following] = options.feed(Answered(first, payload("bybit/options_page_1.json")))
    assert dict(following.request.params)["cursor"] == "next%3D2"
    options.actions.clear()
    options.feed(Frame(b'{"success":true,"op":"subscribe","req_id":"1"}'))
    options.after(1, Tick())

    options.feed(Answered(following.request, payload("bybit/options_page_2.json")))

    assert calls(options) == [("subscribe", [CALL, PUT, "tickers.BTC-28NOV26-95000-P-USDT"])]
    assert len(options.published("snapshot")) == 1
    assert options.published("snapshot")[0].payload == payload("bybit/options_page_2.json")


def test_new_options_are_subscribed_and_expired_ones_dropped(options: Any, payload: Payload) -> None:
    options.settle(ack, ("instruments-info", payload("bybit/options_page_2.json")))
    ticker = payload("bybit/option_ticker.json").replace(b"27NOV26-90000-C", b"28NOV26-95000-P")
    for _ in range(299):
        options.feed(Frame(ticker))
        options.after(1, Tick())
    listings = [request for request in options.fetched() if request.channel == "rest:instruments"]
    assert len(listings) == 1, "every five minutes"
    options.actions.clear()

    sent = options.feed(Answered(listings[0], payload("bybit/options_expired.json")))
    for body in ack(sent[-1].text):
        options.feed(Frame(body))
    options.after(1, Tick())

    assert calls(options) == [
        ("unsubscribe", ["tickers.BTC-28NOV26-95000-P-USDT"]),
        ("subscribe", [PUT, "tickers.BTC-4DEC26-90000-C-USDT"]),
    ]


def test_options_beyond_the_venues_limit_of_a_connection_are_a_gap_not_a_silence(options: Any) -> None:
    names = [f"BTC-27NOV26-{strike}-C-USDT" for strike in range(10_000, 11_000)]
    entries = [{"symbol": n, "status": "Trading", "baseCoin": "BTC", "optionsType": "Call"} for n in names]
    body = orjson.dumps({"retCode": 0, "result": {"category": "option", "list": entries, "nextPageCursor": ""}})

    options.settle(ack)
    options.feed(Answered(options.session._polls and next(iter(options.session._polls)), body))
    asked: list[str] = []
    gaps = options.published("gap")
    while sent := calls(options):
        options.actions.clear()
        asked += sent[-1][1]
        options.feed(Frame(orjson.dumps({"success": True, "op": "subscribe"})))
        options.after(1, Tick())

    assert len(orjson.dumps(["publicTrade.BTC", *asked])) <= 21_000
    assert len(asked) + len(gaps) == 1_000
    assert len(gaps) > 300
    assert gaps[0].payload.startswith(b"no room on this connection")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("book_snapshot", (BOOK, "BTCUSDT", "BTC", 1_795_000_000_123_000)),
        ("ticker_delta", ("tickers.BTCUSDT", "BTCUSDT", "BTC", 1_795_000_000_484_000)),
        ("option_ticker", (CALL, "BTC-27NOV26-90000-C-USDT", "BTC", 1_795_000_000_254_000)),
        ("option_trades", ("publicTrade.ETH", None, "ETH", 1_795_000_000_102_000)),
        ("liquidation", ("allLiquidation.ETHUSD", "ETHUSD", "ETH", 1_795_000_000_578_000)),
        ("unknown_topic", ("insurance.USDT", None, "BTC", 1_795_000_000_000_000)),
        ("pong", ("rpc", None, "BTC", None)),
        ("option_pong", ("rpc", None, "BTC", None)),
    ],
)
def test_every_frame_is_recorded_untouched(linear: Any, payload: Payload, file: str, said: tuple[Any, ...]) -> None:
    body = payload(f"bybit/{file}.json")
    linear.feed(Frame(body))

    [record] = linear.published("message")
    assert (record.channel, record.instrument, record.underlying, record.exchange_ts) == said
    assert record.payload == body


@pytest.mark.parametrize("body", [b'{"topic":"orderbook.200.BT', b"[]", b'{"no":"topic"}', b"\xff\xfe"])
def test_what_is_no_frame_is_recorded_all_the_same(linear: Any, body: bytes) -> None:
    assert linear.feed(Frame(body)) == [Publish("message", "", None, "BTC", body)]


def test_an_unbroken_chain_a_new_snapshot_and_a_restarted_service_are_only_recorded(
    linear: Any, payload: Payload
) -> None:
    for file in ("book_snapshot", "book_delta", "book_snapshot", "book_delta", "book_restarted"):
        linear.feed(Frame(payload(f"bybit/{file}.json")))

    assert linear.published("gap") == []


def test_a_hole_in_a_book_is_recorded_before_the_frame_and_renews_that_book_alone(
    linear: Any, payload: Payload
) -> None:
    for file in ("book_snapshot", "book_delta"):
        linear.feed(Frame(payload(f"bybit/{file}.json")))
    gap, frame = linear.feed(Frame(payload("bybit/book_after_gap.json")))

    assert gap == Publish("gap", BOOK, "BTCUSDT", "BTC", b"update ids do not continue")
    assert frame.kind == "message"
    linear.actions.clear()
    for body in ack(linear.after(1, Tick())[-1].text):
        linear.feed(Frame(body))
    linear.feed(Frame(payload("bybit/book_after_gap.json")))
    linear.after(1, Tick())
    assert calls(linear) == [("unsubscribe", [BOOK]), ("subscribe", [BOOK])]
    assert linear.published("gap") == [], "reported once until it is mended"


def test_a_ping_goes_out_while_data_flows(linear: Any, payload: Payload) -> None:
    for _ in range(21):
        linear.feed(Frame(payload("bybit/ticker_delta.json")))
        linear.after(1, Tick())

    assert linear.sent().count('{"op":"ping"}') == 2, "every ten seconds: half of what we call stale"


def test_one_bad_topic_does_not_cost_the_others(drive: Drive, payload: Payload) -> None:
    """The venue refuses a whole call for one topic it does not know."""
    venue = drive(Bybit("ws://venue", "linear", ("BTC",)), ("BTC",))
    venue.feed(Connected())
    venue.feed(Answered(venue.fetched()[0], payload("bybit/linear.json")))
    text = "error:handler not found,topic:allLiquidation.BTCUSDT"
    venue.feed(Frame(orjson.dumps({"success": False, "ret_msg": text, "req_id": "1", "op": "subscribe"})))
    venue.after(1, Tick())

    assert [gap.channel for gap in venue.published("gap")] == ["allLiquidation.BTCUSDT"]
    assert calls(venue)[-1] == ("subscribe", ["orderbook.200.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"])


def test_where_the_venue_names_no_culprit_halving_finds_it(options: Any, payload: Payload) -> None:
    bad = CALL
    options.feed(Connected())
    options.feed(Frame(ack(options.sent()[-1])[0]))
    options.feed(Answered(options.fetched()[0], payload("bybit/options_expired.json")))
    options.feed(
        Answered(
            options.fetched()[0], payload("bybit/options_page_2.json").replace(b"28NOV26-95000-P", b"27NOV26-90000-C")
        )
    )
    for _ in range(12):
        options.after(1, Tick())
        if calls(options) and options.session._subscriptions.outstanding is not None:
            op, args = calls(options)[-1]
            good = bad not in args or op == "unsubscribe"
            options.feed(Frame(orjson.dumps({"success": good, "ret_msg": "" if good else "Invalid symbol", "op": op})))

    assert [gap.channel for gap in options.published("gap")] == [bad]


def test_options_are_granted_and_refused_topic_by_topic(options: Any, payload: Payload) -> None:
    options.feed(Connected())
    options.feed(Frame(ack(options.sent()[-1])[0]))
    options.feed(Answered(options.fetched()[0], payload("bybit/options_expired.json")))
    options.after(1, Tick())
    told = {"failTopics": [PUT], "successTopics": ["tickers.BTC-4DEC26-90000-C-USDT"]}
    options.feed(Frame(orjson.dumps({"success": True, "type": "COMMAND_RESP", "data": told})))
    before = len(calls(options))
    options.after(1, Tick())

    assert [gap.channel for gap in options.published("gap")] == [PUT]
    assert len(calls(options)) == before, "the others stand"


def test_a_listing_that_failed_or_makes_no_sense_is_asked_for_again_after_five_seconds(
    linear: Any, payload: Payload
) -> None:
    linear.talk(ack, linear.feed(Connected()))
    request = linear.fetched()[0]
    for event in (Unanswered(request, "HTTP 503"), Answered(request, payload("bybit/busy.json"))):
        linear.feed(event)
        linear.actions.clear()
        linear.after(4.9, Tick())
        assert linear.fetched() == []
        linear.after(0.2, Tick())
        assert linear.fetched() == [request]
        linear.feed(Frame(payload("bybit/ticker_delta.json")))


def test_a_coin_without_options_is_not_asked_about_again_and_again(options: Any, payload: Payload) -> None:
    options.feed(Connected())
    options.feed(Answered(options.fetched()[0], payload("bybit/no_such_coin.json")))
    options.actions.clear()
    options.after(9, Tick())

    assert options.fetched() == []


def test_a_ticker_that_was_granted_and_never_came_is_a_gap_and_asked_for_anew_alone(
    linear: Any, payload: Payload
) -> None:
    sent: list[Any] = []
    for _ in range(62):
        linear.feed(Frame(payload("bybit/book_snapshot.json")))
        sent = linear.talk(ack, sent)

    assert [(gap.channel, gap.instrument) for gap in linear.published("gap")] == [("tickers.BTCUSDT", "BTCUSDT")]
    assert calls(linear)[0] == ("unsubscribe", ["tickers.BTCUSDT"])


def test_a_far_option_may_be_quiet_once_it_has_spoken(options: Any, payload: Payload) -> None:
    options.settle(ack, ("instruments-info", payload("bybit/options_expired.json")))
    other = payload("bybit/option_ticker.json").replace(b"27NOV26-90000-C", b"27NOV26-90000-P")
    options.feed(Frame(other))
    for _ in range(70):
        options.feed(Frame(payload("bybit/option_trades.json")))
        options.after(1, Tick())

    assert [gap.channel for gap in options.published("gap")] == ["tickers.BTC-4DEC26-90000-C-USDT"], "it never spoke"


def test_no_frame_for_the_stale_time_closes_the_connection(linear: Any) -> None:
    linear.after(21, Tick())

    assert linear.closes() == ["stale: no frame for 20 s"]


def test_pongs_alone_do_not_keep_the_connection(linear: Any, payload: Payload) -> None:
    for _ in range(22):
        linear.feed(Frame(payload("bybit/pong.json")))
        linear.after(1, Tick())

    assert linear.closes()[0] == "stale: no market data for 20 s"


def test_a_call_that_is_not_answered_closes_the_connection(options: Any) -> None:
    options.feed(Connected())

    assert options.after(10, Tick()) == [Close("subscribe not answered for 10 s")]


def test_after_a_reconnect_everything_is_subscribed_again_and_no_old_chain_is_followed(
    linear: Any, payload: Payload
) -> None:
    linear.feed(Frame(payload("bybit/book_snapshot.json")))
    linear.feed(Disconnected("connection lost"))
    assert [(p.kind, p.underlying) for p in linear.published("disconnect")] == [
        ("disconnect", "BTC"), ("disconnect", "ETH"),
    ]  # fmt: skip
    linear.actions.clear()

    linear.feed(Connected())
    linear.feed(Frame(payload("bybit/book_after_gap.json")))

    assert BOOK in calls(linear)[0][1]
    assert linear.published("gap") == []


@pytest.mark.parametrize(
    ("symbol", "base", "instrument"),
    [
        ("BTCUSDT", "BTC", "BTCUSDT"),
        ("BTCPERP", "BTC", "BTCPERP"),
        ("ETHUSD", "ETH", "ETHUSD"),
        ("BTCUSDU26", "BTC", "BTCUSDU26"),
        ("BTC-25DEC26", "BTC", "BTC-25DEC26"),
        ("BTCUSDT-25DEC26", "BTC", "BTCUSDT-25DEC26"),
        ("SOL-28APR26-30-C", "SOL", "SOL-28APR26-30-C"),
        ("1000PEPEUSDT", "1000PEPE", "1000PEPEUSDT"),
        ("ETH", "ETH", None),
    ],
)
def test_a_symbol_tells_its_base_coin(symbol: str, base: str, instrument: str | None) -> None:
    assert (underlying_of(symbol), topic_instrument(f"publicTrade.{symbol}")) == (base, instrument)
