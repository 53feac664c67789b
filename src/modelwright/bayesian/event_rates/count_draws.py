"""What the event-rate model says of counts: prior draws, predicted counts and log likelihoods, whatever the engine.

Counts are drawn as Poisson counts whose rate varies by a Gamma factor of mean one and shape phi, which is the negative
binomial. Log likelihoods are put together from three small tables (per distinct count, per group of entity and
exposure, per observation), so that a special function is evaluated some hundred times per draw and not once per
observation.
"""

from typing import Any

import numpy as np
from scipy.special import gammaln

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE, THETA
from modelwright.bayesian.event_rates.observations import Observations, group_observations

_NORMAL_FROM = 1e15
"""Above this mean a Poisson count equals its mean to the seventh digit, and numpy would refuse it further up."""

LARGEST_RATE = 1e200
"""Where a rate drawn from the prior is cut: no such rate has a count that a computer holds."""

_BLOCK = 2_000_000


def draw_counts(mean: np.ndarray, phi: np.ndarray | None, generator: np.random.Generator) -> np.ndarray:
    """Counts with given means.

    Args:
        mean: Expected counts, any shape.
        phi: Concentration, broadcast against `mean`; None for Poisson counts.
        generator: Source of randomness.

    Returns:
        int32 where all counts fit into it, else int64; the shape of `mean`.

    Example:
        >>> draw_counts(np.zeros(3), None, np.random.default_rng(0)).tolist()
        [0, 0, 0]
    """
    rate = mean if phi is None else mean * (generator.standard_gamma(np.broadcast_to(phi, mean.shape)) / phi)
    rate = np.minimum(rate, 9e18)  # what an int64 holds
    huge = rate > _NORMAL_FROM
    counts = generator.poisson(np.where(huge, 0.0, rate))
    if huge.any():
        counts = np.where(huge, rate.astype(np.int64), counts)
    return counts.astype(np.int32) if counts.size == 0 or counts.max() < 2**31 else counts


def draw_prior(config: ModelConfig, n_entities: int, n_draws: int, generator: np.random.Generator) -> dict[str, Any]:
    """Draws of all parameters from the prior.

    Returns:
        `mu`, `alpha`, `phi` (not for a Poisson likelihood) of shape (n_draws,), `theta` of shape (n_draws, n_entities).

    Example:
        >>> draw_prior(ModelConfig(), 3, 5, np.random.default_rng(0))["theta"].shape
        (5, 3)
    """
    drawn = {name: prior.draw(n_draws, generator) for name, prior in config.hyperpriors().items()}
    alpha = drawn[ALPHA]
    mu = drawn[MU] if MU in drawn else drawn[SHAPE] / alpha
    shape, rate = (alpha, alpha / mu) if config.parameterization == "mean_scaled" else (mu * alpha, alpha)
    theta = generator.standard_gamma(shape[:, None], (n_draws, n_entities)) / rate[:, None]
    # a heavy tail may draw more than could be multiplied with an exposure
    return {MU: mu, ALPHA: alpha, **({PHI: drawn[PHI]} if PHI in drawn else {}), THETA: np.minimum(theta, LARGEST_RATE)}


def predict_counts(
    draws: dict[str, np.ndarray], observations: Observations, generator: np.random.Generator
) -> np.ndarray:
    """One count per draw and observation.

    Args:
        draws: `theta` of shape (draws, n_entities) and, for a negative binomial, `phi` of shape (draws,).
        observations: Entities and exposures; the counts are not looked at.
        generator: Source of randomness.

    Returns:
        Shape (draws, n_obs).
    """
    theta, phi = draws[THETA], draws.get(PHI)
    per_block = max(1, _BLOCK // len(observations.entity_idx))
    blocks = []
    for first in range(0, len(theta), per_block):
        rows = slice(first, first + per_block)
        mean = theta[rows][:, observations.entity_idx] * observations.exposure
        blocks.append(draw_counts(mean, None if phi is None else phi[rows, None], generator))
    return np.concatenate(blocks)


def log_likelihoods(draws: dict[str, np.ndarray], observations: Observations) -> np.ndarray:
    """Log probability of every observation under every draw, in nats.

    Args:
        draws: `theta` of shape (draws, n_entities) and, for a negative binomial, `phi` of shape (draws,).
        observations: The counts, entities and exposures.

    Returns:
        Shape (draws, n_obs), float64.
    """
    entity, exposure, group = group_observations(observations)
    distinct, which = np.unique(observations.y, return_inverse=True)
    y = observations.y.astype(np.float64)
    theta, phi = draws[THETA], draws.get(PHI)
    result = np.empty((len(theta), len(y)))
    per_block = max(1, _BLOCK // len(y))
    for first in range(0, len(theta), per_block):
        rows = slice(first, first + per_block)
        mean = theta[rows][:, entity] * exposure
        # The rate of an entity without events may underflow to zero; a count of zero is then certain, not undefined.
        log_mean = np.log(np.maximum(mean, np.finfo(float).tiny))
        if phi is None:
            table = -np.broadcast_to(gammaln(distinct + 1.0), (len(mean), len(distinct)))
            with_count, alone = log_mean, -mean
        else:
            size = phi[rows, None]
            excess = np.log1p(mean / size)
            table = gammaln(distinct + size) - gammaln(size) - distinct * np.log(size) - gammaln(distinct + 1.0)
            with_count, alone = log_mean - excess, -size * excess
        result[rows] = y * with_count[:, group] + alone[:, group] + table[:, which]
    return result
