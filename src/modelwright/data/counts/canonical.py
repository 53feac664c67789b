"""One form for every matrix of counts, CSR of whole numbers, and what is said about a matrix that does not hold counts.

Whether values are counts is decided here and nowhere else: for files, for objects and for `CellCounts` made by hand.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.data.counts.normalised import looks_like

LARGEST_COUNT = 2**53
"""Above, not every whole number can be told from its neighbours in float64."""

_EXPECTED = "whole numbers of at least zero"


def canonical(
    matrix: Any,
    cells: Sequence[str],
    genes: Sequence[str],
    *,
    place: str,
    owned: bool = False,
    elsewhere: Callable[[], str] | None = None,
) -> Any:
    """The counts as CSR of int32 (int64 where one is larger), indices ascending, no stored zeros, read-only.

    Args:
        matrix: Dense or sparse, shape (n_cells, n_genes).
        cells: Names of the cells.
        genes: Names of the genes.
        place: Where the matrix was found, such as "X"; begins every sentence.
        owned: Whether nobody else holds the matrix, so that it may be changed in place.
        elsewhere: Says where the counts might be instead; asked when the matrix holds something else.

    Raises:
        DataError: for values that are no counts, with how many there are and the first cell and gene at fault.

    Example:
        >>> canonical([[1.0, 0.0], [0.0, 2.0]], ["a", "b"], ["x", "y"], place="X").dtype.name
        'int32'
        >>> canonical([[1.0, 0.5]], ["a"], ["x", "y"], place="X")
        Traceback (most recent call last):
        modelwright.core.errors.DataError: data: X holds a fractional value: 0.5 in cell 'a', gene 'y'; expected whole \
numbers of at least zero
    """
    if not sp.issparse(matrix):
        matrix, owned = _dense(matrix, place), True
    if matrix.ndim != 2 or matrix.shape != (len(cells), len(genes)):
        raise DataError(
            f"{place} has another shape than its names",
            field="data",
            expected=f"{len(cells)} cells and {len(genes)} genes",
            got=tuple(matrix.shape),
        )
    if not len(cells) or not len(genes):
        raise DataError(f"{place} is empty", field="data", expected="at least one cell and one gene", got=matrix.shape)
    if matrix.dtype.kind not in "iuf":
        raise _other_type(place, matrix.dtype)
    if _is_sealed(matrix):
        return matrix
    rows = sp.csr_array(matrix, copy=not owned)
    try:
        rows.check_format(full_check=True)
    except (ValueError, IndexError) as error:
        raise DataError(f"{place} is a damaged sparse matrix: {error}", field="data") from error
    rows.sum_duplicates()
    rows.eliminate_zeros()
    _check_values(rows, cells, genes, place, elsewhere)
    largest = rows.data.max(initial=0)
    return sealed_matrix(rows.astype(np.int32 if largest <= np.iinfo(np.int32).max else np.int64))


def sealed_matrix(rows: Any) -> Any:
    """The same CSR matrix, indices ascending, made read-only: nobody else holds it, so it need not be copied."""
    rows.sort_indices()
    for array in (rows.data, rows.indices, rows.indptr):
        array.flags.writeable = False
    return rows


def _is_sealed(matrix: Any) -> bool:
    """Whether a matrix is one that was made here, and cannot have been changed since."""
    return (
        isinstance(matrix, sp.csr_array)
        and matrix.dtype in (np.int32, np.int64)
        and not any(array.flags.writeable for array in (matrix.data, matrix.indices, matrix.indptr))
        and bool(matrix.has_canonical_format)
        and matrix.data.min(initial=1) > 0
        and matrix.data.max(initial=1) <= LARGEST_COUNT
    )


def _dense(matrix: Any, place: str) -> Any:
    if isinstance(matrix, np.ma.MaskedArray) and np.ma.is_masked(matrix):
        matrix = np.where(np.ma.getmaskarray(matrix), np.nan, np.ma.getdata(matrix))
    try:
        values = np.asarray(matrix)
    except (TypeError, ValueError) as error:
        raise DataError(f"{place} is no matrix", field="data", expected="rows of equal length") from error
    if values.ndim != 2:
        raise DataError(
            f"{place} is no matrix", field="data", expected="two dimensions, cells x genes", got=values.shape
        )
    if values.dtype.kind not in "iuf":
        raise _other_type(place, values.dtype)
    # SciPy knows no half precision.
    return sp.csr_array(values.astype(np.float32) if values.dtype == np.float16 else values)


def _other_type(place: str, dtype: np.dtype[Any]) -> DataError:
    todo = "give how often each gene was counted, not whether it was" if dtype.kind == "b" else None
    return DataError(f"{place} holds no numbers", field="data", expected=_EXPECTED, got=dtype.name, todo=todo)


def _check_values(
    rows: Any, cells: Sequence[str], genes: Sequence[str], place: str, elsewhere: Callable[[], str] | None
) -> None:
    data = rows.data
    if data.dtype.kind == "f":
        finite = np.isfinite(data)
        if not finite.all():
            raise _refusal(rows, ~finite, "missing or infinite", cells, genes, place)
        fractional = data != np.floor(data)
    else:
        fractional = np.zeros(0, dtype=np.bool_)
    negative = data < 0
    if negative.any() or fractional.any():
        appearance = looks_like(rows, fractional, negative) if fractional.any() else None
        which, bad = ("negative", negative) if negative.any() else ("fractional", fractional)
        also = int(fractional.sum()) if which == "negative" else 0
        raise _refusal(rows, bad, which, cells, genes, place, also=also, appearance=appearance, elsewhere=elsewhere)
    too_large = data > LARGEST_COUNT
    if too_large.any():
        raise _refusal(rows, too_large, "too large", cells, genes, place)


def _refusal(
    rows: Any,
    bad: NDArray[np.bool_],
    which: str,
    cells: Sequence[str],
    genes: Sequence[str],
    place: str,
    *,
    also: int = 0,
    appearance: str | None = None,
    elsewhere: Callable[[], str] | None = None,
) -> DataError:
    """The error for values that are no counts: how many, and the first of them in the order of the cells."""
    first, number = int(np.argmax(bad)), int(bad.sum())
    row = int(np.searchsorted(rows.indptr, first, side="right")) - 1
    where = f"{rows.data[first]:.6g} in cell {cells[row]!r}, gene {genes[int(rows.indices[first])]!r}"
    count = f"a {which} value: " if number == 1 else f"{number:,} {which} values among {rows.nnz:,} non-zeros, first "
    if which == "missing or infinite" or which == "too large":
        expected = f"{_EXPECTED}, at most 2**53" if which == "too large" else _EXPECTED
        what = f"{place} holds {count}{where}"
        return DataError(what, field="data", expected=expected)
    fractional = f" (also {also:,} fractional)" if also else ""
    found = f"{count}{where}{fractional}"
    return DataError(
        f"{place} looks {appearance}; it holds {found}" if appearance else f"{place} holds {found}",
        field="data",
        expected=_EXPECTED,
        todo=elsewhere() if elsewhere else None,
    )
