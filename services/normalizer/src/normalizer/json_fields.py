"""Reading fields of a venue's JSON: the reader's name says what zero and missing mean; what cannot be is BadMessage.

Venues write numbers as JSON numbers or as decimal strings; both are read alike. A field that is absent and one that is
null are the same to all readers; a caller that must tell them apart asks ``name in fields`` first.
"""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import orjson

from normalizer.events import BadMessage, Levels, Value

Json = Mapping[str, Any]
T = TypeVar("T")

MAX_INT = 2**31 - 1
MAX_LONG = 2**63 - 1

LATEST_MS = 10**14
"""Year 5138: venues write far-off expiries of perpetuals (year 3000), never later."""
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def parse(payload: bytes) -> Any:
    """Parse a frame; BadMessage ``malformed_json`` with the position if it is none."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise BadMessage("malformed_json", f"{error} in a frame of {len(payload)} bytes") from error


def as_object(value: Any, name: str) -> Json:
    """Return ``value`` if it is a JSON object."""
    if not isinstance(value, dict):
        raise BadMessage("bad_value", f"{name}: expected an object, got {_shown(value)}")
    return value


def as_list(value: Any, name: str) -> list[Any]:
    """Return ``value`` if it is a JSON list."""
    if not isinstance(value, list):
        raise BadMessage("bad_value", f"{name}: expected a list, got {_shown(value)}")
    return value


def text(fields: Json, name: str) -> str:
    """Return a non-empty string that must be there."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(fields, name, "a non-empty string")
    return value


