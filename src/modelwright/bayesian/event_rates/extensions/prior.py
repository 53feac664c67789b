"""What an extended model expects before it has seen the data: data sets drawn from the prior of all of its parameters.

The quantities and the comparison are those of `prior_predictive`, so that models with and without extensions can be
held against each other.
"""

from dataclasses import replace

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Design, design_of
from modelwright.bayesian.event_rates.extensions.design_part import part_of_design
from modelwright.bayesian.event_rates.extensions.draws import draw_extended_prior, predict_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.names import ALPHA
from modelwright.bayesian.event_rates.observations import Observations
from modelwright.bayesian.event_rates.prior_predictive import DRAWS, PriorPredictive, beside_replicated
from modelwright.data.events import EventCounts

FEWEST_DRAWS, _DRIFTS = 100, 1_000_000
"""Data sets drawn at least, and numbers of all their drifts at most, as a random walk may have thousands of levels.

Both are rough: enough for three quantiles, and some 8 MB."""


def extended_prior_predictive(
    data: EventCounts, config: ModelConfig, extensions: Extensions, *, design: Design | None = None
) -> PriorPredictive:
    """Draw data sets from the prior of an extended model and set them beside the data; roughly a second at most.

    Args:
        data: Counts per entity and window, with what the extensions need.
        config: The base model.
        extensions: What is added.
        design: The data's design, where it is at hand.

    Example:
        >>> data = EventCounts.from_arrays(entity=["a", "a", "b"], count=[3, 0, 2])
        >>> found = extended_prior_predictive(data, ModelConfig(), Extensions.create(chosen="zero_inflation"))
        >>> found.priors["psi"], found.warnings
        ('beta(2, 1)', ())
    """
    whole = design_of(data, extensions) if design is None else design
    levels = 1 if whole.drift is None else len(whole.drift.labels)
    draws = int(np.clip(_DRIFTS // levels, FEWEST_DRAWS, DRAWS))

    def replicate(rows: np.ndarray, _: Observations, generator: np.random.Generator) -> np.ndarray:
        part, _entities = part_of_design(whole, rows)
        return predict_extended(draw_extended_prior(config, extensions, part, draws, generator), part, generator)

    found = beside_replicated(data, config, replicate, prior_texts(config, extensions, whole), seed=config.random_seed)
    if extensions.has(names.VOLUMES) and "alpha" in found.advice:  # there is none here
        return replace(found, advice="Look at mu_prior and spread_prior_mean, and at the data.")
    return found


def prior_texts(config: ModelConfig, extensions: Extensions, design: Design) -> dict[str, str]:
    """Every population parameter with its prior, as a text.

    Example:
        >>> data = EventCounts.from_arrays(entity=["a", "b"], count=[1, 2])
        >>> inflated = Extensions.create(chosen="zero_inflation")
        >>> prior_texts(ModelConfig(likelihood="poisson"), inflated, design_of(data, inflated))
        {'mu': 'exponential(0.1)', 'alpha': 'half_normal(2)', 'psi': 'beta(2, 1)'}
    """
    found = {name: str(prior) for name, prior in config.hyperpriors().items()}
    if extensions.has(names.ZERO_INFLATION):
        found[names.PSI] = "beta(2, 1)"
    if design.entity_level is not None or design.window_level is not None:
        found["each coefficient"] = f"normal(0, {extensions.coefficient_prior_sd:g})"
    if design.drift is not None:
        found[names.DRIFT_SCALE] = f"half_normal({extensions.drift_prior_sd:g})"
    if design.steps is not None:
        found |= {names.RHO: "beta(2, 2)", names.TAU: f"half_normal({extensions.tau_prior_sd:g})"}
    if extensions.has(names.VOLUMES):
        found.pop(ALPHA)
        spread = f"gamma(2, {2.0 / extensions.spread_prior_mean:g})"
        found |= {
            names.RATE_SD: spread,
            names.VOLUME_MEAN: f"normal({extensions.volume_prior_mean:g}, {extensions.volume_prior_sd:g})",
            names.VOLUME_SD: spread,
            names.SIGMA: f"half_normal({extensions.sigma_prior_sd:g})",
            f"(1 + {names.CORRELATION})/2": "beta(2, 2)",
        }
    return found
