"""NumPyro distributions over the exact kernels, and what capturing a part of the molecules does to them."""

from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.util import promote_shapes, validate_sample
from numpyro.util import is_prng_key

from modelwright.bayesian.components.count_kernels import (
    negative_binomial_log_prob,
    negative_binomial_mean_log_prob,
    poisson_log_prob,
    probabilities,
)
from modelwright.bayesian.components.stirling_series import float_type
from modelwright.bayesian.components.zero_inflation import zero_inflated_log_prob
from modelwright.core.errors import ConfigurationError


def captured_logits(logits: Any, *, capture: Any = None, capture_logits: Any = None) -> jax.Array:
    """Log-odds of a negative binomial of which each molecule is captured with probability nu.

    Thinning NB(r, p) gives NB(r, p nu / (1 - p (1 - nu))): the odds are multiplied by nu and the concentration stays.
    In odds form, with phi = (1-p)/p and phi_capture = (1-nu)/nu, the log-odds are -log(phi (1 + phi_capture)).

    Args:
        logits: log(p/(1-p)) before capture.
        capture: nu in (0, 1], broadcastable with it; or
        capture_logits: log(nu/(1-nu)), which has the digits of a nu near one.

    Returns:
        Log-odds after capture, of the broadcast shape.

    Raises:
        ConfigurationError: Both or none of `capture` and `capture_logits` are given.

    Example:
        >>> round(float(captured_logits(0.0, capture=0.5)), 5)  # p = 1/2 becomes (1/4) / (3/4) = 1/3
        -0.69315
        >>> bool(captured_logits(1.5, capture=1.0) == 1.5)  # perfect capture leaves counts unchanged
        True
    """
    if (capture is None) == (capture_logits is None):
        raise ConfigurationError(
            "the capture probability is given twice or not at all",
            field="capture",
            expected="either capture or capture_logits",
        )
    if capture is not None:
        kind = float_type(logits, capture)
        return jnp.asarray(logits, kind) + jnp.log(jnp.asarray(capture, kind))
    kind = float_type(logits, capture_logits)
    return jnp.asarray(logits, kind) + jax.nn.log_sigmoid(jnp.asarray(capture_logits, kind))


class NegativeBinomialByLogits(Distribution):
    """Negative binomial of a concentration and log-odds; see `negative_binomial_log_prob`.

    Args:
        concentration: r, positive.
        logits: log(p/(1-p)), broadcastable with it; the mean is r p/(1-p).
        validate_args: As in NumPyro.

    Example:
        >>> float(NegativeBinomialByLogits(2.0, 0.0).mean)
        2.0
    """

    arg_constraints = {"concentration": constraints.positive, "logits": constraints.real}  # noqa: RUF012 (NumPyro's)
    support = constraints.nonnegative_integer
    pytree_data_fields = ("concentration", "logits")

    def __init__(self, concentration: Any, logits: Any, *, validate_args: bool | None = None) -> None:
        kind = float_type(concentration, logits)
        self.concentration, self.logits = promote_shapes(jnp.asarray(concentration, kind), jnp.asarray(logits, kind))
        shape = jnp.broadcast_shapes(jnp.shape(concentration), jnp.shape(logits))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws of shape sample_shape + batch_shape: Poisson counts with Gamma-distributed means."""
        log_rate = _log_gamma_rate(self, key, sample_shape, self.concentration) + self.logits
        return jax.random.poisson(jax.random.fold_in(key, 1), jnp.exp(log_rate))

    @validate_sample
    def log_prob(self, value: Any) -> jax.Array:
        """Log probability of counts, in nats."""
        return negative_binomial_log_prob(value, self.concentration, self.logits)

    @property
    def mean(self) -> jax.Array:
        """The expected count, r p/(1-p)."""
        return jnp.broadcast_to(self.concentration * jnp.exp(self.logits), self.batch_shape)

    @property
    def variance(self) -> jax.Array:
        """Mean / (1-p)."""
        return self.mean / probabilities(self.logits)[1]


class NegativeBinomialByMean(Distribution):
    """Negative binomial of a mean and a concentration; an infinite concentration is the Poisson distribution.

    Args:
        mean: Expected count, positive.
        concentration: Positive, broadcastable with it; the variance is mean + mean^2 / concentration.
        validate_args: As in NumPyro.

    Example:
        >>> float(NegativeBinomialByMean(2.0, 4.0).variance)
        3.0
    """

    # NumPyro checks what lies under a constraint's name, and `mean` is taken by the property
    arg_constraints = {"_mean": constraints.positive, "concentration": constraints.positive}  # noqa: RUF012
    support = constraints.nonnegative_integer
    pytree_data_fields = ("_mean", "concentration")

    def __init__(self, mean: Any, concentration: Any, *, validate_args: bool | None = None) -> None:
        kind = float_type(mean, concentration)
        self._mean, self.concentration = promote_shapes(jnp.asarray(mean, kind), jnp.asarray(concentration, kind))
        shape = jnp.broadcast_shapes(jnp.shape(mean), jnp.shape(concentration))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws of shape sample_shape + batch_shape: Poisson counts with Gamma-distributed means."""
        # A Gamma mean of this concentration differs from its expectation by less than its own last digit.
        finite = jnp.minimum(self.concentration, 1.0 / jnp.finfo(self.concentration.dtype).eps ** 2)
        relative = jnp.exp(_log_gamma_rate(self, key, sample_shape, finite) - jnp.log(finite))
        return jax.random.poisson(jax.random.fold_in(key, 1), self._mean * relative)

    @validate_sample
    def log_prob(self, value: Any) -> jax.Array:
        """Log probability of counts, in nats."""
        return negative_binomial_mean_log_prob(value, self._mean, self.concentration)

    @property
    def mean(self) -> jax.Array:
        """The expected count."""
        return jnp.broadcast_to(self._mean, self.batch_shape)

    @property
    def variance(self) -> jax.Array:
        """Mean + mean^2 / concentration."""
        return self.mean * (1.0 + self._mean / self.concentration)


