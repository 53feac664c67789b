"""The beta prime distribution, which NumPyro has not."""

from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jax.scipy.special import betaln
from numpyro.distributions import constraints


@final
class BetaPrime(dist.Distribution):
    """The odds x = q/(1-q) of q ~ Beta(alpha, beta): p(x) = x^(alpha-1) (1+x)^(-alpha-beta) / B(alpha, beta).

    The same arguments as `scipy.stats.betaprime`. The odds (1-p)/p of p ~ Beta(a, b) are BetaPrime(b, a).

    Args:
        alpha: First shape, above 0.
        beta: Second shape, above 0.

    Example:
        >>> round(float(BetaPrime(2.0, 3.0).log_prob(1.0)), 4)  # 12 x / (1 + x)^5 at 1
        -0.9808
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"alpha": constraints.positive, "beta": constraints.positive}
    support = constraints.positive
    reparametrized_params: ClassVar[list[str]] = ["alpha", "beta"]

    def __init__(self, alpha: Any = 1.0, beta: Any = 1.0, *, validate_args: bool | None = None) -> None:
        self.alpha, self.beta = jnp.broadcast_arrays(jnp.asarray(alpha, float), jnp.asarray(beta, float))
        super().__init__(batch_shape=jnp.shape(self.alpha), validate_args=validate_args)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """A ratio of gamma variables, which reaches far into both tails; shape sample_shape + batch_shape."""
        above, below = random.split(key)
        shape = (*sample_shape, *self.batch_shape)
        log_ratio = random.loggamma(above, self.alpha, shape) - random.loggamma(below, self.beta, shape)
        return jnp.exp(log_ratio)

    def log_prob(self, value: Any) -> Any:
        """In nats."""
        return (
            (self.alpha - 1.0) * jnp.log(value)
            - (self.alpha + self.beta) * jnp.log1p(value)
            - betaln(self.alpha, self.beta)
        )

    @property
    def mean(self) -> Any:
        """That is alpha/(beta - 1), infinite for beta up to 1."""
        return jnp.where(self.beta > 1.0, self.alpha / jnp.where(self.beta > 1.0, self.beta - 1.0, 1.0), jnp.inf)

    @property
    def variance(self) -> Any:
        """That is alpha (alpha + beta - 1)/((beta - 2) (beta - 1)^2), infinite for beta up to 2."""
        fine = self.beta > 2.0
        beta = jnp.where(fine, self.beta, 3.0)
        return jnp.where(fine, self.alpha * (self.alpha + beta - 1.0) / ((beta - 2.0) * (beta - 1.0) ** 2), jnp.inf)
