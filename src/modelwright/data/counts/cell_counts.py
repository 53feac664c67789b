"""`CellCounts`: how many molecules of each gene were counted in each cell, with the names of both.

The object checks itself when it is made and cannot be changed afterwards, so what a fingerprint was taken of is what a
model was trained on. Cells without a count and genes that no cell has are possible here (a part of the cells may miss a
gene); `load_counts` refuses them where a model is to be trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.seeds import named_generator
from modelwright.data.counts.canonical import canonical, sealed_matrix
from modelwright.data.counts.fingerprints import fingerprint_of
from modelwright.data.counts.names import check_names, frozen_column, listed, places_of

Part = Sequence[str] | ArrayLike
"""Some of the cells or genes: their names, their places from 0, or one truth value each."""


@dataclass(frozen=True)
class LeftOut:
    """Cells or genes of the source that were not used, and why.

    Args:
        what: "cells" or "genes".
        reason: What was wrong with them.
        number: How many.
    """

    what: Literal["cells", "genes"]
    reason: str
    number: int


@dataclass(frozen=True, eq=False)
class CellCounts:
    """Counts of cells x genes.

    Args:
        matrix: Counts, shape (n_cells, n_genes), CSR of int32 or int64 without stored zeros, indices ascending.
        cells: Names of the cells, distinct.
        genes: Names of the genes, distinct.
        batch: Batch of each cell as given (texts or numbers), shape (n_cells,); None when unknown.
        label: Kind of each cell as given, shape (n_cells,); None when unknown.
        layer: Where in the source the counts were, such as "X" or "layer 'counts'".
        left_out: What was not used and why.
        source: Where the counts come from, as plain data.

    Raises:
        DataError: when a value is no count, or names do not fit the matrix.

    Example:
        >>> counts = CellCounts([[0, 3], [1, 0]], cells=["a", "b"], genes=["CD3D", "LYZ"])
        >>> counts.shape, counts.matrix.nnz, counts.cell_totals.tolist()
        ((2, 2), 2, [3, 1])
    """

    matrix: Any
    cells: tuple[str, ...]
    genes: tuple[str, ...]
    batch: NDArray[Any] | None = None
    label: NDArray[Any] | None = None
    layer: str = "the matrix"
    left_out: tuple[LeftOut, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cells, genes = tuple(map(str, self.cells)), tuple(map(str, self.genes))
        for name, value in (("cells", cells), ("genes", genes), ("left_out", tuple(self.left_out))):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "matrix", canonical(self.matrix, cells, genes, place=self.layer))
        check_names(cells, "cell")
        check_names(genes, "gene")
        for name in ("batch", "label"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, frozen_column(value, name, cells))

    @property
    def n_cells(self) -> int:
        """Cells."""
        return len(self.cells)

    @property
    def n_genes(self) -> int:
        """Genes."""
        return len(self.genes)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells, genes."""
        return self.n_cells, self.n_genes

    @cached_property
    def cell_totals(self) -> NDArray[np.int64]:
        """Counts of each cell over all genes, shape (n_cells,)."""
        return _sums(self.matrix, axis=1)

    @cached_property
    def gene_totals(self) -> NDArray[np.int64]:
        """Counts of each gene over all cells, shape (n_genes,)."""
        return _sums(self.matrix, axis=0)

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of names, counts, batch and label; equal data have equal fingerprints."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint_of(self.cells, self.genes, self.matrix, {"batch": self.batch, "label": self.label})

    def describe(self) -> dict[str, Any]:
        """What the counts are, as plain data for a manifest or a page."""
        totals = self.cell_totals
        return {
            "n_cells": self.n_cells,
            "n_genes": self.n_genes,
            "non_zeros": int(self.matrix.nnz),
            "density": self.matrix.nnz / (self.n_cells * self.n_genes),
            "total": int(totals.sum()),
            "total_per_cell": {
                "smallest": int(totals.min()),
                "median": float(np.median(totals)),
                "largest": int(totals.max()),
            },
            "largest_count": int(self.matrix.data.max(initial=0)),
            "empty_cells": int((totals == 0).sum()),
            "empty_genes": int((self.gene_totals == 0).sum()),
            **{
                name: {
                    str(value): int(number)
                    for value, number in zip(*np.unique(column, return_counts=True), strict=True)
                }
                for name, column in (("batch", self.batch), ("label", self.label))
                if column is not None
            },
            "layer": self.layer,
            "left_out": [{"what": e.what, "reason": e.reason, "number": e.number} for e in self.left_out],
            "source": dict(self.source),
            "fingerprint": self.fingerprint(),
        }

    def subset(self, *, cells: Part | None = None, genes: Part | None = None, why: str = "chosen") -> "CellCounts":
        """Some of the cells and genes, in the order asked for.

        Args:
            cells: Names, places from 0, or one truth value per cell; all when left out.
            genes: The same of genes.
            why: What the step is called in `source`.

        Raises:
            DataError: for a name or place that is not there or is asked for twice, and when nothing is left.

        Example:
            >>> counts = CellCounts([[0, 3], [1, 0]], cells=["a", "b"], genes=["CD3D", "LYZ"])
            >>> counts.subset(genes=["LYZ"]).matrix.toarray().tolist()
            [[3], [0]]
        """
        rows = None if cells is None else places_of(cells, self.cells, "cell")
        columns = None if genes is None else places_of(genes, self.genes, "gene")
        matrix = self.matrix if rows is None else self.matrix[rows]
        matrix = matrix if columns is None else matrix[:, columns]
        steps = list(self.source.get("steps", ()))
        steps += [] if rows is None else [f"{len(rows)} of {self.n_cells} cells: {why}"]
        steps += [] if columns is None else [f"{len(columns)} of {self.n_genes} genes: {why}"]
        return CellCounts(
            sealed_matrix(matrix),
            self.cells if rows is None else tuple(self.cells[place] for place in rows),
            self.genes if columns is None else tuple(self.genes[place] for place in columns),
            batch=self.batch if self.batch is None or rows is None else self.batch[rows],
            label=self.label if self.label is None or rows is None else self.label[rows],
            layer=self.layer,
            left_out=self.left_out,
            source={**self.source, "steps": steps},
        )

    def split(self, seed: int, share: float) -> tuple["CellCounts", "CellCounts"]:
        """Cells to train on and cells held out, at random; both keep the order of the cells and all genes.

        Args:
            seed: Equal seeds split equal numbers of cells alike.
            share: Part of the cells that is held out, rounded to whole cells, at least one on either side.

        Returns:
            The cells to train on, and those held out. A gene of few cells may have no count left on one side;
            `describe` says how many do.

        Raises:
            ConfigurationError: for a share that is not between 0 and 1.
            DataError: for a single cell.

        Example:
            >>> counts = CellCounts(np.ones((10, 2), dtype=int), cells=list("abcdefghij"), genes=["x", "y"])
            >>> train, held_out = counts.split(seed=0, share=0.2)
            >>> train.n_cells, held_out.n_cells, set(train.cells).isdisjoint(held_out.cells)
            (8, 2, True)
        """
        if isinstance(share, bool) or not isinstance(share, int | float | np.number) or not 0 < share < 1:
            raise ConfigurationError("not a share", field="share", expected="a number between 0 and 1", got=share)
        if self.n_cells < 2:
            raise DataError("one cell cannot be split", field="cells", expected="at least two cells")
        number = min(max(round(share * self.n_cells), 1), self.n_cells - 1)
        chosen = named_generator(seed, "held-out cells").permutation(self.n_cells)[:number]
        held_out = np.zeros(self.n_cells, dtype=np.bool_)
        held_out[chosen] = True
        named = f"(seed {seed}, share {float(share):g})"
        return self.subset(cells=~held_out, why=f"to train on {named}"), self.subset(
            cells=held_out, why=f"held out {named}"
        )


