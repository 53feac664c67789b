"""What a trace says about each of its parameters: means, errors, intervals, R-hat and effective sample sizes.

What ArviZ computes one parameter at a time is computed here in blocks (see `chain_statistics`), so that 100,000 rates
take seconds and a bounded amount of memory.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from modelwright.bayesian.diagnostics.chain_statistics import mcse_mean, quantile_of_sorted, rank_statistics
from modelwright.bayesian.diagnostics.groups import need_group, parameter_label, parameter_labels
from modelwright.core.errors import ConfigurationError
from modelwright.core.probability import check_probability
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress

Floats = NDArray[np.float64]
IntervalKind = Literal["equal_tailed", "highest_density"]

READ_ELEMENTS = 4_000_000
"""Draws read at once (32 MB): bounds the memory beside the trace itself."""

WORK_ELEMENTS = 1 << 17
"""Draws worked on at once (1 MB): what stays in a core's cache."""

_COLUMNS = ("mean", "sd", "mcse_mean", "lower", "upper", "r_hat", "ess_bulk", "ess_tail")


@dataclass(frozen=True, eq=False)
class ParameterStatistics:
    """The statistics of one variable's scalars, each array of shape (scalar,) in the order of the flattened dimensions.

    Args:
        variable: The draws, dims (chain, draw, ...); read only for labels.
        mean: Posterior mean. sd: Posterior standard deviation. mcse_mean: Monte Carlo standard error of the mean.
        lower: Lower end of the interval. upper: Upper end.
        r_hat: Rank-normalised split R-hat; NaN where it cannot be had.
        ess_bulk: Bulk effective sample size. ess_tail: Tail effective sample size.
        non_finite: How many draws are not finite.
        constant: Whether every draw of every chain is the same.
    """

    variable: xr.DataArray
    mean: Floats
    sd: Floats
    mcse_mean: Floats
    lower: Floats
    upper: Floats
    r_hat: Floats
    ess_bulk: Floats
    ess_tail: Floats
    non_finite: NDArray[np.int64]
    constant: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """The variable's name."""
        return str(self.variable.name)

    @property
    def is_scalar(self) -> bool:
        """Whether the variable is a single number (a hyperparameter rather than a rate per entity)."""
        return self.variable.ndim == 2

    def label(self, position: int) -> str:
        """The name of one scalar, such as theta[user_0042]."""
        return parameter_label(self.variable, position)


def trace_statistics(
    trace: Any,
    *,
    names: Iterable[str] | None = None,
    probability: float = 0.9,
    kind: IntervalKind = "equal_tailed",
    progress: ProgressCallback = ignore_progress,
) -> tuple[ParameterStatistics, ...]:
    """The statistics of every parameter of the posterior, or of the named variables.

    Args:
        trace: A trace with a `posterior` group.
        names: Variables to look at; all of them by default.
        probability: Probability the interval holds, between 0 and 1.
        kind: `equal_tailed` (the same probability left out on both sides) or `highest_density` (the shortest).
        progress: Called with the number of parameters finished.

    Returns:
        One entry per variable, in the order of the posterior.

    Raises:
        DataError: without a posterior. ConfigurationError: for an unknown variable, probability or kind.

    Example:
        >>> draws = np.random.default_rng(1).normal(size=(4, 500, 3))
        >>> posterior = xr.Dataset({"theta": (("chain", "draw", "entity"), draws)}, coords={"entity": ["a", "b", "c"]})
        >>> (theta,) = trace_statistics(xr.DataTree.from_dict({"posterior": posterior}))
        >>> theta.label(2), theta.r_hat.shape
        ('theta[c]', (3,))
    """
    check_interval(probability, kind)
    posterior = need_group(trace, "posterior", todo="sample the model first")
    chosen = [str(name) for name in (posterior.data_vars if names is None else names)]
    for name in chosen:
        if name not in posterior.data_vars:
            raise ConfigurationError(
                "no such parameter",
                field="names",
                expected=f"some of {', '.join(map(str, posterior.data_vars))}",
                got=name,
            )
    sizes = {name: _scalars(posterior[name]) for name in chosen}
    counter = _Counter(sum(sizes.values()), progress)
    return tuple(_variable_statistics(posterior[name], probability, kind, counter) for name in chosen)


