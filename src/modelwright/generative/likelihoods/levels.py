"""Whole numbers 0 to levels - 1: with an order (discretised logistic), or with a probability for each (categorical)."""

from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.generative.likelihoods.observation import AbstractObservation, at_least_single

LOG_SCALE_BOUND = 10.0
"""Log scales stay within +- this, smoothly: at e^-10 all probability is on one level of 256, at e^10 on the ends."""

SMALLEST_DEVIATION = 1e-2
"""Where training starts from, of numbers that are all alike: about one level of 256 (arbitrary)."""


@dataclass(frozen=True)
class AbstractLevels(AbstractObservation):
    """A likelihood of whole numbers 0 to levels - 1.

    Args:
        levels: How many; at least 2.
    """

    levels: int = 256

    @property
    def takes(self) -> str:
        """Whole numbers below `levels`."""
        return f"whole numbers 0 to {self.levels - 1}"

    def possible(self, x: Array) -> Array:
        """Whether each number is a level."""
        return is_level(x, self.levels)

    def as_input(self, x: Array) -> Float[Array, "*n"]:
        """Levels from -1 to 1."""
        return scaled(x, self.levels)


@final
@dataclass(frozen=True)
class DiscretisedLogistic(AbstractLevels):
    """A logistic variable rounded to the nearest level, what lies beyond the ends counted to them.

        P(x = k) = F(k + 1/2) - F(k - 1/2),   F(y) = sigmoid((u(y) - mu) / s),   u(y) = 2 y / (levels - 1) - 1,

    with F(-1/2) set to 0 and F(levels - 1/2) to 1: the probabilities sum to one exactly. mu is the first output and
    log s the second, both on the scale u on which the levels reach from -1 to 1.

    Data are the whole numbers 0 to levels - 1 themselves (bytes of images as they are); `mean` and `sample` are on the
    same scale, and samples are integers.

    Args:
        levels: How many; at least 2.

    Source: D. Kingma et al. (2016), https://arxiv.org/abs/1606.04934; T. Salimans et al. (2017),
    https://arxiv.org/abs/1701.05517.

    Example:
        >>> three = DiscretisedLogistic(levels=3)
        >>> output = jnp.broadcast_to(jnp.array([0.2, -1.0]), (3, 2))
        >>> float(jnp.exp(three.log_prob(output, jnp.arange(3))).sum().round(5))
        1.0
    """

    @property
    def outputs(self) -> int:
        """Centre and log scale."""
        return 2

    def log_prob(self, output: Float[Array, "*n 2"], x: Array) -> Float[Array, "*n"]:
        """Log probability of every level, nats.

        sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - e^(a - b)) is free of cancellation, and a - b is minus the
        width of a level over s whatever the level: no probability is cut off, and none is made up.
        """
        centre, precision = self._parts(output)
        k, width = as_number(x).astype(centre.dtype), 2.0 / (self.levels - 1)
        # the upper edge of a level and the lower edge of the next are one number, so that the sum telescopes
        above = (scaled(k + 0.5, self.levels) - centre) * precision
        below = (scaled(k - 0.5, self.levels) - centre) * precision
        up_to, beyond = -jax.nn.softplus(-above), -jax.nn.softplus(below)  # log F(k + 1/2), log(1 - F(k - 1/2))
        inside = up_to + beyond + jnp.log(-jnp.expm1(-width * precision))
        of_level = jnp.where(k <= 0, up_to, jnp.where(k >= self.levels - 1, beyond, inside))
        return jnp.where(self.possible(x), of_level, -jnp.inf)

    def mean(self, output: Float[Array, "*n 2"]) -> Float[Array, "*n"]:
        """The expected level, sum over k >= 1 of P(x >= k); one level after the other, to keep memory flat."""
        centre, precision = self._parts(output)

        def add(total: Array, edge: Array) -> tuple[Array, None]:
            return total + jax.nn.sigmoid((centre - edge) * precision), None

        edges = scaled(jnp.arange(1, self.levels) - 0.5, self.levels).astype(centre.dtype)
        return jax.lax.scan(add, jnp.zeros_like(centre), edges)[0]

    def sample(self, output: Float[Array, "*n 2"], key: PRNGKeyArray) -> Int[Array, "*n"]:
        """Whole numbers 0 to levels - 1."""
        centre, precision = self._parts(output)
        u = centre + jax.random.logistic(key, centre.shape, centre.dtype) / precision
        # limited before rounding: far beyond the ends a number has no integer
        y = jnp.clip(0.5 * (u + 1.0) * (self.levels - 1), 0, self.levels - 1)
        return jnp.round(y).astype(jnp.int32)

    def start(self, x: Array) -> Float[Array, "*example 2"]:
        """The logistic with the mean and the standard deviation (s pi / sqrt 3) of the data."""
        u = self.as_input(x)
        deviation = jnp.maximum(u.std(0), SMALLEST_DEVIATION)
        return jnp.stack([u.mean(0), jnp.log(deviation * jnp.sqrt(3.0) / jnp.pi)], axis=-1)

    def _parts(self, output: Array) -> tuple[Array, Array]:
        output = at_least_single(output)
        return output[..., 0], jnp.exp(-LOG_SCALE_BOUND * jnp.tanh(output[..., 1] / LOG_SCALE_BOUND))


