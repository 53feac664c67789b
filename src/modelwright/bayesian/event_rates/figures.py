"""Pictures of the event-rate model: shrinkage, the top anomalies among their entity's windows, and all scores."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from modelwright.bayesian.diagnostics.drawing import INK, MUTED, PALE, PALETTE, draw_picture, name_axes, shorten
from modelwright.bayesian.event_rates.anomaly import rank_windows
from modelwright.core.sections import Picture

MOST_ENTITIES = 1200
"""Entities drawn in the shrinkage picture; the eye gains nothing from more, and the file stays small."""

MOST_WINDOWS = 180
"""Windows of one entity drawn around its anomaly."""

FEWEST_WINDOWS = 4
"""Below this many windows an entity has no course in time worth drawing."""

_BLUE, _RED, _GREEN = PALETTE[0], PALETTE[1], PALETTE[2]


def shrinkage_picture(rates: pd.DataFrame, population_mean: float) -> Picture:
    """Each entity's raw rate against the posterior mean of its rate.

    Args:
        rates: One row per entity with columns windows, raw_rate and mean (events per unit of exposure).
        population_mean: Posterior mean of mu.
    """
    shown = _thinned_entities(rates)
    raw, mean = shown["raw_rate"].to_numpy(float), shown["mean"].to_numpy(float)
    windows = shown["windows"].to_numpy(float)
    low, high = min(raw.min(), mean.min()), max(raw.max(), mean.max())
    wide = high > 20 * max(float(np.median(rates["raw_rate"])), 1e-12)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if wide:
            width = max(float(np.median(rates["raw_rate"])), 1e-12)
            axes.set_xscale("asinh", linear_width=width)
            axes.set_yscale("asinh", linear_width=width)
        margin = 0.0 if wide else 0.04 * (high - low) + 1e-12
        ends = np.array([max(low - margin, 0.0), high * 1.2 if wide else high + margin])
        axes.plot(ends, ends, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), label="no shrinkage")
        axes.axhline(population_mean, color=_RED, linewidth=1.0, label="population mean")
        # One path for all the sticks and one for each size of dot: a fraction of a scatter's bytes.
        sticks_x, sticks_y = np.repeat(raw, 3), np.stack([raw, mean, np.full(len(raw), np.nan)], axis=1).ravel()
        axes.plot(sticks_x, sticks_y, color=PALE, linewidth=0.8, zorder=1)
        for which, (size, members) in enumerate(_sizes(windows)):
            style = {"markersize": size, "color": _BLUE, "alpha": 0.55, "markeredgewidth": 0, "zorder": 2}
            axes.plot(raw[members], mean[members], "o", label=None if which else "entity", **style)
        axes.set(xlim=ends, ylim=ends)
        name_axes(axes, x="raw rate: events / exposure", y="posterior mean of the rate")
        axes.legend(loc="upper left")

    sizes = (
        f"larger dots have more windows ({int(windows.min())} to {int(windows.max())})"
        if windows.max() > windows.min()
        else f"windows per entity: {int(windows.max())}"
    )
    some = f" {len(shown)} of {len(rates)} entities are drawn, the most shrunken ones among them." * (
        len(shown) < len(rates)
    )
    return draw_picture(
        "shrinkage",
        "Shrinkage of the rates",
        draw,
        width=5.6,
        height=4.6,
        alt=f"Raw rate against posterior mean of the rate for {len(shown)} entities",
        caption=(
            "The distance of a dot from the dashed line is how far the population pulled the entity's rate away from "
            f"its raw mean; few windows or extreme means are pulled more; {sizes}.{some}"
        ),
    )


def anomalies_picture(scores: pd.DataFrame, *, entities: int = 6) -> Picture:
    """The entities of the highest scores, each with its windows, their prediction and what stands out.

    Args:
        scores: A table of scores; entities whose windows are few are drawn as a list instead of a course.
        entities: Most panels.
    """
    ranked = _down_to_entities(scores, entities)
    names = list(dict.fromkeys(ranked["entity"]))[:entities]
    courses = {name: scores[scores["entity"] == name] for name in names}
    if np.median([len(course) for course in courses.values()]) < FEWEST_WINDOWS:
        return _listed_anomalies(ranked)
    threshold = float(ranked["score"].iloc[min(len(ranked), max(len(names), 20)) - 1])
    columns = 2 if len(names) > 1 else 1
    rows = -(-len(names) // columns)
    labelled = "label" in scores and bool(scores["label"].any())

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(names) :]:
            axes.set_axis_off()
        for name, axes in zip(names, grid.flat, strict=False):
            _draw_course(axes, courses[name], threshold)
            best = ranked[ranked["entity"] == name].iloc[0]
            name_axes(
                axes, title=f"{shorten(str(name), limit=24)}: {best['score']:.1f} nats, {best['window']}", limit=64
            )
        for axes in grid[:, 0]:
            axes.set_ylabel("events per window")
        handles, labels = grid.flat[0].get_legend_handles_labels()
        for axes in grid.flat[1 : len(names)]:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                if label not in labels:
                    handles.append(handle)
                    labels.append(label)
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))

    return draw_picture(
        "top_anomalies",
        "The most surprising windows in their entity's course",
        draw,
        width=7.2,
        height=0.5 + 1.65 * rows,
        alt=f"Counts over time of {', '.join(map(str, names))}, with predictive bands; surprising windows are ringed",
        caption=(
            "Blue: what each window was expected to hold, with the equal-tailed predictive interval, both without "
            f"knowing that window. Rings: windows that score at least {threshold:.1f} nats"
            + ("; triangles: known attacks." if labelled else ".")
            + " Counts are drawn on a root scale."
        ),
    )


def _down_to_entities(scores: pd.DataFrame, entities: int) -> pd.DataFrame:
    """The highest windows, ranked, as many as it takes to meet that many entities (or all); at least fifty."""
    top = 50
    while True:
        ranked = rank_windows(scores, top=top)
        if len(ranked) == len(scores) or ranked["entity"].nunique() >= entities:
            return ranked
        top *= 10


def scores_picture(scores: pd.DataFrame) -> Picture:
    """How the scores are distributed, known attacks apart where there are any.

    Args:
        scores: A table of scores.
    """
    score = scores["score"].to_numpy(float)
    label = scores["label"].to_numpy(bool) if "label" in scores else np.zeros(len(score), bool)
    span = (min(float(score.min()), 0.0), float(score.max()) * 1.0001 + 1e-9)
    every, edges = np.histogram(score, 60, span)
    attacked = np.histogram(score[label], 60, span)[0]
    ordinary = every - attacked

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        width = np.diff(edges)
        axes.bar(edges[:-1], ordinary, width, align="edge", color=_BLUE, alpha=0.75, label="windows")
        if label.any():
            axes.bar(edges[:-1], attacked, width, bottom=ordinary, align="edge", color=_RED, label="known attacks")
            axes.legend(loc="upper right")
        _root_axis(axes, float((ordinary + attacked).max()) * 1.05)
        axes.set_xlim(edges[0], edges[-1])
        name_axes(axes, x="score: -log predictive density, nats", y="windows (root scale)")

    return draw_picture(
        "scores",
        "Distribution of the scores",
        draw,
        width=7.2,
        height=2.4,
        alt=f"Histogram of {len(score)} anomaly scores",
        caption="Anomalies stand apart on the right; one nat more is a window 2.7 times less probable.",
    )


def _draw_course(axes: Axes, windows: pd.DataFrame, threshold: float) -> None:
    """One entity: prediction as a band, counts as a line with dots, anomalies ringed, known attacks as triangles."""
    if len(windows) > MOST_WINDOWS:
        centre = int(windows["score"].to_numpy().argmax())
        start = min(max(0, centre - MOST_WINDOWS // 2), len(windows) - MOST_WINDOWS)
        windows = windows.iloc[start : start + MOST_WINDOWS]
    timed = "window_start" in windows and windows["window_start"].notna().all()
    x: Any = windows["window_start"].to_numpy() if timed else np.arange(1, len(windows) + 1)
    count = windows["count"].to_numpy(float)
    strange = windows["score"].to_numpy(float) >= threshold
    axes.fill_between(
        x,
        windows["lower"],
        windows["upper"],
        step="mid",
        color=_BLUE,
        alpha=0.18,
        linewidth=0,
        label=_interval_name(windows),
    )
    axes.step(x, windows["expected"], where="mid", color=_BLUE, linewidth=1.0, label="expected")
    axes.plot(x, count, color=INK, linewidth=0.6, marker="o", markersize=2.0, label="count")
    axes.plot(
        x[strange],
        count[strange],
        "o",
        markersize=8.0,
        markerfacecolor="none",
        markeredgecolor=_RED,
        label="surprising",
    )
    if "label" in windows and windows["label"].any():
        attacked = windows["label"].to_numpy(bool)
        top = max(float(count.max()), float(windows["upper"].max()))
        raised = np.square(np.sqrt(count[attacked]) + 0.09 * np.sqrt(top))
        axes.plot(x[attacked], raised, "v", markersize=4.0, color=_GREEN, label="known attack")
    _root_axis(axes, 1.32 * max(float(count.max()), float(windows["upper"].max()), 1.0))
    if timed:
        locator = AutoDateLocator(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.set_xlabel("window")


def _listed_anomalies(ranked: pd.DataFrame, *, rows: int = 12) -> Picture:
    """The highest scores one below the other: predictive interval, expected count and what was counted."""
    shown = ranked.head(rows).iloc[::-1].reset_index(drop=True)
    place = np.arange(len(shown))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.hlines(
            place, shown["lower"], shown["upper"], color=_BLUE, alpha=0.35, linewidth=7, label=_interval_name(ranked)
        )
        axes.plot(shown["expected"], place, "|", color=_BLUE, markersize=11, markeredgewidth=1.8, label="expected")
        axes.plot(shown["count"], place, "o", color=_RED, markersize=5.5, label="count")
        top = float(max(shown["upper"].max(), shown["count"].max(), 1.0))
        axes.set_xscale("function", functions=(_root, np.square))
        axes.set_xlim(0, 1.05 * top)
        axes.xaxis.set_major_locator(FixedLocator(_root_ticks(1.05 * top).tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_yticks(place, [shorten(str(name), limit=26) for name in shown["entity"]])
        axes.set_ylim(-0.7, len(shown) - 0.3)
        for at, score in zip(place, shown["score"], strict=True):
            axes.annotate(
                f"{score:.1f} nats", (1.0, at), xycoords=("axes fraction", "data"), xytext=(4, 0),
                textcoords="offset points", va="center", color=MUTED, fontsize=8,
            )  # fmt: skip
        name_axes(axes, x="events (root scale)")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)

    return draw_picture(
        "top_anomalies",
        "The most surprising windows",
        draw,
        width=6.4,
        height=1.0 + 0.27 * len(shown),
        alt=f"Count, expected count and predictive interval of the {len(shown)} most surprising windows",
        caption="Each window against what its entity's other windows and the population lead to expect.",
    )


def _sizes(windows: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Up to four sizes of dots, in points, and who has them, by number of windows."""
    edges = np.unique(np.quantile(windows, [0.25, 0.5, 0.75]))
    group = np.searchsorted(edges, windows, side="left") if windows.max() > windows.min() else np.full(len(windows), 1)
    return [(3.2 + 1.5 * float(g), group == g) for g in np.unique(group)]


