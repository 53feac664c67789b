"""What an extended model says of counts: prior draws, factors, predicted counts and log likelihoods.

Draws are dictionaries of arrays whose first axis is the draw, as `inference.predictive.thinned` makes them; what an
extension is not part of is absent from them.
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import gammaln

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.count_draws import draw_counts, draw_prior
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Coefficients, Design
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.windows import Steps
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, THETA

Draws = dict[str, np.ndarray]

ALL = slice(None)

_BLOCK = 2_000_000


def log_factor(draws: Draws, design: Design, rows: np.ndarray | slice = ALL) -> np.ndarray:
    """What the windows' means are multiplied by, beside the entity's rate and the exposure: w gamma + drift + a.

    It is known given the draw, so that the rates can be integrated out as in the base model with exposures
    `exposure * exp(log_factor)`, except for `a`, which is drawn itself.

    Args:
        draws: As they are there, `gamma` (draws, n_window_coefficients), `drift` (draws, n_levels) and `log_deviation`
            (draws, n_obs); any other is not looked at.
        design: The data.
        rows: Which observations; all of them by default.

    Returns:
        Shape (draws, observations), zeros where nothing acts on windows.
    """
    n_draws = len(next(iter(draws.values())))
    total = np.zeros((n_draws, len(design.observations.y[rows])))
    if design.window_level is not None:
        total += draws[names.GAMMA] @ design.window_level.matrix[rows].T
    if design.drift is not None:
        total += draws[names.DRIFT][:, design.drift.level[rows]]
    if design.steps is not None:
        total += draws[names.LOG_DEVIATION][:, rows]
    return total


def entity_log_factor(draws: Draws, design: Design) -> np.ndarray:
    """x_i beta of every entity, shape (draws, n_entities): theta_i has the population's distribution times its exp."""
    n_draws = len(next(iter(draws.values())))
    if design.entity_level is None:
        return np.zeros((n_draws, design.n_entities))
    return draws[names.BETA] @ design.entity_level.matrix.T


def log_means(draws: Draws, design: Design, rows: np.ndarray | slice = ALL) -> np.ndarray:
    """Log expected count of observations when active, shape (draws, observations)."""
    seen = design.observations
    # The rate of an entity without events may underflow to zero; a count of zero is then certain, not undefined.
    log_theta = np.log(np.maximum(draws[THETA], np.finfo(float).tiny))
    return log_theta[:, seen.entity_idx[rows]] + np.log(seen.exposure[rows]) + log_factor(draws, design, rows)


def draw_extended_prior(
    config: ModelConfig, extensions: Extensions, design: Design, n_draws: int, generator: np.random.Generator
) -> Draws:
    """Draws of all parameters from the prior, for the entities and windows of a design.

    Returns:
        Every variable that a trace of this model holds, shape (n_draws, ...).
    """
    draws = draw_prior(config, design.n_entities, n_draws, generator)
    sd = extensions.coefficient_prior_sd
    for name, level in ((names.BETA, design.entity_level), (names.GAMMA, design.window_level)):
        if level is not None:
            draws[name] = draw_coefficients(level, sd, n_draws, generator)
    shift = entity_log_factor(draws, design)
    if extensions.has(names.VOLUMES):
        del draws[ALPHA]
        draws |= _draw_log_normal(draws[MU], shift, extensions, generator)
    else:
        draws[THETA] = draws[THETA] * np.exp(shift)
    if design.drift is not None:
        draws[names.DRIFT_SCALE] = np.abs(generator.normal(0.0, extensions.drift_prior_sd, n_draws))
        raw = generator.normal(size=(n_draws, design.drift.basis.shape[1]))
        draws[names.DRIFT] = draws[names.DRIFT_SCALE][:, None] * (raw @ design.drift.basis.T)
    if design.steps is not None:
        draws[names.RHO] = generator.beta(2.0, 2.0, n_draws)
        draws[names.TAU] = np.abs(generator.normal(0.0, extensions.tau_prior_sd, n_draws))
        raw = generator.normal(size=(n_draws, design.n_obs))
        draws[names.LOG_DEVIATION] = deviations(design.steps, draws[names.RHO], draws[names.TAU], raw)
    if extensions.has(names.ZERO_INFLATION):
        draws[names.PSI] = generator.beta(2.0, 1.0, n_draws)
    return draws


def draw_coefficients(level: Coefficients, sd: float, n_draws: int, generator: np.random.Generator) -> np.ndarray:
    """Coefficients from their prior, shape (n_draws, n_coefficients)."""
    return generator.normal(0.0, sd, (n_draws, level.contrasts.shape[1])) @ level.contrasts.T


