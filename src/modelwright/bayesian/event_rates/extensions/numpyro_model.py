"""The extended event-rate model for NumPyro, its likelihood one term per cell of equal mean.

For a cell of n windows with common mean m, of which n_0 without events, and sum of counts S the log likelihood is the
base model's,  S log m - (S + n phi) log(1 + m/phi), plus the terms of the distinct counts. With zero inflation

    S log m - (S + (n - n_0) phi) log(1 + m/phi) + (n - n_0) log psi + n_0 log(1 - psi + psi (1 + m/phi)^-phi),

whose terms of the distinct counts are the same, since a count of zero has none.
"""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import gammaln

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Cells, Coefficients, Design, Volumes
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.windows import Steps
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE, THETA, THETA_RAW, Y
from modelwright.bayesian.event_rates.numpyro_model import _log_gamma_of_large, numpyro_distribution
from modelwright.bayesian.event_rates.observations import CompressedCounts


def extended_event_rates(design: Design, config: ModelConfig, extensions: Extensions) -> None:
    """The model, to be given to `sample_numpyro_model` with `model_args=(design, config, extensions)`.

    Sites as in `extensions.names`; the factor `y` is the log likelihood of the counts, constants included, and the
    factor `volume` that of the volumes.

    Args:
        design: The data.
        config: Priors of the base model, likelihood and parameterisation.
        extensions: What is added; see there for the formulas.
    """
    priors = {name: numpyro_distribution(prior) for name, prior in config.hyperpriors().items()}
    beta = _coefficients(names.BETA, names.BETA_RAW, design.entity_level, extensions)
    log_factor = 0.0 if design.entity_level is None else design.entity_level.matrix @ beta
    if extensions.has(names.VOLUMES):
        log_theta = _log_normal_rates(design, config, extensions, priors[MU], log_factor)
    else:
        log_theta = jnp.log(_gamma_rates(design, config, priors, log_factor))
    log_mean = log_theta[design.cells.entity] + jnp.log(design.cells.exposure) + _window_factor(design, extensions)
    phi = None if config.likelihood == "poisson" else numpyro.sample(PHI, priors[PHI])
    psi = numpyro.sample(names.PSI, dist.Beta(2.0, 1.0)) if extensions.has(names.ZERO_INFLATION) else None
    numpyro.factor(Y, count_log_likelihood(design.cells, design.counts, log_mean, phi, psi))


def count_log_likelihood(cells: Cells, counts: CompressedCounts, log_mean: Any, phi: Any, psi: Any) -> Any:
    """Log likelihood of all counts in nats, a scalar.

    Args:
        cells: Observations with the same mean.
        counts: How often each count occurs.
        log_mean: Log expected count of each cell, shape (n_cells,).
        phi: Concentration, a scalar; None for Poisson counts.
        psi: Probability of being active, a scalar; None without zero inflation.
    """
    # `silence` is the log probability of no event, and a factor of the probability of any count
    if phi is None:
        silence, each, constant = -jnp.exp(log_mean), cells.total * log_mean, counts.constant
    else:
        excess = jnp.logaddexp(0.0, log_mean - jnp.log(phi))
        silence, each = -phi * excess, cells.total * (log_mean - excess)
        constant = counts.constant + _rising(counts, phi)
    if psi is None:
        return jnp.sum(each + cells.windows * silence) + constant
    inflated = jnp.logaddexp(jnp.log1p(-psi), jnp.log(psi) + silence)
    active = cells.windows - cells.silent
    return jnp.sum(each + active * (silence + jnp.log(psi)) + cells.silent * inflated) + constant


def volume_log_likelihood(volumes: Volumes, nu: Any, sigma: Any) -> Any:
    """Log likelihood of all volumes given the counts in nats, a scalar; `nu` of shape (n_entities,).

    constant - n log sigma - [sum (r_ij - mean_i)^2 + sum n_i (mean_i - nu_i)^2] / (2 sigma^2)
    """
    squares = volumes.squares + jnp.sum(volumes.times * (volumes.mean - nu) ** 2)
    return volumes.constant - jnp.sum(volumes.times) * jnp.log(sigma) - 0.5 * squares / sigma**2


def recurrence(first: Any, carry: Any, innovation: Any, longest: int) -> Any:
    """a_j = carry_j a_(j-1) + innovation_j, beginning anew at each entity's first window, shape (n_obs,).

    By doubling: after k rounds a_j holds its last 2^k innovations. That is as stable as the recurrence itself for
    |carry| <= 1, and needs log2(longest) operations on whole arrays instead of one per window.

    Args:
        first: Whether a window is its entity's first, shape (n_obs,).
        carry: Share of the previous value, shape (n_obs,).
        innovation: What is added, shape (n_obs,).
        longest: Windows of the entity that has most.
    """
    share, total, step = jnp.where(first, 0.0, carry), innovation, 1
    while step < longest:
        total = total.at[step:].add(share[step:] * total[:-step])
        share = jnp.concatenate([jnp.zeros(step), share[step:] * share[:-step]])
        step *= 2
    return total


def _coefficients(name: str, raw: str, level: Coefficients | None, extensions: Extensions) -> Any:
    if level is None:
        return None
    n_free = level.contrasts.shape[1]
    free = numpyro.sample(raw, dist.Normal(0.0, extensions.coefficient_prior_sd).expand([n_free]).to_event(1))
    return numpyro.deterministic(name, level.contrasts @ free)


