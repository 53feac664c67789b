"""Pictures of a posterior: traces, ranks by chain, and densities with the prior behind them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import special

from modelwright.bayesian.diagnostics.drawing import (
    INK,
    MUTED,
    PALE,
    PALETTE,
    density_curve,
    draw_picture,
    name_axes,
    thinned_line,
)
from modelwright.bayesian.diagnostics.groups import find_group, need_group, parameter_label
from modelwright.bayesian.diagnostics.summaries import IntervalKind, interval
from modelwright.core.errors import DataError
from modelwright.core.sections import Picture

RANK_BINS = 20
MOST_CHAINS = 8
"""Chains drawn at most; more lines than colours tell nobody anything."""

Floats = NDArray[np.float64]


def trace_picture(trace: Any, parameters: Iterable[tuple[str, int]]) -> Picture:
    """For each parameter the density of every chain and its draws in order.

    Args:
        trace: A trace with a posterior.
        parameters: (variable, position in its flattened dimensions) pairs, one row each.
    """
    chosen = _draws_of(trace, parameters)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(chosen), 2, squeeze=False, width_ratios=[1, 2.6])
        for (label, draws), (left, right) in zip(chosen, grid, strict=True):
            finite = draws[np.isfinite(draws)]
            low, high = _range(finite)
            for chain, values in enumerate(draws[:MOST_CHAINS]):
                colour = PALETTE[chain % len(PALETTE)]
                usable = values[np.isfinite(values)]
                if usable.size > 1:
                    left.plot(*density_curve(usable, low=low, high=high), color=colour, linewidth=1.1)
                right.plot(*thinned_line(values), color=colour, linewidth=0.5, alpha=0.85)
            left.set(yticks=[], ylim=(0, None), xlim=(low, high))
            left.spines["left"].set_visible(False)
            right.set_ylim(low, high)
            right.margins(x=0.01)
            name_axes(left, title=label)
        grid[-1, 0].set_xlabel("value")
        grid[-1, 1].set_xlabel("draw after tuning")

    count = chosen[0][1].shape[0]
    return draw_picture(
        "trace_plots",
        "Traces",
        draw,
        width=7.2,
        height=0.5 + 1.15 * len(chosen),
        alt=f"Density and draws of {count} chains for {', '.join(label for label, _ in chosen)}",
        caption="One colour per chain. Chains that agree have the same density and wander over the same range.",
    )


def rank_picture(trace: Any, parameters: Iterable[tuple[str, int]]) -> Picture:
    """For each parameter the histogram, by chain, of the ranks of its draws among all chains' draws.

    If all chains have the same distribution, every bin of every chain holds the same number of draws up to chance.

    Source: Vehtari et al. (2021), https://arxiv.org/abs/1903.08008, section 4.3.
    """
    chosen = _draws_of(trace, parameters)
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(chosen) :]:
            axes.set_axis_off()
        for (label, draws), axes in zip(chosen, grid.flat, strict=False):
            counts = rank_histogram(draws)
            expected = draws.shape[1] / RANK_BINS
            low, high = (binomial_quantile(p, draws.shape[1], 1 / RANK_BINS) for p in (0.005, 0.995))
            axes.axhspan(low, high, color=PALE, linewidth=0)
            axes.axhline(expected, color=MUTED, linewidth=0.8)
            edges = np.linspace(0, draws.size, RANK_BINS + 1)
            for chain, heights in enumerate(counts[:MOST_CHAINS]):
                axes.stairs(heights, edges, baseline=None, color=PALETTE[chain % len(PALETTE)], linewidth=1.1)
            axes.set(xlim=(0, draws.size), ylim=(0, max(1.15 * counts.max(), 1.5 * high)))
            axes.set_xticks([0, draws.size // 2, draws.size])
            name_axes(axes, title=label, limit=28)
        for axes in grid[:, 0]:
            axes.set_ylabel("draws per bin")
        for column in range(columns):
            last = max(row for row in range(rows) if row * columns + column < len(chosen))
            grid[last, column].set_xlabel("rank among all draws")

    return draw_picture(
        "rank_plots",
        "Ranks by chain",
        draw,
        width=7.2,
        height=0.4 + 1.75 * rows,
        alt=f"Rank histograms by chain for {', '.join(label for label, _ in chosen)}",
        caption=(
            "One colour per chain. Chains that agree stay level; the grey band holds 99 % of the bins of independent "
            "draws, so slowly mixing chains leave it a little and chains that disagree leave it far."
        ),
    )


def binomial_quantile(probability: float, n: int, share: float) -> int:
    """The smallest k with P(K <= k) >= probability for K ~ Binomial(n, share).

    (Of `scipy.special` alone: importing `scipy.stats` takes as long as drawing two of these pictures.)

    Example:
        >>> binomial_quantile(0.995, 1000, 0.05)
        69
    """
    k = np.arange(n + 1)
    # where a probability is met exactly (the median of an odd number of fair coins), rounding must not take the next k
    return int(np.searchsorted(special.bdtr(k, n, share), probability * (1.0 - 1e-12)))


def rank_histogram(draws: Floats, *, bins: int = RANK_BINS) -> NDArray[np.int64]:
    """How many draws of each chain fall into each of `bins` equal stretches of the joint ranking.

    Args:
        draws: Shape (chain, draw).
        bins: Stretches.

    Returns:
        Shape (chain, bins); each row sums to the number of draws.

    Example:
        >>> rank_histogram(np.array([[1.0, 2.0], [3.0, 4.0]]), bins=2).tolist()
        [[2, 0], [0, 2]]
    """
    known = np.where(np.isnan(draws), np.inf, draws)  # what is not a number is ranked last, as infinities are
    _, which, times = np.unique(known, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(times) - (times - 1) / 2)[which].reshape(draws.shape)  # equal draws share their average rank
    bin_of = np.minimum(((ranks - 0.5) * bins / draws.size).astype(np.int64), bins - 1)
    return np.stack([np.bincount(row, minlength=bins) for row in bin_of])


def posterior_picture(
    trace: Any,
    names: Iterable[str] | None = None,
    *,
    probability: float = 0.9,
    kind: IntervalKind = "equal_tailed",
) -> Picture:
    """The posterior density of each single parameter, with the prior where the trace has a `prior` group.

    Args:
        trace: A trace with a posterior.
        names: Which parameters; by default all that are single numbers, at most twelve.
        probability: Probability of the interval drawn below each density.
        kind: Kind of that interval.

    Raises:
        DataError: when the posterior has no single parameter.
    """
    posterior = need_group(trace, "posterior", todo="sample the model first")
    chosen = list(names) if names is not None else [str(n) for n, v in posterior.data_vars.items() if v.ndim == 2][:12]
    if not chosen:
        raise DataError("there is no single parameter to draw", field="names", expected="at least one scalar parameter")
    prior = find_group(trace, "prior")
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(chosen) :]:
            axes.set_axis_off()
        for name, axes in zip(chosen, grid.flat, strict=False):
            _draw_posterior(axes, name, posterior[name], prior, probability, kind)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))

    words = {"equal_tailed": "equal-tailed", "highest_density": "highest-density"}[kind]
    return draw_picture(
        "hyperparameters",
        "Posterior of the single parameters",
        draw,
        width=2.5 * columns + 0.2 if columns > 1 else 4.0,
        height=0.55 + 1.9 * rows,
        alt=f"Posterior densities of {', '.join(chosen)}",
        caption=f"The bar is the {words} interval of probability {probability:g}; the dot is the posterior mean.",
    )


def _draw_posterior(
    axes: Axes, name: str, posterior: xr.DataArray, prior: xr.Dataset | None, probability: float, kind: IntervalKind
) -> None:
    draws = posterior.values.astype(np.float64).ravel()
    draws = draws[np.isfinite(draws)]
    name_axes(axes, title=name, x="value")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if draws.size < 2:
        axes.text(0.5, 0.5, "no finite draws", ha="center", va="center", transform=axes.transAxes)
        return
    low, high = _range(draws)
    grid, density = density_curve(draws, low=low, high=high)
    axes.fill_between(grid, density, color=PALETTE[0], alpha=0.25, linewidth=0)
    axes.plot(grid, density, color=PALETTE[0], label="posterior")
    if prior is not None and name in prior.data_vars:
        before = prior[name].values.astype(np.float64).ravel()
        axes.plot(*density_curve(before, low=low, high=high), color=PALETTE[1], linestyle="--", label="prior")
    top = float(density.max()) or 1.0
    lower, upper = interval(draws[None], probability=probability, kind=kind)
    axes.plot([lower[0], upper[0]], [-0.05 * top] * 2, color=INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot([draws.mean()], [-0.05 * top], marker="o", markersize=4.5, color=INK)
    axes.set(xlim=(low, high), ylim=(-0.12 * top, None))


def _draws_of(trace: Any, parameters: Iterable[tuple[str, int]]) -> list[tuple[str, Floats]]:
    posterior = need_group(trace, "posterior", todo="sample the model first")
    found = []
    for name, position in parameters:
        variable = posterior[name].transpose("chain", "draw", ...)
        index = np.unravel_index(position, variable.shape[2:])
        values = np.asarray(variable[(slice(None), slice(None), *index)].values, dtype=np.float64)
        found.append((parameter_label(variable, position), values))
    return found


def _range(draws: Floats) -> tuple[float, float]:
    """Where nearly all draws lie, a little widened; far outliers would flatten everything else."""
    if not draws.size:
        return 0.0, 1.0
    low, middle_low, middle_high, high = np.quantile(draws, [0.0, 0.005, 0.995, 1.0])
    room = 0.25 * (middle_high - middle_low)
    low, high = max(low, middle_low - room), min(high, middle_high + room)
    margin = 0.04 * (high - low) or 0.5 * abs(low) or 0.5
    left = max(low - margin, 0.0) if low >= 0 else low - margin  # what is never negative is not drawn below zero
    return float(left), float(high + margin)