class PoissonByMean(Distribution):
    """Poisson distribution whose log probability keeps its digits at large means; see `poisson_log_prob`.

    Args:
        mean: Expected count, positive.
        validate_args: As in NumPyro.

    Example:
        >>> float(PoissonByMean(2.0).variance)
        2.0
    """

    arg_constraints = {"_mean": constraints.positive}  # noqa: RUF012 (NumPyro's)
    support = constraints.nonnegative_integer
    pytree_data_fields = ("_mean",)

    def __init__(self, mean: Any, *, validate_args: bool | None = None) -> None:
        self._mean = jnp.asarray(mean, float_type(mean))
        super().__init__(batch_shape=jnp.shape(mean), validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws of shape sample_shape + batch_shape."""
        _check_key(key)
        return jax.random.poisson(key, self._mean, self.shape(sample_shape))

    @validate_sample
    def log_prob(self, value: Any) -> jax.Array:
        """Log probability of counts, in nats."""
        return poisson_log_prob(value, self._mean)

    @property
    def mean(self) -> jax.Array:
        """The expected count."""
        return self._mean

    @property
    def variance(self) -> jax.Array:
        """The mean."""
        return self._mean


class ZeroInflated(Distribution):
    """A distribution of counts behind a gate: with probability pi a count is zero.

    Args:
        base: Distribution of the counts of open gates.
        gate_logits: log(pi/(1-pi)), broadcastable with the base's batch shape.
        validate_args: As in NumPyro.

    Example:
        >>> float(ZeroInflated(PoissonByMean(2.0), 0.0).mean)
        1.0
    """

    arg_constraints = {"gate_logits": constraints.real}  # noqa: RUF012 (NumPyro's)
    support = constraints.nonnegative_integer
    pytree_data_fields = ("base", "gate_logits")

    def __init__(self, base: Distribution, gate_logits: Any, *, validate_args: bool | None = None) -> None:
        shape = jnp.broadcast_shapes(base.batch_shape, jnp.shape(gate_logits))
        self.base = base.expand(shape) if base.batch_shape != shape else base
        (self.gate_logits,) = promote_shapes(jnp.asarray(gate_logits, float_type(gate_logits)), shape=shape)
        super().__init__(batch_shape=shape, validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws of shape sample_shape + batch_shape."""
        _check_key(key)
        of_gate, of_base = jax.random.split(key)
        closed = jax.random.bernoulli(of_gate, jax.nn.sigmoid(self.gate_logits), self.shape(sample_shape))
        return jnp.where(closed, 0, self.base.sample(of_base, sample_shape))

    @validate_sample
    def log_prob(self, value: Any) -> jax.Array:
        """Log probability of counts, in nats."""
        return zero_inflated_log_prob(value, self.gate_logits, self.base.log_prob(value))

    @property
    def mean(self) -> jax.Array:
        """(1-pi) times the base's mean."""
        return jax.nn.sigmoid(-self.gate_logits) * self.base.mean

    @property
    def variance(self) -> jax.Array:
        """(1-pi) (base variance + pi base mean^2)."""
        pi, opened = probabilities(self.gate_logits)
        return opened * (self.base.variance + pi * self.base.mean**2)


def _check_key(key: jax.Array) -> None:
    if not is_prng_key(key):
        raise ConfigurationError("not a random key", field="key", expected="a key of jax.random", got=key)


def _log_gamma_rate(
    of: Distribution, key: jax.Array, sample_shape: tuple[int, ...], concentration: jax.Array
) -> jax.Array:
    """Log of Gamma(concentration) draws, which does not underflow where the concentration is small."""
    _check_key(key)
    return jax.random.loggamma(jax.random.fold_in(key, 0), concentration, of.shape(sample_shape))
