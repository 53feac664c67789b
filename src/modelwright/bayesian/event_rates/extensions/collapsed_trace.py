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
from modelwright.bayesian.event_rates.engines import NOT_COLLAPSIBLE
from modelwright.bayesian.event_rates.extensions.collapsed_anchors import TO_DRAW, TO_SAMPLE
from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import coordinates_of
from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.event_rates.extensions.collapsed_rates import draw_rates
from modelwright.bayesian.event_rates.extensions.collapsed_sampler import sample_collapsed
from modelwright.bayesian.event_rates.extensions.design import Design
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
        progress: Called with events of the stages "mode", "sample" and "rates".
        cores: Chains at the same time, should it come to NUTS; instead of what the settings say.

    Returns:
        InferenceData with `posterior` (the variables of `fit.variable_names`) and `sample_stats`; both carry engine,
        method, k_hat and reason.

    Raises:
        ConfigurationError: for an extension that keeps the rates from being integrated out.
    """
    refuse_what_cannot_be_collapsed(extensions)
    began = time.perf_counter()
    if cores is not None:
        settings = NutsSettings(**{**vars(settings), "cores": cores})
    density = CollapsedExtended(coordinates_of(design, config, extensions), precision=TO_SAMPLE, cores=settings.cores)
    found = sample_collapsed(density, settings, method=method, progress=progress)
    flat = found.points.reshape(-1, found.points.shape[-1])
    posterior = density.coordinates.variables(found.points)
    generator = named_generator(settings.seed, "rates")
    finer = CollapsedExtended(density.coordinates, np.median(flat, axis=0), precision=TO_DRAW, cores=settings.cores)
    theta = draw_rates(finer, flat, generator, progress=progress)
    posterior[THETA] = theta.reshape(settings.chains, settings.draws, design.n_entities)
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
        group.attrs.update(method=found.method, k_hat=found.k_hat, reason=found.reason)
    return trace


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
