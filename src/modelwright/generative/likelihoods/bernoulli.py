"""Bernoulli: numbers that are 0 or 1."""

from dataclasses import dataclass
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.generative.likelihoods.observation import AbstractObservation


@final
@dataclass(frozen=True)
class Bernoulli(AbstractObservation):
    """x is 1 with probability sigmoid(output).

        log p(x | a) = x a - log(1 + e^a)

    Normalised for x of 0 and 1 only: greys between them would be scored by a number that is no log probability.

    Example:
        >>> float(Bernoulli().log_prob(jnp.zeros((1, 1)), jnp.ones(1))[0])
        -0.6931471824645996
    """

    discrete: ClassVar[bool] = True

    def log_prob(self, output: Float[Array, "*n 1"], x: Array) -> Float[Array, "*n"]:
        """Log probability of every number, nats."""
        a = output[..., 0].astype(jnp.promote_types(output.dtype, jnp.float32))
        return x * a - jax.nn.softplus(a)

    def mean(self, output: Float[Array, "*n 1"]) -> Float[Array, "*n"]:
        """The probability of a 1."""
        return jax.nn.sigmoid(output[..., 0].astype(jnp.promote_types(output.dtype, jnp.float32)))

    def sample(self, output: Float[Array, "*n 1"], key: PRNGKeyArray) -> Array:
        """Zeros and ones, as floating-point numbers."""
        mean = self.mean(output)
        return jax.random.bernoulli(key, mean).astype(mean.dtype)
