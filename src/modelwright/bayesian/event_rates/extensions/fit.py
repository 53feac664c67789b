"""Training an extended event-rate model: from counts to a trace with everything that checks and scores need."""

import json
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from modelwright.bayesian.event_rates import names as base_names
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.engines import LARGEST_RATE_DRAWS, NOT_COLLAPSIBLE, Rates, choose_rates
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Design, columns_to_json, design_of
from modelwright.bayesian.event_rates.extensions.draws import (
    draw_extended_prior,
    log_likelihoods_extended,
    predict_extended,
)
from modelwright.bayesian.event_rates.extensions.rate_summaries import posterior_with_rates
from modelwright.bayesian.event_rates.extensions.settings import Extensions, check_combination
from modelwright.bayesian.event_rates.extensions.start import extended_start
from modelwright.bayesian.event_rates.extensions.windows import window_clock
from modelwright.bayesian.event_rates.names import ALPHA, ENTITY, MU, OBS, PHI, THETA, Y
from modelwright.bayesian.inference.nuts import sample_numpyro_model, sample_pymc_model
from modelwright.bayesian.inference.predictive import ELEMENT_BUDGET, predictive_group, thinned, thinning_step
from modelwright.bayesian.inference.requirements import require_engine, require_platform
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.seeds import named_generator, named_seed
from modelwright.data.events import EventCounts

if TYPE_CHECKING:
    from modelwright.bayesian.quiet_arviz import az

PREDICTIVE_DRAWS = 1000
PRIOR_DRAWS = 500

LARGEST_DEVIATIONS = 200_000_000
"""Draws of log deviations over all windows (1.6 GB) above which temporal is refused."""