def _thinned_entities(rates: pd.DataFrame) -> pd.DataFrame:
    if len(rates) <= MOST_ENTITIES:
        return rates
    moved = (rates["raw_rate"] - rates["mean"]).abs().to_numpy()
    most = np.argsort(-moved, kind="stable")[: MOST_ENTITIES // 4]
    others = np.delete(np.arange(len(rates)), most)
    every = others[np.linspace(0, len(others) - 1, MOST_ENTITIES - len(most)).astype(int)]
    return rates.iloc[np.sort(np.concatenate([most, every]))]


def _interval_name(scores: pd.DataFrame) -> str:
    probability = scores.attrs.get("interval")
    return "interval" if probability is None else f"{100 * probability:g} % interval"


def _root_axis(axes: Axes, top: float) -> None:
    axes.set_yscale("function", functions=(_root, np.square))
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(FixedLocator(_root_ticks(top).tolist()))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _root(values: Any) -> Any:
    return np.sqrt(np.maximum(values, 0.0))


def _root_ticks(top: float, *, most: int = 5) -> np.ndarray:
    """Round numbers, zero included, about equally spaced on the root scale.

    Example:
        >>> _root_ticks(200.0).tolist()
        [0.0, 10.0, 50.0, 100.0, 200.0]
    """
    found = [0.0]
    for target in np.square(np.linspace(0, np.sqrt(top), most))[1:]:
        size = 10.0 ** np.floor(np.log10(max(target, 1.0)))
        lead = max(step for step in (1.0, 2.0, 5.0) if step * size <= max(target, 1.0) * 1.0001)
        if lead * size > found[-1]:
            found.append(lead * size)
    return np.array(found)
