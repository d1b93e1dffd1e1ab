"""Bodies between the event loop, where the socket is, and the worker threads, where the engine runs."""

import asyncio
from collections.abc import Iterator

from aiohttp import BodyPartReader, StreamReader, web

from stack.bridge.errors import BAD_ARGUMENTS, QUERY_IS_TOO_LARGE, refusal


async def first_piece(content: StreamReader) -> tuple[bytes, bool]:
    """Read what is there of a body, or all of a short one: the bytes and whether it has ended."""
    piece = b""
    while not content.at_eof() and len(piece) < 1 << 16:
        piece += await content.readany()
    return piece, content.at_eof()


def pieces(first: bytes, content: StreamReader | None, loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """Yield a body on a worker thread: ``first``, then what still comes (``content`` None: nothing does).

    The reader holds back the client when the worker is slower. Raises what aiohttp raises if the client goes away.
    """
    if first:
        yield first
    while content is not None:
        piece = asyncio.run_coroutine_threadsafe(content.readany(), loop).result()
        if not piece:
            return
        yield piece


async def read_form(http: web.Request, limit: int) -> tuple[list[tuple[str, bytes]], dict[str, bytes]]:
    """Read a multipart form: its fields, and its files (external tables) by name.

    Raises :class:`EngineError` 229 if it is larger than ``limit`` bytes, 36 if it is not a form.
    """
    fields: list[tuple[str, bytes]] = []
    files: dict[str, bytes] = {}
    left = limit
    reader = await http.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or not part.name:
            raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", "A part of the multipart form has no name")
        data = bytearray()
        while chunk := await part.read_chunk(1 << 16):
            left -= len(chunk)
            if left < 0:
                message = f"The multipart form is larger than {limit} bytes: load the data into a table first"
                raise refusal(QUERY_IS_TOO_LARGE, "QUERY_IS_TOO_LARGE", message)
            data += chunk
        if part.filename:
            files[part.name] = bytes(data)
        else:
            fields.append((part.name, bytes(data)))
    return fields, files
