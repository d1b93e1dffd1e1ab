"""REST calls to one venue: one at a time, spaced, bounded in size and time, tried again when that can help."""

import asyncio
import random
from collections.abc import Callable

import aiohttp

from collector.backoff import full_jitter
from collector.events import Answered, Request, Unanswered

SPACING_S = 0.25
TIMEOUT_S = 10.0
ATTEMPTS = 4
RETRY_BASE_S = 0.5
RETRY_CAP_S = 20.0
LONGEST_RETRY_AFTER_S = 120.0
_WORTH_RETRYING = frozenset({408, 418, 425, 429, 500, 502, 503, 504})


class RestClient:
    """Calls below ``base_url``; both rate limits and bans (429, 418 with Retry-After) are the venue's, so shared."""

    def __init__(
        self, base_url: str, http: aiohttp.ClientSession, *, max_bytes: int, share: Callable[[], float] = random.random
    ) -> None:
        self._base_url = base_url
        self._http = http
        self._max_bytes = max_bytes
        self._share = share
        self._turn = asyncio.Lock()

    async def call(self, request: Request) -> Answered | Unanswered:
        """Return the answer's body, or why there is none after four attempts."""
        reason = ""
        for attempt in range(ATTEMPTS):
            async with self._turn:
                outcome = await self._attempt(request)
                if isinstance(outcome, Answered):
                    await asyncio.sleep(SPACING_S)
                    return outcome
                reason, retry_after_s = outcome
                if retry_after_s is None:
                    break
                wait = full_jitter(attempt, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S, share=self._share())
                await asyncio.sleep(max(wait, retry_after_s, SPACING_S))
        return Unanswered(request, reason)

    async def _attempt(self, request: Request) -> Answered | tuple[str, float | None]:
        """Return the answer, or what went wrong and after how long trying again makes sense (None: never)."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._http.get(self._base_url + request.path, params=request.params, timeout=timeout) as answer:
                body = await answer.content.read(self._max_bytes + 1)
                while not answer.content.at_eof() and len(body) <= self._max_bytes:
                    body += await answer.content.read(self._max_bytes + 1 - len(body))
                if len(body) > self._max_bytes:
                    return f"answer over {self._max_bytes} bytes", None
                if answer.status == 200:
                    return Answered(request, body)
                retriable = answer.status in _WORTH_RETRYING
                return f"HTTP {answer.status}: {body[:200]!r}", _retry_after_s(answer) if retriable else None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{type(error).__name__}: {error}", 0.0


def _retry_after_s(answer: aiohttp.ClientResponse) -> float:
    header = answer.headers.get("Retry-After", "")
    return min(float(header), LONGEST_RETRY_AFTER_S) if header.isdecimal() else 0.0