def summarise(
    trace: Any,
    *,
    names: Iterable[str] | None = None,
    probability: float = 0.9,
    kind: IntervalKind = "equal_tailed",
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """A table with one row per scalar parameter: mean, sd, mcse_mean, lower, upper, r_hat, ess_bulk, ess_tail.

    The interval's kind and probability stand in the frame's `attrs`. See `trace_statistics` for the arguments.

    Example:
        >>> draws = np.random.default_rng(1).normal(size=(4, 500))
        >>> tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"mu": (("chain", "draw"), draws)})})
        >>> table = summarise(tree, probability=0.5)
        >>> table.index.tolist(), table.attrs
        (['mu'], {'interval_kind': 'equal_tailed', 'interval_probability': 0.5})
    """
    statistics = trace_statistics(trace, names=names, probability=probability, kind=kind, progress=progress)
    frame = pd.DataFrame(
        {column: np.concatenate([getattr(s, column) for s in statistics]) for column in _COLUMNS},
        index=[label for s in statistics for label in parameter_labels(s.variable)],
    )
    frame.attrs = {"interval_kind": kind, "interval_probability": probability}
    return frame


def interval(draws: Floats, *, probability: float, kind: IntervalKind) -> tuple[Floats, Floats]:
    """The interval of each row of draws.

    Args:
        draws: Shape (row, draw).
        probability: Probability the interval holds, between 0 and 1.
        kind: `equal_tailed` or `highest_density`; the second is the shortest interval of that many draws and equals
            `arviz.hdi`.

    Returns:
        The lower and the upper ends, each of shape (row,); NaN for rows with draws that are not finite.

    Example:
        >>> lower, upper = interval(np.arange(101.0)[None], probability=0.9, kind="equal_tailed")
        >>> round(float(lower[0]), 9), round(float(upper[0]), 9)
        (5.0, 95.0)
    """
    check_interval(probability, kind)
    ordered = np.sort(np.asarray(draws, dtype=np.float64), axis=1)
    n_draws = ordered.shape[1]
    if kind == "equal_tailed":
        tail = (1 - probability) / 2
        lower, upper = (
            (ordered[:, 0], ordered[:, 0])
            if n_draws == 1
            else (quantile_of_sorted(ordered, tail), quantile_of_sorted(ordered, 1 - tail))
        )
    else:
        inside = int(np.floor(probability * n_draws))
        with np.errstate(invalid="ignore"):
            best = np.argmin(ordered[:, inside:] - ordered[:, : n_draws - inside], axis=1)
        rows = np.arange(ordered.shape[0])
        lower, upper = ordered[rows, best], ordered[rows, best + inside]
    usable = np.isfinite(ordered).all(axis=1)
    return np.where(usable, lower, np.nan), np.where(usable, upper, np.nan)


def check_interval(probability: float, kind: str) -> None:
    """Refuse an interval that is not one.

    Raises:
        ConfigurationError: naming `probability` or `kind`.
    """
    check_probability(probability, field="probability")
    if kind not in ("equal_tailed", "highest_density"):
        raise ConfigurationError(
            "not a kind of interval", field="kind", expected="'equal_tailed' or 'highest_density'", got=kind
        )


def parameter_blocks(variable: xr.DataArray) -> Iterator[Floats]:
    """A variable's draws in blocks of shape (scalar, chain, draw), in the order of the flattened trailing dimensions.

    Args:
        variable: Draws with dims (chain, draw, ...), read block by block where they lie in a file.
    """
    n_chains, n_draws, *trailing = variable.shape
    if not trailing:
        yield np.asarray(variable.values, dtype=np.float64)[None]
        return
    rest = int(np.prod(trailing[1:], dtype=np.int64))
    step = max(1, READ_ELEMENTS // max(1, n_chains * n_draws * rest))
    for start in range(0, trailing[0] if rest else 0, step):
        values = variable[:, :, start : start + step].values.reshape(n_chains, n_draws, -1)
        yield np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float64)


class _Counter:
    """Counts finished parameters and says so."""

    def __init__(self, total: int, progress: ProgressCallback) -> None:
        self._total, self._done, self._progress = total, 0, progress

    def add(self, parameters: int) -> None:
        self._done += parameters
        self._progress(ProgressEvent("summarise", self._done, self._total, "parameters"))


def _scalars(variable: xr.DataArray) -> int:
    return int(np.prod([size for dim, size in variable.sizes.items() if dim not in ("chain", "draw")], dtype=np.int64))


def _variable_statistics(
    variable: xr.DataArray, probability: float, kind: IntervalKind, counter: _Counter
) -> ParameterStatistics:
    ordered = variable.transpose("chain", "draw", ...)
    if ordered.dtype.kind not in "iufb":
        raise ConfigurationError(
            "not numeric", field=str(variable.name), expected="numeric draws", got=str(ordered.dtype)
        )
    workers = min(4, os.cpu_count() or 1)
    columns: list[tuple[Floats, ...]] = []
    with ThreadPoolExecutor(workers) as pool:
        for block in parameter_blocks(ordered):
            step = max(1, WORK_ELEMENTS // max(1, block[0].size))
            pieces = [block[start : start + step] for start in range(0, len(block), step)]
            columns.extend(pool.map(lambda piece: _piece_statistics(piece, probability, kind), pieces))
            counter.add(len(block))
    joined = [np.concatenate(parts) for parts in zip(*columns, strict=True)] if columns else [np.empty(0)] * 10
    return ParameterStatistics(ordered, *joined[:8], joined[8].astype(np.int64), joined[9].astype(bool))


def _piece_statistics(piece: Floats, probability: float, kind: IntervalKind) -> tuple[Floats, ...]:
    flat = piece.reshape(len(piece), -1)
    non_finite = flat.shape[1] - np.isfinite(flat).sum(axis=1)
    constant = (flat == flat[:, :1]).all(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = flat.mean(axis=1)
        sd = flat.std(axis=1, ddof=1) if flat.shape[1] > 1 else np.full(len(flat), np.nan)
        error = mcse_mean(piece) if flat.shape[1] > 1 else sd
    ranks = rank_statistics(piece)
    lower, upper = interval(flat, probability=probability, kind=kind)
    return mean, sd, error, lower, upper, ranks.r_hat, ranks.ess_bulk, ranks.ess_tail, non_finite, constant