def fit_extended(
    data: EventCounts,
    config: ModelConfig,
    extensions: Extensions,
    *,
    engine: Literal["collapsed", "numpyro", "pymc", "nutpie"] = "numpyro",
    rates: Rates = "auto",
    platform: Literal["cpu", "gpu"] = "cpu",
    progress: ProgressCallback = ignore_progress,
    predictive_draws: int = PREDICTIVE_DRAWS,
    prior_draws: int = PRIOR_DRAWS,
    cores: int | None = None,
) -> "az.InferenceData":
    """Sample the posterior of the event-rate model with extensions and predict with it.

    Args:
        data: Counts per entity and window, with the columns, times and volumes that the extensions need.
        config: The base model and how long to sample.
        extensions: What is added; see `Extensions` for the formulas.
        engine: Who samples; all give the same posterior. "collapsed" integrates the rates out (not with temporal
            and volumes).
        rates: What the collapsed engine keeps of the rates: "draws", or a "summary" and a few draws (see
            `rate_summaries`); "auto" takes draws as long as they fit. Samplers keep every draw.
        platform: "cpu", or "gpu" (numpyro only).
        progress: Called with events of the stages "compile", "warm-up", "sample" and "predict".
        predictive_draws: Draws of posterior_predictive over all chains, at most.
        prior_draws: Draws of prior and prior_predictive, at most.
        cores: Chains at the same time; None takes what the machine offers.

    Returns:
        InferenceData with the groups of `fit_event_rates`. The posterior holds `mu`, `alpha` (not with volumes), `phi`
        (not for a Poisson likelihood), `theta` (entity), and as they are there `beta` (coefficient), `gamma`
        (window_coefficient), `drift_scale` and `drift` (window, day_of_week or hour_of_day), `rho`, `tau` and
        `log_deviation` (obs), `psi`, `rate_sd`, `volume_mean`, `volume_sd`, `sigma`, `correlation` and `nu` (entity).
        `log_likelihood` is of counts, or of counts and volumes together, and its attribute `density_of` says which.
        `attrs` hold config, extensions and columns as JSON.

    Raises:
        ConfigurationError: for extensions that cannot work together or with these data, naming field and reason.
        MissingDependencyError: the engine or device is not there. DataError: the data cannot be used.
        KeyboardInterrupt: an interrupt stops all chains and is passed on.
    """
    check_combination(extensions, config, data, engine=engine)
    require_engine("numpyro" if engine == "collapsed" else engine)  # the collapsed density is written in JAX as well
    require_platform(platform, engine=engine)
    for field, value in (("predictive_draws", predictive_draws), ("prior_draws", prior_draws)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError("not usable", field=field, expected="a whole number of at least 1", got=value)
    design = design_of(data, extensions)
    _refuse_many_deviations(design, config)
    if engine != "collapsed":
        _refuse_rates(design, config, extensions, engine, rates)
    coords = coordinates(data, design)
    trace = _sample(design, config, extensions, coords, engine, rates, platform, progress, cores)
    progress(ProgressEvent("predict", 0, 3, "groups"))
    groups = _prior_groups(design, config, extensions, coords, prior_draws)
    progress(ProgressEvent("predict", 1, 3, "groups"))
    posterior = posterior_with_rates(trace)
    groups["posterior_predictive"] = _predictions(posterior, design, config, coords, predictive_draws)
    progress(ProgressEvent("predict", 2, 3, "groups"))
    groups["log_likelihood"] = _likelihoods(posterior, design, coords)
    groups["observed_data"] = xr.Dataset({Y: (OBS, design.observations.y)}, coords={OBS: coords[OBS]})
    constant = _constant_data(data, design, coords)
    if "constant_data" in trace.groups():  # summaries of the rates
        constant = constant.merge(trace.constant_data)
        del trace.constant_data
    groups["constant_data"] = constant
    trace.add_groups(groups)
    progress(ProgressEvent("predict", 3, 3, "groups"))
    trace.attrs.update(
        {
            "config": config.model_dump_json(),
            "model": "event_rates",
            "engine": engine,
            "extensions": extensions.model_dump_json(),
            "columns": columns_to_json(design),
            **_time_attributes(data, design),
        }
    )
    return trace


def variable_names(config: ModelConfig, design: Design, extensions: Extensions) -> tuple[str, ...]:
    """What the posterior of an extended model holds, in reading order.

    Example:
        >>> data = EventCounts.from_arrays(entity=["a", "b"], count=[1, 2])
        >>> zero_inflated = Extensions.create(chosen="zero_inflation")
        >>> variable_names(ModelConfig(), design_of(data, zero_inflated), zero_inflated)
        ('mu', 'alpha', 'phi', 'psi', 'theta')
    """
    volumes = extensions.has(names.VOLUMES)
    found = [MU, names.RATE_SD if volumes else ALPHA]
    found += [PHI] if config.likelihood == "negative_binomial" else []
    found += [names.PSI] if extensions.has(names.ZERO_INFLATION) else []
    found += [names.BETA] if design.entity_level is not None else []
    found += [names.GAMMA] if design.window_level is not None else []
    found += [names.DRIFT_SCALE, names.DRIFT] if design.drift is not None else []
    found += [names.RHO, names.TAU] if design.steps is not None else []
    found += [names.VOLUME_MEAN, names.VOLUME_SD, names.SIGMA, names.CORRELATION] if volumes else []
    found += [THETA, names.NU] if volumes else [THETA]
    found += [names.LOG_DEVIATION] if design.steps is not None else []
    return tuple(found)


def coordinates(data: EventCounts, design: Design) -> dict[str, Any]:
    """Labels of every dimension of an extended model's trace."""
    found: dict[str, Any] = {ENTITY: np.asarray(data.entities, dtype=str), OBS: np.arange(data.n_obs)}
    if design.entity_level is not None:
        found[names.COEFFICIENT] = np.asarray(design.entity_level.names, dtype=str)
    if design.window_level is not None:
        found[names.WINDOW_COEFFICIENT] = np.asarray(design.window_level.names, dtype=str)
    if design.drift is not None:
        found[design.drift.dimension] = np.asarray(design.drift.labels, dtype=str)
    return found


def _dimensions(design: Design) -> dict[str, list[str]]:
    found = {
        THETA: [ENTITY],
        names.NU: [ENTITY],
        names.BETA: [names.COEFFICIENT],
        names.GAMMA: [names.WINDOW_COEFFICIENT],
        names.LOG_DEVIATION: [OBS],
        Y: [OBS],
    }
    return found | ({} if design.drift is None else {names.DRIFT: [design.drift.dimension]})


def _sample(
    design: Design,
    config: ModelConfig,
    extensions: Extensions,
    coords: dict[str, Any],
    engine: str,
    rates: str,
    platform: str,
    progress: ProgressCallback,
    cores: int | None,
) -> "az.InferenceData":
    settings = NutsSettings(
        draws=config.n_samples,
        tune=config.n_tune,
        chains=config.n_chains,
        target_accept=config.target_accept,
        seed=named_seed(config.random_seed, "posterior"),
        max_tree_depth=config.max_tree_depth,
        cores=cores,
    )
    start = extended_start(design, config, extensions)
    kept = variable_names(config, design, extensions)
    if engine == "collapsed":
        from modelwright.bayesian.event_rates.extensions.collapsed_trace import sample_collapsed_extended

        trace = sample_collapsed_extended(
            design,
            config,
            extensions,
            settings=settings,
            coords=coords,
            dims=_dimensions(design),
            rates=rates,
            progress=progress,
        )
    elif engine == "numpyro":
        from modelwright.bayesian.event_rates.extensions.numpyro_model import extended_event_rates

        trace = sample_numpyro_model(
            extended_event_rates,
            settings,
            model_args=(design, config, extensions),
            coords=coords,
            dims=_dimensions(design),
            platform=platform,
            progress=progress,
            start=start.values,
            scale=start.scales,
            var_names=kept,
        )
    else:
        from modelwright.bayesian.event_rates.extensions.pymc_model import build_extended_model

        model = build_extended_model(design, config, extensions, coords=coords)
        trace = sample_pymc_model(model, settings, engine=engine, progress=progress, start=start.values, var_names=kept)
    trace.posterior = trace.posterior[[name for name in kept if name in trace.posterior]]
    prior = "theta = exp(x beta) g, g ~ Gamma(shape = mu * alpha, rate = alpha)"
    if extensions.has(names.VOLUMES):
        prior = "log theta ~ Normal(log mu + x beta, rate_sd)"
    elif config.parameterization == "mean_scaled":
        prior = "theta = exp(x beta) mu * Gamma(alpha, alpha)"
    for group in (trace.posterior, trace.sample_stats):
        group.attrs["parameterization"] = config.parameterization
        group.attrs["prior_of_theta"] = prior
        group.attrs["extensions"] = ",".join(extensions.chosen)
    return trace


def _prior_groups(
    design: Design, config: ModelConfig, extensions: Extensions, coords: dict[str, Any], n_draws: int
) -> dict[str, xr.Dataset]:
    n_draws = max(1, min(n_draws, ELEMENT_BUDGET // max(design.n_entities, design.n_obs)))
    generator = named_generator(config.random_seed, "prior")
    draws = draw_extended_prior(config, extensions, design, n_draws, generator)
    counts = predict_extended(draws, design, generator)
    ordered = {name: draws[name][None] for name in variable_names(config, design, extensions)}
    dims = _dimensions(design)
    return {
        "prior": draws_dataset(ordered, coords=coords, dims=dims),
        "prior_predictive": draws_dataset({Y: counts[None]}, coords=coords, dims=dims),
    }


def _predictions(
    posterior: xr.Dataset, design: Design, config: ModelConfig, coords: dict[str, Any], n_draws: int
) -> xr.Dataset:
    step = _step(posterior, design.n_obs, budget=min(ELEMENT_BUDGET, n_draws * design.n_obs))
    generator = named_generator(config.random_seed, "posterior predictive")
    counts = predict_extended(thinned(posterior, step), design, generator)
    attrs = {"thinned_every": _every(posterior, step)}
    return predictive_group({Y: counts}, posterior, step, coords=coords, dims={Y: [OBS]}, attrs=attrs)


def _likelihoods(posterior: xr.Dataset, design: Design, coords: dict[str, Any]) -> xr.Dataset:
    step = _step(posterior, design.n_obs, budget=ELEMENT_BUDGET)
    values = log_likelihoods_extended(thinned(posterior, step), design)
    what = "count" if design.volumes is None else "count and volume"
    attrs = {"density_of": what, "thinned_every": _every(posterior, step)}
    return predictive_group({Y: values}, posterior, step, coords=coords, dims={Y: [OBS]}, attrs=attrs)


def _every(posterior: xr.Dataset, step: int) -> int:
    """Every how manieth draw of a chain is taken, where the posterior itself may be a part of all draws."""
    draw = posterior["draw"].to_numpy()
    return step * (int(draw[1] - draw[0]) if len(draw) > 1 else 1)


def _step(posterior: xr.Dataset, per_draw: int, *, budget: int) -> int:
    return thinning_step(posterior.sizes["chain"], posterior.sizes["draw"], per_draw, budget=budget)


def _constant_data(data: EventCounts, design: Design, coords: dict[str, Any]) -> xr.Dataset:
    """What the base model stores, so that runs with and without extensions compare; and the volumes."""
    seen = design.observations
    constant: dict[str, Any] = {
        base_names.ENTITY_IDX: (OBS, seen.entity_idx),
        base_names.EXPOSURE: (OBS, seen.exposure),
    }
    if data.window_start is not None:
        nanoseconds = np.asarray(data.window_start).astype("datetime64[ns]").astype(np.int64)
        constant[base_names.WINDOW_START] = (OBS, nanoseconds, {"meaning": "nanoseconds since 1970-01-01 UTC"})
    if design.volumes is not None:
        volume = np.full(design.n_obs, np.nan)
        volume[design.eventful] = np.exp(design.volumes.log_volume)
        constant[names.VOLUME] = (OBS, volume)
    return xr.Dataset(constant, coords={OBS: coords[OBS]})


def _time_attributes(data: EventCounts, design: Design) -> dict[str, str]:
    """How windows are counted and where a random walk has its levels, for windows to come."""
    if data.window_start is None:
        return {}
    found = {"window_clock": json.dumps(vars(window_clock(data)))}
    if design.drift is not None:
        found["drift_starts"] = json.dumps(design.drift.start.astype(np.int64).tolist())
    return found


def _refuse_rates(design: Design, config: ModelConfig, extensions: Extensions, engine: str, rates: str) -> None:
    """Samplers draw the rates together with everything else: they have no summaries, and all draws must fit."""
    collapsible = not any(name in NOT_COLLAPSIBLE for name in extensions.chosen)
    if rates not in get_args(Rates) or rates == "summary":
        choose_rates(rates, n_entities=design.n_entities, n_draws=1)  # refuses what is no form at all
        raise ConfigurationError(
            f"the engine {engine} draws the rates together with the population",
            field="rates",
            expected="'draws'",
            got=rates,
            todo="take engine=collapsed for summaries" if collapsible else "leave rates out",
        )
    numbers = design.n_entities * config.n_samples * config.n_chains
    if numbers > LARGEST_RATE_DRAWS:
        raise ConfigurationError(
            f"the engine {engine} keeps every draw of {design.n_entities:,} rates, {8e-9 * numbers:,.0f} GB in all",
            field="n_samples",
            expected=f"at most {LARGEST_RATE_DRAWS // (design.n_entities * config.n_chains):,} draws for these data",
            got=config.n_samples,
            todo="take engine=collapsed, or fewer draws" if collapsible else "take fewer draws",
        )


def _refuse_many_deviations(design: Design, config: ModelConfig) -> None:
    numbers = design.n_obs * config.n_samples * config.n_chains
    if design.steps is not None and numbers > LARGEST_DEVIATIONS:
        raise ConfigurationError(
            f"temporal keeps a number per window and draw, {numbers:,} in all",
            field="n_samples",
            expected=f"at most {LARGEST_DEVIATIONS // (design.n_obs * config.n_chains):,} draws for these data",
            got=config.n_samples,
            todo="take fewer draws, or longer windows",
        )
