"""The collapsed engine: sample the population with every rate integrated out, then the rates given the population.

    p(h | y) ~ p(h) prod_i integral p(y_i | theta_i, phi) p(theta_i | mu, alpha) dtheta_i,     h = (mu, alpha, phi)

Two or three numbers are sampled whatever the number of entities, from the sufficient statistics alone; each rate then
has a distribution of its own, given these, that is drawn from or summarised exactly.
"""

import time
from dataclasses import replace

import numpy as np

from modelwright import __version__
from modelwright.bayesian.event_rates import names
from modelwright.bayesian.event_rates.collapsed_posterior import (
    HyperparameterDraws,
    sample_hyperparameters,
    to_population,
)
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.engines import choose_rates
from modelwright.bayesian.event_rates.posterior_draws import statistics_variables
from modelwright.bayesian.event_rates.rate_integrals import Population
from modelwright.bayesian.event_rates.rate_posteriors import draw_rates
from modelwright.bayesian.event_rates.statistics import SufficientStatistics, alike_entities
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.trace_groups import TraceGroups
from modelwright.bayesian.inference.traces import assemble_groups
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.seeds import named_generator


def sample_collapsed(
    statistics: SufficientStatistics,
    config: ModelConfig,
    *,
    settings: NutsSettings,
    rates: str = "auto",
    progress: ProgressCallback = ignore_progress,
) -> TraceGroups:
    """Sample the posterior from sufficient statistics alone.

    Args:
        statistics: What the data say.
        config: The model.
        settings: Draws, chains and seed; the rest is used only where the sampler has to fall back on NUTS.
        rates: Whether to keep "draws" of every rate or only what a "summary" needs; "auto" decides by their number.
        progress: Called with events of the stages "mode", "sample" and "rates".

    Returns:
        `posterior` (the population's parameters and, with draws, `theta`), `sample_stats` and
        `constant_data` (the statistics). Attributes of the posterior say how it was drawn: engine, method, k_hat,
        reason, rates.
    """
    began = time.perf_counter()
    found = sample_hyperparameters(statistics, config, progress=progress, cores=settings.cores)
    kept = choose_rates(rates, n_entities=statistics.n_entities, n_draws=settings.draws * settings.chains)
    posterior = dict(found.values)
    if kept.name == "draws":
        generator = named_generator(config.random_seed, "rates")
        theta = draw_rates(population_of(found, config), alike_entities(statistics), generator, progress=progress)
        posterior[names.THETA] = theta.reshape(settings.chains, settings.draws, statistics.n_entities)
    trace = assemble_groups(
        posterior,
        found.statistics,
        replace(settings, seed=config.random_seed),  # whose named streams made these draws
        engine="collapsed",
        engine_version=__version__,
        sampling_seconds=time.perf_counter() - began,
        at_once=settings.at_once,
        of_nuts=found.method == "nuts",
        coords={names.ENTITY: np.asarray(statistics.entities, dtype=str)},
        dims={names.THETA: [names.ENTITY]},
    )
    for group in (trace.posterior, trace.sample_stats):
        group.attrs.update(
            method=found.method, k_hat=found.k_hat, reason=found.reason, rates=kept.name, rates_reason=kept.reason
        )
    trace.put({"constant_data": statistics_variables(statistics)})
    return trace


def population_of(found: HyperparameterDraws, config: ModelConfig) -> Population:
    """The population of every draw, chains laid end to end."""
    flat = {name: values.reshape(-1) for name, values in found.values.items()}
    return to_population(flat, config.parameterization)