@final
@dataclass(frozen=True)
class Categorical(AbstractLevels):
    """x is k with probability softmax(output)_k.

    Data are whole numbers 0 to levels - 1. Networks see them scaled to -1 to 1, as they see those of the discretised
    logistic; the probabilities know of no order.

    Args:
        levels: How many; at least 2.

    Example:
        >>> float(Categorical(levels=4).log_prob(jnp.zeros((1, 4)), jnp.array([2]))[0])  # -log 4
        -1.3862943649291992
    """

    @property
    def outputs(self) -> int:
        """A logit for each level."""
        return self.levels

    def log_prob(self, output: Float[Array, "*n levels"], x: Array) -> Float[Array, "*n"]:
        """Log probability of every level, nats."""
        possible = self.possible(x)
        level = jnp.where(possible, x, 0).astype(jnp.int32)
        log_probs = jax.nn.log_softmax(at_least_single(output))
        level = jnp.broadcast_to(level, log_probs.shape[:-1])  # many outputs of one x, when latents are drawn
        return jnp.where(possible, jnp.take_along_axis(log_probs, level[..., None], axis=-1)[..., 0], -jnp.inf)

    def mean(self, output: Float[Array, "*n levels"]) -> Float[Array, "*n"]:
        """The expected level."""
        probability = jax.nn.softmax(at_least_single(output))
        return (probability * jnp.arange(self.levels, dtype=probability.dtype)).sum(-1)

    def sample(self, output: Float[Array, "*n levels"], key: PRNGKeyArray) -> Int[Array, "*n"]:
        """Whole numbers 0 to levels - 1."""
        return jax.random.categorical(key, at_least_single(output)).astype(jnp.int32)

    def start(self, x: Array) -> Float[Array, "*example levels"]:
        """Log shares of the levels, one example of each level added over all of them together."""
        one_hot = jax.nn.one_hot(x.astype(jnp.int32), self.levels)
        return jnp.log((one_hot.sum(0) + 1.0 / self.levels) / (len(x) + 1.0))


def is_level(x: Array, levels: int) -> Array:
    """Whether each number is one of 0 to levels - 1."""
    x = as_number(x)
    return (x >= 0) & (x <= levels - 1) & (x == jnp.round(x))


def scaled(x: Array, levels: int) -> Float[Array, "*n"]:
    """Levels 0 to levels - 1 as numbers from -1 to 1."""
    return as_number(x) * (2.0 / (levels - 1)) - 1.0


def as_number(x: Array) -> Float[Array, "*n"]:
    """Whole numbers as floating-point numbers: a byte cannot be compared with 999."""
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
