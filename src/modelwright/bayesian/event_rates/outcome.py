"""What a training of the event-rate model hands over: verdict, figures, report, tables of scores and rates."""

from typing import Any

import numpy as np
import pandas as pd

from modelwright.bayesian.diagnostics.convergence import (
    ConvergenceAssessment,
    assess_convergence,
    convergence_section,
    rounded,
)
from modelwright.bayesian.diagnostics.model_graph import Node, Plate, model_graph_svg
from modelwright.bayesian.diagnostics.predictive_checks import predictive_check, predictive_section
from modelwright.bayesian.event_rates import report_sections as sections
from modelwright.bayesian.event_rates.anomaly import ranking_score, score_training_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.evaluation import evaluate_ranking
from modelwright.bayesian.event_rates.names import hyperparameters
from modelwright.bayesian.event_rates.pareto_smoothing import FEWEST_DRAWS, k_hat_limit
from modelwright.bayesian.event_rates.posterior_draws import statistics_in
from modelwright.bayesian.event_rates.prior_predictive import (
    PriorPredictive,
    prior_predictive_section,
    prior_predictive_summary,
)
from modelwright.bayesian.event_rates.rates_table import rates_table
from modelwright.bayesian.event_rates.statistics import SufficientStatistics, statistics_of
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.sections import Cell, Picture, Section, TrainingOutcome, WrittenLater
from modelwright.core.verdict import Finding, Grade, Verdict
from modelwright.data.events import EventCounts

PROBLEM_SHARE = 0.05
"""Share of windows whose leave-one-out average cannot be relied on from which the scores as a whole are a problem."""


def event_rates_outcome(
    trace: Any,
    data: EventCounts,
    config: ModelConfig,
    *,
    statistics: SufficientStatistics | None = None,
    prior: PriorPredictive | None = None,
    progress: ProgressCallback = ignore_progress,
) -> TrainingOutcome:
    """Judge a fitted event-rate model, score its training windows and write its part of the report.

    Args:
        trace: What `fit_event_rates` returned.
        data: What it was trained on.
        config: How.
        statistics: Those of `data`, from one who has just trained on them; otherwise they are compared to the trace's.
        prior: What was expected before; drawn again when left out.
        progress: Told about the stages "summarise", "score" and "report".

    Returns:
        verdict (convergence, posterior predictive checks, leave-one-out weights), metrics, sections, tables "scores"
        (one row per window, see `score_training_windows`) and "rates" (one row per entity), documents "data" and, with
        known attacks, "evaluation", and the model graph as a diagram.
    """
    assessment = assess_convergence(trace, progress=progress)
    scores = score_training_windows(trace, data, statistics=statistics, progress=progress)
    statistics = statistics or statistics_in(trace) or statistics_of(data)
    rates = rates_table(trace, statistics, assessment)
    progress(ProgressEvent("report", 0, 1, "parts"))
    check = predictive_check(trace)
    k_hat = k_hat_finding(scores)
    evaluation = evaluate_ranking(ranking_score(scores), data.label, data.kind)
    progress(ProgressEvent("report", 1, 1, "parts"))

    def draw_sections() -> tuple[Section, ...]:
        return (
            sections.data_section(data),
            sections.anomalies_section(scores, evaluation, k_hat),
            sections.rates_section(rates, float(np.mean(trace.posterior["mu"].values))),
            sections.population_section(trace, assessment, config),
            prior_predictive_section(prior or prior_predictive_summary(data, config)),
            predictive_section(trace),
            convergence_section(trace, assessment=assessment),
            sections.engine_section(trace),
            sections.reading_section(config),
        )

    return TrainingOutcome(
        trace=trace,
        verdict=Verdict.of([*assessment.verdict.findings, *check.findings, k_hat]),
        metrics=_metrics(trace, data, config, assessment, scores, evaluation),
        sections=WrittenLater(draw_sections),  # drawn while the tables are packed
        tables={"scores": scores, "rates": rates},
        documents={
            "data": data.describe(),
            **({"evaluation": evaluation} if evaluation is not None else {}),
        },
        diagrams=(model_picture(data, config),),
    )


