"""Deribit's protocol with literal events: what is sent, fetched and recorded, and each fault's record and resync."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from collector.deribit import DeribitSession, channel_instrument, channel_underlying
from collector.events import (
    Action,
    Answered,
    Close,
    Connected,
    Disconnected,
    Event,
    Fetch,
    Frame,
    GiveUp,
    Publish,
    Request,
    Send,
    Tick,
    Unanswered,
)

Payload = Callable[[str], bytes]
SECOND = 1_000_000
START = 1_795_000_000 * SECOND
BOOK = "book.BTC-PERPETUAL.100ms"
CALL = "ticker.BTC-27NOV26-90000-C.100ms"
PUT = "ticker.BTC-27NOV26-90000-P.100ms"
NEW = "ticker.BTC-28NOV26-95000-P.100ms"


class Venue:
    """Drives a session in time and answers its calls; keeps every action."""

    def __init__(self, *underlyings: str) -> None:
        self.session = DeribitSession(
            "ws://venue", underlyings or ("BTC",), stale_after_us=20 * SECOND, silent_after_us=60 * SECOND
        )
        self.now = START
        self.actions: list[Action] = []

    def feed(self, event: Event) -> list[Action]:
        actions = self.session.handle(self.now, event)
        self.actions += actions
        return actions

    def after(self, seconds: float, event: Event) -> list[Action]:
        self.now += round(seconds * SECOND)
        return self.feed(event)

    def grant(self, sent: list[Action], *, leaving_out: str = "") -> list[Action]:
        """Answer the last call in ``sent``; returns what that leads to."""
        request = calls(sent)[-1]
        channels = [c for c in request["params"].get("channels", []) if c != leaving_out]
        return self.feed(Frame(orjson.dumps({"jsonrpc": "2.0", "id": request["id"], "result": channels})))

    def grant_all(self, sent: list[Action]) -> list[list[str]]:
        """Answer calls until none follow; returns the channels of each."""
        chunks = []
        while made := [c for c in calls(sent) if "channels" in c["params"]]:
            chunks.append(made[-1]["params"]["channels"])
            self.grant(sent)
            sent = self.after(0.4, Tick())
        return chunks

    def settled(self, listing: bytes) -> None:
        """Connect, list the options of ``listing`` and subscribe everything."""
        sent = self.feed(Connected())
        request = next(a.request for a in sent if isinstance(a, Fetch) and ("kind", "option") in a.request.params)
        self.feed(Answered(request, listing))
        self.grant_all(sent)
        self.grant_all(self.after(0.4, Tick()))


def calls(actions: list[Action]) -> list[dict[str, Any]]:
    return [orjson.loads(action.text) for action in actions if isinstance(action, Send)]


def published(actions: list[Action], kind: str) -> list[Publish]:
    return [action for action in actions if isinstance(action, Publish) and action.kind == kind]


def fetched(actions: list[Action]) -> list[Request]:
    return [action.request for action in actions if isinstance(action, Fetch)]


@pytest.fixture
def venue(payload: Payload) -> Venue:
    """Connected, two options listed, everything subscribed."""
    venue = Venue("BTC")
    venue.settled(payload("deribit/options_before.json"))
    venue.actions.clear()
    return venue


def test_connecting_records_it_for_each_underlying_starts_heartbeats_and_asks_for_listings() -> None:
    actions = Venue("BTC", "ETH").feed(Connected())

    assert [(p.kind, p.underlying) for p in published(actions, "connect")] == [("connect", "BTC"), ("connect", "ETH")]
    assert [c["method"] for c in calls(actions)] == ["public/set_heartbeat", "public/subscribe"]
    assert {(r.underlying, dict(r.params)["kind"]) for r in fetched(actions)} == {
        ("BTC", "option"), ("BTC", "future"), ("ETH", "option"), ("ETH", "future"),
    }  # fmt: skip


def test_the_first_call_subscribes_what_does_not_depend_on_listings() -> None:
    channels = set(calls(Venue("ETH").feed(Connected()))[-1]["params"]["channels"])

    assert channels == {
        "instrument.state.option.ETH",
        "instrument.state.future.ETH",
        "trades.option.ETH.100ms",
        "trades.future.ETH.100ms",
        "book.ETH-PERPETUAL.100ms",
        "deribit_price_index.eth_usd",
        "deribit_volatility_index.eth_usd",
    }


def test_a_thousand_options_are_subscribed_each_once_in_chunks_of_at_most_250() -> None:
    venue = Venue("BTC")
    sent = venue.feed(Connected())
    names = [f"BTC-27NOV26-{strike}-C" for strike in range(50_000, 51_000)]
    body = orjson.dumps({"result": [{"instrument_name": name} for name in names]})
    venue.feed(Answered(fetched(sent)[0], body))

    chunks = venue.grant_all(sent)

    assert max(map(len, chunks)) <= 250
    tickers = [channel for chunk in chunks for channel in chunk if channel.startswith("ticker.")]
    assert sorted(tickers) == sorted(f"ticker.{name}.100ms" for name in names)


def test_listings_are_recorded_as_snapshots_byte_for_byte(payload: Payload) -> None:
    venue = Venue("BTC")
    request = fetched(venue.feed(Connected()))[0]

    [record] = published(venue.feed(Answered(request, payload("deribit/options_before.json"))), "snapshot")

    assert record.channel == "rest:get_instruments"
    assert record.payload == payload("deribit/options_before.json")
    assert record.underlying == "BTC"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("ticker_option", (CALL, "BTC-27NOV26-90000-C", "BTC", 1_795_000_000_123_000)),
        ("trades", ("trades.option.ETH.100ms", None, "ETH", 1_795_000_000_301_000)),
        ("book_snapshot", (BOOK, "BTC-PERPETUAL", "BTC", 1_795_000_000_100_000)),
        ("unknown_channel", ("something.new", None, "BTC", None)),
        ("cut_short", ("", None, "BTC", None)),
        ("heartbeat", ("rpc", None, "BTC", None)),
    ],
)
def test_every_frame_is_recorded_untouched(payload: Payload, file: str, said: tuple[Any, ...]) -> None:
    venue = Venue("BTC", "ETH")
    venue.feed(Connected())
    body = payload(f"deribit/{file}.json")

    [record] = published(venue.feed(Frame(body)), "message")

    assert (record.channel, record.instrument, record.underlying, record.exchange_ts) == said
    assert record.payload == body


def test_a_test_request_is_answered(venue: Venue, payload: Payload) -> None:
    actions = venue.feed(Frame(payload("deribit/test_request.json")))

    assert [call["method"] for call in calls(actions)] == ["public/test"]


def test_an_unbroken_book_chain_is_only_recorded(venue: Venue, payload: Payload) -> None:
    venue.feed(Frame(payload("deribit/book_snapshot.json")))
    venue.feed(Frame(payload("deribit/book_change.json")))

    assert published(venue.actions, "gap") == []


def test_a_hole_in_the_book_chain_is_recorded_before_the_frame_and_renews_that_book_alone(
    venue: Venue, payload: Payload
) -> None:
    venue.feed(Frame(payload("deribit/book_snapshot.json")))
    gap, frame = venue.feed(Frame(payload("deribit/book_change_after_gap.json")))

    assert isinstance(gap, Publish)
    assert (gap.kind, gap.channel, gap.instrument, gap.underlying) == ("gap", BOOK, "BTC-PERPETUAL", "BTC")
    assert isinstance(frame, Publish)
    assert frame.kind == "message"
    unsubscribe = venue.after(0.4, Tick())
    assert [(c["method"], c["params"]["channels"]) for c in calls(unsubscribe)] == [("public/unsubscribe", [BOOK])]
    venue.grant(unsubscribe)
    subscribe = venue.after(0.4, Tick())
    assert [(c["method"], c["params"]["channels"]) for c in calls(subscribe)] == [("public/subscribe", [BOOK])]


def test_a_broken_book_is_reported_once_until_its_next_snapshot(venue: Venue, payload: Payload) -> None:
    broken = Frame(payload("deribit/book_change_after_gap.json"))
    snapshot = Frame(payload("deribit/book_snapshot.json"))

    for frame in (snapshot, broken, broken, snapshot, broken):
        venue.feed(frame)

    assert len(published(venue.actions, "gap")) == 2


def test_a_frame_cut_short_shows_up_as_a_hole_in_the_chain(venue: Venue, payload: Payload) -> None:
    venue.feed(Frame(payload("deribit/book_snapshot.json")))
    venue.feed(Frame(payload("deribit/cut_short.json")))
    venue.feed(Frame(payload("deribit/book_change_after_gap.json")))

    assert [gap.instrument for gap in published(venue.actions, "gap")] == ["BTC-PERPETUAL"]


def test_a_new_listing_is_asked_about_within_a_second_and_subscribed_and_the_expired_is_dropped(
    venue: Venue, payload: Payload
) -> None:
    venue.feed(Frame(payload("deribit/option_created.json")))
    [request] = fetched(venue.after(1.0, Tick()))
    assert dict(request.params)["kind"] == "option"

    sent = venue.feed(Answered(request, payload("deribit/options_after.json")))
    made = []
    for _ in range(2):
        made += [(call["method"], call["params"]["channels"]) for call in calls(sent)]
        venue.grant(sent)
        sent = venue.after(0.4, Tick())

    assert made == [("public/unsubscribe", [CALL]), ("public/subscribe", [NEW])]


def test_book_summaries_come_every_minute_and_reveal_unknown_instruments(venue: Venue, payload: Payload) -> None:
    summaries = []
    for _ in range(61):
        venue.feed(Frame(payload("deribit/ticker_option.json")))
        summaries += [r for r in fetched(venue.after(1, Tick())) if r.channel.startswith("rest:get_book_summary")]
    assert [dict(request.params)["kind"] for request in summaries] == ["option", "future"]

    actions = venue.feed(Answered(summaries[0], payload("deribit/summary_with_new_option.json")))

    assert [(r.channel, dict(r.params)["kind"]) for r in fetched(actions)] == [("rest:get_instruments", "option")]


def test_a_listing_that_failed_or_makes_no_sense_is_asked_for_again_after_five_seconds(
    venue: Venue, payload: Payload
) -> None:
    request = Request(
        "/public/get_instruments", (("currency", "BTC"), ("kind", "option")), "rest:get_instruments", "BTC"
    )
    for event in (Unanswered(request, "HTTP 503"), Answered(request, payload("deribit/not_a_list.json"))):
        venue.feed(event)
        assert fetched(venue.after(4.9, Tick())) == []
        assert [r.channel for r in fetched(venue.after(0.2, Tick()))] == ["rest:get_instruments"]


def test_no_frame_for_the_stale_time_closes_the_connection(venue: Venue) -> None:
    assert venue.after(19.0, Tick()) == []
    assert venue.after(2.0, Tick()) == [Close("stale: no frame for 20 s")]


def test_a_call_that_is_not_answered_closes_the_connection(payload: Payload) -> None:
    venue = Venue("BTC")
    venue.feed(Connected())
    venue.feed(Frame(payload("deribit/heartbeat.json")))

    assert venue.after(10.0, Tick()) == [Close("public/subscribe not answered for 10 s")]


def test_one_silent_channel_is_recorded_as_a_gap_and_renewed_alone(venue: Venue, payload: Payload) -> None:
    index = orjson.dumps({"method": "subscription", "params": {"channel": "deribit_price_index.btc_usd", "data": {}}})
    put = payload("deribit/ticker_option.json").replace(b"90000-C", b"90000-P")
    for _ in range(62):
        for body in (payload("deribit/book_snapshot.json"), put, index):
            venue.feed(Frame(body))
        venue.after(1, Tick())

    [gap] = published(venue.actions, "gap")
    assert (gap.channel, gap.instrument) == (CALL, "BTC-27NOV26-90000-C")
    renewals = [c["params"]["channels"] for c in calls(venue.actions) if c["method"].endswith("subscribe")]
    assert renewals == [[CALL]]


def test_heartbeats_without_market_data_do_not_keep_the_connection(venue: Venue, payload: Payload) -> None:
    closes = []
    for _ in range(21):
        venue.feed(Frame(payload("deribit/heartbeat.json")))
        closes += venue.after(1, Tick())

    assert closes[0] == Close("stale: no market data for 20 s")


def test_a_raw_channel_without_auth_fails_loudly_with_the_remedy() -> None:
    venue = Venue("BTC")
    number = calls(venue.feed(Connected()))[-1]["id"]
    error = {"id": number, "error": {"code": 13778, "message": "raw_subscriptions_not_available_for_unauthorized"}}

    actions = venue.feed(Frame(orjson.dumps(error)))

    [problem] = [action.problem for action in actions if isinstance(action, GiveUp)]
    assert "13778" in problem
    assert "100ms" in problem


def test_too_many_requests_makes_the_same_call_again_later() -> None:
    venue = Venue("BTC")
    first = calls(venue.feed(Connected()))[-1]
    venue.feed(Frame(orjson.dumps({"id": first["id"], "error": {"code": 10028, "message": "too_many_requests"}})))

    assert calls(venue.after(1.9, Tick())) == []
    [again] = calls(venue.after(0.2, Tick()))
    assert again["params"] == first["params"]


def test_any_other_error_costs_the_connection_only() -> None:
    venue = Venue("BTC")
    number = calls(venue.feed(Connected()))[-1]["id"]
    error = {"id": number, "error": {"code": 11051, "message": "system_maintenance"}}

    assert venue.feed(Frame(orjson.dumps(error)))[-1] == Close("refused: system_maintenance (11051)")


def test_a_ticker_that_is_not_granted_is_a_gap_and_its_listing_is_looked_up_again(payload: Payload) -> None:
    venue = Venue("BTC")
    sent = venue.feed(Connected())
    venue.feed(Answered(fetched(sent)[0], payload("deribit/options_before.json")))
    venue.grant(sent)

    actions = venue.grant(venue.after(0.4, Tick()), leaving_out=CALL)

    [gap] = published(actions, "gap")
    assert (gap.instrument, gap.payload) == ("BTC-27NOV26-90000-C", b"subscription not granted")
    assert "rest:get_instruments" in [request.channel for request in fetched(venue.after(5, Tick()))]


def test_a_market_channel_that_is_not_granted_fails_loudly() -> None:
    venue = Venue("BTC")

    actions = venue.grant(venue.feed(Connected()), leaving_out="trades.option.BTC.100ms")

    assert [a.problem for a in actions if isinstance(a, GiveUp)] == [
        "ws://venue does not grant channel trades.option.BTC.100ms; check UNDERLYINGS or upgrade the collector"
    ]


def test_after_a_reconnect_everything_is_subscribed_again_and_no_old_chain_is_followed(
    venue: Venue, payload: Payload
) -> None:
    venue.feed(Frame(payload("deribit/book_snapshot.json")))
    lost = venue.feed(Disconnected("connection lost"))
    assert [(p.kind, p.payload) for p in published(lost, "disconnect")] == [("disconnect", b"connection lost")]

    chunks = venue.grant_all(venue.after(1, Connected()))
    venue.feed(Frame(payload("deribit/book_change_after_gap.json")))

    assert {CALL, PUT, BOOK} <= {channel for chunk in chunks for channel in chunk}
    assert published(venue.actions, "gap") == [], "a disconnect has said it already"


@pytest.mark.parametrize(
    ("channel", "instrument", "underlying"),
    [
        ("ticker.BTC-PERPETUAL.100ms", "BTC-PERPETUAL", "BTC"),
        ("ticker.SOL_USDC-27NOV26-0d128-C.100ms", "SOL_USDC-27NOV26-0d128-C", "SOL"),
        ("trades.future.ETH.100ms", None, "ETH"),
        ("deribit_volatility_index.eth_usd", None, "ETH"),
        ("instrument.state.option.BTC", None, "BTC"),
        ("platform_state", None, None),
    ],
)
def test_channels_tell_instrument_and_underlying(channel: str, instrument: str | None, underlying: str | None) -> None:
    assert (channel_instrument(channel), channel_underlying(channel)) == (instrument, underlying)
