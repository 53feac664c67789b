"""What a matrix that holds no counts looks like: logarithms, shares of a total, standardised values.

Counts that were normalised keep traces of it. With s the total of a cell, x = log(1 + 10,000 n / s) gives exp(x) - 1
that sums to 10,000 in every cell when all genes are there, and that is a whole multiple of the smallest value of the
cell (one molecule) when only some are.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_CELLS = 2_000  # enough to tell; the sentence is about what it looks like
_ALIKE = 1e-3  # relative: float32 logarithms of totals of 10,000 values keep about four digits
_FEWEST_WHOLE = 3  # arbitrary: so many fractional values do not become whole by chance
_FEWEST = 20  # ratios below which whole multiples may be chance


def looks_like(rows: Any, fractional: NDArray[np.bool_], negative: NDArray[np.bool_]) -> str | None:
    """A phrase to follow "looks", or None when nothing is recognised.

    Args:
        rows: CSR without stored zeros, finite values.
        fractional: Which stored values are no whole numbers, shape (nnz,).
        negative: Which are below zero, shape (nnz,).

    Example:
        >>> import scipy.sparse as sp
        >>> x = sp.csr_array(np.log1p([[1.0, 2.0, 5.0], [3.0, 0.0, 1.0]]))
        >>> looks_like(x, np.ones(5, bool), np.zeros(5, bool))
        'log-transformed: exp(x) - 1 is a whole number everywhere'
    """
    share = float(fractional.mean())
    if negative.any():
        part = float(negative.mean())
        if part < 0.1 or share < 0.5:  # arbitrary: a few values below zero are a fault of their own
            return None
        return f"centred or scaled: {part:.0%} of its non-zero values are negative"
    n_cells = rows.shape[0]
    sample = rows[np.linspace(0, n_cells - 1, min(n_cells, _MOST_CELLS)).astype(np.int64)]
    values = sample.data.astype(np.float64)
    undone = {what: undo(values) for what, (undo, _, limit) in _TRANSFORMS.items() if values.max(initial=0) < limit}
    for what, original in undone.items():
        if what != "x" and _whole(original, values != np.floor(values)):
            return f"{_TRANSFORMS[what][1]}-transformed: {what} is a whole number everywhere"
    if share < 0.5:  # arbitrary: one molecule over a total is seldom a whole number, so that few values would be
        return None
    for what in sorted(undone, key=lambda what: what != "x"):
        total = _common_total(undone[what], sample.indptr)
        if total is not None:
            return f"{_normalised(what)}: {what} sums to {total:,.6g} in every cell"
    for what in sorted(undone, key=lambda what: what != "x"):
        if _whole_multiples(undone[what], sample.indptr):
            return f"{_normalised(what)}: within a cell {what} comes in whole multiples of its smallest value"
    # Arbitrary: logarithms of totals up to a million are below 14.
    if len(values) >= _FEWEST and share > 0.9 and values.max(initial=0) < 14:
        return f"normalised or log-transformed: {share:.0%} of its non-zero values are fractional, the largest is " + (
            f"{values.max():.3g}"
        )
    return None


_TRANSFORMS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], str, float]] = {
    # what is said of the values x -> how they are undone, the name of the transformation, the largest x for which it is
    # tried: above, rounding of x hides whether anything is a whole number
    "exp(x) - 1": (np.expm1, "log", 20.0),
    "2^x - 1": (lambda x: np.exp2(x) - 1, "log2", 30.0),
    "10^x - 1": (lambda x: np.power(10.0, x) - 1, "log10", 9.0),
    "x^2": (np.square, "square-root", 1e6),
    "x": (lambda x: x, "", np.inf),
}


def _whole(original: NDArray[np.float64], fractional: NDArray[np.bool_]) -> bool:
    """Whether values that were fractional are whole numbers once undone."""
    # Above 2,000 rounding of float32 logarithms blurs what is whole; below, it is well within 1e-5.
    telling = original < 2_000
    told = telling & fractional
    if told.sum() < max(_FEWEST_WHOLE, 0.5 * fractional.sum()):
        return False
    return bool((np.abs(original - np.rint(original)) <= 1e-5 * (1 + original))[telling].all())


def _normalised(what: str) -> str:
    name = _TRANSFORMS[what][1]
    return f"{name}-normalised" if name else "normalised"


def _common_total(values: NDArray[np.float64], indptr: NDArray[Any]) -> float | None:
    """The sum of every cell, when all cells have the same; None otherwise."""
    filled = np.flatnonzero(np.diff(indptr) > 1)
    if len(filled) < 3:
        return None
    running = np.concatenate([[0.0], np.cumsum(values)])
    sums = (running[indptr[1:]] - running[indptr[:-1]])[filled]
    middle = float(np.median(sums))
    return middle if np.ptp(sums) <= _ALIKE * middle else None


def _whole_multiples(values: NDArray[np.float64], indptr: NDArray[Any]) -> bool:
    """Whether values are whole multiples of the smallest of their cell, as counts over a total are."""
    lengths = np.diff(indptr)
    starts = indptr[:-1][lengths > 0]
    if not len(starts):
        return False
    smallest = np.repeat(np.minimum.reduceat(values, starts), lengths[lengths > 0])
    ratio = values / smallest
    # Beyond 50 the rounding of float32 logarithms blurs the ratio.
    telling = ratio[(ratio > 1 + 1e-6) & (ratio < 50)]
    if len(telling) < _FEWEST:
        return False
    return bool((np.abs(telling - np.rint(telling)) < 0.01).mean() > 0.9)