def _sums(matrix: Any, *, axis: int) -> NDArray[np.int64]:
    """Sums in int64 whatever the counts are stored as."""
    sums: NDArray[np.int64]
    if axis == 1:
        # Differences of the running sum: rows without an entry have a sum of zero.
        running = np.concatenate([[0], np.cumsum(matrix.data, dtype=np.int64)])
        sums = running[matrix.indptr[1:]] - running[matrix.indptr[:-1]]
    else:
        sums = np.asarray(sp.csr_array(matrix).sum(axis=0, dtype=np.int64))
    sums.flags.writeable = False
    return sums


def refuse_empty(counts: CellCounts, *, why: str = "") -> CellCounts:
    """Return counts of which every cell and every gene has at least one.

    Args:
        counts: The counts.
        why: How a cell or gene can have come to have none, such as "in the genes chosen".

    Raises:
        DataError: naming the first cells or genes without a count.
    """
    for kind, totals, names in (("cell", counts.cell_totals, counts.cells), ("gene", counts.gene_totals, counts.genes)):
        empty = np.flatnonzero(totals == 0)
        if len(empty):
            many = len(empty) > 1
            raise DataError(
                f"{counts.layer} has {len(empty):,} {kind}{'s' if many else ''} without any count"
                f"{' ' + why if why else ''}: {listed([names[place] for place in empty[:5]], len(empty))}",
                field=f"{kind}s",
                expected=f"at least one count in every {kind}",
                todo=f"leave such {kind}s out and have them counted (on_empty = leave_out)",
            )
    return counts
