"""The collapsed engine for extended models: hyperparameters with every rate integrated out, then the rates.

    p(h | y) = p(h) prod_i integral p(y_i | theta_i, h) p(theta_i | h) dtheta_i / p(y),    theta_i ~ p(theta_i | y_i, h)

for any combination of covariates, zero inflation and drift. The posterior is that of NUTS over all unknowns, and so is
the trace.
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright import __version__
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.engines import NOT_COLLAPSIBLE, choose_rates
from modelwright.bayesian.event_rates.extensions.collapsed_anchors import TO_DRAW, TO_SAMPLE
from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import coordinates_of
from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.event_rates.extensions.collapsed_rates import draw_rates
from modelwright.bayesian.event_rates.extensions.collapsed_sampler import CollapsedDraws, sample_collapsed
from modelwright.bayesian.event_rates.extensions.design import Design
from modelwright.bayesian.event_rates.extensions.rate_summaries import summaries_dataset, summarise_rates_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.names import ENTITY, THETA
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import assemble_trace
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.seeds import named_generator

if TYPE_CHECKING:
    from modelwright.bayesian.quiet_arviz import az


def sample_collapsed_extended(
    design: Design,
    config: ModelConfig,
    extensions: Extensions,
    *,
    settings: NutsSettings,
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    method: str = "auto",
    rates: str = "auto",
    progress: ProgressCallback = ignore_progress,
    cores: int | None = None,
) -> "az.InferenceData":
    """Sample the posterior of an extended model with the rates integrated out.

    Args:
        design: The data.
        config: Priors, likelihood, parameterisation.
        extensions: Any of covariates, zero_inflation and drift.
        settings: Draws, chains and seed.
        coords: Labels of the dimensions, as `fit.coordinates` makes them; positions when left out.
        dims: Dimensions of every variable; those of `theta` alone when left out.
        method: "auto"; "independence_metropolis" or "nuts" for one of them.
        rates: Whether to keep "draws" of every rate or a "summary" and a few draws; "auto" decides by their number.
        progress: Called with events of the stages "mode", "sample" and "rates".
        cores: Chains at the same time, should it come to NUTS; instead of what the settings say.

    Returns:
        InferenceData with `posterior` (the variables of `fit.variable_names`) and `sample_stats`; both carry engine,
        method, k_hat, reason, rates and rates_reason. With a summary `theta` is not in the posterior, and
        `constant_data` holds what `rate_summaries` makes of it.

    Raises:
        ConfigurationError: for an extension that keeps the rates from being integrated out.
    """
    refuse_what_cannot_be_collapsed(extensions)
    began = time.perf_counter()
    if cores is not None:
        settings = NutsSettings(**{**vars(settings), "cores": cores})
    density = CollapsedExtended(coordinates_of(design, config, extensions), precision=TO_SAMPLE, cores=settings.cores)
    found = sample_collapsed(density, settings, method=method, progress=progress)
    kept = choose_rates(rates, n_entities=design.n_entities, n_draws=settings.draws * settings.chains)
    posterior = density.coordinates.variables(found.points)
    generator = named_generator(settings.seed, "rates")
    finer = _finer(found, density, settings.cores)
    labels = np.asarray((coords or {}).get(ENTITY, np.arange(design.n_entities)))
    summaries = None
    if kept.name == "draws":
        theta = np.empty((*found.points.shape[:2], design.n_entities))
        for number, each in finer.items():
            here = found.nearest == number
            theta[here] = draw_rates(each, found.points[here], generator, progress=progress)
        posterior[THETA] = theta
    else:
        summaries = summarise_rates_extended(finer, found.points, found.nearest, generator, progress=progress)
    trace = assemble_trace(
        posterior,
        found.statistics,
        settings,
        engine="collapsed",
        engine_version=__version__,
        sampling_seconds=time.perf_counter() - began,
        at_once=settings.at_once,
        of_nuts=found.method == "nuts",
        coords=coords,
        dims={THETA: [ENTITY]} if dims is None else dims,
    )
    for group in (trace.posterior, trace.sample_stats):
        group.attrs.update(
            method=found.method, k_hat=found.k_hat, reason=found.reason, rates=kept.name, rates_reason=kept.reason
        )
    if summaries is not None:
        trace.add_groups({"constant_data": summaries_dataset(summaries, labels)})
    return trace


def _finer(found: CollapsedDraws, density: CollapsedExtended, cores: int | None) -> dict[int, CollapsedExtended]:
    """Mode -> the density with points fine enough to draw rates, placed for the draws that are nearest to it."""
    return {
        int(number): CollapsedExtended(
            density.coordinates,
            np.median(found.points[found.nearest == number], axis=0),
            precision=TO_DRAW,
            cores=cores,
        )
        for number in np.unique(found.nearest)
    }


def refuse_what_cannot_be_collapsed(extensions: Extensions) -> None:
    """Refuse extensions with which the rates cannot be integrated out, with the reason."""
    for name in extensions.chosen:
        if name in NOT_COLLAPSIBLE:
            raise ConfigurationError(
                f"the rates cannot be integrated out with {name}: {NOT_COLLAPSIBLE[name]}",
                field="engine",
                expected="numpyro, pymc or nutpie",
                got="collapsed",
                todo="leave the engine to auto",
            )
