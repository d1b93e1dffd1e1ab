"""The protocols over a real socket, and the rules a client meets there."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from stack.simulator.exchange import Exchange
from stack.simulator.hub import MAX_CONNECTIONS, Closing

Json = dict[str, Any]
Served = Callable[..., AbstractAsyncContextManager[int]]
Open = Callable[[str], Any]
INDEX = "deribit_price_index.btc_usd"


async def get(port: int, path: str, body: object = None) -> tuple[int, Any]:
    """GET, or POST with a body; returns status and JSON."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=content)

    def ask() -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (loopback)
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return await asyncio.to_thread(ask)


async def ask(socket: ClientConnection, method: str, **params: Any) -> Json:
    """Call a Deribit method and return its answer, passing over notifications."""
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": 42, "method": method, "params": params}))
    while True:
        message: Json = json.loads(await socket.recv())
        if message.get("id") == 42:
            return message


async def until_closed(socket: ClientConnection) -> ConnectionClosed:
    """Read until the server hangs up and return how it did."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        return closed


def deribit(port: int) -> connect:
    return connect(f"ws://127.0.0.1:{port}/deribit/ws/api/v2", max_size=None)


def test_deribit_over_a_socket(exchange: Exchange, served: Served) -> None:
    async def scenario() -> None:
        async with served(exchange) as port, deribit(port) as socket:
            listed = (await ask(socket, "public/get_instruments", currency="BTC", kind="option"))["result"]
            assert len(listed) == 60
            channels = [f"ticker.{i['instrument_name']}.100ms" for i in listed]
            answer = await ask(socket, "public/subscribe", channels=[*channels, "ticker.BTC-NONE.100ms", "nonsense"])
            assert answer["result"] == channels
            seen: dict[str, int] = {}
            while len(seen) < 60 or min(seen.values()) < 3:
                message = json.loads(await socket.recv())["params"]
                seen[message["channel"]] = seen.get(message["channel"], 0) + 1
            assert set(seen) == set(channels)
            gone = await ask(socket, "public/unsubscribe", channels=channels[:2])
            assert gone["result"] == channels[:2]

    asyncio.run(scenario())


def test_a_client_that_does_not_answer_test_request_is_closed(exchange: Exchange, served: Served) -> None:
    async def scenario() -> None:
        async with served(exchange, speed=50.0) as port, deribit(port) as quiet, deribit(port) as lively:
            for socket in (quiet, lively):
                assert (await ask(socket, "public/set_heartbeat", interval=10))["result"] == "ok"
            answered = 0
            while answered < 4:
                message = json.loads(await lively.recv())
                if message.get("params", {}).get("type") == "test_request":
                    answered += 1
                    assert "version" in (await ask(lively, "public/test"))["result"]
            closed = await until_closed(quiet)
            assert closed.rcvd is not None
            assert closed.rcvd.reason == "heartbeat unanswered"

    asyncio.run(scenario())


@pytest.mark.parametrize("venue", ["usdm", "spot"])
def test_binance_over_a_socket(exchange: Exchange, served: Served, venue: str) -> None:
    async def scenario() -> None:
        async with served(exchange) as port:
            url = f"ws://127.0.0.1:{port}/{venue}/stream?streams=btcusdt@depth@100ms/btcusdt@trade"
            async with connect(url) as socket:
                first = json.loads(await socket.recv())
                assert first["stream"].startswith("btcusdt@")
                await socket.send('{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","nosuch@trade"],"id":5}')
                while (message := json.loads(await socket.recv())).get("id") != 5:
                    pass
                assert message == {"result": None, "id": 5}
                while json.loads(await socket.recv())["stream"] != "btcusdt@bookTicker":
                    pass
                api = "fapi/v1" if venue == "usdm" else "api/v3"
                status, depth = await get(port, f"/{venue}/{api}/depth?symbol=BTCUSDT&limit=5")
                assert status == 200
                assert len(depth["bids"]) == len(depth["asks"]) == 5
                _, info = await get(port, f"/{venue}/{api}/exchangeInfo")
                assert [s["symbol"] for s in info["symbols"]] == ["BTCUSDT"]
                refused = await get(port, f"/{venue}/{api}/depth?symbol=NOPE")
                assert refused == (400, {"code": -1121, "msg": "Invalid symbol."})

    asyncio.run(scenario())


def test_control_drops_connections_and_truth_tells(exchange: Exchange, served: Served) -> None:
    async def scenario() -> None:
        async with served(exchange) as port, deribit(port) as socket:
            await ask(socket, "public/subscribe", channels=[INDEX])
            status, answer = await get(port, "/_control", {"fault": "drop"})
            assert (status, answer["started"]) == (200, [1])
            assert (await until_closed(socket)).rcvd is None
            _, ledger = await get(port, "/_truth/ledger")
            assert ledger["connections"][0]["reason"] == "dropped by a fault"
            _, truth = await get(port, "/_truth/inventory")
            assert set(truth["instruments"]) == set(exchange.world.underlyings["BTC"].board.row)
            status, answer = await get(port, "/_control", {"fault": "explode"})
            assert status == 400
            assert "explode" in answer["error"]

    asyncio.run(scenario())


def test_rest_answers_and_refuses(exchange: Exchange, served: Served) -> None:
    async def scenario() -> None:
        async with served(exchange) as port:
            base = "/deribit/api/v2/public"
            _, summary = await get(port, f"{base}/get_book_summary_by_currency?currency=BTC&kind=option")
            assert len(summary["result"]) == 60
            assert all(row["bid_price"] != 0 for row in summary["result"])
            _, index = await get(port, f"{base}/get_index_price?index_name=btc_usd")
            assert 50_000 < index["result"]["index_price"] < 200_000
            status, wrong = await get(port, f"{base}/get_order_book?instrument_name=BTC-NONE")
            assert (status, wrong["error"]["data"]["param"]) == (400, "instrument_name")
            assert (await get(port, f"{base}/get_nothing"))[1]["error"]["code"] == -32601
            await get(port, "/_control", {"fault": "refuse_rest", "venue": "deribit", "status": 429})
            status, _ = await get(port, f"{base}/test")
            assert status == 429

    asyncio.run(scenario())


def test_connections_are_limited_per_venue(exchange: Exchange, served: Served) -> None:
    async def scenario() -> None:
        for _ in range(MAX_CONNECTIONS):
            assert exchange.hub.open("deribit", exchange.now_ms)
        async with served(exchange) as port:
            with pytest.raises(InvalidStatus) as refused:
                await deribit(port)
            assert refused.value.response.status_code == 429

    asyncio.run(scenario())


def test_raw_channels_are_refused_without_authentication(client: Open) -> None:
    (answer,) = client("deribit").subscribe("ticker.BTC-PERPETUAL.100ms", "book.BTC-PERPETUAL.raw")
    assert answer["error"] == {"code": 13778, "message": "raw_subscriptions_not_available_for_unauthorized"}


def test_credentials_are_refused(client: Open) -> None:
    (answer,) = client("deribit").call("public/auth", grant_type="client_credentials")
    assert answer["error"]["code"] == 13004


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("public/nothing", {}, -32601),
        ("public/subscribe", {}, -32602),
        ("public/subscribe", {"channels": ["x"] * 501}, -32602),
        ("public/set_heartbeat", {"interval": 9}, -32602),
        ("public/get_instruments", {"currency": "DOGE"}, -32602),
        ("public/get_instruments", {"currency": "BTC", "kind": "stock"}, -32602),
        ("public/get_last_trades_by_currency", {"currency": "BTC", "count": 5000}, -32602),
    ],
)
def test_bad_requests_get_the_venues_error(client: Open, method: str, params: Json, code: int) -> None:
    (answer,) = client("deribit").call(method, **params)
    assert answer["id"] == 1
    assert answer["error"]["code"] == code


def test_incremental_ticker_is_a_snapshot_then_what_changed(client: Open, data: Callable[..., list[Any]]) -> None:
    c = client("deribit")
    name = c.exchange.world.underlyings["BTC"].board.contracts[30].name
    channel = f"incremental_ticker.{name}"
    first, *rest = data(c.subscribe(channel) + c.run(5), channel)
    assert first["type"] == "snapshot"
    assert len(rest) == 5
    assert all(change["type"] == "change" for change in rest)
    assert all("strike" not in change and "interest_rate" not in change for change in rest[1:])
    full = data(c.subscribe(f"ticker.{name}.100ms"), f"ticker.{name}.100ms")[0]
    rebuilt = dict(first)
    for change in rest:
        rebuilt |= change
    same = ("mark_price", "mark_iv", "best_bid_price", "best_ask_price", "greeks", "underlying_price")
    assert {k: rebuilt[k] for k in same} == {k: full[k] for k in same}


def test_last_trades_come_newest_first_or_from_a_start(client: Open) -> None:
    c = client("deribit")
    c.run(10)
    (newest,) = c.call("public/get_last_trades_by_currency", currency="BTC", kind="option", count=20)
    times = [t["timestamp"] for t in newest["result"]["trades"]]
    assert times == sorted(times, reverse=True)
    start = c.exchange.world.settings.start_ms
    (oldest,) = c.call(
        "public/get_last_trades_by_currency", currency="BTC", kind="option", count=20, start_timestamp=start
    )
    assert [t["timestamp"] for t in oldest["result"]["trades"]] == sorted(
        t["timestamp"] for t in oldest["result"]["trades"]
    )
    assert oldest["result"]["has_more"]


@pytest.mark.parametrize(("venue", "seconds"), [("spot", 100), ("usdm", 1000)])
def test_a_binance_client_without_pongs_is_closed(client: Open, venue: str, seconds: int) -> None:
    deaf, lively = client(venue), client(venue)
    for _ in range(10 * seconds):
        deaf.exchange.hub.beat(deaf.exchange.hub.connections[deaf.connection.name].opened_ms + 100 * (_ + 1))
        if None in lively.connection.outbox:
            lively.connection.outbox.clear()
            lively.connection.answered()
    assert deaf.connection.closing is Closing.CLOSE
    assert lively.connection.closing is None


def test_a_client_that_does_not_read_is_dropped(client: Open) -> None:
    c = client("deribit")
    for _ in range(20):
        c.connection.put(b"x" * 10_000_000, "rpc", "")
    assert c.connection.reason == "connection_too_slow"
