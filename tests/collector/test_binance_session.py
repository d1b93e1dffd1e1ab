"""Binance's protocol with literal events: depth chains, snapshots, and each fault's record and resync."""

from collections.abc import Callable

import orjson
import pytest

from collector.binance import SPOT, USDM, BinanceMarket, BinanceSession, routes
from collector.events import (
    Action,
    Answered,
    Close,
    Connected,
    Disconnected,
    Fetch,
    Frame,
    Publish,
    Request,
    Send,
    Tick,
    Unanswered,
)

Payload = Callable[[str], bytes]
SECOND = 1_000_000
START = 1_795_000_000 * SECOND
DEPTH = "btcusdt@depth@100ms"


def session(market: BinanceMarket = USDM, *underlyings: str) -> BinanceSession:
    made = BinanceSession(
        market,
        "ws://venue",
        market.streams,
        underlyings or ("BTC", "ETH"),
        stale_after_us=20 * SECOND,
        silent_after_us=60 * SECOND,
    )
    made.handle(START, Connected())
    return made


def published(actions: list[Action], kind: str) -> list[Publish]:
    return [action for action in actions if isinstance(action, Publish) and action.kind == kind]


def fetched(actions: list[Action]) -> list[Request]:
    return [action.request for action in actions if isinstance(action, Fetch)]


def test_the_url_names_every_stream_of_every_underlying() -> None:
    assert session(SPOT, "BTC", "ETH").url == (
        "ws://venue/stream?streams=btcusdt@depth@100ms/btcusdt@trade/btcusdt@bookTicker"
        "/ethusdt@depth@100ms/ethusdt@trade/ethusdt@bookTicker"
    )


def test_futures_streams_are_split_over_the_venues_two_routes_and_over_nothing_else() -> None:
    assert routes(USDM, "wss://f/public") == {
        "wss://f/public": ("depth@100ms", "bookTicker"),
        "wss://f/market": ("aggTrade", "markPrice@1s", "forceOrder"),
    }
    assert list(routes(USDM, "ws://127.0.0.1:1/usdm")) == ["ws://127.0.0.1:1/usdm"]
    assert list(routes(SPOT, "wss://s/public")) == ["wss://s/public"]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("depth_first", (DEPTH, "BTCUSDT", "BTC", 1_795_000_000_123_000)),
        ("book_ticker", ("btcusdt@bookTicker", "BTCUSDT", "BTC", None)),
        ("eth_depth_first", ("ethusdt@depth@100ms", "ETHUSDT", "ETH", 1_795_000_000_123_000)),
        ("subscribed", ("rpc", None, "BTC", None)),
    ],
)
def test_every_frame_is_recorded_untouched(payload: Payload, file: str, said: tuple[object, ...]) -> None:
    body = payload(f"binance/{file}.json")

    [record] = published(session().handle(START, Frame(body)), "message")

    assert (record.channel, record.instrument, record.underlying, record.exchange_ts) == said
    assert record.payload == body


@pytest.mark.parametrize("body", [b"{cut", b"[]", b'{"no":"stream"}', b"\xff\xfe"])
def test_what_is_no_frame_is_recorded_all_the_same(body: bytes) -> None:
    assert session().handle(START, Frame(body)) == [Publish("message", "", None, "BTC", body)]


def test_the_first_diff_of_a_symbol_asks_for_its_snapshot_and_no_other(payload: Payload) -> None:
    made = session()

    [request] = fetched(made.handle(START, Frame(payload("binance/depth_first.json"))))

    assert request.path == "/fapi/v1/depth"
    assert dict(request.params) == {"symbol": "BTCUSDT", "limit": "1000"}
    assert fetched(made.handle(START, Frame(payload("binance/depth_next.json")))) == []


def test_a_snapshot_is_recorded_and_ends_the_asking_if_it_reaches_the_diffs(payload: Payload) -> None:
    made = session()
    [request] = fetched(made.handle(START, Frame(payload("binance/depth_first.json"))))

    [record] = published(made.handle(START, Answered(request, payload("binance/snapshot_1012.json"))), "snapshot")

    assert (record.channel, record.instrument, record.underlying) == ("rest:depth", "BTCUSDT", "BTC")
    assert record.exchange_ts == 1_795_000_000_300_000
    assert fetched(made.handle(START + 15 * SECOND, Tick())) == []


