"""The event-rate model for NumPyro, with the likelihood of all counts as one term over sufficient statistics.

For a group g of windows with the same entity and exposure e (n_g windows, S_g events, mean m_g = theta e) and distinct
counts c that occur w_c times, the negative binomial log likelihood of all observations is

    sum_g [S_g log m_g - (S_g + n_g phi) log(1 + m_g/phi)]
      + sum_c w_c [log Gamma(c + phi) - log Gamma(phi) - c log phi] - sum_ij log y_ij!

which is what summing over the observations gives, at the cost of one term per entity. It tends to the Poisson
likelihood, sum_g [S_g log m_g - n_g m_g] - sum_ij log y_ij!, as phi grows.
"""

import math
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import gammaln

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.hyperpriors import Hyperprior
from modelwright.bayesian.event_rates.names import ALPHA, ENTITY, MU, PHI, SHAPE, THETA, THETA_RAW, Y
from modelwright.bayesian.event_rates.observations import CompressedCounts


def hierarchical_negbinom(counts: CompressedCounts, config: ModelConfig) -> None:
    """The model, to be given to `sample_numpyro_model` with `model_args=(counts, config)`.

    Sites `mu`, `alpha`, `phi` (not for a Poisson likelihood), `theta` of shape (n_entities,), and, for the
    parameterisations that rescale, `theta_raw`; with a prior of the shape, `shape` is sampled and `mu` follows from
    it. The factor `y` is the log likelihood, constants included.

    Args:
        counts: The data, from `observations.compress`.
        config: Priors, likelihood and parameterisation; see there for the formulas.
    """
    priors = {name: numpyro_distribution(prior) for name, prior in config.hyperpriors().items()}
    if SHAPE in priors:
        shape, alpha = numpyro.sample(SHAPE, priors[SHAPE]), numpyro.sample(ALPHA, priors[ALPHA])
        mu = numpyro.deterministic(MU, shape / alpha)
    else:
        mu, alpha = numpyro.sample(MU, priors[MU]), numpyro.sample(ALPHA, priors[ALPHA])
        shape = mu * alpha
    with numpyro.plate(ENTITY, counts.n_entities):
        match config.parameterization:
            case "centered":
                theta = numpyro.sample(THETA, dist.Gamma(shape, alpha))
            case "noncentered":
                theta = numpyro.deterministic(THETA, numpyro.sample(THETA_RAW, dist.Gamma(shape, 1.0)) / alpha)
            case "mean_scaled":
                theta = numpyro.deterministic(THETA, numpyro.sample(THETA_RAW, dist.Gamma(alpha, alpha)) * mu)
    if config.likelihood == "poisson":
        numpyro.factor(Y, poisson_log_likelihood(counts, theta))
    else:
        numpyro.factor(Y, negative_binomial_log_likelihood(counts, theta, numpyro.sample(PHI, priors[PHI])))


def numpyro_distribution(prior: Hyperprior) -> dist.Distribution:
    """A hyperprior as a NumPyro distribution.

    Example:
        >>> type(numpyro_distribution(Hyperprior("half_cauchy", (2.0,)))).__name__
        'HalfCauchy'
    """
    match prior.name:
        case "exponential":
            return dist.Exponential(*prior.arguments)
        case "half_normal":
            return dist.HalfNormal(*prior.arguments)
        case "gamma":
            return dist.Gamma(*prior.arguments)
        case "log_normal":
            return dist.LogNormal(*prior.arguments)
        case "half_cauchy":
            return dist.HalfCauchy(*prior.arguments)
        case "half_student_t":
            df, scale = prior.arguments
            return dist.FoldedDistribution(dist.StudentT(df, 0.0, scale))
        case "inverse_gamma":
            return dist.InverseGamma(*prior.arguments)
        case "uniform":
            return dist.Uniform(*prior.arguments)
    raise NotImplementedError(prior.name)


def negative_binomial_log_likelihood(counts: CompressedCounts, theta: Any, phi: Any) -> Any:
    """Log likelihood of all counts in nats, a scalar; `theta` of shape (n_entities,), `phi` a scalar."""
    mean = theta[counts.entity] * counts.exposure
    of_rates = counts.total * jnp.log(mean) - (counts.total + counts.windows * phi) * jnp.log1p(mean / phi)
    small, large = slice(0, counts.n_small), slice(counts.n_small, None)
    rising = (
        jnp.sum(counts.times[small] * gammaln(counts.count[small] + phi))
        + jnp.sum(counts.times[large] * _log_gamma_of_large(counts.count[large] + phi))
        - jnp.sum(counts.times) * gammaln(phi)
        - jnp.sum(counts.times * counts.count) * jnp.log(phi)
    )
    return jnp.sum(of_rates) + rising + counts.constant


def poisson_log_likelihood(counts: CompressedCounts, theta: Any) -> Any:
    """Log likelihood of all counts in nats, a scalar; `theta` of shape (n_entities,)."""
    mean = theta[counts.entity] * counts.exposure
    return jnp.sum(counts.total * jnp.log(mean) - counts.windows * mean) + counts.constant


def _log_gamma_of_large(x: Any) -> Any:
    """Log Gamma(x) for x >= 32 at the price of one logarithm, which matters where thousands of counts are distinct."""
    inverse = 1.0 / x
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    return (x - 0.5) * jnp.log(x) - x + 0.5 * math.log(2.0 * math.pi) + series
