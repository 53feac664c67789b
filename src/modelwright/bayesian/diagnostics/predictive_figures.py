"""The picture of a predictive check: how often each count occurs, observed and replicated, and the four statistics."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from modelwright.bayesian.diagnostics.drawing import INK, PALE, PALETTE, draw_picture, name_axes
from modelwright.bayesian.diagnostics.predictive_checks import STATISTICS, PredictiveCheck, p_value_words
from modelwright.core.sections import Picture

MOST_BINS = 24
MOST_REPLICATIONS = 500
"""Replications behind the bands; more would not change the picture."""

Floats = NDArray[np.float64]


def predictive_picture(check: PredictiveCheck) -> Picture:
    """Bars for the observed data, the 90 % band of the replications on top, and each statistic's distribution.

    The upper axis is a rootogram: heights on a square-root scale, on which the chance error of a count is about equal
    everywhere, so that rare and frequent values can be judged alike.
    """
    every = -(-len(check.replications) // MOST_REPLICATIONS)
    some = check.replications[::every]
    edges, labels = bin_edges(check.observed, some)
    observed = bin_counts(check.observed[None], edges)[0]
    low, middle, high = np.quantile(bin_counts(some, edges), [0.05, 0.5, 0.95], axis=0)

    def draw(figure: Figure) -> None:
        top, bottom = figure.subfigures(2, 1, height_ratios=[1.7, 1.0])
        axes = top.subplots()
        place = np.arange(len(labels))
        axes.bar(place, observed, width=0.8, color=PALE, edgecolor="none", label="observed")
        axes.bar(
            place, high - low, bottom=low, width=0.5, color=PALETTE[0], alpha=0.35, label="replicated, 90 % of the time"
        )
        axes.hlines(middle, place - 0.25, place + 0.25, color=PALETTE[0], linewidth=1.6, label="replicated, median")
        axes.set_yscale("function", functions=(_root, np.square))
        axes.set_ylim(0, 1.08 * max(float(high.max()), float(observed.max()), 1.0))
        axes.set_yticks(_root_ticks(axes.get_ylim()[1]))
        step = -(-len(labels) // 16)
        axes.set_xticks(place[::step], labels[::step])
        axes.set_xlim(-0.6, len(labels) - 0.4)
        name_axes(axes, x="value", y="observations (root scale)")
        axes.legend(loc="upper right")
        panels = bottom.subplots(1, len(check.statistics), squeeze=False)[0]
        for statistic, panel in zip(check.statistics, panels, strict=True):
            _draw_statistic(panel, statistic.observed, statistic.replicated)
            name_axes(panel, title=STATISTICS[statistic.name], x=f"p {p_value_words(statistic.p_value)}")

    words = "posterior" if check.group == "posterior_predictive" else "prior"
    return draw_picture(
        f"{words}_predictive",
        f"{words.capitalize()} predictive check",
        draw,
        width=7.2,
        height=4.6,
        alt=f"Observed values against the {words} predictive distribution, with mean, spread, zeros and maximum",
        caption=(
            "Grey: how often each value was observed; blue: how often the model would produce it. Below, each "
            "statistic over the replications (blue) and in the data (black line)."
        ),
    )


def bin_edges(observed: Floats, replications: NDArray[Any]) -> tuple[Floats, list[str]]:
    """Bins that suit the values: each small count its own, larger ones in growing stretches; equal widths otherwise.

    Args:
        observed: Shape (obs,).
        replications: Shape (replication, obs).

    Returns:
        Left edges of the bins, the last one open to the right, shape (bin,); and a label for each.

    Example:
        >>> bin_edges(np.array([0.0, 1.0, 2.0]), np.array([[0, 1, 3]]))
        (array([0., 1., 2., 3.]), ['0', '1', '2', '3+'])
    """
    typical = replications[:, : observed.size].max(axis=1)
    top = float(max(observed.max(), np.median(typical[np.isfinite(typical)]) if np.isfinite(typical).any() else 0.0))
    counts = observed.min() >= 0 and bool((observed == np.floor(observed)).all())
    if not counts:
        low = float(observed.min())
        edges = np.linspace(low, max(top, low + 1e-9), MOST_BINS + 1)[:-1]
        edges[0] = -np.inf  # the first bin is open too: replications may lie below every observation
        return edges, [f"{edge:.3g}" for edge in np.linspace(low, top, MOST_BINS + 1)[:-1]]
    if top < MOST_BINS:
        edges = np.arange(top + 1)
    else:
        edges = np.unique(np.concatenate([np.arange(6), np.round(np.geomspace(6, top, MOST_BINS - 6))]))
    upper = np.append(edges[1:] - 1, np.inf)
    labels = [
        f"{low:.0f}" if low == high else f"{low:.0f}+" if np.isinf(high) else f"{low:.0f}–{high:.0f}"
        for low, high in zip(edges, upper, strict=True)
    ]
    return edges.astype(np.float64), labels


_TALLIED = 100_000
"""Whole numbers below are counted value by value first."""


def bin_counts(rows: NDArray[Any], edges: Floats) -> NDArray[np.int64]:
    """How many values of each row fall into each bin, shape (row, bin); see `bin_edges`.

    Example:
        >>> bin_counts(np.array([[0, 0, 2, 9]]), np.array([0.0, 1.0, 2.0])).tolist()
        [[2, 0, 2]]
    """
    if rows.dtype.kind in "iu" and rows.size and rows.min() >= 0 and rows.max() < _TALLIED:
        bin_of = np.maximum(np.searchsorted(edges, np.arange(int(rows.max()) + 1), side="right") - 1, 0)
        tallies = (np.bincount(row, minlength=len(bin_of)) for row in rows)  # a bin per value, not per number
        return np.stack([np.bincount(bin_of, tally, minlength=len(edges)) for tally in tallies]).astype(np.int64)
    found = np.searchsorted(edges, rows, side="right") - 1
    return np.stack([np.bincount(np.maximum(row, 0), minlength=len(edges)) for row in found])


def _draw_statistic(axes: Axes, observed: float, replicated: Floats) -> None:
    replicated = replicated[np.isfinite(replicated)]
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if replicated.size:
        low, high = np.quantile(replicated, [0.0, 0.995])
        low, high = min(low, observed), max(high, observed)
        room = 0.05 * (high - low) or 0.5
        axes.hist(replicated, bins=30, range=(low - room, high + room), color=PALETTE[0], alpha=0.5)
    axes.axvline(observed, color=INK, linewidth=1.8)
    axes.locator_params(axis="x", nbins=3)


def _root(values: Floats) -> Floats:
    return np.sqrt(np.maximum(values, 0.0))


def _root_ticks(top: float) -> Floats:
    """Round heights that are about equally spaced on the root scale."""
    raw = np.square(np.linspace(0, np.sqrt(top), 6))
    size = 10.0 ** np.floor(np.log10(np.maximum(raw, 1.0)))
    ticks = np.unique(np.round(raw / size * 2) / 2 * size)
    return ticks[(ticks == np.floor(ticks)) & (ticks <= top)]
