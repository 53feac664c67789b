"""A table of counts, cells x genes, reduced to what a likelihood depends on.

A gene of a thousand cells takes a few dozen different values. Log likelihoods whose parameters belong to genes are sums
over the *distinct* (gene, count) pairs, each with its multiplicity; what depends on cells enters through totals. So one
pass over the table leaves a few ten thousand numbers, and everything later costs those. Where parameters of genes
differ between batches of cells, (batch, gene) takes the place of the gene.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy import sparse
from scipy.special import gammaln

from modelwright.core.errors import DataError

_BINS = 4
"""Pairs are counted in an array with a place for every possible pair while that has at most so many places per
non-zero count (and a million more); sorting takes over beyond. Both give the same pairs."""


@dataclass(frozen=True, eq=False)
class CompressedMatrix:
    """Counts of cells x genes by their distinct pairs; a pytree, so that compiled functions may take it.

    A *group* is a gene, or a gene in one batch: number batch * n_genes + gene.

    Args:
        pair_group: Group of each distinct pair with a positive count, ascending, shape (n_pairs,).
        pair_count: Its count, ascending within a group, shape (n_pairs,).
        pair_multiplicity: In how many cells it occurs, shape (n_pairs,).
        group_total: Sum of the counts of each group, shape (n_groups,).
        group_zeros: Cells of each group whose count is zero, shape (n_groups,).
        cell_total: Sum of the counts of each cell, shape (n_cells,).
        distinct_total: The different ones among them, ascending, shape (n_totals,).
        total_multiplicity: How many cells have each, shape (n_totals,).
        cell_batch: Batch of each cell, shape (n_cells,).
        entry_cell: Cell of each non-zero count, ascending, shape (n_entries,).
        entry_gene: Its gene, ascending within a cell, shape (n_entries,).
        entry_count: The count, shape (n_entries,).
        log_factorials: Sum of log(count!) over the table, a scalar array.
        n_cells: Rows of the table.
        n_genes: Columns.
        n_batches: Batches of cells; 1 where there are none.
    """

    pair_group: np.ndarray
    pair_count: np.ndarray
    pair_multiplicity: np.ndarray
    group_total: np.ndarray
    group_zeros: np.ndarray
    cell_total: np.ndarray
    distinct_total: np.ndarray
    total_multiplicity: np.ndarray
    cell_batch: np.ndarray
    entry_cell: np.ndarray
    entry_gene: np.ndarray
    entry_count: np.ndarray
    log_factorials: np.ndarray
    n_cells: int
    n_genes: int
    n_batches: int

    @property
    def n_groups(self) -> int:
        """Genes times batches."""
        return self.n_genes * self.n_batches

    @property
    def n_pairs(self) -> int:
        """Distinct (group, count) pairs with a positive count: what a gradient costs."""
        return len(self.pair_group)

    @property
    def n_entries(self) -> int:
        """Counts that are not zero."""
        return len(self.entry_cell)

    def to_dense(self) -> np.ndarray:
        """The table itself, shape (n_cells, n_genes), integers.

        Example:
            >>> compress_matrix(np.array([[0, 2], [1, 2]])).to_dense().tolist()
            [[0, 2], [1, 2]]
        """
        table = np.zeros((self.n_cells, self.n_genes), np.int64)
        table[self.entry_cell, self.entry_gene] = self.entry_count
        return table


jax.tree_util.register_dataclass(
    CompressedMatrix,
    data_fields=[
        "pair_group",
        "pair_count",
        "pair_multiplicity",
        "group_total",
        "group_zeros",
        "cell_total",
        "distinct_total",
        "total_multiplicity",
        "cell_batch",
        "entry_cell",
        "entry_gene",
        "entry_count",
        "log_factorials",
    ],
    meta_fields=["n_cells", "n_genes", "n_batches"],
)


def compress_matrix(counts: Any, batch: Any = None, *, n_batches: int | None = None) -> CompressedMatrix:
    """Reduce a table of counts to its distinct pairs and totals.

    Args:
        counts: Cells x genes, whole numbers from 0: a NumPy array or a SciPy sparse matrix or array of any format.
        batch: Batch of each cell, 0, 1, ..., shape (n_cells,), where parameters of genes differ between batches.
        n_batches: Batches, some of which may have no cells; up to the last that has when left out.

    Raises:
        DataError: The table is not two-dimensional, or holds negative, fractional or infinite counts or counts of
            2^31 and more, or the batches do not fit it.

    Example:
        >>> table = compress_matrix(np.array([[0, 2], [1, 2], [0, 0]]))
        >>> table.pair_group.tolist(), table.pair_count.tolist(), table.pair_multiplicity.tolist()
        ([0, 1], [1, 2], [1, 2])
        >>> table.group_zeros.tolist(), table.cell_total.tolist()
        ([2, 1], [2.0, 3.0, 0.0])
    """
    n_cells, n_genes, cell, gene, count = _entries(counts)
    batches, found = _batches(batch, n_cells)
    n_batches = max(found, n_batches or 0)
    n_groups = n_genes * n_batches
    group = gene if n_batches == 1 else batches[cell].astype(np.int64) * n_genes + gene
    pair_group, pair_count, multiplicity = _distinct_pairs(group, count, n_groups)
    cells_of_group = np.repeat(np.bincount(batches, minlength=n_batches), n_genes)
    positive = np.bincount(pair_group, weights=multiplicity, minlength=n_groups)
    cell_total = np.bincount(cell, weights=count, minlength=n_cells)
    distinct_total, total_multiplicity = np.unique(cell_total, return_counts=True)
    return CompressedMatrix(
        pair_group=pair_group.astype(np.int32),
        pair_count=pair_count.astype(np.int32),
        pair_multiplicity=multiplicity.astype(np.int32),
        group_total=np.bincount(pair_group, weights=pair_count * multiplicity.astype(float), minlength=n_groups),
        group_zeros=(cells_of_group - positive).astype(np.int32),
        cell_total=cell_total,
        distinct_total=distinct_total,
        total_multiplicity=total_multiplicity.astype(np.int32),
        cell_batch=batches,
        entry_cell=cell,
        entry_gene=gene,
        entry_count=count,
        log_factorials=np.asarray(multiplicity @ gammaln(pair_count + 1.0)),
        n_cells=n_cells,
        n_genes=n_genes,
        n_batches=n_batches,
    )


def _entries(counts: Any) -> tuple[int, int, np.ndarray, np.ndarray, np.ndarray]:
    """Non-zero counts by cell, then gene, after looking at every value."""
    if sparse.issparse(counts):
        if counts.ndim != 2:
            raise _not_a_table(counts.shape)
        check_counts(counts)
        table = sparse.csr_array(counts)
        if not table.has_canonical_format:
            table = table.copy()  # never the caller's own arrays
            table.sum_duplicates()
        present = table.data != 0
        cell = np.repeat(np.arange(table.shape[0], dtype=np.int32), np.diff(table.indptr))[present]
        gene, value = table.indices[present], table.data[present]
        n_cells, n_genes = table.shape
    else:
        dense = np.asarray(counts)
        if dense.ndim != 2:
            raise _not_a_table(dense.shape)
        check_counts(dense)
        cell, gene = np.nonzero(dense)
        value = dense[cell, gene]
        n_cells, n_genes = dense.shape
    if n_cells == 0 or n_genes == 0:
        raise _not_a_table((n_cells, n_genes))
    return n_cells, n_genes, cell.astype(np.int32), gene.astype(np.int32), value.astype(np.int32)


def _not_a_table(shape: tuple[int, ...]) -> DataError:
    return DataError(
        "not a table of counts", field="counts", expected="two dimensions, cells x genes, none of them empty", got=shape
    )


def check_counts(counts: Any) -> None:
    """Refuse what cannot be counts: what is negative, no whole number, or no number at all.

    Args:
        counts: A table, sparse or not.

    Raises:
        DataError: naming the first value that is none.

    Example:
        >>> check_counts(np.array([[0.0, 3.0]]))
    """
    values = np.asarray(counts)
    if sparse.issparse(counts):
        values = counts.data if counts.format in ("csr", "csc", "coo", "bsr") else counts.tocoo().data
    if values.size == 0:
        return
    if values.dtype.kind not in "iufb":
        raise DataError("not numbers", field="counts", expected="whole numbers from 0", got=str(values.dtype))
    lowest, highest = values.min(), values.max()
    if not (lowest >= 0 and highest < 2**31):  # NaN fails both
        got = float(lowest) if not lowest >= 0 else float(highest)
        raise DataError("a count is out of range", field="counts", expected="whole numbers from 0 to 2^31 - 1", got=got)
    if values.dtype.kind == "f":
        flat = values.reshape(-1)
        for start in range(0, flat.size, 2**22):  # in blocks, so that no second table of this size is made
            part = flat[start : start + 2**22]
            broken = part != np.floor(part)
            if broken.any():
                raise DataError(
                    "a count is not a whole number",
                    field="counts",
                    expected="whole numbers from 0",
                    got=float(part[broken][0]),
                    todo="pass the raw counts, not normalised or log-transformed data",
                )


def _batches(batch: Any, n_cells: int) -> tuple[np.ndarray, int]:
    if batch is None:
        return np.zeros(n_cells, np.int32), 1
    labels = np.asarray(batch)
    if labels.shape != (n_cells,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(
            "batches do not fit the table",
            field="batch",
            expected=f"{n_cells} whole numbers from 0, one for each cell",
            got=f"shape {labels.shape} of {labels.dtype}",
        )
    return labels.astype(np.int32), int(labels.max()) + 1


def _distinct_pairs(group: np.ndarray, count: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct (group, count), ascending, and how often each occurs."""
    width = int(count.max(initial=0)) + 1
    key = group.astype(np.int64) * width + count
    if n_groups * width <= _BINS * len(key) + 2**20:
        table = np.bincount(key, minlength=n_groups * width)
        pairs = np.flatnonzero(table)
        multiplicity = table[pairs]
    else:
        pairs, multiplicity = np.unique(key, return_counts=True)
    return pairs // width, pairs % width, multiplicity
