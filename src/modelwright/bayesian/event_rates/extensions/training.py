"""One training of an extended event-rate model, from what the prior expects to what the run should keep."""

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
from modelwright.bayesian.event_rates.anomaly import ranking_score
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.engines import NOT_COLLAPSIBLE, Rates
from modelwright.bayesian.event_rates.evaluation import evaluate_ranking
from modelwright.bayesian.event_rates.extensions.collapsed_choice import choose_extended_engine
from modelwright.bayesian.event_rates.extensions.collapsed_scores import score_training_windows_collapsed
from modelwright.bayesian.event_rates.extensions.design import design_of
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.prior import extended_prior_predictive
from modelwright.bayesian.event_rates.extensions.rate_summaries import stored_summaries
from modelwright.bayesian.event_rates.extensions.report_sections import (
    parameter_rows,
    parameters_section,
    reading_section,
)
from modelwright.bayesian.event_rates.extensions.scores import score_training_windows_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions, check_combination
from modelwright.bayesian.event_rates.outcome import k_hat_finding
from modelwright.bayesian.event_rates.prior_predictive import (
    PriorPredictive,
    prior_predictive_lines,
    prior_predictive_section,
)
from modelwright.bayesian.event_rates.rates_table import drawn_rates_table, table_of_rates
from modelwright.bayesian.event_rates.statistics import statistics_of
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.sections import Cell, Section, TrainingOutcome, WrittenLater
from modelwright.core.verdict import Verdict
from modelwright.data.events import EventCounts


def train_extended(
    data: EventCounts,
    config: ModelConfig,
    extensions: Extensions,
    *,
    engine: str = "auto",
    rates: Rates = "auto",
    platform: str = "cpu",
    progress: ProgressCallback = ignore_progress,
) -> TrainingOutcome:
    """Fit an extended model, judge it and score its windows.

    Args:
        data: Counts per entity and window, with the columns, times and volumes that the extensions need.
        config: The base model and how long to sample.
        extensions: What is added.
        engine: Who samples; see `fit_extended`.
        rates: In which form rates are kept; see there.
        platform: "cpu" or "gpu".
        progress: The first event carries what the extended model's prior expects, and the choice of the engine, as a
            note.

    Raises:
        ConfigurationError: for what cannot work together, naming field and reason. DataError: the data cannot be used.
    """
    check_combination(extensions, config, data, engine=engine)
    design = design_of(data, extensions)
    chosen = choose_extended_engine(design, config, extensions, engine=engine, platform=platform)
    prior = extended_prior_predictive(data, config, extensions, design=design)
    added = f"the prior is that of the model with {', '.join(extensions.chosen)}"
    note = "\n".join((*prior_predictive_lines(prior), added, f"engine: {chosen.name} ({chosen.reason})"))
    progress(ProgressEvent("prior", 1, 1, "summary", note=note))
    trace = fit_extended(
        data, config, extensions, engine=chosen.name, rates=rates, platform=platform, progress=progress
    )
    for group in (trace.posterior, trace.sample_stats):
        group.attrs["engine_reason"] = chosen.reason
    return extended_outcome(trace, data, config, extensions, prior=prior, progress=progress)


def extended_outcome(
    trace: Any,
    data: EventCounts,
    config: ModelConfig,
    extensions: Extensions,
    *,
    prior: PriorPredictive | None = None,
    progress: ProgressCallback = ignore_progress,
) -> TrainingOutcome:
    """What a training of an extended model hands over; the same tables as `event_rates_outcome`.

    Args:
        trace: What `fit_extended` returned.
        data: What it was trained on.
        config: The base model.
        extensions: What was added.
        prior: What was expected before; drawn again when left out.
        progress: Told about the stages "summarise", "score" and "report".
    """
    assessment = assess_convergence(trace, progress=progress)
    scores = scores_of_training(trace, data, extensions, progress=progress)
    summaries = stored_summaries(trace)
    statistics = statistics_of(data)
    rates = drawn_rates_table(statistics, assessment) if summaries is None else table_of_rates(statistics, summaries)
    progress(ProgressEvent("report", 0, 1, "parts"))
    check = predictive_check(trace, variable="y")
    k_hat = k_hat_finding(scores)
    evaluation = evaluate_ranking(ranking_score(scores), data.label, data.kind)
    progress(ProgressEvent("report", 1, 1, "parts"))

    def draw_sections() -> tuple[Section, ...]:
        return (
            sections.data_section(data),
            sections.anomalies_section(scores, evaluation, k_hat),
            sections.rates_section(rates, float(np.mean(trace.posterior["mu"].values))),
            parameters_section(trace, assessment, extensions),
            prior_predictive_section(prior or extended_prior_predictive(data, config, extensions)),
            predictive_section(trace, variable="y"),
            convergence_section(trace, assessment=assessment),
            sections.engine_section(trace),
            reading_section(extensions),
        )

    return TrainingOutcome(
        trace=trace,
        verdict=Verdict.of([*assessment.verdict.findings, *check.findings, k_hat]),
        metrics=_metrics(trace, data, extensions, assessment, scores, evaluation),
        sections=WrittenLater(draw_sections),  # drawn while the tables are packed
        tables={"scores": scores, "rates": rates},
        documents={"data": data.describe(), **({"evaluation": evaluation} if evaluation is not None else {})},
    )


def rates_integrate_out(extensions: Extensions) -> bool:
    """Whether every rate can be integrated out, whoever has sampled."""
    return not any(name in NOT_COLLAPSIBLE for name in extensions.chosen)


def scores_of_training(
    trace: Any, data: EventCounts, extensions: Extensions, *, progress: ProgressCallback = ignore_progress
) -> pd.DataFrame:
    """Leave-one-out scores: from the integrals over the rates where there are such, else from the posterior's draws.

    The integrals need draws of the hyperparameters only, so that traces of all engines are scored alike.
    """
    score = score_training_windows_collapsed if rates_integrate_out(extensions) else score_training_windows_extended
    return score(trace, data, extensions, progress=progress)


def _metrics(
    trace: Any,
    data: EventCounts,
    extensions: Extensions,
    assessment: ConvergenceAssessment,
    scores: pd.DataFrame,
    evaluation: dict[str, Any] | None,
) -> dict[str, Cell]:
    found: dict[str, Cell] = {
        "n_entities": data.n_entities,
        "n_obs": data.n_obs,
        "events": int(data.count.sum()),
        "extensions": ", ".join(extensions.chosen),
    }
    for name, mean, _sd, lower, upper, _meaning in parameter_rows(trace, assessment):
        found |= {f"{name}_mean": mean, f"{name}_lower": lower, f"{name}_upper": upper}
    for finding in assessment.verdict.findings:
        found[finding.name] = finding.value
    score = scores["score"].to_numpy(float)
    name = "elpd_loo_integrated" if rates_integrate_out(extensions) else "elpd_loo"
    found[name] = float(-score.sum())
    found[f"{name}_se"] = float(np.sqrt(len(score) * score.var()))
    found["k_hat_max"] = rounded(float(scores["k_hat"].max()))
    if evaluation is not None:
        found["attacks"] = evaluation["positives"]
        found["pr_auc"] = evaluation["pr_auc"]
    found["engine"] = trace.attrs.get("engine")
    found["method"] = trace.posterior.attrs.get("method")
    found["sampling_seconds"] = trace.posterior.attrs.get("sampling_seconds")
    return found