def _draw_log_normal(
    mu: np.ndarray, shift: np.ndarray, extensions: Extensions, generator: np.random.Generator
) -> Draws:
    n_draws, n_entities = shift.shape
    rate_sd, volume_sd = generator.gamma(2.0, 0.5 * extensions.spread_prior_mean, (2, n_draws))
    sigma = np.abs(generator.normal(0.0, extensions.sigma_prior_sd, n_draws))
    volume_mean = generator.normal(extensions.volume_prior_mean, extensions.volume_prior_sd, n_draws)
    correlation = 2.0 * generator.beta(2.0, 2.0, n_draws) - 1.0
    of_rate, of_volume = generator.normal(size=(2, n_draws, n_entities))
    together = correlation[:, None] * of_rate + np.sqrt(1.0 - correlation**2)[:, None] * of_volume
    return {
        names.RATE_SD: rate_sd,
        names.VOLUME_MEAN: volume_mean,
        names.VOLUME_SD: volume_sd,
        names.SIGMA: sigma,
        names.CORRELATION: correlation,
        THETA: np.exp(np.log(mu)[:, None] + shift + rate_sd[:, None] * of_rate),
        names.NU: volume_mean[:, None] + volume_sd[:, None] * together,
    }


def deviations(steps: Steps, rho: np.ndarray, tau: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """a_j = rho^gap a_(j-1) + sqrt(1 - rho^(2 gap)) tau z_j, beginning with tau z at each entity's first window.

    Args:
        steps: Gaps between windows.
        rho: Shape (draws,).
        tau: Shape (draws,).
        raw: z, shape (draws, n_obs).

    Returns:
        Shape (draws, n_obs).
    """
    carry = np.where(steps.first, 0.0, rho[:, None] ** steps.gap)
    found = tau[:, None] * np.sqrt(1.0 - carry**2) * raw
    order = np.arange(len(steps.first)) - np.maximum.accumulate(np.where(steps.first, np.arange(len(steps.first)), 0))
    for place in range(1, steps.longest):
        at = np.flatnonzero(order == place)
        found[:, at] += carry[:, at] * found[:, at - 1]
    return found


def predict_extended(draws: Draws, design: Design, generator: np.random.Generator) -> np.ndarray:
    """One count per draw and observation, shape (draws, n_obs)."""
    phi, psi = draws.get(PHI), draws.get(names.PSI)
    blocks = []
    for rows, block in _blocks(draws, design):
        mean = np.exp(log_means(block, design))
        counts = draw_counts(mean, None if phi is None else phi[rows, None], generator)
        if psi is not None:
            counts = np.where(generator.random(counts.shape) < psi[rows, None], counts, 0)
        blocks.append(counts)
    return np.concatenate(blocks)


def log_likelihoods_extended(draws: Draws, design: Design) -> np.ndarray:
    """Log density of every observation under every draw, in nats: of its count, or of its count and volume together.

    Args:
        draws: The parameters.
        design: The data.

    Returns:
        Shape (draws, n_obs), float64.
    """
    seen = design.observations
    distinct, which = np.unique(seen.y, return_inverse=True)
    y, phi, psi = seen.y.astype(np.float64), draws.get(PHI), draws.get(names.PSI)
    result = np.empty((len(draws[THETA]), len(y)))
    for rows, block in _blocks(draws, design):
        log_mean = log_means(block, design)
        if phi is None:
            silence = -np.exp(log_mean)
            found = y * log_mean + silence - gammaln(distinct + 1.0)[which]
        else:
            size = phi[rows, None]
            excess = np.logaddexp(0.0, log_mean - np.log(size))
            silence = -size * excess
            table = gammaln(distinct + size) - gammaln(size) - distinct * np.log(size) - gammaln(distinct + 1.0)
            found = y * (log_mean - excess) + silence + table[:, which]
        if psi is not None:
            active = psi[rows, None]
            with np.errstate(divide="ignore"):  # a psi of exactly 1 leaves no other way to be silent
                inflated = np.logaddexp(np.log1p(-active), np.log(active) + silence)
            found = np.where(y > 0, np.log(active) + found, inflated)
        if design.volumes is not None:
            found[:, design.eventful] += log_volume_densities(block, design)
        result[rows] = found
    return result


def log_volume_densities(draws: Draws, design: Design, rows: np.ndarray | slice = ALL) -> np.ndarray:
    """Log density of volumes given the counts, log-normal around nu_i + log y_ij.

    Args:
        draws: The parameters.
        design: The data.
        rows: Which of the observations with events, as positions among them; all by default.

    Returns:
        Shape (draws, rows).
    """
    assert design.volumes is not None
    seen, at = design.observations, design.eventful[rows]
    log_volume = design.volumes.log_volume[rows]
    expected = draws[names.NU][:, seen.entity_idx[at]] + np.log(seen.y[at])
    sigma = draws[names.SIGMA][:, None]
    z = (log_volume - expected) / sigma
    return -0.5 * z**2 - np.log(sigma) - 0.5 * np.log(2.0 * np.pi) - log_volume


def _blocks(draws: Draws, design: Design) -> Iterator[tuple[slice, Draws]]:
    n_draws, per_block = len(draws[THETA]), max(1, _BLOCK // design.n_obs)
    for start in range(0, n_draws, per_block):
        rows = slice(start, start + per_block)
        yield rows, {name: values[rows] for name, values in draws.items()}
