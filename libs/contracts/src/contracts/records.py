"""Every record of the contract, generated from ``schemas/*.avsc``: frozen, slotted, keyword-only dataclasses.

``to_dict`` and ``from_dict`` turn a record into plain dicts and lists, named as in Avro, and back.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from contracts.generated.conversions import FROM_DICT, TO_DICT
from contracts.generated.records import *  # noqa: F403 - the generated module lists them in __all__

_Record = TypeVar("_Record")


def to_dict(record: Any) -> dict[str, Any]:
    """Return ``record`` as a dict in schema order; nested records are dicts, too, arrays are shared with it."""
    return TO_DICT[type(record)](record)


def from_dict(record_type: type[_Record], fields: Mapping[str, Any]) -> _Record:
    """Build a record from a dict that has every field (KeyError otherwise); arrays become tuples."""
    record: _Record = FROM_DICT[record_type](fields)
    return record
