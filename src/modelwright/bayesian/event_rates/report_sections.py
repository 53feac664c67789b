"""The event-rate model's own sections of a report: what went in, the population, the rates, the anomalies."""

from typing import Any

import numpy as np
import pandas as pd

from modelwright.bayesian.diagnostics.convergence import ConvergenceAssessment, rounded
from modelwright.bayesian.diagnostics.figures import posterior_picture
from modelwright.bayesian.event_rates.anomaly import rank_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.figures import anomalies_picture, scores_picture, shrinkage_picture
from modelwright.bayesian.event_rates.names import hyperparameters
from modelwright.core.sections import Cell, Section, Table
from modelwright.core.verdict import Finding, Grade
from modelwright.data.events import EventCounts

TOP_ROWS = 20
RATE_ROWS = 10

_MEANING = {
    "mu": "mean rate of the population, events per unit of exposure",
    "alpha": "rate of the population's Gamma distribution: the larger, the more alike the entities",
    "phi": "concentration of the counts: variance = mean + mean^2 / phi",
}


def data_section(data: EventCounts) -> Section:
    """What the model was trained on, and what was left out."""
    facts = data.describe()
    shown = (
        ("entities", facts["n_entities"]),
        ("windows", facts["n_obs"]),
        ("events", facts["events"]),
        ("mean count per window", rounded(facts["mean_count"])),
        ("largest count", facts["largest_count"]),
        ("windows without events", facts["windows_without_events"]),
        ("of them not in the source, counted as zero", facts["source"].get("filled_windows")),
        ("total exposure", rounded(facts["total_exposure"])),
        ("first window", facts["first_window"]),
        ("last window", facts["last_window"]),
        ("length of a window", facts["window"]),
        ("time zone", facts["timezone"]),
        ("known attacks", facts["labelled"]),
    )
    tables = [Table("Data", ("what", "value"), tuple((name, value) for name, value in shown if value is not None))]
    if data.left_out:
        rows = tuple((entry.reason, entry.rows) for entry in data.left_out)
        caption = "Rows of the source that the counts do not contain."
        tables.append(Table("Left out", ("reason", "rows"), rows, caption, headline=True))
        left = f"{sum(entry.rows for entry in data.left_out):,} rows were left out; the reasons are listed."
    else:
        left = "Nothing was left out."
    text = f"{facts['events']:,} events of {facts['n_entities']:,} entities in {facts['n_obs']:,} windows. {left}"
    return Section("Data", (text, *_partly_observed(data)), tuple(tables))


def _partly_observed(data: EventCounts) -> tuple[str, ...]:
    """What a log's first and last window were taken for, since nothing in a log says when its keeping began."""
    if data.window_start is None or "exposure" in data.source.get("columns", {}):
        return ()
    ends = (("first", data.window_start.min()), ("last", data.window_start.max()))
    shares = {name: float(data.exposure[data.window_start == start].min()) for name, start in ends}
    said = [f"the {name} window was observed to {share:.0%}" for name, share in shares.items() if share < 1]
    if not said:
        return ()
    return (
        f"By the first and last event of the log, {' and '.join(said)}, and less is expected in it accordingly. "
        "A log that holds whole windows should be read so: edge_windows=whole.",
    )


def population_section(trace: Any, assessment: ConvergenceAssessment, config: ModelConfig) -> Section:
    """What the population's parameters are and what they mean."""
    by_name = {entry.name: entry for entry in assessment.statistics}
    names = hyperparameters(config.likelihood)
    rows = []
    for name in names:
        entry = by_name[name]
        figures = (float(getattr(entry, part)[0]) for part in ("mean", "sd", "lower", "upper"))
        rows.append((name, *(rounded(value) for value in figures), _MEANING[name]))
    columns = ("parameter", "mean", "sd", "lower 90 %", "upper 90 %", "meaning")
    mu, alpha = (np.asarray(trace.posterior[name].values, float) for name in ("mu", "alpha"))
    scaled = config.parameterization == "mean_scaled"
    variation = float(np.mean(1 / np.sqrt(alpha if scaled else mu * alpha)))
    form = "1/sqrt(alpha)" if scaled else "1/sqrt(mu alpha)"
    text = [
        f"The rates of the entities have mean {mu.mean():.3g} and a standard deviation of {100 * variation:.0f} % "
        f"of it (the coefficient of variation, {form})."
    ]
    if scaled:
        text.append("The rates' prior is theta = mu Gamma(alpha, alpha), another one than Gamma(mu alpha, alpha).")
    if "phi" in names:
        phi = float(by_name["phi"].mean[0])
        text.append(
            f"At the mean rate a whole window's count has variance {mu.mean() + mu.mean() ** 2 / phi:.3g}, "
            f"{1 + mu.mean() / phi:.3g} times that of a Poisson count."
        )
    table = Table("Population", columns, tuple(rows), "Posterior; intervals are equal-tailed.")
    return Section("Population", tuple(text), (table,), (posterior_picture(trace, names),))


