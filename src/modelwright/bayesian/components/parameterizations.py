"""Three ways to write the same negative binomial, and priors that stay the same model in each.

    canonical        p, r                   success probability and concentration; mean = r p/(1-p)
    mean_prob        p, mu                  r = mu (1-p)/p
    mean_odds        phi = (1-p)/p, mu      r = mu phi

The likelihood at mapped values is the same. The *model* is the same only if the priors are mapped, too: a density picks
up the Jacobian of the map. Keeping the default priors while changing coordinates is another model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from modelwright.bayesian.components.beta_prime import BetaPrime
from modelwright.bayesian.components.stirling_series import float_type
from modelwright.core.errors import ConfigurationError

Pair = tuple[jax.Array, jax.Array]
LogDensity = Callable[[Any, Any], jax.Array]


@dataclass(frozen=True)
class Parameterization:
    """Coordinates of the negative binomial.

    Args:
        name: The word by which a person chooses it.
        coordinates: Names of the two parameters: the one of p first.
        to_canonical: Maps them to (p, r).
        from_canonical: Maps (p, r) to them.
        log_jacobian: log |d(p, r) / d(first, second)| at their values.
        logits: log(p/(1-p)) of their values, with the digits of a p near 0 or 1.
    """

    name: str
    coordinates: tuple[str, str]
    to_canonical: Callable[[Any, Any], Pair]
    from_canonical: Callable[[Any, Any], Pair]
    log_jacobian: Callable[[Any, Any], jax.Array]
    logits: Callable[[Any, Any], jax.Array]


def log_odds(p: Any) -> jax.Array:
    """log(p/(1-p)).

    Example:
        >>> float(log_odds(0.5))
        0.0
    """
    value = jnp.asarray(p, float_type(p))
    return jnp.log(value) - jnp.log1p(-value)


def _pair(one: Any, other: Any) -> Pair:
    kind = float_type(one, other)
    return jnp.asarray(one, kind), jnp.asarray(other, kind)


def _mean_prob_to_canonical(p: Any, mu: Any) -> Pair:
    p, mu = _pair(p, mu)
    return p, mu * (1.0 - p) / p


def _canonical_to_mean_prob(p: Any, r: Any) -> Pair:
    p, r = _pair(p, r)
    return p, r * p / (1.0 - p)


def _mean_odds_to_canonical(phi: Any, mu: Any) -> Pair:
    phi, mu = _pair(phi, mu)
    return 1.0 / (1.0 + phi), mu * phi


def _canonical_to_mean_odds(p: Any, r: Any) -> Pair:
    p, r = _pair(p, r)
    return (1.0 - p) / p, r * p / (1.0 - p)


def _mean_odds_log_jacobian(phi: Any, mu: Any) -> jax.Array:
    phi, mu = _pair(phi, mu)  # |dp/dphi| = 1/(1+phi)^2 and dr/dmu = phi
    return jnp.log(phi) - 2.0 * jnp.log1p(phi) + jnp.zeros_like(mu)


CANONICAL = Parameterization(
    "canonical",
    ("p", "r"),
    to_canonical=_pair,
    from_canonical=_pair,
    log_jacobian=lambda p, r: sum(jnp.zeros_like(part) for part in _pair(p, r)),
    logits=lambda p, r: log_odds(p),
)
MEAN_PROB = Parameterization(
    "mean_prob",
    ("p", "mu"),
    to_canonical=_mean_prob_to_canonical,
    from_canonical=_canonical_to_mean_prob,
    log_jacobian=lambda p, mu: -log_odds(_pair(p, mu)[0]) + jnp.zeros_like(_pair(p, mu)[1]),
    logits=lambda p, mu: log_odds(p),
)
MEAN_ODDS = Parameterization(
    "mean_odds",
    ("phi", "mu"),
    to_canonical=_mean_odds_to_canonical,
    from_canonical=_canonical_to_mean_odds,
    log_jacobian=_mean_odds_log_jacobian,
    logits=lambda phi, mu: -jnp.log(_pair(phi, mu)[0]),
)
_ALL = {each.name: each for each in (CANONICAL, MEAN_PROB, MEAN_ODDS)}


def parameterization(name: str) -> Parameterization:
    """The parameterisation of that name.

    Raises:
        ConfigurationError: There is none of that name.

    Example:
        >>> p, r = parameterization("mean_odds").to_canonical(1.0, 3.0)
        >>> float(p), float(r)
        (0.5, 3.0)
    """
    if name not in _ALL:
        raise ConfigurationError(
            "no such parameterisation", field="parameterization", expected=" or ".join(_ALL), got=name
        )
    return _ALL[name]


def convert(first: Any, second: Any, *, source: Parameterization, target: Parameterization) -> Pair:
    """Values in one parameterisation's coordinates as values in another's: the same distribution of counts.

    Args:
        first: First coordinate of `source`, any shape.
        second: Second coordinate, broadcastable with it.
        source: Where the values are from.
        target: Where they are wanted.

    Example:
        >>> phi, mu = convert(0.5, 3.0, source=CANONICAL, target=MEAN_ODDS)
        >>> float(phi), float(mu)
        (1.0, 3.0)
    """
    if source.coordinates == target.coordinates:
        return _pair(first, second)
    return target.from_canonical(*source.to_canonical(first, second))


def same_model_log_density(
    log_density: LogDensity, *, source: Parameterization, target: Parameterization
) -> LogDensity:
    """A prior's log density carried into other coordinates: the change of coordinates that keeps the model.

        log f_target(t) = log f_source(s(t)) + log |ds/dt|

    Args:
        log_density: Joint log density of the two coordinates of `source`; one pair of values gives one number.
        source: The coordinates in which the prior was stated.
        target: The coordinates in which it is wanted.

    Returns:
        Joint log density of the two coordinates of `target`.

    Example:
        >>> flat = lambda p, r: -r  # p uniform, r exponential
        >>> moved = same_model_log_density(flat, source=CANONICAL, target=MEAN_PROB)
        >>> round(float(moved(0.25, 1.0)), 5)  # r = 3, and dr/dmu = 3
        -1.90139
    """

    def moved(first: Any, second: Any) -> jax.Array:
        back = convert(first, second, source=target, target=source)
        return log_density(*back) + target.log_jacobian(first, second) - source.log_jacobian(*back)

    return moved


def scaled_prior(prior: dist.Distribution, factor: Any) -> dist.Distribution:
    """The distribution of `factor` times a positive parameter.

    With r ~ prior, the mean mu = r / phi given phi has the distribution `scaled_prior(prior, 1 / phi)`, and r = mu phi
    given phi has `scaled_prior(prior of mu, phi)`: conditional priors in the other coordinates that keep the model.

    Example:
        >>> round(float(scaled_prior(dist.Exponential(1.0), 2.0).log_prob(2.0)), 5)  # exp(-1)/2
        -1.69315
    """
    return dist.TransformedDistribution(
        prior, dist.transforms.AffineTransform(0.0, factor, domain=constraints.positive)
    )


def odds_prior(of_probability: dist.Beta) -> BetaPrime:
    """The prior of the odds phi = (1-p)/p that says the same as this prior of p.

    Example:
        >>> prior = odds_prior(dist.Beta(2.0, 5.0))
        >>> float(prior.alpha), float(prior.beta)
        (5.0, 2.0)
    """
    return BetaPrime(of_probability.concentration0, of_probability.concentration1)
