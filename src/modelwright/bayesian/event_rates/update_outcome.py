"""What an update of the event-rate model hands over: the new windows, twice judged, and everybody's rates."""

from typing import Any

import numpy as np
import pandas as pd

from modelwright.bayesian.diagnostics.convergence import (
    ConvergenceAssessment,
    assess_convergence,
    convergence_section,
    rounded,
)
from modelwright.bayesian.diagnostics.predictive_checks import predictive_check, predictive_section
from modelwright.bayesian.event_rates import report_sections as sections
from modelwright.bayesian.event_rates.anomaly import rank_windows, ranking_score, score_new_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.evaluation import evaluate_ranking
from modelwright.bayesian.event_rates.names import hyperparameters
from modelwright.bayesian.event_rates.outcome import k_hat_finding, model_picture
from modelwright.bayesian.event_rates.rates_table import rates_table
from modelwright.bayesian.event_rates.streaming import Folded
from modelwright.bayesian.event_rates.update_scores import score_windows_within
from modelwright.bayesian.event_rates.windows_seen import stored
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.sections import Cell, Section, Table, TrainingOutcome, WrittenLater
from modelwright.core.verdict import Verdict

ON_ARRIVAL = "scores_on_arrival"
"""The table of the new windows' scores under what was known before them."""

TOP_ROWS = 20


def update_outcome(
    before: Any, trace: Any, folded: Folded, config: ModelConfig, *, progress: ProgressCallback = ignore_progress
) -> TrainingOutcome:
    """Judge an updated model, score the new windows before and after, and write the report.

    Args:
        before: The trace that the update started from.
        trace: What `fit_folded` returned.
        folded: Old and new windows.
        config: The model.
        progress: Told about the stages "summarise", "score" and "report".

    Returns:
        verdict, metrics and sections as `event_rates_outcome` does; tables "scores_on_arrival" (the new windows under
        what was known before them), "scores" (the same windows left out of what is known now), "rates" (every entity)
        and what the next update needs.
    """
    assessment = assess_convergence(trace, progress=progress)
    arrived = score_new_windows(before, folded.arrived, progress=progress)
    scores = score_windows_within(trace, folded.windows, progress=progress)
    rates = rates_table(trace, folded.statistics, assessment)
    progress(ProgressEvent("report", 0, 1, "parts"))
    check = predictive_check(trace)
    k_hat = k_hat_finding(scores)
    evaluation = evaluate_ranking(ranking_score(scores), folded.windows.label, folded.windows.kind)
    progress(ProgressEvent("report", 1, 1, "parts"))

    def draw_sections() -> tuple[Section, ...]:
        return (
            new_windows_section(arrived, folded),
            sections.data_section(folded.windows),
            sections.anomalies_section(scores, evaluation, k_hat),
            sections.rates_section(rates, float(np.mean(trace.posterior["mu"].values))),
            sections.population_section(trace, assessment, config),
            predictive_section(trace),
            convergence_section(trace, assessment=assessment),
            sections.engine_section(trace),
            sections.reading_section(config),
        )

    tables, documents = stored(folded.seen)
    return TrainingOutcome(
        trace=trace,
        verdict=Verdict.of([*assessment.verdict.findings, *check.findings, k_hat]),
        metrics=_metrics(trace, folded, config, assessment, arrived, scores, evaluation),
        sections=WrittenLater(draw_sections),  # drawn while the tables are packed
        tables={"scores": scores, ON_ARRIVAL: arrived, "rates": rates, **tables},
        documents={
            "data": folded.windows.describe(),
            **documents,
            **({"evaluation": evaluation} if evaluation is not None else {}),
        },
        diagrams=(model_picture(folded.windows, config),),
    )


def new_windows_section(arrived: pd.DataFrame, folded: Folded) -> Section:
    """The new windows as they looked to what was known before them."""
    ranked = rank_windows(arrived).head(TOP_ROWS)
    columns = {
        "rank": "rank",
        "entity": "entity",
        "window": "window",
        "count": "count",
        "exposure": "exposure",
        "expected": "expected",
        "lower": "lower 90 %",
        "upper": "upper 90 %",
        "score": "score, nats",
        "tail_probability": "P(at least this many)",
        "known_entity": "known",
        "label": "attack",
        "kind": "kind",
    }
    shown = [name for name in columns if name in ranked and (name != "exposure" or (ranked[name] != 1).any())]
    rows = tuple(tuple(_cell(value) for value in row) for row in ranked[shown].itertuples(index=False))
    caption = f"The {len(rows)} most surprising of {len(arrived)} new windows, under what was known before them."
    table = Table("Most surprising new windows", tuple(columns[name] for name in shown), rows, caption, headline=True)
    known = folded.statistics.n_obs
    text = [
        f"{len(arrived):,} new windows with {int(arrived['count'].sum()):,} events were taken in; the model now rests "
        f"on {known:,} windows of {folded.statistics.n_entities:,} entities. The old windows are known by their sums.",
        "Scores here are -log of the probability that the model gave a count before it had seen any of the new "
        "windows. Further down the same windows are scored against all others, old and new.",
    ]
    if folded.completed:
        text.append(
            f"A window that had been cut off was completed for {folded.completed:,} entities; only what is new of it "
            "is scored here."
        )
    return Section("New windows", tuple(text), (table,))


def _metrics(
    trace: Any,
    folded: Folded,
    config: ModelConfig,
    assessment: ConvergenceAssessment,
    arrived: pd.DataFrame,
    scores: pd.DataFrame,
    evaluation: dict[str, Any] | None,
) -> dict[str, Cell]:
    found: dict[str, Cell] = {
        "n_entities": folded.statistics.n_entities,
        "n_obs": folded.statistics.n_obs,
        "events": int(folded.statistics.total.sum()),
        "new_windows": len(arrived),
        "new_events": int(arrived["count"].sum()),
    }
    by_name = {entry.name: entry for entry in assessment.statistics}
    for name in hyperparameters(config.likelihood):
        for part in ("mean", "lower", "upper"):
            found[f"{name}_{part}"] = float(getattr(by_name[name], part)[0])
    for finding in assessment.verdict.findings:
        found[finding.name] = finding.value
    found["elpd_on_arrival"] = float(-arrived["score"].sum())
    found["elpd_loo_integrated_of_new"] = float(-scores["score"].sum())
    found["k_hat_max"] = rounded(float(scores["k_hat"].max()))
    if evaluation is not None:
        found["attacks"] = evaluation["positives"]
        found["pr_auc"] = evaluation["pr_auc"]
        found["recall_at_attacks"] = evaluation["recall_at"].get(str(evaluation["positives"]))
    found["engine"] = trace.attrs.get("engine")
    found["method"] = trace.posterior.attrs.get("method")
    found["sampling_seconds"] = trace.posterior.attrs.get("sampling_seconds")
    return found


def _cell(value: Any) -> Cell:
    plain = value.item() if hasattr(value, "item") else value
    return rounded(plain) if isinstance(plain, float) else plain
