"""Bernoulli: numbers that are 0 or 1."""

from dataclasses import dataclass
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.generative.likelihoods.observation import AbstractObservation, at_least_single


@final
@dataclass(frozen=True)
class Bernoulli(AbstractObservation):
    """x is 1 with probability sigmoid(output).

        log p(x | a) = x a - log(1 + e^a)

    Normalised for x of 0 and 1 only: greys between them have probability 0.

    Example:
        >>> float(Bernoulli().log_prob(jnp.zeros((1, 1)), jnp.ones(1))[0])
        -0.6931471824645996
    """

    levels: ClassVar[int | None] = 2

    @property
    def outputs(self) -> int:
        """One: the log odds of a 1."""
        return 1

    @property
    def takes(self) -> str:
        """Zeros and ones."""
        return "0 or 1"

    def possible(self, x: Array) -> Array:
        """Whether each number is 0 or 1."""
        return (x == 0) | (x == 1)

    def log_prob(self, output: Float[Array, "*n 1"], x: Array) -> Float[Array, "*n"]:
        """Log probability of every number, nats."""
        a = at_least_single(output[..., 0])
        return jnp.where(self.possible(x), x * a - jax.nn.softplus(a), -jnp.inf)

    def mean(self, output: Float[Array, "*n 1"]) -> Float[Array, "*n"]:
        """The probability of a 1."""
        return jax.nn.sigmoid(at_least_single(output[..., 0]))

    def sample(self, output: Float[Array, "*n 1"], key: PRNGKeyArray) -> Array:
        """Zeros and ones, as floating-point numbers."""
        mean = self.mean(output)
        return jax.random.bernoulli(key, mean).astype(mean.dtype)

    def start(self, x: Array) -> Float[Array, "*example 1"]:
        """The log odds of the data, one 1 and one 0 added, so that they are finite where all are alike."""
        ones = x.astype(jnp.float32).sum(0)
        return jnp.log((ones + 1.0) / (len(x) - ones + 1.0))[..., None]
