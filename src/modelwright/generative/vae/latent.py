"""The normal latent of a variational autoencoder: q(z | x) from an encoder, p(z) standard normal."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

LOG_VARIANCE_BOUND = 20.0
"""Log variances stay within +- this, smoothly: e^20 is beyond any latent's scale, and exponentials stay finite."""


class NormalLatent(NamedTuple):
    """q(z | x): independent normal numbers.

    Args:
        mean: Shape (n, latent_dim).
        log_variance: Shape (n, latent_dim); a log *variance*, the standard deviation is exp(log_variance / 2).
    """

    mean: Float[Array, "n latent"]
    log_variance: Float[Array, "n latent"]

    @staticmethod
    def of(output: Float[Array, "n two_latent"]) -> "NormalLatent":
        """From an encoder's output: the means, then what becomes the log variances."""
        output = output.astype(jnp.promote_types(output.dtype, jnp.float32))
        mean, raw = jnp.split(output, 2, axis=-1)
        return NormalLatent(mean, LOG_VARIANCE_BOUND * jnp.tanh(raw / LOG_VARIANCE_BOUND))

    def draw(self, key: PRNGKeyArray, draws: tuple[int, ...] = ()) -> Float[Array, "*draws n latent"]:
        """Latents drawn from q."""
        noise = jax.random.normal(key, (*draws, *self.mean.shape), self.mean.dtype)
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise

    def log_prob(self, z: Float[Array, "*draws n latent"]) -> Float[Array, "*draws n"]:
        """Log q(z | x), nats."""
        squared = jnp.square(z - self.mean) * jnp.exp(-self.log_variance)
        return -0.5 * (squared + self.log_variance + jnp.log(2.0 * jnp.pi)).sum(-1)

    def divergence(self) -> Float[Array, "n latent"]:
        """KL(q || standard normal) of each number: (mu^2 + sigma^2 - log sigma^2 - 1) / 2, nats."""
        return 0.5 * (jnp.square(self.mean) + jnp.exp(self.log_variance) - self.log_variance - 1.0)


def standard_log_prob(z: Float[Array, "*n latent"]) -> Float[Array, "*n"]:
    """Log p(z) of the standard normal prior, nats."""
    return -0.5 * (jnp.square(z) + jnp.log(2.0 * jnp.pi)).sum(-1)
