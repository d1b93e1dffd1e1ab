"""REST calls against a loopback server: retries, limits, and answers handed on untouched."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from collector import rest
from collector.events import Answered, Request, Unanswered
from collector.rest import RestClient

REQUEST = Request("/fapi/v1/depth", (("symbol", "BTCUSDT"),), "rest:depth", "BTC", "BTCUSDT")
Handler = Callable[[web.Request], Awaitable[web.Response]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "SPACING_S", 0.0)
    monkeypatch.setattr(rest, "RETRY_BASE_S", 0.001)


def answers(*responses: tuple[int, bytes]) -> tuple[Handler, list[web.Request]]:
    """A handler that gives these answers in turn, the last one for ever, and the requests it got."""
    asked: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request)
        status, body = responses[min(len(asked), len(responses)) - 1]
        return web.Response(status=status, body=body)

    return handle, asked


def call(handler: Handler, *, max_bytes: int = 1000) -> Answered | Unanswered:
    async def talk() -> Answered | Unanswered:
        app = web.Application()
        app.router.add_get("/base/fapi/v1/depth", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        try:
            async with aiohttp.ClientSession() as http:
                client = RestClient(f"http://127.0.0.1:{port}/base", http, max_bytes=max_bytes, share=lambda: 0.5)
                return await client.call(REQUEST)
        finally:
            await runner.cleanup()

    return asyncio.run(talk())


def test_an_answer_is_handed_on_byte_for_byte() -> None:
    handler, asked = answers((200, b'{"lastUpdateId": 1 }'))

    assert call(handler) == Answered(REQUEST, b'{"lastUpdateId": 1 }')
    assert dict(asked[0].query) == {"symbol": "BTCUSDT"}


@pytest.mark.parametrize("status", [418, 429, 500, 503])
def test_a_passing_refusal_is_tried_again(status: int) -> None:
    handler, asked = answers((status, b"later"), (status, b"later"), (200, b"{}"))

    assert call(handler) == Answered(REQUEST, b"{}")
    assert len(asked) == 3


def test_four_refusals_are_enough() -> None:
    handler, asked = answers((503, b"busy"))

    assert call(handler) == Unanswered(REQUEST, "HTTP 503: b'busy'")
    assert len(asked) == 4


def test_a_refusal_that_will_not_pass_is_not_tried_again() -> None:
    handler, asked = answers((400, b'{"error":1}'))

    assert call(handler) == Unanswered(REQUEST, "HTTP 400: b'{\"error\":1}'")
    assert len(asked) == 1


def test_an_answer_above_the_limit_is_refused() -> None:
    handler, _ = answers((200, b"x" * 1001))

    assert call(handler) == Unanswered(REQUEST, "answer over 1000 bytes")


def test_an_answer_of_exactly_the_limit_is_taken() -> None:
    handler, _ = answers((200, b"x" * 1000))

    assert call(handler) == Answered(REQUEST, b"x" * 1000)


def test_the_venues_wish_to_wait_is_respected_up_to_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real_sleep = asyncio.sleep

    async def noted(delay: float) -> None:
        waits.append(delay)
        await real_sleep(0)

    monkeypatch.setattr(rest.asyncio, "sleep", noted)

    async def ban(_request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7" if not waits else "9999"})

    call(ban)

    assert waits[:2] == [7.0, 120.0]


def test_a_server_that_is_not_there_is_an_answer_too() -> None:
    async def talk() -> Answered | Unanswered:
        async with aiohttp.ClientSession() as http:
            return await RestClient("http://127.0.0.1:1", http, max_bytes=10, share=lambda: 0.0).call(REQUEST)

    outcome = asyncio.run(talk())

    assert isinstance(outcome, Unanswered)
    assert "ClientConnectorError" in outcome.reason
