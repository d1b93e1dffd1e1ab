"""Looking into a frame without judging it."""

from typing import Any

import orjson


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``, empty if it holds none: whoever normalises says what is wrong with it."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return message if isinstance(message, dict) else {}
