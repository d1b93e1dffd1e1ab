"""Errors as ClickHouse reports them: a code, a text that begins ``Code: N. DB::Exception:`` and an HTTP status."""

import re
from typing import Final

_CODE: Final = re.compile(r"Code: (\d+)\. DB::(?:\w*Exception): ")

SYNTAX_ERROR: Final = 62
BAD_ARGUMENTS: Final = 36
NOT_IMPLEMENTED: Final = 48
READONLY: Final = 164
TOO_MANY_SIMULTANEOUS_QUERIES: Final = 202
QUERY_ID_RUNNING: Final = 216
QUERY_IS_TOO_LARGE: Final = 229
ABORTED: Final = 236
CANNOT_DECOMPRESS: Final = 271
SESSION_NOT_FOUND: Final = 372
SESSION_IS_LOCKED: Final = 373
UNKNOWN_QUERY_PARAMETER: Final = 456
ACCESS_DENIED: Final = 497
AUTHENTICATION_FAILED: Final = 516

# Which status a code answers with, as ClickHouse's own HTTP handler maps it; what is not listed is a 500.
_STATUS: Final = {
    # Unparsable text, numbers, dates, UUIDs, addresses; bad arguments, columns, types, syntax and data.
    400: {6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676},
    401: {194},  # REQUIRED_PASSWORD
    403: {192, 193, 497, 512, 516},  # unknown user, wrong password, access denied, role, authentication
    # Unknown function, identifier, type, storage, table, aggregate, format, statement, database, setting, order, role.
    404: {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511},
    408: {159},  # TIMEOUT_EXCEEDED
    411: {381},  # HTTP_LENGTH_REQUIRED
    413: {229},  # QUERY_IS_TOO_LARGE
    415: {779},  # UNSUPPORTED_MEDIA_TYPE
    501: {48},  # NOT_IMPLEMENTED
    503: {76, 209, 439},  # CANNOT_OPEN_FILE, SOCKET_TIMEOUT, CANNOT_SCHEDULE_TASK
}
_STATUS_OF: Final = {code: status for status, codes in _STATUS.items() for code in codes}


class EngineError(Exception):
    """A statement failed; ``code`` is ClickHouse's error code, ``str(error)`` its full text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def http_status(self) -> int:
        """The status ClickHouse's HTTP interface answers this code with."""
        return _STATUS_OF.get(self.code, 500)


class DataDirLockedError(EngineError):
    """Another process has the data directory open."""


def refusal(code: int, name: str, message: str) -> EngineError:
    """Return an error raised by the bridge itself, worded as ClickHouse words its own."""
    return EngineError(code, f"Code: {code}. DB::Exception: {message} ({name})")


def from_engine(text: str, version: str) -> EngineError:
    """Turn the engine's exception text into an :class:`EngineError`; without a code it is 1002 (UNKNOWN_EXCEPTION).

    The engine nests some messages (``Code: 33. … Code: 33. …``) and names its version in some only; the outer prefix of
    chdb's own wrapper is dropped and the version is always named, because clients show the text as it is.
    """
    match = _CODE.search(text)
    body = text[match.start() :].strip() if match else f"Code: 1002. DB::Exception: {text.strip()} (UNKNOWN_EXCEPTION)"
    code = int(match.group(1)) if match else 1002
    if not body.endswith(f"(version {version})"):
        body += f" (version {version})"
    return EngineError(code, body)
