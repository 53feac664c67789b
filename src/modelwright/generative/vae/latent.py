"""Normal latents: q(z | x) from an encoder, p(z) standard normal or from what the model is conditioned on."""

from typing import NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

LOG_VARIANCE_BOUND = 20.0
"""Log variances stay within +- this, smoothly: e^20 is beyond any latent's scale, and exponentials stay finite."""


@final
class NormalLatent(NamedTuple):
    """Independent normal numbers.

    Args:
        mean: Shape (n, latent_dim).
        log_variance: Shape (n, latent_dim); a log *variance*, the standard deviation is exp(log_variance / 2).

    Example:
        >>> q = NormalLatent(jnp.ones((1, 2)), jnp.zeros((1, 2)))
        >>> q.divergence(NormalLatent.standard(1, 2)).tolist()
        [[0.5, 0.5]]
    """

    mean: Float[Array, "n latent"]
    log_variance: Float[Array, "n latent"]

    @staticmethod
    def of(output: Float[Array, "n two_latent"]) -> "NormalLatent":
        """From a network's output: the means, then what becomes the log variances."""
        output = output.astype(jnp.promote_types(output.dtype, jnp.float32))
        mean, raw = jnp.split(output, 2, axis=-1)
        return NormalLatent(mean, LOG_VARIANCE_BOUND * jnp.tanh(raw / LOG_VARIANCE_BOUND))

    @staticmethod
    def standard(n: int, latent_dim: int) -> "NormalLatent":
        """Standard normal numbers."""
        return NormalLatent(jnp.zeros((n, latent_dim)), jnp.zeros((n, latent_dim)))

    def draw(self, key: PRNGKeyArray, draws: tuple[int, ...] = ()) -> Float[Array, "*draws n latent"]:
        """Latents drawn from it."""
        noise = jax.random.normal(key, (*draws, *self.mean.shape), self.mean.dtype)
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise

    def log_prob(self, z: Float[Array, "*draws n latent"]) -> Float[Array, "*draws n"]:
        """Log density of latents, nats."""
        squared = jnp.square(z - self.mean) * jnp.exp(-self.log_variance)
        return -0.5 * (squared + self.log_variance + jnp.log(2.0 * jnp.pi)).sum(-1)

    def divergence(self, prior: "NormalLatent") -> Float[Array, "n latent"]:
        """KL(q || p) of each number, nats, for q this and p the prior.

        (log v_p - log v_q + (v_q + (mu_q - mu_p)^2) / v_p - 1) / 2
        """
        squared = jnp.exp(self.log_variance) + jnp.square(self.mean - prior.mean)
        ratio = prior.log_variance - self.log_variance
        return 0.5 * (ratio + squared * jnp.exp(-prior.log_variance) - 1.0)
