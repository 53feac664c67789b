"""Sorting observations by entity and window: whole numbers of a known range need no comparisons."""

from typing import Any, Protocol, TypeVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

# Beyond this many slots per observation, a table of slots is larger than what it saves.
_SPARSEST = 4
_DIGIT = 16


def ascending_order(key: Int64, n_keys: int) -> Int64 | None:
    """The order that sorts whole numbers, equal ones as they came; None when they ascend already.

    Distinct numbers of a narrow range are put straight into their places; others are sorted digit by digit.

    Args:
        key: Whole numbers from 0, shape (n,).
        n_keys: One more than the largest they may be.

    Returns:
        Positions, shape (n,), or None.

    Example:
        >>> ascending_order(np.array([3, 0, 3, 1]), 4).tolist(), ascending_order(np.array([0, 2, 2]), 3)
        ([1, 3, 0, 2], None)
    """
    if not len(key) or (key[1:] >= key[:-1]).all():
        return None
    if n_keys <= _SPARSEST * len(key) and len(key) < 2**31:
        slots = np.full(n_keys, -1, dtype=np.int32)
        slots[key] = np.arange(len(key), dtype=np.int32)
        taken = slots >= 0
        if int(np.count_nonzero(taken)) == len(key):
            return slots[taken].astype(np.int64)
        del slots, taken
    order: Int64 | None = None
    # numpy sorts 16-bit numbers by counting them, which is stable, so digits can be sorted from the last to the first.
    for shift in range(0, max(int(n_keys - 1).bit_length(), 1), _DIGIT):
        digits = ((key if order is None else key[order]) >> shift).astype(np.uint16)
        step = np.argsort(digits, kind="stable")
        order = step if order is None else order[step]
    return order


def distinct(values: Int64) -> tuple[NDArray[np.int32], Int64]:
    """Which distinct value each entry is, shape (n,), and those values, ascending.

    Example:
        >>> codes, found = distinct(np.array([7, 3, 7]))
        >>> codes.tolist(), found.tolist()
        ([1, 0, 1], [3, 7])
    """
    codes, found = pd.factorize(values, sort=True)
    return codes.astype(np.int32), np.asarray(found, dtype=np.int64)


class Positioned(Protocol):
    """Anything with one entry per observation that a list of positions can be taken from."""

    def __getitem__(self, place: Any, /) -> Any: ...


T = TypeVar("T", bound=Positioned)


def in_order(values: T, order: Int64 | None) -> T:
    """The values in an order, or as they are."""
    return values if order is None else cast(T, values[order])