def text_or_none(fields: Json, name: str) -> str | None:
    """Return a string; ids that some venues write as numbers become strings; null or empty is None."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _wrong(fields, name, "a string or an id")
    return str(value)


def integer(fields: Json, name: str, limit: int = MAX_LONG) -> int:
    """Return an integer from 0 to ``limit`` (what its record can hold) that must be there."""
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= limit:
        raise _wrong(fields, name, f"an integer from 0 to {limit}")
    return value


def integer_or_none(fields: Json, name: str, limit: int = MAX_LONG) -> int | None:
    """Return an integer from 0 to ``limit``, None if missing."""
    return None if fields.get(name) is None else integer(fields, name, limit)


def micros(fields: Json, name: str) -> int:
    """Return a time that must be there, given in milliseconds, as microseconds."""
    value = fields.get(name)
    if type(value) is not int or not 0 < value < LATEST_MS:
        raise _wrong(fields, name, "milliseconds since 1970")
    return value * 1000


def micros_or_none(fields: Json, name: str) -> int | None:
    """Return a time given in milliseconds as microseconds; missing and 0 (Binance's "none") are None."""
    return None if not fields.get(name) else micros(fields, name)


def text_micros(fields: Json, name: str) -> int:
    """Return a time that must be there, given as text of milliseconds, as microseconds."""
    value = fields.get(name)
    if not isinstance(value, str) or not (value.isascii() and value.isdecimal()) or not 0 < int(value) < LATEST_MS:
        raise _wrong(fields, name, "text of milliseconds since 1970")
    return int(value) * 1000


def text_micros_or_none(fields: Json, name: str) -> int | None:
    """Return a time given as text of milliseconds as microseconds; missing, empty and 0 are None."""
    return None if fields.get(name) in (None, "", "0") else text_micros(fields, name)


def iso_micros(fields: Json, name: str) -> int:
    """Return a time that must be there, given as ISO 8601 with its zone, as microseconds since 1970."""
    value = fields.get(name)
    try:
        since_1970 = datetime.fromisoformat(value) - _EPOCH  # type: ignore[arg-type]  # TypeError is caught
    except (TypeError, ValueError, OverflowError):
        raise _wrong(fields, name, "a time as in 2026-11-21T08:40:00.000Z") from None
    if since_1970 <= timedelta(0):
        raise _wrong(fields, name, "a time after 1970")
    return since_1970 // timedelta(microseconds=1)


def iso_micros_or_none(fields: Json, name: str) -> int | None:
    """Return a time given as ISO 8601 as microseconds; missing and empty are None."""
    return None if not fields.get(name) else iso_micros(fields, name)


def number_or_none(fields: Json, name: str) -> float | None:
    """Return a finite number, any sign; missing is None, 0 is 0."""
    value = fields.get(name)
    if type(value) is str:  # first, and by type: this is the path of nearly every number
        if not value:
            return None
        try:
            number = float(value)
        except ValueError:
            raise _wrong(fields, name, "a number") from None
        if "_" in value:  # Python reads 1_0 as ten
            raise _wrong(fields, name, "a number")
    elif value is None:
        return None
    elif type(value) is float or type(value) is int:
        number = float(value)
    else:
        raise _wrong(fields, name, "a number")
    if not math.isfinite(number):
        raise _wrong(fields, name, "a finite number")
    return number


def number(fields: Json, name: str) -> float:
    """Return a finite number that must be there."""
    value = number_or_none(fields, name)
    if value is None:
        raise _wrong(fields, name, "a number")
    return value


def amount_or_none(fields: Json, name: str) -> float | None:
    """Return a number ≥ 0: sizes, open interest, volumes, marks of worthless options. Missing is None, 0 is real."""
    value = number_or_none(fields, name)
    if value is not None and value < 0:
        raise _wrong(fields, name, "a number ≥ 0")
    return value


def positive(fields: Json, name: str) -> float:
    """Return a number > 0 that must be there: prices and sizes of what was traded."""
    value = number_or_none(fields, name)
    if value is None or value <= 0:
        raise _wrong(fields, name, "a number > 0")
    return value


def positive_or_none(fields: Json, name: str) -> float | None:
    """Return a number > 0, None if missing; 0 is an error."""
    return None if fields.get(name) is None else positive(fields, name)


def nonzero_or_none(fields: Json, name: str) -> float | None:
    """Return a number > 0 where the venue writes 0 for "there is none" (a bid, an iv): missing and 0 are None."""
    return amount_or_none(fields, name) or None


def one_of(fields: Json, name: str, table: Mapping[str, T]) -> T:
    """Return what ``table`` has for a string that must be there and be one of its keys."""
    value = text(fields, name)
    if value not in table:
        raise _wrong(fields, name, f"one of {', '.join(table)}")
    return table[value]


def given(**values: Value) -> dict[str, Value]:
    """Return the values that are there: what a frame says of a part of a ticker."""
    return {name: value for name, value in values.items() if value is not None}


def decimal_text(value: Any, name: str) -> str:
    """Return plain decimal text of a level's price or size as the venue wrote it, never through float arithmetic.

    A JSON number has gone through the parser's nearest double, whose shortest text is the venue's own for up to 15
    digits; exponents are written out.
    """
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    if type(value) is float and math.isfinite(value):
        shown = repr(value)
        return f"{Decimal(shown):f}" if "e" in shown else shown
    raise BadMessage("bad_value", f"{name}: expected a decimal, got {_shown(value)}")


def decimal_product(fields: Json, *names: str) -> float:
    """Return the product of numbers > 0 that must be there, multiplied as the decimals they are written as."""
    product = Decimal(1)
    for name in names:
        positive(fields, name)
        product *= Decimal(str(fields[name]))
    value = float(product)
    if not 0 < value < math.inf:
        raise BadMessage("bad_value", f"{' · '.join(names)}: {product} is out of range"[:200])
    return value


def text_levels(fields: Json, name: str) -> Levels:
    """Return a list of levels [price, size, …], all text; what follows the size is the venue's own."""
    levels = as_list(fields.get(name), name)
    for level in levels:
        # Spelled out for speed: tens of levels in each of thousands of messages.
        if type(level) is not list or len(level) < 2 or type(level[0]) is not str or type(level[1]) is not str:
            raise BadMessage("bad_value", f"{name}: expected [price, size] as text, got {level!r}"[:200])
    return levels


def _wrong(fields: Json, name: str, expected: str) -> BadMessage:
    if fields.get(name) is None:
        return BadMessage("missing_field", f"{name}: missing, expected {expected}")
    return BadMessage("bad_value", f"{name}: expected {expected}, got {_shown(fields[name])}")


def _shown(value: Any) -> str:
    return repr(value)[:80]
