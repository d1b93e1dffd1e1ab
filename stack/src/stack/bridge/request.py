"""An HTTP request read as ClickHouse reads it: parameters and headers to one frozen record. Pure."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from stack.bridge.errors import (
    ACCESS_DENIED,
    AUTHENTICATION_FAILED,
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    EngineError,
    refusal,
)

_NAME: Final = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_EXTERNAL: Final = re.compile(r"(.+)_(format|structure|types)\Z", re.ASCII)
# Understood by ClickHouse's HTTP handler, not settings of the engine; those without a field below change nothing here.
_TRANSPORT: Final = frozenset(
    {"query", "database", "default_format", "user", "password", "query_id", "quota_key", "readonly"}
    | {"session_id", "session_timeout", "session_check", "close_session", "wait_end_of_query", "buffer_size"}
    | {"stacktrace", "client_protocol_version", "enable_http_compression", "http_zlib_compression_level"}
    | {"send_progress_in_http_headers", "http_headers_progress_interval_ms", "http_response_buffer_size"}
    | {"cancel_http_readonly_queries_on_client_close"}
)
_UNSUPPORTED: Final = {
    "compress": "ClickHouse's own block compression: use Accept-Encoding",
    "decompress": "ClickHouse's own block compression: use Content-Encoding",
    "role": "roles: the bridge knows only the user default",
}
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, apart from the body.

    ``parameters`` are values as sent (bytes, in ClickHouse's escaped text form); ``settings`` are texts; ``external``
    maps the name of an external table to its ``format``, ``structure`` and ``types``; times in seconds.
    """

    query: bytes = b""
    database: str = ""
    default_format: str = ""
    query_id: str = ""
    session_id: str = ""
    session_timeout: int = 60
    session_check: bool = False
    close_session: bool = False
    wait_end_of_query: bool = False
    compress_response: bool = True
    readonly: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, bytes] = field(default_factory=dict)
    external: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def query_pairs(raw: str) -> list[tuple[str, bytes]]:
    """Split a raw query string; values stay bytes, because a parameter may be any string of them."""
    pairs = []
    for item in raw.split("&"):
        name, _, value = item.replace("+", " ").partition("=")
        if name:
            pairs.append((unquote_to_bytes(name).decode(errors="replace"), unquote_to_bytes(value)))
    return pairs


def read_request(
    pairs: Iterable[tuple[str, bytes]],
    headers: Mapping[str, str],
    *,
    get: bool,
    tables: Iterable[str] = (),
    max_session_timeout: int = 3600,
) -> Request:
    """Read a request. ``pairs``: URL and form parameters; ``tables``: names of the form's file parts.

    Raises :class:`EngineError` 36 naming the parameter that is wrong, 48 for one the bridge cannot honour. A GET is
    read-only, as in ClickHouse.
    """
    known = dict(pairs)
    text = {name: value.decode(errors="replace") for name, value in known.items()}
    external: dict[str, dict[str, str]] = {table: {} for table in tables}
    settings: dict[str, str] = {}
    parameters: dict[str, bytes] = {}
    for name, value in text.items():
        table = _EXTERNAL.match(name)
        if name.startswith("param_"):
            parameters[_checked_name(name)] = known[name]
        elif table and table[1] in external:
            external[table[1]][table[2]] = value
        elif name in _UNSUPPORTED:
            _refuse_if_on(name, value)
        elif name not in _TRANSPORT:
            settings[_checked_name(name)] = value
    return Request(
        query=known.get("query", b""),
        database=text.get("database") or headers.get("X-ClickHouse-Database", ""),
        default_format=text.get("default_format") or headers.get("X-ClickHouse-Format", ""),
        query_id=text.get("query_id", ""),
        session_id=text.get("session_id", ""),
        session_timeout=_number("session_timeout", text, 60, max_session_timeout),
        session_check=_flag("session_check", text),
        close_session=_flag("close_session", text),
        wait_end_of_query=_flag("wait_end_of_query", text),
        compress_response=_flag("enable_http_compression", text, default=True),
        readonly=get or text.get("readonly", "0") != "0",
        settings=settings,
        parameters=parameters,
        external=external,
    )


def _checked_name(name: str) -> str:
    if not _NAME.match(name):
        raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", f"{name!r} cannot be the name of a setting or parameter")
    return name


def _refuse_if_on(name: str, value: str) -> None:
    if value not in {"", "0", "false"}:
        message = f"Parameter {name}={value} asks for {_UNSUPPORTED[name]}"
        raise refusal(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message)


def _flag(name: str, text: Mapping[str, str], *, default: bool = False) -> bool:
    value = text.get(name, "")
    if value not in {"", "0", "1", "true", "false"}:
        raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", f"Parameter {name}={value!r} must be 0 or 1")
    return default if value == "" else value in {"1", "true"}


def _number(name: str, text: Mapping[str, str], default: int, largest: int) -> int:
    value = text.get(name) or str(default)
    if not value.isdecimal() or int(value) > largest:
        message = f"Parameter {name}={value!r} must be a whole number from 0 to {largest}"
        raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", message)
    return int(value)


def check_user(headers: Mapping[str, str], pairs: Iterable[tuple[str, bytes]]) -> None:
    """Raise :class:`EngineError` 516 unless the request comes as user ``default`` (or none) without a password."""
    text = {name: value.decode(errors="replace") for name, value in pairs if name in {"user", "password"}}
    user = headers.get("X-ClickHouse-User") or text.get("user") or ""
    password = headers.get("X-ClickHouse-Key") or text.get("password") or ""
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        user, password = _basic(credentials)
    elif scheme:
        raise _not_authenticated(scheme)
    if user not in {"", "default"} or password:
        raise _not_authenticated(user or "default")


def _basic(credentials: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(credentials, validate=True).decode(errors="replace").partition(":")
    except binascii.Error:
        raise _not_authenticated("Authorization header") from None
    return user, password


def _not_authenticated(who: str) -> EngineError:
    reason = "password is incorrect, or there is no user with such name"
    message = f"{who}: Authentication failed: {reason}: the bridge knows only the user default, without a password."
    return refusal(AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED", message)


def check_origin(headers: Mapping[str, str]) -> None:
    """Raise :class:`EngineError` 497 for a request a web page of another host may have caused.

    The server has no password and its SQL can read files, so a page open in a browser on this machine must not reach
    it: neither directly (``Origin``) nor through a name that resolves to the loopback address (``Host``).
    """
    host = urlsplit(f"//{headers.get('Host', 'localhost')}").hostname
    origin = urlsplit(headers.get("Origin", "//localhost")).hostname
    if host not in _LOOPBACK or origin not in _LOOPBACK:
        message = f"Host {host!r}, origin {origin!r}: the bridge answers only requests made to and from this machine"
        raise refusal(ACCESS_DENIED, "ACCESS_DENIED", message)
