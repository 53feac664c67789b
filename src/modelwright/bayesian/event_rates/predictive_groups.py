"""What the model says of windows, draw by draw: prior and posterior predictions, log likelihoods, and the windows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from modelwright.bayesian.event_rates import names
from modelwright.bayesian.event_rates.collapsed_posterior import to_population
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.count_draws import draw_prior, log_likelihoods, predict_counts
from modelwright.bayesian.event_rates.posterior_draws import statistics_variables
from modelwright.bayesian.event_rates.predictive_sample import PredictiveSample, predictive_sample
from modelwright.bayesian.event_rates.rate_posteriors import draw_rates
from modelwright.bayesian.event_rates.statistics import AlikeEntities, SufficientStatistics, alike_entities
from modelwright.bayesian.inference.predictive import ELEMENT_BUDGET, predictive_group, thinned, thinning_step
from modelwright.bayesian.inference.trace_groups import TraceGroups
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.core.progress import ProgressCallback, ProgressEvent
from modelwright.core.seeds import named_generator
from modelwright.data.events import EventCounts


def add_predictive_groups(
    trace: TraceGroups,
    data: EventCounts,
    statistics: SufficientStatistics,
    config: ModelConfig,
    *,
    prior_draws: int,
    predictive_draws: int,
    progress: ProgressCallback,
) -> None:
    """Add `prior`, `prior_predictive`, `posterior_predictive`, `log_likelihood`, `observed_data` and `constant_data`.

    Args:
        trace: Posterior of the model given `statistics`; without `theta`, rates are drawn where they are needed.
        data: Windows to predict; their entities are among those of the statistics.
        statistics: What the posterior was conditioned on.
        config: The model.
        prior_draws: Draws of prior and prior_predictive, at most.
        predictive_draws: Draws of posterior_predictive over all chains, at most.
        progress: Told about the stage "predict".
    """
    progress(ProgressEvent("predict", 0, 3, "groups"))
    sample = predictive_sample(data)
    sampled = [data.entities[index] for index in sample.entity]
    if statistics.entities == data.entities:
        position = sample.entity
    else:
        position = np.array([statistics.position[label] for label in sampled])
    coords = {names.ENTITY: np.asarray(sampled, dtype=str), names.OBS: sample.row}
    groups = _prior_groups(sample, config, coords, prior_draws)
    progress(ProgressEvent("predict", 1, 3, "groups"))
    rates = _RatesOfSample(trace.posterior, position, None if names.THETA in trace.posterior else statistics, config)
    n_obs = len(sample.row)
    few = min(ELEMENT_BUDGET, predictive_draws * n_obs)
    step = _step(trace.posterior, n_obs, budget=few)
    generator = named_generator(config.random_seed, "posterior predictive")
    counts = predict_counts(rates.draws(step), sample.observations, generator)
    dims = {names.Y: [names.OBS]}
    groups["posterior_predictive"] = predictive_group(
        {names.Y: counts}, trace.posterior, step, coords=coords, dims=dims
    )
    progress(ProgressEvent("predict", 2, 3, "groups"))
    step = _step(trace.posterior, n_obs, budget=ELEMENT_BUDGET if sample.complete else few)
    values = log_likelihoods(rates.draws(step), sample.observations)
    groups["log_likelihood"] = predictive_group({names.Y: values}, trace.posterior, step, coords=coords, dims=dims)
    groups["observed_data"] = xr.Dataset({names.Y: (names.OBS, sample.observations.y)}, coords={names.OBS: sample.row})
    for group in groups.values():
        group.attrs["complete"] = int(sample.complete)
        group.attrs["windows_in_all"] = data.n_obs
    stored = trace.constant_data if "constant_data" in trace else statistics_variables(statistics)
    constant = _constant_data(stored, data, sample, position)
    trace.put({**groups, "constant_data": constant})
    progress(ProgressEvent("predict", 3, 3, "groups"))


class _RatesOfSample:
    """Thinned draws of the population with the rates of the sampled entities.

    Args:
        posterior: The draws.
        position: Of the sampled entities among all, shape (n_sampled,).
        statistics: What to draw rates from, or None to take the posterior's own.
        config: The model.
    """

    def __init__(
        self, posterior: xr.Dataset, position: np.ndarray, statistics: SufficientStatistics | None, config: ModelConfig
    ) -> None:
        self._posterior = posterior
        self._position = position
        self._config = config
        self._alike: AlikeEntities | None = None
        if statistics is not None:
            alike = alike_entities(statistics)
            self._alike = AlikeEntities(alike.profiles, alike.profile[position], alike.row[position])

    def draws(self, step: int) -> dict[str, np.ndarray]:
        """Every `step`-th draw: the population's parameters (draws,) and `theta` (draws, n_sampled)."""
        population = thinned(self._posterior, step, names=names.hyperparameters(self._config.likelihood))
        if self._alike is None:
            part = self._posterior[[names.THETA]].isel({names.ENTITY: self._position})
            return {**population, **thinned(part, step)}
        generator = named_generator(self._config.random_seed, f"rates of the predicted windows, every {step}")
        theta = draw_rates(to_population(population, self._config.parameterization), self._alike, generator)
        return {**population, names.THETA: theta}


def _prior_groups(
    sample: PredictiveSample, config: ModelConfig, coords: Mapping[str, Any], n_draws: int
) -> dict[str, xr.Dataset]:
    size = max(len(sample.entity), len(sample.row))
    n_draws = max(1, min(n_draws, ELEMENT_BUDGET // size))
    generator = named_generator(config.random_seed, "prior")
    draws = draw_prior(config, len(sample.entity), n_draws, generator)
    counts = predict_counts(draws, sample.observations, generator)
    ordered = {name: draws[name][None] for name in names.parameter_names(config.likelihood)}
    return {
        "prior": draws_dataset(ordered, coords=coords, dims={names.THETA: [names.ENTITY]}),
        "prior_predictive": draws_dataset({names.Y: counts[None]}, coords=coords, dims={names.Y: [names.OBS]}),
    }


def _step(posterior: xr.Dataset, per_draw: int, *, budget: int) -> int:
    return thinning_step(posterior.sizes["chain"], posterior.sizes["draw"], per_draw, budget=budget)


def _constant_data(
    statistics: xr.Dataset, data: EventCounts, sample: PredictiveSample, position: np.ndarray
) -> xr.Dataset:
    constant: dict[str, Any] = {
        names.ENTITY_IDX: (names.OBS, position[sample.observations.entity_idx]),
        names.EXPOSURE: (names.OBS, sample.observations.exposure),
    }
    if data.window_start is not None:
        constant[names.WINDOW_START] = (
            names.OBS,
            np.asarray(data.window_start)[sample.row].astype("datetime64[ns]").astype(np.int64),
            {"meaning": "nanoseconds since 1970-01-01 UTC"},
        )
    return statistics.assign(constant).assign_coords({names.OBS: sample.row})
