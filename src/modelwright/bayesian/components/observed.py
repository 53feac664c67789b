"""Observed counts as models and guides see them: made once, outside of compiled code, and a pytree from there on.

data = observe(counts, batch=plate_of_each_cell, statistics=[TOTAL_COUNT])
svi.run(key, steps, data)
unseen = observe(new_counts, statistics=[TOTAL_COUNT], like=data)     # networks see them on the same scale
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from modelwright.bayesian.components.sufficient_statistics import Axis, SufficientStatistic
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.names import suggestion

_BLOCK = 4096
"""Rows that are looked at together when statistics are computed; arbitrary, a few hundred MB at ten thousand genes."""


@partial(jax.tree_util.register_dataclass, data_fields=("values", "centre", "spread"), meta_fields=("log1p",))
@dataclass(frozen=True, eq=False)
class StatisticOnAxis:
    """A statistic of all cells, all genes or the whole, with the constants that bring it to a network's scale.

    Args:
        values: Shape (n_rows, n_outputs), as the function returned them; None for one number per column.
        centre: Mean over the rows after the logarithm, shape (n_outputs,).
        spread: Standard deviation over the rows, likewise; nowhere 0.
        log1p: Whether networks see log(1 + value).
    """

    values: Any
    centre: Any
    spread: Any
    log1p: bool = False

    def standardised(self, values: Any) -> Any:
        """What a network sees of these values, shape (..., n_outputs)."""
        seen = jnp.log1p(values) if self.log1p else jnp.asarray(values, float)
        return (seen - self.centre) / self.spread


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("dense", "batch", "statistics", "compressed"),
    meta_fields=("n_cells", "n_genes", "n_batches", "batch_names", "genes"),
)
@dataclass(frozen=True, eq=False)
class ObservedCounts:
    """Counts of cells x genes.

    Args:
        dense: Shape (n_cells, n_genes); None when only the compressed table is kept.
        batch: Batch of each cell, 0 to n_batches - 1, shape (n_cells,); None without batches.
        statistics: Name -> axis ("cells", "genes", "whole") -> statistic.
        compressed: The table, compressed; None when models are to look at every entry.
        n_cells: Cells.
        n_genes: Genes.
        n_batches: Batches; 0 without.
        batch_names: What the batches were called, in the order of their numbers.
        genes: Names of the genes, where they came with the counts.
    """

    dense: Any = None
    batch: Any = None
    statistics: Mapping[str, Mapping[str, StatisticOnAxis]] = field(default_factory=dict)
    compressed: Any = None
    n_cells: int = 0
    n_genes: int = 0
    n_batches: int = 0
    batch_names: tuple[str, ...] = ()
    genes: tuple[str, ...] = ()

    @property
    def lengths(self) -> dict[str, int]:
        """Axes that the data know besides cells and genes."""
        return {"n_batches": self.n_batches} if self.batch is not None else {}

    def rows(self, cells: Any = None) -> Any:
        """The counts of some cells; of all without positions.

        Raises:
            ConfigurationError: the counts are kept compressed only.
        """
        if self.dense is None:
            raise ConfigurationError(
                "single counts are needed, and only the compressed table is kept",
                field="counts",
                todo="observe the counts with dense=True",
            )
        return self.dense if cells is None else jnp.take(self.dense, cells, axis=0)

    def on_axis(self, statistic: str, axis: Axis) -> StatisticOnAxis:
        """A statistic of all cells, all genes or the whole.

        Raises:
            ConfigurationError: it was not computed when the data were observed.
        """
        if statistic not in self.statistics:
            raise ConfigurationError(
                f"the data carry no statistic {statistic!r}",
                field="statistics",
                todo=f"observe(counts, statistics=[...]) with it; {suggestion(statistic, self.statistics)}",
            )
        if axis not in self.statistics[statistic]:
            known = ", ".join(self.statistics[statistic])
            raise ConfigurationError(f"there is no {statistic!r} of {axis}", field="statistics", expected=known)
        return self.statistics[statistic][axis]

    def of_cells(self, statistic: str, cells: Any = None) -> Any:
        """A statistic of some cells as it is, shape (n_cells,) for a single number and (n_cells, n_outputs) else."""
        values = self.on_axis(statistic, "cells").values
        found = values if cells is None else jnp.take(values, cells, axis=0)
        return found[:, 0] if found.shape[1] == 1 else found

    def network_inputs(self, statistic: SufficientStatistic, axis: Axis, cells: Any = None) -> Any:
        """A statistic as a network sees it.

        Args:
            statistic: Which.
            axis: Whose.
            cells: Positions of the cells, for the axis of cells; all when left out.

        Returns:
            Shape (n_rows, n_outputs), near mean 0 and variance 1 over all rows.
        """
        found = self.on_axis(statistic.name, axis)
        values = statistic.fn(self.rows(cells)) if statistic.n_outputs is None else found.values
        if statistic.n_outputs is not None and axis == "cells" and cells is not None:
            values = jnp.take(values, cells, axis=0)
        return found.standardised(values)


def observe(
    counts: Any,
    *,
    batch: Any = None,
    statistics: Sequence[SufficientStatistic] = (),
    compressed: Any = None,
    dense: bool = True,
    like: ObservedCounts | None = None,
) -> ObservedCounts:
    """Make counts ready for models and guides.

    Args:
        counts: Shape (n_cells, n_genes): numpy, SciPy sparse, JAX, or something with such a `.matrix`.
        batch: Batch of each cell, numbers or texts, shape (n_cells,); numbered in the order of their names.
        statistics: What amortizers look at, and what models read off the data.
        compressed: The table, compressed, to be carried along.
        dense: Whether every entry is kept.
        like: Data that a guide was fitted to; batches are numbered and statistics brought to scale as there.

    Raises:
        DataError: not a table, or batches that do not fit.
        ConfigurationError: two statistics of one name, or a statistic that fails.

    Example:
        >>> from modelwright.bayesian.components.sufficient_statistics import TOTAL_COUNT
        >>> data = observe(np.array([[0, 3], [1, 0], [2, 2]]), batch=["b", "a", "a"], statistics=[TOTAL_COUNT])
        >>> data.of_cells("total_count").tolist(), data.batch.tolist(), data.batch_names
        ([3.0, 1.0, 4.0], [1, 0, 0], ('a', 'b'))
    """
    matrix = getattr(counts, "matrix", counts)
    matrix = matrix.tocsr() if sp.issparse(matrix) else np.asarray(matrix)
    if matrix.ndim != 2 or not all(matrix.shape):
        raise DataError("not a table", field="counts", expected="shape (n_cells, n_genes)", got=matrix.shape)
    if matrix.dtype.kind not in "iufb":
        raise DataError("not numbers", field="counts", expected="counts", got=matrix.dtype.name)
    names = [statistic.name for statistic in statistics]
    if len(set(names)) < len(names):
        raise ConfigurationError("two statistics of one name", field="statistics", got=names)
    codes, batch_names = _numbered(batch, matrix.shape[0], like)
    table = matrix.toarray() if sp.issparse(matrix) and dense else matrix
    return ObservedCounts(
        dense=jnp.asarray(table, float) if dense else None,
        batch=None if codes is None else jnp.asarray(codes),
        statistics={
            each.name: {axis: _computed(each, axis, matrix, like) for axis in each.axes} for each in statistics
        },
        compressed=compressed,
        n_cells=matrix.shape[0],
        n_genes=matrix.shape[1],
        n_batches=len(batch_names),
        batch_names=batch_names,
        genes=gene_names(counts),
    )


def gene_names(counts: Any) -> tuple[str, ...]:
    """Names of the genes of what has some (`CellCounts`, a table of pandas); none otherwise.

    Example:
        >>> import pandas as pd
        >>> gene_names(pd.DataFrame({"CD3D": [0, 1], "LYZ": [4, 2]})), gene_names(np.ones((2, 2)))
        (('CD3D', 'LYZ'), ())
    """
    names = getattr(counts, "genes", None)
    if names is None and hasattr(counts, "iloc"):
        names = getattr(counts, "columns", None)
    return () if names is None else tuple(map(str, names))


def _computed(statistic: SufficientStatistic, axis: Axis, matrix: Any, like: ObservedCounts | None) -> StatisticOnAxis:
    if axis == "whole":
        blocks: Iterator[np.ndarray] = iter([np.asarray(matrix.sum(axis=0)).reshape(1, -1)])
    else:
        blocks = _blocks(matrix if axis == "cells" else matrix.T)
    wide = statistic.n_outputs is None
    kept, total, squares, n_rows = [], 0.0, 0.0, 0
    for block in blocks:
        values = statistic.of(block)
        seen = np.log1p(values) if statistic.log1p else values
        n_rows, total, squares = n_rows + len(seen), total + seen.sum(axis=0), squares + (seen**2).sum(axis=0)
        kept += [] if wide else [values]
    if like is not None:
        before = like.on_axis(statistic.name, axis)
        centre, spread = before.centre, before.spread
    else:
        centre = total / n_rows
        spread = np.sqrt(np.maximum(squares / n_rows - centre**2, 0.0))
        if wide:  # one scale for all columns: each on its own, the noise of hardly expressed genes would be the loudest
            spread = np.full_like(spread, np.sqrt((spread**2).mean()))
        if n_rows == 1:  # nothing to compare with; a number near 1 lets gradients pass
            centre, spread = np.zeros_like(centre), np.abs(total)
        spread = np.where(spread > 1e-6 * (1.0 + np.abs(centre)), spread, 1.0)
    values = None if wide else jnp.asarray(np.concatenate(kept), float)
    return StatisticOnAxis(values, jnp.asarray(centre, float), jnp.asarray(spread, float), statistic.log1p)


def _blocks(matrix: Any) -> Iterator[np.ndarray]:
    rows = matrix.tocsr() if sp.issparse(matrix) else matrix
    for first in range(0, rows.shape[0], _BLOCK):
        block = rows[first : first + _BLOCK]
        yield block.toarray() if sp.issparse(block) else block


def _numbered(batch: Any, n_cells: int, like: ObservedCounts | None) -> tuple[Any, tuple[str, ...]]:
    """Number of each cell's batch, and the batches' names."""
    if batch is None:
        return None, ()
    given = np.asarray(batch)
    if given.shape != (n_cells,):
        raise DataError("not one batch per cell", field="batch", expected=f"shape ({n_cells},)", got=given.shape)
    without = [k for k, label in enumerate(given.tolist()) if label is None or label != label]
    if without:
        raise DataError(
            "a cell has no batch",
            field="batch",
            expected="a number or a text for every cell",
            got=f"{given[without[0]]} at position {without[0]}",
            todo="leave these cells out, or give them a batch of their own",
        )
    found, codes = np.unique(given, return_inverse=True)
    whole = given.dtype.kind == "f" and bool((found == np.floor(found)).all())
    names = tuple(str(int(label)) if whole else str(label) for label in found)
    if like is None:
        return codes.astype(np.int32), names
    unknown = [name for name in names if name not in like.batch_names]
    if unknown:
        raise DataError(
            f"batch {unknown[0]!r} was not among the batches before",
            field="batch",
            todo=suggestion(unknown[0], like.batch_names),
        )
    return np.array([like.batch_names.index(name) for name in names], np.int32)[codes], like.batch_names
