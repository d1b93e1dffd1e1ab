"""Work on a range of elements, shared out among threads: for kernels that run without the GIL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


def in_chunks(work: Callable[[int, int], T], n: int, threads: int, multiple: int) -> list[T]:
    """Call ``work(start, stop)`` on ``threads`` equal parts of 0…n that start at multiples of ``multiple``.

    One part is done by the caller's own thread. Threads live as long as the call: a process that forks later is not
    left with a pool whose threads are gone. Raises :class:`ValueError` for less than one thread.
    """
    if threads < 1:
        raise ValueError(f"threads = {threads} is not a whole number >= 1")
    blocks = -(-n // multiple)
    parts = min(threads, max(blocks, 1))
    starts = [min(n, multiple * (blocks * part // parts)) for part in range(parts + 1)]
    *others, mine = pairwise(starts)
    if not others:
        return [work(*mine)]
    with ThreadPoolExecutor(len(others)) as pool:
        pending = [pool.submit(work, *part) for part in others]
        last = work(*mine)
        return [*(future.result() for future in pending), last]
