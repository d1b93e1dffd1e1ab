"""Lists in a frame: an impossible entry becomes Invalid and does not take the others with it."""

from collections.abc import Callable, Iterator
from typing import Any

from normalizer import json_fields as read
from normalizer.events import BadMessage, Event, Invalid
from normalizer.json_fields import Json


def each(entries: Any, name: str, reader: Callable[[Json], Iterator[Event]]) -> Iterator[Event]:
    """Read a list of objects entry by entry. Raises BadMessage if it is no list."""
    for entry in read.as_list(entries, name):
        try:
            yield from list(reader(read.as_object(entry, f"{name}[]")))
        except BadMessage as error:
            yield Invalid(error.reason, error.detail)
