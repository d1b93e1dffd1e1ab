"""Just enough of ClickHouse's grammar to route a request: what kind of statement, which format, where its data begins.

The engine does the parsing proper. The bridge has to know three things the engine cannot tell it: where an INSERT's
statement ends and its (possibly binary) data begins, whether a result can be streamed, and its format's name.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final, NamedTuple

from stack.bridge.errors import NOT_IMPLEMENTED, SYNTAX_ERROR, refusal

_TOKEN: Final = re.compile(
    rb"""
      (?P<space>\s+|--[^\n]*|\#[\s!][^\n]*|/\*.*?\*/)
    | (?P<quoted>'(?:[^'\\]++|\\.|'')*+' | "(?:[^"\\]++|\\.|"")*+" | `(?:[^`\\]++|\\.|``)*+`
              | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\d[\w.]*)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)


_READS: Final = frozenset({"SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", "SET", "USE"})


class Kind(Enum):
    """What has to be done with a statement."""

    EMPTY = "empty"
    SELECT = "select"  # the engine can stream its result
    INSERT = "insert"  # data follows the statement
    INSERT_INPUT = "insert select from input()"  # data follows, and the statement reads it through input()
    SET = "set"
    USE = "use"
    KILL = "kill"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Statement:
    """A routed statement.

    ``text``: the statement; for INSERT without its ``FORMAT``/``VALUES`` clause. ``format``: as written, or None.
    ``data``: what followed an INSERT's statement (its data, or the beginning of it). ``tail``: where in ``text`` an
    ``INTO OUTFILE`` clause would go. ``input_call``: where in ``text`` an INSERT's word ``input`` stands. ``reads``: it
    changes nothing but its session.
    """

    kind: Kind
    text: bytes
    format: str | None = None
    data: bytes = b""
    tail: int = 0
    input_call: tuple[int, int] | None = None
    reads: bool = False


class _Token(NamedTuple):
    group: str
    text: bytes
    start: int
    end: int
    depth: int
    word: str  # upper case if it can be a keyword, else ""


def _tokens(text: bytes) -> Iterator[_Token]:
    """Yield the tokens that are not white space or comment, with their bracket depth."""
    depth, previous = 0, b""
    for match in _TOKEN.finditer(text):
        group = match.lastgroup or ""
        group = "quoted" if group == "tag" else group
        if group == "space":
            continue
        token = match.group()
        depth -= token in (b")", b"]", b"}")
        keyword = token.decode().upper() if group == "word" and previous != b"." else ""
        yield _Token(group, token, match.start(), match.end(), depth, keyword)
        depth += token in (b"(", b"[", b"{")
        previous = token


def parse(text: bytes) -> Statement:
    """Route one statement.

    Raises :class:`EngineError` 62 if there are several, 48 for ``INTO OUTFILE`` (a client's clause). A statement that
    is wrong otherwise comes back as some kind: the engine reports the error, in its words.
    """
    tokens = _tokens(text)
    first = next(tokens, None)
    while first is not None and first.text == b"(":  # a bracketed SELECT
        first = next(tokens, None)
    if first is None:
        return Statement(Kind.EMPTY, text)
    if first.word == "INSERT":
        found = _insert(text, tokens)
        if found is not None:
            return found
    return _without_data(text, first.word)


def _without_data(text: bytes, word: str) -> Statement:
    tokens = list(_tokens(text))
    text, tokens = _single(text, tokens)
    kind = {"SET": Kind.SET, "USE": Kind.USE, "KILL": Kind.KILL}.get(word, Kind.OTHER)
    if word in {"SELECT", "WITH", "FROM"} and not any(t.word == "INSERT" and not t.depth for t in tokens):
        kind = Kind.SELECT
    for one, two in pairwise(tokens):
        if one.word == "INTO" and two.word == "OUTFILE" and not one.depth:
            raise refusal(
                NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "INTO OUTFILE is a client's clause: read the response instead"
            )
    name, tail = _format_clause(tokens)
    reads = kind is Kind.SELECT or word in _READS
    return Statement(kind, text, name, tail=len(text) if tail is None else tail, reads=reads)


def _single(text: bytes, tokens: list[_Token]) -> tuple[bytes, list[_Token]]:
    """Cut what follows the statement's semicolon; raise if that is another statement."""
    ends = [i for i, token in enumerate(tokens) if token.text == b";"]
    if not ends:
        # A trailing comment would swallow a clause that is appended.
        return text[: tokens[-1].end], tokens
    if any(token.text != b";" for token in tokens[ends[0] :]):
        raise refusal(
            SYNTAX_ERROR, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed): send one at a time"
        )
    return text[: tokens[ends[0]].start], tokens[: ends[0]]


def _format_clause(tokens: Sequence[_Token]) -> tuple[str | None, int | None]:
    """Find a trailing ``FORMAT name [SETTINGS …]``: the name and where the clause begins (or where SETTINGS does)."""
    for i in range(len(tokens) - 2, 0, -1):
        if tokens[i].depth or tokens[i].word != "FORMAT":
            continue
        after = tokens[i + 2].word if i + 2 < len(tokens) else "SETTINGS"
        if tokens[i + 1].group in {"word", "quoted"} and after == "SETTINGS":
            return tokens[i + 1].text.decode(errors="replace").strip('`"'), tokens[i].start
    return None, None


def _insert(text: bytes, tokens: Iterator[_Token]) -> Statement | None:
    """Route an INSERT that is followed by data; None if it brings none (SELECT, INFILE)."""
    call: _Token | None = None
    select = bracketed = named = False
    for token in tokens:
        if token.depth or not token.word:
            bracketed = bracketed or (named and token.word == "SELECT")
            # A table's name may be quoted or a {parameter:Identifier}.
            named = named or token.group == "quoted" or token.text == b"{"
        elif not named:
            # It may also be a word such as `values`.
            named = token.word not in {"INTO", "TABLE", "FUNCTION"}
        elif token.word == "FORMAT" and (call or not select):
            return _at_format(text, token, next(tokens, None), call)
        elif token.word == "VALUES" and not select:
            return Statement(Kind.INSERT, text[: token.start], "Values", text[token.end :])
        elif token.word in {"SELECT", "WITH"}:
            select = True
        elif token.word in {"FROM", "WATCH"} and not select:
            return None
        if token.word == "INPUT" and select and text[token.end :].lstrip().startswith(b"("):
            call = token
    return None if select or bracketed else Statement(Kind.INSERT, text.rstrip().rstrip(b";"))


def _at_format(text: bytes, clause: _Token, name: _Token | None, call: _Token | None) -> Statement | None:
    if name is None or name.group not in {"word", "quoted"}:
        return None
    kind = Kind.INSERT if call is None else Kind.INSERT_INPUT
    data = text[_data_start(text, name.end) :]
    span = None if call is None else (call.start, call.end)
    return Statement(kind, text[: clause.start], name.text.decode().strip('`"'), data, input_call=span)


def _data_start(text: bytes, end: int) -> int:
    """Where data begins after a FORMAT clause: past one semicolon, blanks and at most one line break.

    This is ClickHouse's own rule, and binary formats depend on its being exact: their first byte may be a line break.
    """
    match = re.compile(rb";?[ \t\f]*(?:\r?\n)?").match(text, end)
    return match.end() if match else end
