"""The beta prime distribution, which NumPyro has not."""

from typing import Any, final

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from modelwright.bayesian.components.stirling_series import float_type, log_beta


@final
class BetaPrime(dist.Distribution):
    """The odds x = q/(1-q) of q ~ Beta(alpha, beta): p(x) = x^(alpha-1) (1+x)^(-alpha-beta) / B(alpha, beta).

    The same arguments in the same order as `scipy.stats.betaprime`. The odds *against*, (1-p)/p of p ~ Beta(a, b), are
    BetaPrime(b, a).

    Args:
        alpha: First shape, above 0.
        beta: Second shape, broadcastable with it.
        validate_args: As in NumPyro.

    Example:
        >>> round(float(BetaPrime(2.0, 3.0).log_prob(1.0)), 4)  # 12 x / (1 + x)^5 at 1
        -0.9808
    """

    arg_constraints = {"alpha": constraints.positive, "beta": constraints.positive}  # noqa: RUF012 (NumPyro's)
    support = constraints.positive
    reparametrized_params = ["alpha", "beta"]  # noqa: RUF012 (NumPyro's)
    pytree_data_fields = ("alpha", "beta")

    def __init__(self, alpha: Any, beta: Any, *, validate_args: bool | None = None) -> None:
        kind = float_type(alpha, beta)
        self.alpha, self.beta = dist.util.promote_shapes(jnp.asarray(alpha, kind), jnp.asarray(beta, kind))
        shape = jnp.broadcast_shapes(jnp.shape(alpha), jnp.shape(beta))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """A ratio of Gamma draws, taken in logarithms, which reaches far into both tails."""
        above, below = jax.random.split(key)
        shape = self.shape(sample_shape)
        return jnp.exp(jax.random.loggamma(above, self.alpha, shape) - jax.random.loggamma(below, self.beta, shape))

    @validate_sample
    def log_prob(self, value: Any) -> jax.Array:
        """Log density, in nats."""
        log_value = jnp.log(value)
        return (
            (self.alpha - 1.0) * log_value
            - (self.alpha + self.beta) * jnp.logaddexp(0.0, log_value)
            - log_beta(self.alpha, self.beta)
        )

    @property
    def mean(self) -> jax.Array:
        """That is alpha/(beta - 1), infinite for beta up to 1."""
        safe = jnp.where(self.beta > 1, self.beta - 1.0, 1.0)
        return jnp.broadcast_to(jnp.where(self.beta > 1, self.alpha / safe, jnp.inf), self.batch_shape)

    @property
    def variance(self) -> jax.Array:
        """That is alpha (alpha + beta - 1)/((beta - 2) (beta - 1)^2), infinite for beta up to 2."""
        safe = jnp.where(self.beta > 2, self.beta, 3.0)
        finite = self.alpha * (safe + self.alpha - 1.0) / ((safe - 2.0) * (safe - 1.0) ** 2)
        return jnp.broadcast_to(jnp.where(self.beta > 2, finite, jnp.inf), self.batch_shape)
