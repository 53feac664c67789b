"""Cells that a guide was not fitted to, as a model and that guide take them.

Networks see new cells on the scale of the old ones, batches keep their numbers, and where the guide began, with a
number for each of the old cells perhaps, is of no importance any more.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from modelwright.bayesian.builders.guide import Guide
from modelwright.bayesian.builders.model import Model
from modelwright.bayesian.builders.readiness import statistics_needed
from modelwright.bayesian.components.compressed_counts import check_counts
from modelwright.bayesian.components.observed import ObservedCounts, gene_names, observe
from modelwright.core.errors import DataError
from modelwright.core.names import suggestion

ENTRIES_AT_ONCE = 4_000_000
"""Entries of a part: 32 MB in double precision, of which a likelihood holds several at a time."""


def guide_of_unseen(guide: Any) -> Any:
    """A guide without places to begin, which may be as many as the cells it was fitted to."""
    return replace(guide, starts={}) if isinstance(guide, Guide) else guide


def unseen_cells(
    model: Model, guide: Any, data: Any, like: ObservedCounts, *, rows: int | None = None
) -> Iterator[ObservedCounts]:
    """Counts of other cells as a model takes them, some cells at a time.

    Args:
        model: The model.
        guide: The guide as it was fitted.
        data: Counts of any kind, or `ObservedCounts`, which are needed for batches.
        like: The counts that the guide was fitted to, as the model took them.
        rows: Cells of a part; those of `ENTRIES_AT_ONCE` when left out.

    Raises:
        DataError: other genes, a batch that was not there before, or values that cannot be counts.
    """
    batch = None
    if isinstance(data, ObservedCounts):
        batch = None if data.batch is None else np.asarray(data.batch_names)[np.asarray(data.batch)]
        matrix: Any = np.asarray(data.rows())
    else:
        matrix = getattr(data, "matrix", data)
        matrix = matrix.tocsr() if sp.issparse(matrix) else np.asarray(matrix)
    names = gene_names(data)
    if names and like.genes and names != like.genes and matrix.ndim == 2:
        matrix = matrix[:, _places(names, like.genes)]
    if matrix.ndim != 2 or matrix.shape[1] != like.n_genes or not matrix.shape[0]:
        raise DataError(
            "not a table of the genes that the model was fitted to",
            field="data",
            expected=f"shape (n_cells, {like.n_genes})",
            got=matrix.shape,
            todo="choose the same genes, in the same order",
        )
    if model.likelihood.observes_counts:
        check_counts(matrix)
    return _parts(matrix, batch, like, statistics_needed(model, guide), rows)


def _places(names: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    """Where the wanted genes are among the named ones."""
    place = {name: k for k, name in enumerate(names)}
    missing = [name for name in wanted if name not in place]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(wanted)} genes that the model was fitted to are missing",
            field="genes",
            expected=f"{missing[0]!r} among them",
            todo=suggestion(missing[0], names),
        )
    return [place[name] for name in wanted]


def _parts(
    matrix: Any, batch: Any, like: ObservedCounts, statistics: Any, rows: int | None
) -> Iterator[ObservedCounts]:
    length = rows or max(1, ENTRIES_AT_ONCE // matrix.shape[1])
    for first in range(0, matrix.shape[0], length):
        here = slice(first, first + length)
        yield observe(matrix[here], batch=None if batch is None else batch[here], statistics=statistics, like=like)
