"""An extended model's own sections of a report: its parameters with their meaning, and the course of the drift."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from modelwright.bayesian.diagnostics.convergence import ConvergenceAssessment, rounded
from modelwright.bayesian.diagnostics.drawing import PALETTE, draw_picture, name_axes
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, THETA
from modelwright.core.sections import Cell, Picture, Section, Table

PER_ENTITY_OR_WINDOW = frozenset({THETA, names.NU, names.LOG_DEVIATION, names.DRIFT})
"""What there is too much of for a table of parameters."""

MEANINGS = {
    MU: "mean rate at the average covariates, events per unit of exposure",
    ALPHA: "rate of the population's Gamma distribution: the larger, the more alike the entities",
    PHI: "concentration of the counts: variance = mean + mean^2 / phi",
    names.PSI: "probability that a window is active",
    names.RHO: "correlation of an entity's log deviations in neighbouring windows",
    names.TAU: "standard deviation of a log deviation",
    names.DRIFT_SCALE: "scale of the drift common to all entities, in log rate",
    names.RATE_SD: "standard deviation of the log rates of the population",
    names.VOLUME_MEAN: "mean log volume per event over the population",
    names.VOLUME_SD: "its standard deviation over the population",
    names.SIGMA: "standard deviation of a window's log volume around its entity's",
    names.CORRELATION: "correlation of log rate and log volume per event",
}

_SENTENCES = {
    names.COVARIATES: "A coefficient b multiplies rates by e^b: per standard deviation of a number, or against the "
    "mean over the values of a text.",
    names.TEMPORAL: "Each window's rate deviates from its entity's usual one by a factor that carries over into the "
    "next windows (rho) with spread tau.",
    names.VOLUMES: "Rates are log-normal here, so that they can correlate with the volume per event.",
    names.ZERO_INFLATION: "A window is active with probability psi; one that is not has no events whatever the rate.",
    names.DRIFT: "A factor common to all entities moves with the windows, so that what happens to everybody is "
    "nobody's anomaly.",
}


def parameters_section(trace: Any, assessment: ConvergenceAssessment, extensions: Extensions) -> Section:
    """Every parameter of the population and of the extensions, with its interval."""
    columns = ("parameter", "mean", "sd", "lower 90 %", "upper 90 %", "meaning")
    caption = "Posterior; intervals are equal-tailed."
    table = Table(
        "Population and extensions", columns, tuple(parameter_rows(trace, assessment)), caption, headline=True
    )
    text = tuple(_SENTENCES[name] for name in extensions.chosen)
    pictures = (drift_picture(trace),) if names.DRIFT in trace.posterior else ()
    return Section("Population and extensions", text, (table,), pictures)


def parameter_rows(trace: Any, assessment: ConvergenceAssessment) -> list[tuple[Cell, ...]]:
    """One row per scalar parameter: name, mean, sd, lower, upper, meaning."""
    rows: list[tuple[Cell, ...]] = []
    for entry in assessment.statistics:
        if entry.name in PER_ENTITY_OR_WINDOW:
            continue
        variable = trace.posterior[entry.name]
        dims = [dim for dim in variable.dims if dim not in ("chain", "draw")]
        labels = [str(label) for label in variable[dims[0]].values] if dims else [entry.name]
        for k, label in enumerate(labels):
            figures = (rounded(float(np.ravel(getattr(entry, part))[k])) for part in ("mean", "sd", "lower", "upper"))
            meaning = MEANINGS.get(entry.name, "change of the log rate" if dims else "")
            rows.append((label, *figures, meaning))
    return rows


def drift_picture(trace: Any) -> Picture:
    """The factor common to all entities, window after window or season by season, with its 90 % band."""
    drift = trace.posterior[names.DRIFT]
    (dimension,) = (str(dim) for dim in drift.dims if dim not in ("chain", "draw"))
    labels = [str(label) for label in drift[dimension].values]
    factor = np.exp(drift.transpose("chain", "draw", dimension).to_numpy().reshape(-1, len(labels)))
    low, middle, high = np.quantile(factor, [0.05, 0.5, 0.95], axis=0)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        place = np.arange(len(labels))
        axes.fill_between(place, low, high, color=PALETTE[0], alpha=0.25, linewidth=0)
        axes.plot(place, middle, color=PALETTE[0], marker="o" if len(labels) <= 40 else None, markersize=3)
        axes.axhline(1.0, color=PALETTE[1], linewidth=0.8)
        shown = place[:: max(1, -(-len(labels) // 8))]
        axes.set_xticks(shown, [labels[k] for k in shown])
        name_axes(axes, x="", y="factor")

    return draw_picture(
        "drift",
        "The drift common to all entities",
        draw,
        width=7.2,
        height=2.6,
        alt=f"The common factor over {len(labels)} windows or seasons with its 90 % band",
        caption="Median and equal-tailed 90 % band of the factor on every entity's rate; 1 is the average.",
    )


def reading_section(extensions: Extensions) -> Section:
    """How to read the figures of an extended model."""
    temporal = (
        "A window is left out with the deviation of its own that it would be free to have."
        if extensions.has(names.TEMPORAL)
        else "Rates are constant in time here but for what the extensions say; the rest counts as chance."
    )
    return Section(
        "How to read this",
        (
            "The score says how surprising a count is given the extensions: what they explain is no surprise. A score "
            "of s nats means the model gave the count a probability of e^-s.",
            temporal,
            "Whether an extension earns its place is for a comparison to say: train with and without it on the same "
            "windows and run modelwright compare.",
        ),
    )
