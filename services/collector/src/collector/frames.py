"""Looking into a frame without judging it."""

from typing import Any

import orjson

# Year 2286, when milliseconds get a fourteenth digit.
LATEST_MS = 10_000_000_000_000


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``, empty if it holds none: whoever normalises says what is wrong with it."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return message if isinstance(message, dict) else {}


def microseconds(milliseconds: Any) -> int | None:
    """Return a venue's time in microseconds; None for what is no time: no whole number, or none of these centuries."""
    return milliseconds * 1000 if type(milliseconds) is int and 0 <= milliseconds < LATEST_MS else None