@pytest.mark.parametrize("file", ["snapshot_too_old", "subscribed"])
def test_a_snapshot_that_cannot_join_the_diffs_is_recorded_and_asked_for_again(payload: Payload, file: str) -> None:
    made = session()
    [request] = fetched(made.handle(START, Frame(payload("binance/depth_first.json"))))

    assert len(published(made.handle(START, Answered(request, payload(f"binance/{file}.json"))), "snapshot")) == 1
    assert fetched(made.handle(START + SECOND - 1, Tick())) == []
    assert fetched(made.handle(START + SECOND, Tick())) == [request]


def test_a_snapshot_call_that_failed_is_made_again_after_five_seconds(payload: Payload) -> None:
    made = session()
    [request] = fetched(made.handle(START, Frame(payload("binance/depth_first.json"))))
    made.handle(START, Unanswered(request, "HTTP 503"))

    assert fetched(made.handle(START + 5 * SECOND - 1, Tick())) == []
    assert fetched(made.handle(START + 5 * SECOND, Tick())) == [request]
    assert fetched(made.handle(START + 6 * SECOND, Tick())) == []


@pytest.mark.parametrize(
    ("market", "files"),
    [
        (USDM, ("depth_first", "depth_next", "depth_after_gap")),
        (SPOT, ("spot_depth_first", "spot_depth_next", "spot_depth_after_gap")),
    ],
)
def test_a_hole_in_the_update_ids_is_recorded_before_the_frame_and_resyncs_that_symbol_alone(
    payload: Payload, market: BinanceMarket, files: tuple[str, str, str]
) -> None:
    made = session(market)
    first, following, after_gap = (Frame(payload(f"binance/{file}.json")) for file in files)
    made.handle(START, first)
    made.handle(START, Frame(payload("binance/eth_depth_first.json")))
    assert published(made.handle(START, following), "gap") == []

    gap, frame, fetch = made.handle(START, after_gap)

    assert gap == Publish("gap", DEPTH, "BTCUSDT", "BTC", b"update ids do not continue")
    assert isinstance(frame, Publish)
    assert frame.payload == after_gap.body
    assert isinstance(fetch, Fetch)
    assert dict(fetch.request.params)["symbol"] == "BTCUSDT"


def test_after_a_gap_an_older_snapshot_does_not_end_the_asking(payload: Payload) -> None:
    made = session()
    for file in ("depth_first", "depth_next"):
        made.handle(START, Frame(payload(f"binance/{file}.json")))
    [request] = fetched(made.handle(START, Frame(payload("binance/depth_after_gap.json"))))

    made.handle(START, Answered(request, payload("binance/snapshot_1012.json")))

    assert fetched(made.handle(START + SECOND, Tick())) == [request]


def test_a_silent_stream_is_recorded_as_a_gap_and_subscribed_anew_alone(payload: Payload) -> None:
    made = session(USDM, "BTC")
    made.handle(START, Frame(payload("binance/depth_first.json")))
    actions: list[Action] = []
    for second in range(1, 62):
        made.handle(START + second * SECOND, Frame(payload("binance/book_ticker.json")))
        actions += made.handle(START + second * SECOND, Tick())

    assert [(gap.channel, gap.instrument) for gap in published(actions, "gap")] == [(DEPTH, "BTCUSDT")]
    sent = [orjson.loads(action.text) for action in actions if isinstance(action, Send)]
    assert [(call["method"], call["params"]) for call in sent] == [("UNSUBSCRIBE", [DEPTH]), ("SUBSCRIBE", [DEPTH])]
    again = made.handle(START + 62 * SECOND, Frame(payload("binance/depth_after_gap.json")))
    assert published(again, "gap") == [], "the silence has said it already"
    assert len(fetched(again)) == 1, "but the book needs a snapshot"


def test_no_frame_for_the_stale_time_closes_the_connection() -> None:
    assert session().handle(START + 20 * SECOND, Tick()) == [Close("stale: no frame for 20 s")]


def test_a_refused_request_closes_the_connection(payload: Payload) -> None:
    actions = session().handle(START, Frame(payload("binance/refused.json")))

    assert isinstance(actions[-1], Close)
    assert "Invalid request" in actions[-1].reason


def test_a_reconnect_begins_every_chain_anew(payload: Payload) -> None:
    made = session()
    made.handle(START, Frame(payload("binance/depth_first.json")))

    lost = made.handle(START, Disconnected("oversize: a frame above 8388608 bytes"))
    made.handle(START + SECOND, Connected())
    actions = made.handle(START + SECOND, Frame(payload("binance/depth_after_gap.json")))

    assert [(p.kind, p.underlying) for p in published(lost, "disconnect")] == [
        ("disconnect", "BTC"), ("disconnect", "ETH"),
    ]  # fmt: skip
    assert published(actions, "gap") == []
    assert len(fetched(actions)) == 1
