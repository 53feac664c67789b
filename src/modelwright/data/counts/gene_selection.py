"""The genes that vary most between cells beyond what counting alone explains.

Were gene j a constant share of every cell, its count in cell i, of total t_i, would have mean m_ij = t_i g_j / T (g_j
the gene's total, T that of all) and variance m + m^2 / theta. The Pearson residual

    z_ij = (x_ij - m_ij) / sqrt(m_ij + m_ij^2 / theta),    clipped to [-sqrt(n), sqrt(n)] for n cells,

then has variance near 1; genes are ranked by the variance of their residuals, and its excess over 1 is what varies.

Source:
    J. Lause, P. Berens and D. Kobak (2021), Analytic Pearson residuals for normalization of single-cell RNA-seq UMI
    data, Genome Biology 22, 258, https://doi.org/10.1186/s13059-021-02451-7.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.counts.cell_counts import CellCounts, refuse_empty

THETA = 100.0
"""Concentration of counts that do not vary between cells, as in the source; it keeps the strongest genes in check."""

_BLOCK = 2**22  # pairs of a total and a gene at once


@dataclass(frozen=True, eq=False)
class GeneSelection:
    """Chosen genes, and by what.

    Args:
        counts: The counts of the chosen genes, in the order of the source.
        variance: Variance of the Pearson residuals of every gene of the source, shape (n_genes,); 0 for empty genes.
        chosen: Which genes were chosen, shape (n_genes,), bool.
        theta: Concentration that was assumed.
    """

    counts: CellCounts
    variance: NDArray[np.float64]
    chosen: NDArray[np.bool_]
    theta: float

    def describe(self) -> dict[str, Any]:
        """What was chosen, as plain data for a manifest or a page."""
        left = self.variance[~self.chosen]
        return {
            "rule": f"largest variance of Pearson residuals (theta = {self.theta:g})",
            "chosen": int(self.chosen.sum()),
            "of": len(self.chosen),
            "smallest_chosen_variance": float(self.variance[self.chosen].min()),
            "largest_other_variance": float(left.max()) if len(left) else None,
        }


def select_genes(
    counts: CellCounts,
    n: int,
    *,
    theta: float = THETA,
    on_empty: Literal["error", "leave_out", "keep"] = "error",
) -> GeneSelection:
    """The n most variable genes, by the variance of their Pearson residuals; ties go to the gene that comes first.

    Cost: distinct totals of cells times genes, once.

    Args:
        counts: Counts of all genes.
        n: How many genes.
        theta: Concentration of counts that do not vary between cells.
        on_empty: What to do about cells that have no count in the chosen genes: "error", "leave_out" or "keep".

    Returns:
        The counts of these genes, and what they were chosen by.

    Raises:
        ConfigurationError: for a number of genes that is not there.
        DataError: when cells have no count in the chosen genes.

    Example:
        >>> counts = CellCounts([[5, 0, 9], [5, 9, 0], [5, 0, 9], [5, 9, 0]], cells="abcd", genes=["flat", "x", "y"])
        >>> select_genes(counts, 2).counts.genes
        ('x', 'y')
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 1 <= n <= counts.n_genes:
        raise ConfigurationError(
            "not a number of genes", field="n", expected=f"a whole number from 1 to {counts.n_genes}", got=n
        )
    if isinstance(theta, bool) or not isinstance(theta, int | float) or not theta > 0:
        raise ConfigurationError("not a concentration", field="theta", expected="a number above 0", got=theta)
    if on_empty not in ("error", "leave_out", "keep"):
        raise ConfigurationError("not a choice", field="on_empty", expected="error, leave_out or keep", got=on_empty)
    variance = residual_variance(counts, theta=float(theta))
    chosen = np.zeros(counts.n_genes, dtype=np.bool_)
    chosen[np.argsort(-variance, kind="stable")[:n]] = True
    part = counts.subset(genes=chosen, why=f"largest variance of Pearson residuals (theta = {float(theta):g})")
    empty = part.cell_totals == 0
    if empty.all():
        raise DataError("no cell has a count in the chosen genes", field="n", todo="choose more genes")
    if empty.any() and on_empty == "leave_out":
        part = part.subset(cells=~empty, why="with a count in the chosen genes")
    elif on_empty == "error":
        refuse_empty(part, why="in the chosen genes")
    return GeneSelection(counts=part, variance=variance, chosen=chosen, theta=float(theta))


def residual_variance(counts: CellCounts, *, theta: float = THETA) -> NDArray[np.float64]:
    """The variance of every gene's Pearson residuals over the cells, shape (n_genes,).

    Zeros of cells with equal totals have equal residuals, so each distinct total is visited once; the non-zeros then
    replace what their zeros would have given.

    Args:
        counts: Counts.
        theta: Concentration of counts that do not vary between cells.
    """
    matrix, n_cells = counts.matrix, counts.n_cells
    cell_totals, gene_totals = counts.cell_totals.astype(np.float64), counts.gene_totals.astype(np.float64)
    total = cell_totals.sum()
    if total == 0:
        return np.zeros(counts.n_genes)
    distinct, number = np.unique(cell_totals, return_counts=True)
    sums, squares = np.zeros(counts.n_genes), np.zeros(counts.n_genes)
    step = max(1, _BLOCK // len(distinct))
    for start in range(0, counts.n_genes, step):
        part = slice(start, start + step)
        zero = _residual(0.0, distinct[:, None] * gene_totals[None, part] / total, theta, n_cells)
        sums[part], squares[part] = number @ zero, number @ zero**2
    rows_per_block = max(1, int(_BLOCK // max(1.0, matrix.nnz / n_cells)))
    for start in range(0, n_cells, rows_per_block):
        first, last = matrix.indptr[start], matrix.indptr[min(start + rows_per_block, n_cells)]
        gene = matrix.indices[first:last]
        lengths = np.diff(matrix.indptr[start : start + rows_per_block + 1])
        mean = np.repeat(cell_totals[start : start + rows_per_block], lengths) * gene_totals[gene] / total
        seen = _residual(matrix.data[first:last].astype(np.float64), mean, theta, n_cells)
        zero = _residual(0.0, mean, theta, n_cells)
        sums += np.bincount(gene, weights=seen - zero, minlength=counts.n_genes)
        squares += np.bincount(gene, weights=seen**2 - zero**2, minlength=counts.n_genes)
    return np.maximum(squares / n_cells - (sums / n_cells) ** 2, 0.0)


def _residual(count: Any, mean: NDArray[np.float64], theta: float, n_cells: int) -> NDArray[np.float64]:
    # A mean of zero (an empty gene or cell) goes with a count of zero: the residual is zero.
    spread = np.sqrt(mean + mean**2 / theta)
    residual: NDArray[np.float64] = np.divide(count - mean, spread, out=np.zeros_like(mean), where=spread > 0)
    clipped: NDArray[np.float64] = np.clip(residual, -np.sqrt(n_cells), np.sqrt(n_cells))
    return clipped
