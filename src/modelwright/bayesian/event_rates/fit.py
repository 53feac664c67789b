"""Training the event-rate model: from counts to a trace with everything that checks and scores need."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from modelwright.bayesian.event_rates import names
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.count_draws import draw_prior, log_likelihoods, predict_counts
from modelwright.bayesian.event_rates.observations import Observations, check_observations, compress
from modelwright.bayesian.event_rates.start import starting_point
from modelwright.bayesian.inference.nuts import sample_numpyro_model, sample_pymc_model
from modelwright.bayesian.inference.predictive import ELEMENT_BUDGET, predictive_group, thinned, thinning_step
from modelwright.bayesian.inference.requirements import require_engine, require_platform
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.seeds import named_generator, named_seed
from modelwright.data.events import EventCounts

PREDICTIVE_DRAWS = 1000
PRIOR_DRAWS = 500


def fit_event_rates(
    data: EventCounts,
    config: ModelConfig,
    *,
    engine: Literal["numpyro", "pymc", "nutpie"] = "numpyro",
    platform: Literal["cpu", "gpu"] = "cpu",
    progress: ProgressCallback = ignore_progress,
    predictive_draws: int = PREDICTIVE_DRAWS,
    prior_draws: int = PRIOR_DRAWS,
    cores: int | None = None,
) -> az.InferenceData:
    """Sample the posterior of the event-rate model and predict with it.

    Args:
        data: Counts per entity and window.
        config: The model and how long to sample; see `ModelConfig` for the formulas.
        engine: Who samples. All three give the same posterior; numpyro's cost does not grow with the windows.
        platform: "cpu", or "gpu" (numpyro only).
        progress: Called with events of the stages "compile", "warm-up", "sample" and "predict".
        predictive_draws: Draws of posterior_predictive over all chains, at most.
        prior_draws: Draws of prior and prior_predictive, at most.
        cores: Chains at the same time; None takes what the machine offers.

    Returns:
        InferenceData with the groups

        - posterior: `mu`, `alpha`, `phi` (not for a Poisson likelihood), `theta` (entity)
        - sample_stats: see `inference.traces.STATISTICS`
        - prior, prior_predictive: one chain
        - posterior_predictive, log_likelihood: `y` (obs), thinned evenly to a bounded size, `thinned_every` says how
        - observed_data: `y`; constant_data: `entity_idx`, `exposure` and, with times, `window_start`

        and the configuration, as JSON, in `attrs["config"]`.

    Raises:
        MissingDependencyError: the engine or device is not there. DataError: the counts cannot be used.
        KeyboardInterrupt: an interrupt stops all chains and is passed on.
    """
    require_engine(engine)
    require_platform(platform, engine=engine)
    for field, value in (("predictive_draws", predictive_draws), ("prior_draws", prior_draws)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError("not usable", field=field, expected="a whole number of at least 1", got=value)
    observations = check_observations(data.count, data.entity_idx, data.n_entities, data.exposure)
    trace = _sample(observations, data.entities, config, engine, platform, progress, cores)
    progress(ProgressEvent("predict", 0, 3, "groups"))
    coords = {names.ENTITY: np.asarray(data.entities, dtype=str), names.OBS: np.arange(data.n_obs)}
    groups = _prior_groups(observations, config, coords, prior_draws)
    progress(ProgressEvent("predict", 1, 3, "groups"))
    groups["posterior_predictive"] = _predictions(trace.posterior, observations, config, coords, predictive_draws)
    progress(ProgressEvent("predict", 2, 3, "groups"))
    groups["log_likelihood"] = _likelihoods(trace.posterior, observations, coords)
    progress(ProgressEvent("predict", 3, 3, "groups"))
    trace.add_groups({**groups, **_data_groups(data, coords)})
    trace.attrs.update({"config": config.model_dump_json(), "model": "event_rates", "engine": engine})
    return trace


def _sample(
    observations: Observations,
    entities: tuple[str, ...],
    config: ModelConfig,
    engine: str,
    platform: str,
    progress: ProgressCallback,
    cores: int | None,
) -> az.InferenceData:
    settings = NutsSettings(
        draws=config.n_samples,
        tune=config.n_tune,
        chains=config.n_chains,
        target_accept=config.target_accept,
        seed=named_seed(config.random_seed, "posterior"),
        max_tree_depth=config.max_tree_depth,
        cores=cores,
    )
    counts = compress(observations)
    start = starting_point(counts, config)
    kept = names.parameter_names(config.likelihood)
    if engine == "numpyro":
        from modelwright.bayesian.event_rates.numpyro_model import hierarchical_negbinom

        trace = sample_numpyro_model(
            hierarchical_negbinom,
            settings,
            model_args=(counts, config),
            coords={names.ENTITY: entities},
            dims={names.THETA: [names.ENTITY]},
            platform=platform,
            progress=progress,
            start=start.values,
            scale=start.scales,
            var_names=kept,
        )
    else:
        from modelwright.bayesian.event_rates.pymc_model import build_hierarchical_negbinom_model

        model = build_hierarchical_negbinom_model(
            observations.y,
            observations.entity_idx,
            observations.n_entities,
            config,
            exposure=observations.exposure,
            entities=entities,
        )
        trace = sample_pymc_model(model, settings, engine=engine, progress=progress, start=start.values, var_names=kept)
    trace.posterior = trace.posterior[list(kept)]
    for group in (trace.posterior, trace.sample_stats):
        group.attrs["parameterization"] = config.parameterization
        group.attrs["prior_of_theta"] = (
            "theta = mu * Gamma(alpha, alpha)"
            if config.parameterization == "mean_scaled"
            else "theta ~ Gamma(shape = mu * alpha, rate = alpha)"
        )
    return trace


def _prior_groups(
    observations: Observations, config: ModelConfig, coords: Mapping[str, Any], n_draws: int
) -> dict[str, xr.Dataset]:
    size = max(observations.n_entities, len(observations.y))
    n_draws = max(1, min(n_draws, ELEMENT_BUDGET // size))
    generator = named_generator(config.random_seed, "prior")
    draws = draw_prior(config, observations.n_entities, n_draws, generator)
    counts = predict_counts(draws, observations, generator)
    ordered = {name: draws[name][None] for name in names.parameter_names(config.likelihood)}
    return {
        "prior": draws_dataset(ordered, coords=coords, dims={names.THETA: [names.ENTITY]}),
        "prior_predictive": draws_dataset({names.Y: counts[None]}, coords=coords, dims={names.Y: [names.OBS]}),
    }


def _predictions(
    posterior: xr.Dataset, observations: Observations, config: ModelConfig, coords: Mapping[str, Any], n_draws: int
) -> xr.Dataset:
    n_obs = len(observations.y)
    step = _step(posterior, n_obs, budget=min(ELEMENT_BUDGET, n_draws * n_obs))
    generator = named_generator(config.random_seed, "posterior predictive")
    counts = predict_counts(thinned(posterior, step), observations, generator)
    return predictive_group({names.Y: counts}, posterior, step, coords=coords, dims={names.Y: [names.OBS]})


def _likelihoods(posterior: xr.Dataset, observations: Observations, coords: Mapping[str, Any]) -> xr.Dataset:
    step = _step(posterior, len(observations.y), budget=ELEMENT_BUDGET)
    values = log_likelihoods(thinned(posterior, step), observations)
    return predictive_group({names.Y: values}, posterior, step, coords=coords, dims={names.Y: [names.OBS]})


def _step(posterior: xr.Dataset, per_draw: int, *, budget: int) -> int:
    return thinning_step(posterior.sizes["chain"], posterior.sizes["draw"], per_draw, budget=budget)


def _data_groups(data: EventCounts, coords: Mapping[str, Any]) -> dict[str, xr.Dataset]:
    obs = {names.OBS: coords[names.OBS]}
    constant: dict[str, Any] = {
        names.ENTITY_IDX: (names.OBS, np.asarray(data.entity_idx)),
        names.EXPOSURE: (names.OBS, np.asarray(data.exposure)),
    }
    if data.window_start is not None:
        constant[names.WINDOW_START] = (
            names.OBS,
            np.asarray(data.window_start).astype("datetime64[ns]").astype(np.int64),
            {"meaning": "nanoseconds since 1970-01-01 UTC"},
        )
    return {
        "observed_data": xr.Dataset({names.Y: (names.OBS, np.asarray(data.count))}, coords=obs),
        "constant_data": xr.Dataset(constant, coords=obs),
    }
