"""Content encodings of request and response bodies, as streams: bounded pieces in, bounded pieces out.

A request body may be many frames one after another (clickhouse-connect compresses each Native block as a frame of its
own): each decoder goes on to the next frame until the body ends, and a body that ends inside a frame is an error.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import lz4.frame
import zstandard

from stack.bridge.errors import (
    CANNOT_DECOMPRESS,
    NOT_IMPLEMENTED,
    QUERY_IS_TOO_LARGE,
    EngineError,
    refusal,
)


class _Decoder(Protocol):
    """Decodes one frame; says when it has ended and what it did not use."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes) -> bytes: ...


# How much input a decoder is fed at once: its largest expansion (zstd ≈ 40,000, deflate 1,032, lz4 255) times this
# stays below some tens of MB, so a hostile body is stopped by the limit before it fills the memory.
_DECODERS: Final[dict[str, tuple[Callable[[], _Decoder], int]]] = {
    "gzip": (lambda: zlib.decompressobj(wbits=31), 1 << 14),
    "x-gzip": (lambda: zlib.decompressobj(wbits=31), 1 << 14),
    "deflate": (zlib.decompressobj, 1 << 14),
    "lz4": (lz4.frame.LZ4FrameDecompressor, 1 << 16),
    "zstd": (lambda: zstandard.ZstdDecompressor().decompressobj(), 1 << 11),
}


def decode(chunks: Iterable[bytes], encoding: str, *, limit: int) -> Iterator[bytes]:
    """Yield the decoded body.

    Raises :class:`EngineError` 48 for an encoding the bridge does not know, 271 for a body that cannot be decoded or
    ends inside a frame, 229 when more than ``limit`` decoded bytes come out.
    """
    name = encoding.strip().lower()
    return _bounded(chunks if name in {"", "identity"} else _frames(chunks, name), limit)


def _bounded(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise refusal(
                QUERY_IS_TOO_LARGE,
                "QUERY_IS_TOO_LARGE",
                f"The request body is larger than {limit} bytes: send it in smaller parts or raise --max-body-bytes",
            )
        yield chunk


def _frames(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    make, step = _decoder_for(name)
    decoder: _Decoder | None = None
    for chunk in chunks:
        for start in range(0, len(chunk), step):
            rest = chunk[start : start + step]
            while rest:
                decoder = decoder or make()
                try:
                    out = decoder.decompress(rest)
                except Exception as error:  # each library has a class of its own for a bad frame
                    raise _broken(name, str(error)) from error
                rest = b""
                if decoder.eof:
                    rest, decoder = decoder.unused_data or b"", None
                if out:
                    yield out
    if decoder is not None:
        raise _broken(name, "it ends inside a frame")


def _decoder_for(name: str) -> tuple[Callable[[], _Decoder], int]:
    if name not in _DECODERS:
        message = f"Content-Encoding {name!r} is not known to the bridge: use one of {', '.join(_DECODERS)}"
        raise refusal(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message)
    return _DECODERS[name]


def _broken(name: str, why: str) -> EngineError:
    return refusal(CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", f"The {name} request body cannot be decoded: {why}")


class Encoder(Protocol):
    """Encodes a response body piece by piece into one frame."""

    def compress(self, data: bytes) -> bytes:
        """Return what can be sent now."""
        ...

    def flush(self) -> bytes:
        """End the frame."""
        ...


class _Lz4:
    def __init__(self) -> None:
        self._encoder = lz4.frame.LZ4FrameCompressor(auto_flush=True)
        self._head: bytes = self._encoder.begin()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._encoder.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._encoder.flush())


# In order of preference: the cheapest first.
_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {
    "lz4": _Lz4,
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    "gzip": lambda: zlib.compressobj(1, wbits=31),
    "deflate": lambda: zlib.compressobj(1),
}


def negotiate(accept_encoding: str) -> str | None:
    """Return the encoding to answer with, or None for none. Weights are read only for a refusal (``q=0``)."""
    accepted = set()
    for item in accept_encoding.lower().split(","):
        name, _, weight = item.partition(";")
        if weight.replace(" ", "") not in {"q=0", "q=0.0"}:
            accepted.add(name.strip())
    return next((name for name in _ENCODERS if name in accepted), None)


def encoder(name: str) -> Encoder:
    """Return a new encoder for a name that :func:`negotiate` gave."""
    return _ENCODERS[name]()
