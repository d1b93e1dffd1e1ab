"""Content encodings: every frame of a body, in pieces of any size, within the limit."""

import gzip
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from stack.bridge.encodings import decode, encoder, negotiate
from stack.bridge.errors import EngineError

_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.compress,
    "identity": bytes,
}


@given(
    encoding=st.sampled_from(sorted(_COMPRESS)),
    frames=st.lists(st.binary(max_size=500), max_size=6),
    size=st.integers(1, 300),
)
def test_all_frames_are_decoded_wherever_the_pieces_are_cut(encoding: str, frames: list[bytes], size: int) -> None:
    body = b"".join(map(_COMPRESS[encoding], frames))
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    assert b"".join(decode(pieces, encoding, limit=10_000)) == b"".join(frames)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4", "zstd"])
def test_a_body_that_ends_inside_a_frame_is_an_error_however_many_came_before(encoding: str) -> None:
    frame = _COMPRESS[encoding](bytes(range(256)) * 100)
    for cut in (1, len(frame) // 2, len(frame) - 1):
        with pytest.raises(EngineError, match="ends inside a frame") as caught:
            b"".join(decode([frame, frame[:cut]], encoding, limit=10**6))
        assert caught.value.code == 271


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4", "zstd"])
def test_bytes_that_are_no_frame_are_an_error(encoding: str) -> None:
    with pytest.raises(EngineError, match=f"{encoding} request body cannot be decoded"):
        b"".join(decode([_COMPRESS[encoding](b"x"), b"not a frame at all"], encoding, limit=10**6))


@pytest.mark.parametrize("encoding", sorted(_COMPRESS))
def test_no_more_than_the_limit_comes_out(encoding: str) -> None:
    body = _COMPRESS[encoding](b"\0" * 100_001)
    out = 0
    with pytest.raises(EngineError, match="--max-body-bytes") as caught:  # noqa: PT012 - what came before counts
        for piece in decode([body], encoding, limit=100_000):
            out += len(piece)
    assert (caught.value.code, caught.value.http_status) == (229, 413)
    assert out <= 100_000


def test_an_unknown_encoding_is_named_before_the_body_is_read() -> None:
    with pytest.raises(EngineError, match="'snappy' is not known") as caught:
        next(decode(iter([b"x"]), "snappy", limit=10))
    assert caught.value.code == 48


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip, deflate", "gzip"),
        ("zstd;q=0.5, lz4", "lz4"),
        ("lz4;q=0, zstd", "zstd"),
        ("GZIP", "gzip"),
    ],
)
def test_the_cheapest_accepted_encoding_is_chosen(accepted: str, chosen: str | None) -> None:
    assert negotiate(accepted) == chosen


@given(
    encoding=st.sampled_from(["gzip", "deflate", "lz4", "zstd"]), pieces=st.lists(st.binary(max_size=500), max_size=6)
)
def test_a_response_is_one_frame_of_all_its_pieces(encoding: str, pieces: list[bytes]) -> None:
    one = encoder(encoding)
    body = b"".join(one.compress(piece) for piece in pieces) + one.flush()
    assert b"".join(decode([body], encoding, limit=10_000)) == b"".join(pieces)
