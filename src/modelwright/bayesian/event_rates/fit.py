"""Training the event-rate model: from counts to a trace with everything that checks and scores need."""

from typing import TYPE_CHECKING

from modelwright.bayesian.event_rates import names
from modelwright.bayesian.event_rates.collapsed_fit import sample_collapsed
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.engines import Engine, Rates, choose_engine
from modelwright.bayesian.event_rates.observations import Observations, check_observations
from modelwright.bayesian.event_rates.predictive_groups import add_predictive_groups
from modelwright.bayesian.event_rates.start import starting_point
from modelwright.bayesian.event_rates.statistics import SufficientStatistics, statistics_of
from modelwright.bayesian.inference.nuts import sample_numpyro_model, sample_pymc_model
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.trace_groups import TraceGroups
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.seeds import named_seed
from modelwright.data.events import EventCounts

if TYPE_CHECKING:
    from modelwright.bayesian.quiet_arviz import az

PREDICTIVE_DRAWS = 1000
PRIOR_DRAWS = 500


def fit_event_rates(
    data: EventCounts,
    config: ModelConfig,
    *,
    engine: Engine = "auto",
    rates: Rates = "auto",
    platform: str = "cpu",
    progress: ProgressCallback = ignore_progress,
    predictive_draws: int = PREDICTIVE_DRAWS,
    prior_draws: int = PRIOR_DRAWS,
    cores: int | None = None,
) -> "az.InferenceData":
    """Sample the posterior of the event-rate model and predict with it.

    Args:
        data: Counts per entity and window.
        config: The model and how long to sample; see `ModelConfig` for the formulas.
        engine: Who samples; all give the same posterior. "collapsed" integrates the rates out and is the fastest by
            far; "auto" takes it on the CPU. The cost of numpyro does not grow with the windows, that of pymc and
            nutpie does.
        rates: What the collapsed engine keeps of the rates: "draws", or a "summary" (then `theta` is absent and exact
            means and quantiles are computed when asked for); "auto" takes draws as long as they fit.
        platform: "cpu", or "gpu" (numpyro only).
        progress: Called with events of the stages "mode", "sample", "rates" and "predict" by the collapsed engine, of
            "compile", "warm-up", "sample" and "predict" by the others.
        predictive_draws: Draws of posterior_predictive over all chains, at most.
        prior_draws: Draws of prior and prior_predictive, at most.
        cores: Chains at the same time; None takes what the machine offers.

    Returns:
        InferenceData with the groups

        - posterior: `mu`, `alpha`, `phi` (not for a Poisson likelihood), `theta` (entity)
        - sample_stats: see `inference.traces.STATISTICS`
        - prior, prior_predictive: one chain
        - posterior_predictive, log_likelihood: `y` (obs), thinned evenly to a bounded size, `thinned_every` says how
        - observed_data: `y`; constant_data: `entity_idx`, `exposure` and, with times, `window_start`; and the
          sufficient statistics of all windows

        and the configuration, as JSON, in `attrs["config"]`. Of more windows than `predictive_sample.COMPLETE_UP_TO`
        the predictive groups and observed_data hold those of a random part of the entities (`complete` is 0).

    Raises:
        MissingDependencyError: the engine or device is not there. DataError: the counts cannot be used.
        KeyboardInterrupt: an interrupt stops all chains and is passed on.
    """
    return fit_groups(
        data,
        statistics_of(data),
        config,
        engine=engine,
        rates=rates,
        platform=platform,
        progress=progress,
        predictive_draws=predictive_draws,
        prior_draws=prior_draws,
        cores=cores,
    ).to_inference_data()


def fit_groups(
    data: EventCounts,
    statistics: SufficientStatistics,
    config: ModelConfig,
    *,
    engine: Engine = "auto",
    rates: Rates = "auto",
    platform: str = "cpu",
    progress: ProgressCallback = ignore_progress,
    predictive_draws: int = PREDICTIVE_DRAWS,
    prior_draws: int = PRIOR_DRAWS,
    cores: int | None = None,
) -> TraceGroups:
    """As `fit_event_rates`, without ArviZ and for data whose `statistics` are known already."""
    chosen = choose_engine(engine, platform=platform)
    for field, value in (("predictive_draws", predictive_draws), ("prior_draws", prior_draws)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError("not usable", field=field, expected="a whole number of at least 1", got=value)
    settings = sampling_settings(config, cores=cores)
    if chosen.name == "collapsed":
        trace = sample_collapsed(statistics, config, settings=settings, rates=rates, progress=progress)
    else:
        if rates == "summary":
            raise ConfigurationError(
                f"the engine {chosen.name} draws the rates together with the population",
                field="rates",
                expected="'draws'",
                got=rates,
                todo="take engine=collapsed for summaries without draws",
            )
        observations = check_observations(data.count, data.entity_idx, data.n_entities, data.exposure)
        trace = _sample(observations, statistics, config, settings, chosen.name, platform, progress)
    describe_posterior(trace, config, engine=chosen.name, why=chosen.reason)
    add_predictive_groups(
        trace,
        data,
        statistics,
        config,
        prior_draws=prior_draws,
        predictive_draws=predictive_draws,
        progress=progress,
    )
    return trace


def sampling_settings(config: ModelConfig, *, cores: int | None = None) -> NutsSettings:
    """How long and how carefully to sample, and with which seed, from a configuration."""
    return NutsSettings(
        draws=config.n_samples,
        tune=config.n_tune,
        chains=config.n_chains,
        target_accept=config.target_accept,
        seed=named_seed(config.random_seed, "posterior"),
        max_tree_depth=config.max_tree_depth,
        cores=cores,
    )


def describe_posterior(trace: TraceGroups, config: ModelConfig, *, engine: str, why: str) -> None:
    """Write into a trace which model it is of and how it was drawn."""
    for group in (trace.posterior, trace.sample_stats):
        group.attrs["parameterization"] = config.parameterization
        group.attrs["engine_reason"] = why
        group.attrs["prior_of_theta"] = (
            "theta = mu * Gamma(alpha, alpha)"
            if config.parameterization == "mean_scaled"
            else "theta ~ Gamma(shape = mu * alpha, rate = alpha)"
        )
    trace.attrs.update({"config": config.model_dump_json(), "model": "event_rates", "engine": engine})


def _sample(
    observations: Observations,
    statistics: SufficientStatistics,
    config: ModelConfig,
    settings: NutsSettings,
    engine: str,
    platform: str,
    progress: ProgressCallback,
) -> TraceGroups:
    counts = statistics.compressed()
    start = starting_point(counts, config)
    kept = names.parameter_names(config.likelihood)
    entities = statistics.entities
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
    return TraceGroups({"posterior": trace.posterior[list(kept)], "sample_stats": trace.sample_stats}, trace.attrs)