def _gamma_rates(design: Design, config: ModelConfig, priors: dict[str, Any], log_factor: Any) -> Any:
    """Rates theta_i = exp(x_i beta) g_i with g_i from the base model's population."""
    if SHAPE in priors:
        shape, alpha = numpyro.sample(SHAPE, priors[SHAPE]), numpyro.sample(ALPHA, priors[ALPHA])
        mu = numpyro.deterministic(MU, shape / alpha)
    else:
        mu, alpha = numpyro.sample(MU, priors[MU]), numpyro.sample(ALPHA, priors[ALPHA])
        shape = mu * alpha
    factor = jnp.exp(log_factor) * jnp.ones(design.n_entities)
    match config.parameterization:
        case "centered":
            return numpyro.sample(THETA, dist.Gamma(shape, alpha / factor).to_event(1))
        case "noncentered":
            standard = dist.Gamma(shape, 1.0).expand([design.n_entities]).to_event(1)
            return numpyro.deterministic(THETA, numpyro.sample(THETA_RAW, standard) * factor / alpha)
    standard = dist.Gamma(alpha, alpha).expand([design.n_entities]).to_event(1)
    return numpyro.deterministic(THETA, numpyro.sample(THETA_RAW, standard) * factor * mu)


def _log_normal_rates(
    design: Design, config: ModelConfig, extensions: Extensions, mu_prior: Any, log_factor: Any
) -> Any:
    """Log rates, correlated with the entities' log volumes per event; the volumes' likelihood on the way."""
    spread = dist.Gamma(2.0, 2.0 / extensions.spread_prior_mean)
    location = jnp.log(numpyro.sample(MU, mu_prior)) + log_factor * jnp.ones(design.n_entities)
    rate_sd = numpyro.sample(names.RATE_SD, spread)
    volume_mean = numpyro.sample(
        names.VOLUME_MEAN, dist.Normal(extensions.volume_prior_mean, extensions.volume_prior_sd)
    )
    volume_sd = numpyro.sample(names.VOLUME_SD, spread)
    sigma = numpyro.sample(names.SIGMA, dist.HalfNormal(extensions.sigma_prior_sd))
    half = numpyro.sample(names.CORRELATION_RAW, dist.Beta(2.0, 2.0))
    correlation = numpyro.deterministic(names.CORRELATION, 2.0 * half - 1.0)
    alone = 2.0 * jnp.sqrt(half * (1.0 - half))  # sqrt(1 - correlation^2) without cancellation
    standard = dist.Normal(0.0, 1.0).expand([design.n_entities]).to_event(1)
    if config.parameterization == "centered":
        log_theta = numpyro.sample(names.LOG_THETA, dist.Normal(location, rate_sd).to_event(1))
        common = volume_mean + correlation * volume_sd * (log_theta - location) / rate_sd
        nu = numpyro.sample(names.NU, dist.Normal(common, volume_sd * alone).to_event(1))
    else:
        of_rate = numpyro.sample(names.THETA_STANDARD, standard)
        of_volume = numpyro.sample(names.NU_STANDARD, standard)
        log_theta = location + rate_sd * of_rate
        together = correlation * of_rate + alone * of_volume
        nu = numpyro.deterministic(names.NU, volume_mean + volume_sd * together)
    numpyro.deterministic(THETA, jnp.exp(log_theta))
    numpyro.factor(names.VOLUME, volume_log_likelihood(design.volumes, nu, sigma))
    return log_theta


def _window_factor(design: Design, extensions: Extensions) -> Any:
    """Log factor of each cell, w gamma + drift + a, shape (n_cells,) or 0."""
    log_factor, rows = 0.0, design.cells.representative
    if design.window_level is not None:
        gamma = _coefficients(names.GAMMA, names.GAMMA_RAW, design.window_level, extensions)
        log_factor += design.window_level.matrix[rows] @ gamma
    if design.drift is not None:
        scale = numpyro.sample(names.DRIFT_SCALE, dist.HalfNormal(extensions.drift_prior_sd))
        basis = design.drift.basis
        raw = numpyro.sample(names.DRIFT_RAW, dist.Normal(0.0, scale**design.centring).to_event(1))
        drift = numpyro.deterministic(names.DRIFT, basis @ (scale ** (1.0 - design.centring) * raw))
        log_factor += drift[design.drift.level[rows]]
    if design.steps is not None:
        rho, tau = numpyro.sample(names.RHO, dist.Beta(2.0, 2.0)), numpyro.sample(names.TAU, _half(extensions))
        raw = numpyro.sample(names.DEVIATION_RAW, dist.Normal(0.0, 1.0).expand([design.n_obs]).to_event(1))
        log_factor += numpyro.deterministic(names.LOG_DEVIATION, _deviations(design.steps, rho, tau, raw))
    return log_factor


def _half(extensions: Extensions) -> Any:
    return dist.HalfNormal(extensions.tau_prior_sd)


def _deviations(steps: Steps, rho: Any, tau: Any, raw: Any) -> Any:
    carry = rho**steps.gap
    fresh = jnp.where(steps.first, 1.0, jnp.sqrt(-jnp.expm1(2.0 * steps.gap * jnp.log(rho))))
    return recurrence(steps.first, carry, tau * fresh * raw, steps.longest)


def _rising(counts: CompressedCounts, phi: Any) -> Any:
    """Sum over all counts y of log Gamma(y + phi) - log Gamma(phi) - y log phi."""
    small, large = slice(0, counts.n_small), slice(counts.n_small, None)
    return (
        jnp.sum(counts.times[small] * gammaln(counts.count[small] + phi))
        + jnp.sum(counts.times[large] * _log_gamma_of_large(counts.count[large] + phi))
        - jnp.sum(counts.times) * gammaln(phi)
        - jnp.sum(counts.times * counts.count) * jnp.log(phi)
    )
