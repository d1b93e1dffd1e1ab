"""Sharing out a range among threads: every element once, parts at multiples of the block, errors come through."""

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.chunks import in_chunks


@given(st.integers(0, 5000), st.integers(1, 6), st.integers(1, 300))
def test_the_parts_cover_the_range_once(n: int, threads: int, multiple: int) -> None:
    parts = sorted(in_chunks(lambda start, stop: (start, stop), n, threads, multiple))
    assert len(parts) <= threads
    assert next(start for start, _ in parts) == 0
    assert parts[-1][1] == n
    assert all(left[1] == right[0] for left, right in itertools.pairwise(parts))
    assert all(start % multiple == 0 for start, _ in parts)


def test_parts_are_done_at_the_same_time() -> None:
    """Each part waits for the other: one thread alone would wait in vain."""
    both = threading.Barrier(2, timeout=30)
    assert len(in_chunks(lambda *_: both.wait(), 2, 2, 1)) == 2


def test_what_goes_wrong_in_a_thread_goes_wrong_for_the_caller() -> None:
    def fail_in_the_first(start: int, _stop: int) -> None:
        if start == 0:
            raise ArithmeticError("first part")

    with pytest.raises(ArithmeticError, match="first part"):
        in_chunks(fail_in_the_first, 10, 2, 1)