def k_hat_finding(scores: pd.DataFrame) -> Finding:
    """Whether the leave-one-out scores can be relied on, from their k-hat and the number of draws in `attrs`."""
    limit = k_hat_limit(scores.attrs["draws"])
    largest = float(scores["k_hat"].max())
    above = int((scores["k_hat"] > limit).sum())
    if scores.attrs["draws"] < FEWEST_DRAWS:
        few = "a single draw" if scores.attrs["draws"] == 1 else f"{scores.attrs['draws']} draws"
        return Finding(
            "k_hat_max",
            "largest k-hat of the leave-one-out scores",
            None,
            Grade.PROBLEM,
            f"needs at least {FEWEST_DRAWS} draws",
            f"leave-one-out scores rest on {few}, of which no k-hat can be told",
            f"Take more draws: at least {FEWEST_DRAWS} in all, better 400.",
        )
    words = f"good up to {limit:.2f}, problem when more than {PROBLEM_SHARE:.0%} of the windows lie above"
    label = "largest k-hat of the leave-one-out scores"
    if not above:
        sentence = f"leave-one-out scores are reliable: k-hat is at most {largest:.2f}"
        return Finding("k_hat_max", label, largest, Grade.GOOD, words, sentence)
    worst = scores.loc[scores["k_hat"].idxmax()]
    shown = "infinite" if np.isinf(largest) else f"{largest:.2f}"
    return Finding(
        "k_hat_max",
        label,
        None if np.isinf(largest) else largest,
        Grade.PROBLEM if above > PROBLEM_SHARE * len(scores) else Grade.WARNING,
        words,
        f"the scores of {above} of {len(scores)} windows are unreliable: leaving them out would move the population "
        f"(worst: {worst['entity']}, {worst['window']}, k-hat {shown})",
        "Read these scores as 'very unusual' rather than as exact; take more draws, or train without these windows.",
    )


def model_picture(data: EventCounts, config: ModelConfig) -> Picture:
    """The model as a plate diagram."""
    poisson = config.likelihood == "poisson"
    scaled = config.parameterization == "mean_scaled"
    priors = config.hyperpriors()
    level = next(iter(priors))  # mu, or the shape when that is what has a prior
    gamma = "mu Gamma(alpha, alpha)" if scaled else f"Gamma({'mu alpha' if level == 'mu' else level}, alpha)"
    likelihood = "Poisson(theta exposure)" if poisson else "NegBinomial(theta exposure, phi)"
    nodes = [
        *(Node(name, "latent", prior.formula) for name, prior in priors.items()),
        Node("theta", "latent", gamma, "entity"),
        Node("exposure", "data", "", "window"),
        Node("y", "observed", likelihood, "window"),
    ]
    edges = [(level, "theta"), ("alpha", "theta"), ("theta", "y"), ("exposure", "y")]
    plates = [
        Plate("entity", f"entity, {data.n_entities}"),
        Plate("window", f"window, {data.n_obs} in all", "entity"),
    ]
    svg = model_graph_svg("The event-rate model", nodes, edges + ([] if poisson else [("phi", "y")]), plates)
    parents = "theta and exposure" if poisson else "theta, exposure and phi"
    alt = f"{level} and alpha give each entity's rate theta; {parents} give the counts y"
    return Picture("model", "The model", svg, "svg", alt, "Circles are unknown, the shaded one is observed.")


def _metrics(
    trace: Any,
    data: EventCounts,
    config: ModelConfig,
    assessment: ConvergenceAssessment,
    scores: pd.DataFrame,
    evaluation: dict[str, Any] | None,
) -> dict[str, Cell]:
    found: dict[str, Cell] = {
        "n_entities": data.n_entities,
        "n_obs": data.n_obs,
        "events": int(data.count.sum()),
    }
    by_name = {entry.name: entry for entry in assessment.statistics}
    for name in hyperparameters(config.likelihood):
        for part in ("mean", "lower", "upper"):
            found[f"{name}_{part}"] = float(getattr(by_name[name], part)[0])
    for finding in assessment.verdict.findings:
        found[finding.name] = finding.value
    score = scores["score"].to_numpy(float)
    found["elpd_loo_integrated"] = float(-score.sum())
    found["elpd_loo_integrated_se"] = float(np.sqrt(len(score) * score.var()))
    found["k_hat_max"] = rounded(float(scores["k_hat"].max()))
    if evaluation is not None:
        found["attacks"] = evaluation["positives"]
        found["pr_auc"] = evaluation["pr_auc"]
        found["recall_at_attacks"] = evaluation["recall_at"].get(str(evaluation["positives"]))
        for kind, entry in evaluation.get("by_kind", {}).items():
            found[f"pr_auc_{kind}"] = entry["pr_auc"]
    found["engine"] = trace.attrs.get("engine")
    found["method"] = trace.posterior.attrs.get("method")
    found["sampling_seconds"] = trace.posterior.attrs.get("sampling_seconds")
    return found
