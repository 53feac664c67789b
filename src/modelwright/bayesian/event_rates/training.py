"""One training of the event-rate model, from what the prior expects to what the run should keep; and its updates."""

from dataclasses import replace
from typing import Any

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.engines import Engine, Rates, choose_engine
from modelwright.bayesian.event_rates.fit import fit_groups
from modelwright.bayesian.event_rates.outcome import event_rates_outcome
from modelwright.bayesian.event_rates.posterior_draws import statistics_in
from modelwright.bayesian.event_rates.prior_predictive import (
    PriorPredictive,
    prior_predictive_lines,
    prior_predictive_summary,
)
from modelwright.bayesian.event_rates.statistics import statistics_of
from modelwright.bayesian.event_rates.streaming import fold
from modelwright.bayesian.event_rates.update import fit_folded, remember
from modelwright.bayesian.event_rates.update_outcome import update_outcome
from modelwright.bayesian.event_rates.windows_seen import WindowsSeen
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.sections import TrainingOutcome
from modelwright.data.events import EventCounts


def train_event_rates(
    data: EventCounts,
    config: ModelConfig,
    *,
    engine: Engine = "auto",
    rates: Rates = "auto",
    platform: str = "cpu",
    progress: ProgressCallback = ignore_progress,
) -> TrainingOutcome:
    """Say what the prior expects, fit the model, judge it and score its windows.

    Args:
        data: Counts per entity and window.
        config: The model and how long to sample.
        engine: Who samples; see `fit_event_rates`.
        rates: In which form rates are kept; see there.
        platform: "cpu" or "gpu".
        progress: The first event carries the prior's expectations and the choice of the engine as a note.

    Raises:
        ConfigurationError: an engine that cannot do what is asked. MissingDependencyError, DataError: as in
            `fit_event_rates`.
    """
    chosen = choose_engine(engine, platform=platform)
    prior = announce(data, config, f"engine: {chosen.name} ({chosen.reason})", progress)
    statistics = statistics_of(data)
    trace = fit_groups(data, statistics, config, engine=engine, rates=rates, platform=platform, progress=progress)
    outcome = event_rates_outcome(trace, data, config, statistics=statistics, prior=prior, progress=progress)
    tables, documents = remember(data)
    return replace(outcome, tables={**outcome.tables, **tables}, documents={**outcome.documents, **documents})


def update_event_rates(
    before: Any,
    data: EventCounts,
    seen: WindowsSeen,
    config: ModelConfig,
    *,
    rates: Rates = "auto",
    progress: ProgressCallback = ignore_progress,
) -> TrainingOutcome:
    """Take new windows into a trained model: the posterior of a training on everything, without the old windows.

    Args:
        before: The trace of the model, with its statistics.
        data: The new windows.
        seen: The windows the model rests on.
        config: The model and how long to sample.
        rates: In which form rates are kept; see `fit_event_rates`.
        progress: Called with the events of a training.

    Raises:
        ConfigurationError: the trace carries no statistics. DataError: the windows are not new.
    """
    statistics = statistics_in(before)
    if statistics is None:
        raise ConfigurationError(
            "the trace carries no statistics of its windows",
            field="run",
            expected="a run of the base model",
            todo="train again, on all data",
        )
    folded = fold(statistics, data, seen)
    trace = fit_folded(folded, config, rates=rates, progress=progress)
    return update_outcome(before, trace, folded, config, progress=progress)


def announce(data: EventCounts, config: ModelConfig, choice: str, progress: ProgressCallback) -> PriorPredictive:
    """Tell a person what the prior expects of such data and what happens next, before anything is fitted."""
    prior = prior_predictive_summary(data, config)
    note = "\n".join((*prior_predictive_lines(prior), choice))
    progress(ProgressEvent("prior", 1, 1, "summary", note=note))
    return prior
