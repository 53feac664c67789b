"""Gaussian: real numbers."""

from dataclasses import dataclass
from typing import ClassVar, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.generative.likelihoods.observation import AbstractObservation, at_least_single

LOG_VARIANCE_BOUND = 14.0
"""Learned log variances stay within +- this, smoothly: standard deviations from 0.0009 to 1,100. The density of data
that a network can repeat exactly has no upper bound; this one is arbitrary, below the grain of data of unit size."""

SMALLEST_VARIANCE = 1e-4
"""Where training starts from, of numbers that are all alike."""


@final
@dataclass(frozen=True)
class Gaussian(AbstractObservation):
    """x is normal around the first output; its standard deviation is given, or learned as the second output.

        log p(x | mu, v) = -((x - mu)^2 e^-v + v + log 2 pi) / 2,   v the log *variance*

    Data are real numbers of about unit size; what they are scaled by, the person who scaled them adds back.

    Args:
        scale: The standard deviation, in units of the data; None where a network puts out the log variance.

    Example:
        >>> float(Gaussian(scale=1.0).log_prob(jnp.zeros((1, 1)), jnp.zeros(1))[0])  # -log(2 pi) / 2
        -0.9189385175704956
    """

    levels: ClassVar[int | None] = None

    scale: float | None = None

    @property
    def outputs(self) -> int:
        """The mean, and the log variance where it is learned."""
        return 2 if self.scale is None else 1

    @property
    def takes(self) -> str:
        """Any finite number."""
        return "finite numbers"

    def possible(self, x: Array) -> Array:
        """Whether each number is finite."""
        return jnp.isfinite(x)

    def log_variance(self, output: Float[Array, "*n outputs"]) -> Float[Array, "*n"]:
        """The log variance of every number."""
        if self.scale is not None:
            return jnp.full(output.shape[:-1], 2.0 * jnp.log(self.scale), at_least_single(output).dtype)
        return LOG_VARIANCE_BOUND * jnp.tanh(at_least_single(output[..., 1]) / LOG_VARIANCE_BOUND)

    def log_prob(self, output: Float[Array, "*n outputs"], x: Array) -> Float[Array, "*n"]:
        """Log density of every number, nats."""
        log_variance = self.log_variance(output)
        squared = jnp.square(x - self.mean(output)) * jnp.exp(-log_variance)
        return jnp.where(self.possible(x), -0.5 * (squared + log_variance + jnp.log(2.0 * jnp.pi)), -jnp.inf)

    def mean(self, output: Float[Array, "*n outputs"]) -> Float[Array, "*n"]:
        """The first output."""
        return at_least_single(output[..., 0])

    def sample(self, output: Float[Array, "*n outputs"], key: PRNGKeyArray) -> Array:
        """Normal numbers."""
        mean = self.mean(output)
        return mean + jnp.exp(0.5 * self.log_variance(output)) * jax.random.normal(key, mean.shape, mean.dtype)

    def start(self, x: Array) -> Float[Array, "*example outputs"]:
        """The means of the data, and their log variances."""
        mean, log_variance = x.mean(0), jnp.log(x.var(0) + SMALLEST_VARIANCE)
        return mean[..., None] if self.scale is not None else jnp.stack([mean, log_variance], axis=-1)
