"""What amortizers look at: a few numbers of a cell, of a gene or of the whole matrix.

A statistic is a function of rows of counts. For cells the rows are cells; for genes they are genes (the matrix
transposed); for the whole there is one row, all cells added up.

    TOTAL_COUNT, NON_ZERO_COUNT, MEAN_AND_VARIANCE, counts_of([3, 17]), COUNTS, or one's own:
    SufficientStatistic("largest", lambda counts: counts.max(axis=1, keepdims=True), 1)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modelwright.core.errors import ConfigurationError

Axis = Literal["cells", "genes", "whole"]
AXES: tuple[Axis, ...] = ("cells", "genes", "whole")


@dataclass(frozen=True)
class SufficientStatistic:
    """A few numbers computed from a row of counts.

    Args:
        name: What it is called; statistics of one data set have distinct names.
        fn: Takes counts (n_rows, n_columns) and returns (n_rows, n_outputs). Called with numpy arrays, a block of rows
            at a time, when data are observed; with `n_outputs` None also with JAX arrays.
        n_outputs: Numbers per row; None for as many as there are columns: too many to be kept beside the counts, so
            they are computed for each mini-batch.
        log1p: Whether a network sees log(1 + value): for what grows with the counts. Such a value is not negative.
        axes: What rows it makes sense for.

    Raises:
        ConfigurationError: a description that cannot be used.

    Example:
        >>> TOTAL_COUNT.fn(np.array([[0, 3], [1, 1]])).tolist()
        [[3], [2]]
    """

    name: str
    fn: Callable[[Any], Any]
    n_outputs: int | None
    log1p: bool = False
    axes: tuple[Axis, ...] = AXES

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ConfigurationError("not usable", field="name", expected="a name such as 'total_count'", got=self.name)
        if not callable(self.fn):
            raise ConfigurationError("not a function", field=f"{self.name}.fn", got=self.fn)
        whole = isinstance(self.n_outputs, int) and not isinstance(self.n_outputs, bool)
        if self.n_outputs is not None and not (whole and self.n_outputs >= 1):
            raise ConfigurationError(
                "not usable",
                field=f"{self.name}.n_outputs",
                expected="a whole number of at least 1, or None for one per column",
                got=self.n_outputs,
            )
        object.__setattr__(self, "axes", tuple(self.axes))
        if not self.axes or not set(self.axes) <= set(AXES):
            raise ConfigurationError("not usable", field=f"{self.name}.axes", expected=f"some of {AXES}", got=self.axes)
        if self.n_outputs is None and self.axes != ("cells",):
            raise ConfigurationError(
                "one number per column is for cells only",
                field=f"{self.name}.axes",
                expected='("cells",)',
                got=self.axes,
            )

    def of(self, counts: Any) -> np.ndarray:
        """The statistic of rows of counts.

        Args:
            counts: Shape (n_rows, n_columns).

        Returns:
            Shape (n_rows, n_outputs), float64.

        Raises:
            ConfigurationError: the function returned something of another shape, or what is not a finite number.
        """
        found = np.asarray(self.fn(counts), float)
        wanted = (len(counts), counts.shape[1] if self.n_outputs is None else self.n_outputs)
        if found.shape != wanted:
            raise ConfigurationError(
                "its function returns another shape",
                field=f"statistic {self.name}",
                expected=str(wanted),
                got=found.shape,
            )
        if not np.isfinite(found).all() or (self.log1p and (found < 0).any()):
            raise ConfigurationError(
                "its function returns what a network cannot use",
                field=f"statistic {self.name}",
                expected="finite numbers" + (", none below 0 with log1p=True" if self.log1p else ""),
            )
        return found


def counts_of(genes: Sequence[int]) -> SufficientStatistic:
    """The counts of some genes in each cell.

    Args:
        genes: Their positions.

    Example:
        >>> counts_of([2, 0]).fn(np.array([[5, 6, 7]])).tolist()
        [[7, 5]]
    """
    at = np.asarray(genes)
    if at.ndim != 1 or not at.size or at.dtype.kind not in "iu" or (at < 0).any():
        raise ConfigurationError("not usable", field="genes", expected="positions such as [3, 17]", got=genes)
    name = "counts_of_" + "_".join(map(str, at.tolist()))
    return SufficientStatistic(name, lambda counts: counts[:, at], at.size, log1p=True, axes=("cells", "whole"))


def _total(counts: Any) -> Any:
    return counts.sum(axis=1, keepdims=True)


def _non_zero(counts: Any) -> Any:
    return (counts > 0).sum(axis=1, keepdims=True)


def _mean_and_variance(counts: Any) -> Any:
    return np.stack([counts.mean(axis=1), counts.var(axis=1)], axis=1)


def _themselves(counts: Any) -> Any:
    return counts


TOTAL_COUNT = SufficientStatistic("total_count", _total, 1, log1p=True)
"""Sum of the row."""

NON_ZERO_COUNT = SufficientStatistic("non_zero_count", _non_zero, 1, log1p=True)
"""Columns whose count is not zero."""

MEAN_AND_VARIANCE = SufficientStatistic("mean_and_variance", _mean_and_variance, 2, log1p=True)
"""Mean and variance (divided by the number of columns) of the row."""

COUNTS = SufficientStatistic("counts", _themselves, None, log1p=True, axes=("cells",))
"""Every gene's count of a cell, what encoders of variational autoencoders look at."""