def rates_section(rates: pd.DataFrame, population_mean: float) -> Section:
    """How the entities' rates were pulled together, and the highest of them."""
    top = rates.sort_values("mean", ascending=False, kind="stable").head(RATE_ROWS)
    names = ("windows", "total", "raw_rate", "mean", "lower", "upper")
    rows = tuple((str(row["entity"]), *(_cell(row[name]) for name in names)) for _, row in top.iterrows())
    columns = ("entity", "windows", "events", "raw rate", "mean", "lower 90 %", "upper 90 %")
    table = Table(
        "Highest rates", columns, rows, f"The {len(rows)} highest of {len(rates)}; all are in the table 'rates'."
    )
    text = "Each rate is a compromise between the entity's own events and the population, by how much it was observed."
    return Section("Rates of the entities", (text,), (table,), (shrinkage_picture(rates, population_mean),))


def anomalies_section(scores: pd.DataFrame, evaluation: dict[str, Any] | None, k_hat: Finding) -> Section:
    """The most surprising windows and, where attacks are known, how well the ranking finds them."""
    ranked = rank_windows(scores, top=TOP_ROWS)
    names = ["rank", "entity", "window", "count", "expected", "lower", "upper", "score", "tail_probability", "k_hat"]
    names += [name for name in ("label", "kind") if name in ranked]
    rows = tuple(tuple(_cell(row[name]) for name in names) for _, row in ranked.iterrows())
    heading = {"tail_probability": "P(at least this many)", "score": "score, nats", "k_hat": "k-hat", "label": "attack"}
    percent = f"{100 * scores.attrs.get('interval', 0.9):g} %"
    heading |= {"lower": f"lower {percent}", "upper": f"upper {percent}"}
    caption = f"The {len(rows)} most surprising of {len(scores)} windows, each predicted without itself."
    columns = tuple(heading.get(name, name) for name in names)
    tables = [Table("Most surprising windows", columns, rows, caption, headline=True)]
    text = ["A window's score is -log of its probability given all other windows (leave-one-out), in nats."]
    if k_hat.grade is not Grade.GOOD:
        text.append(f"{k_hat.sentence[0].upper()}{k_hat.sentence[1:]}. {k_hat.advice}")
    if evaluation is not None:
        tables.append(_evaluation_table(evaluation))
        if evaluation["pr_auc"] is not None:
            at = str(evaluation["positives"])
            text.append(
                f"Of {evaluation['positives']} known attacks {evaluation['recall_at'][at]:.0%} are among the "
                f"{at} highest scores; the area under the precision-recall curve is {evaluation['pr_auc']:.3f} "
                f"({evaluation['chance']:.3f} by chance)."
            )
    pictures = (anomalies_picture(scores), scores_picture(scores))
    return Section("Anomalies", tuple(text), tuple(tables), pictures)


def reading_section(config: ModelConfig) -> Section:
    """How to read the figures, and what this model cannot see."""
    spread = "" if config.likelihood == "poisson" else " and the concentration phi"
    return Section(
        "How to read this",
        (
            "The score says how surprising a count is, not why. A score of s nats means the model gave the count a "
            "probability of e^-s; compare windows with each other rather than with a fixed limit, since wide "
            "distributions give every count a small probability. P(at least this many) does not depend on that.",
            f"A huge count in one window raises its entity's rate{spread} for all other windows: they are then "
            "predicted too high and too widely. Leaving out works one window at a time; after confirming an anomaly, "
            "train again without it.",
            "Rates are constant in time here: a daily or weekly rhythm, a trend or a holiday is counted as chance and "
            "widens the intervals. Intervals are equal-tailed.",
        ),
    )


def engine_section(trace: Any) -> Section:
    """Which engine computed the posterior, why that one, and what it kept."""
    facts = trace.posterior.attrs
    engine = facts.get("engine", "unknown")
    text = [f"Engine: {engine} ({facts['engine_reason']})." if "engine_reason" in facts else f"Engine: {engine}."]
    if "reason" in facts:
        text.append(f"Hyperparameters: {facts['reason']}.")
    if "rates" in facts:
        kept = "draws of every rate are kept" if facts["rates"] == "draws" else "rates are kept as summaries"
        text.append(f"Rates: {kept} ({facts['rates_reason']}).")
    replicated = getattr(trace, "posterior_predictive", None)
    if replicated is not None and not replicated.attrs.get("complete", 1):
        text.append(
            f"Predictive checks and pointwise likelihoods are of {replicated.sizes['obs']:,} windows, those of "
            "entities drawn at random; scores and rates are of all."
        )
    seconds = facts.get("sampling_seconds")
    if seconds is not None:
        text.append(f"Sampling took {rounded(float(seconds), 3)} s.")
    return Section("How it was computed", tuple(text))


def _evaluation_table(evaluation: dict[str, Any]) -> Table:
    rows = []
    for kind, entry in (("all", evaluation), *evaluation.get("by_kind", {}).items()):
        at = str(entry["positives"])
        recall = entry["recall_at"].get(at)
        rows.append((kind, entry["positives"], _cell(entry["pr_auc"]), _cell(recall), _cell(entry["chance"])))
    columns = ("kind of attack", "attacks", "PR-AUC", "recall among as many", "PR-AUC by chance")
    caption = (
        "For one kind the other kinds are left out; average precision; 'as many' as there are attacks of the kind."
    )
    return Table("Known attacks", columns, tuple(rows), caption, headline=True)


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    return rounded(float(value), 4)
