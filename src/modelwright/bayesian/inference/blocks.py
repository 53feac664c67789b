"""Large tables computed block by block: bounded memory, several threads, an answer that depends on neither."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from modelwright.bayesian.inference.settings import available_cores

Block = tuple[slice, slice]
Result = TypeVar("Result")

_AHEAD = 4
"""Blocks per thread that may be computed or waiting beyond the one asked for."""


def blocks(rows: int, columns: int, size: int) -> Iterator[Block]:
    """Parts of a table of shape (rows, columns) with at most `size` places each, all columns together if they fit.

    Example:
        >>> [(part[0].stop - part[0].start, part[1].stop - part[1].start) for part in blocks(3, 4, 8)]
        [(2, 4), (1, 4)]
    """
    wide = max(1, min(columns, size))
    high = max(1, size // wide)
    for row in range(0, rows, high):
        for column in range(0, columns, wide):
            yield slice(row, min(rows, row + high)), slice(column, min(columns, column + wide))


def in_order(work: Callable[[Block], Result], parts: Iterable[Block], cores: int | None = None) -> Iterator[Result]:
    """What `work` makes of every block, in the blocks' order, computed in several threads at once.

    NumPy leaves the interpreter free while it computes. The caller sees one result after another, so that sums over
    blocks are the same on any number of cores, and may stop between two of them.

    Args:
        work: Called with a block, possibly in another thread.
        parts: The blocks.
        cores: Threads; by default what the machine offers.

    Example:
        >>> list(in_order(lambda block: block[0].start, blocks(3, 4, 8), cores=2))
        [0, 2]
    """
    threads = cores or available_cores()
    if threads == 1:
        yield from map(work, parts)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
