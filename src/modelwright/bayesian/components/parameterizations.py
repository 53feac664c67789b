"""Three ways to write the same negative binomial.

    canonical        p, r                   success probability and concentration; mean = r p/(1-p)
    mean_prob        p, mu                  r = mu (1-p)/p
    mean_odds        phi = (1-p)/p, mu      r = mu phi

The likelihood at mapped values is the same. The *model* is the same only if the priors are mapped, too: keeping the
default priors while changing coordinates is another model. With p ~ Beta(a, b), phi ~ BetaPrime(b, a); with log r of
some location, log mu given the first coordinate has the same distribution moved by the log odds log(p/(1-p)).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from modelwright.bayesian.components.count_likelihoods import logit


@dataclass(frozen=True)
class Coordinates:
    """Coordinates of the negative binomial.

    Args:
        first: Name of the one that p is read off, p or phi.
        second: Name of the level of a gene, r or mu.
        probability: p of the first.
        log_odds: log(p/(1-p)) of the first, with the digits of a p near 0 or 1.
        concentration: r of both.
    """

    first: str
    second: str
    probability: Callable[[Any], Any]
    log_odds: Callable[[Any], Any]
    concentration: Callable[[Any, Any], Any]


COORDINATES = {
    "canonical": Coordinates("p", "r", lambda p: p, logit, lambda p, r: r),
    "mean_prob": Coordinates("p", "mu", lambda p: p, logit, lambda p, mu: mu * (1.0 - p) / p),
    "mean_odds": Coordinates(
        "phi", "mu", lambda phi: 1.0 / (1.0 + phi), lambda phi: -jnp.log(phi), lambda phi, mu: mu * phi
    ),
}
"""Coordinates by the word with which a person chooses them."""
