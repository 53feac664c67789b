"""Log probabilities of counts, exact in value and gradient from r = 1e-6 to the Poisson limit.

All are one formula. With concentration r, p the probability that multiplies the count (NumPyro's: mean = r p/(1-p)),
q = 1 - p, n = r + y, S what Stirling's formula misses of log Gamma and excess(t) = t - log(1 + t),

    D = y q - r p,
    log NB(y | r, p) = -r excess(D/r) - y excess(-D/y) + S(n) - S(r) - S(y) - log(2 pi y n/r)/2     for y > 0
                     = r log q                                                                      for y = 0

whose terms are as large as the answer and no larger; r = infinity is the Poisson distribution with mean r p -> m. The
same D is the derivative in the log-odds, and the derivative in r is a difference of two terms of one sign each. All
kernels work in the type of their parameters, broadcast, and may be jitted, mapped and differentiated twice in the
parameters. Counts carry no gradient; in float32 those above 2^24 = 16,777,216 are not whole numbers any more.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from modelwright.bayesian.components.stirling_series import (
    digamma_remainder_rise,
    excess,
    excess_ratio,
    float_type,
    stirling_error,
)

_LOG_TWO_PI = math.log(2 * math.pi)


def negative_binomial_log_prob(count: Any, concentration: Any, logits: Any) -> jax.Array:
    """Log probability of counts under a negative binomial of concentration r and log-odds log(p/(1-p)), in nats.

        P(y) = Gamma(y + r) / (Gamma(r) y!) (1-p)^r p^y;    mean = r p/(1-p),   variance = mean + mean^2 / r

    The error is that of moving the log-odds by a few units of rounding: a mean that is known through its logarithm is
    known no better. `negative_binomial_mean_log_prob` does not have this term.

    Args:
        count: Whole numbers from 0, any shape.
        concentration: r, positive, broadcastable with `count`.
        logits: log(p/(1-p)), broadcastable with `count`.

    Returns:
        Array of the broadcast shape, in the type of the parameters.

    Source:
        C. Loader (2000), Fast and accurate computation of binomial probabilities,
        https://www.r-project.org/doc/reports/CLoader-dbinom-2002.pdf (the binomial; the same steps here).

    Example:
        >>> round(float(jnp.exp(negative_binomial_log_prob(2, 1.0, 0.0))), 5)  # geometric: (1/2)^3
        0.125
    """
    kind = float_type(concentration, logits)
    return _by_logits(_counts(count, kind), jnp.asarray(concentration, kind), jnp.asarray(logits, kind))


def negative_binomial_mean_log_prob(count: Any, mean: Any, concentration: Any) -> jax.Array:
    """Log probability of counts under a negative binomial of given mean and concentration, in nats.

        variance = mean + mean^2 / concentration;   concentration = inf is the Poisson distribution

    Args:
        count: Whole numbers from 0, any shape.
        mean: Expected count, positive, broadcastable with `count`.
        concentration: Positive, infinity allowed, broadcastable with `count`.

    Returns:
        Array of the broadcast shape, in the type of the parameters.

    Source:
        As in `negative_binomial_log_prob`.

    Example:
        >>> round(float(jnp.exp(negative_binomial_mean_log_prob(2, 3.0, 1.0))), 5)  # geometric: (1/4) (3/4)^2
        0.14062
    """
    kind = float_type(mean, concentration)
    return _by_mean(_counts(count, kind), jnp.asarray(mean, kind), jnp.asarray(concentration, kind))


def poisson_log_prob(count: Any, mean: Any) -> jax.Array:
    """Log probability of counts under a Poisson distribution, in nats: y log m - m - log y!.

    Args:
        count: Whole numbers from 0, any shape.
        mean: Expected count, positive, broadcastable with `count`.

    Example:
        >>> round(float(poisson_log_prob(0, 3.0)), 5)
        -3.0
    """
    kind = float_type(mean)
    return _poisson(_counts(count, kind), jnp.asarray(mean, kind))


def probabilities(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """P and 1 - p of log-odds, each with its digits however small it is.

    Example:
        >>> p, q = probabilities(jnp.float32(-60.0))
        >>> bool(0 < p < 1e-26), float(q)
        (True, 1.0)
    """
    positive = logits > 0
    small = jnp.exp(jnp.where(positive, -logits, logits))
    minor, major = small / (1.0 + small), 1.0 / (1.0 + small)
    return jnp.where(positive, major, minor), jnp.where(positive, minor, major)


def log_complement(logits: Any) -> jax.Array:
    """log(1 - p) of log-odds: minus softplus.

    Example:
        >>> round(float(log_complement(0.0)), 5)
        -0.69315
    """
    return jax.nn.log_sigmoid(-jnp.asarray(logits, float_type(logits)))


def _counts(count: Any, kind: Any) -> jax.Array:
    return jax.lax.stop_gradient(jnp.asarray(count, kind))


def _saddle(y: jax.Array, c: jax.Array, spread: jax.Array, success: jax.Array, q: jax.Array) -> jax.Array:
    """The formula for y > 0; `spread` is D and `success` is c p, finite in the Poisson limit, too."""
    inverse = 1.0 / c
    growth = 1.0 + y * inverse  # n/c
    both = excess_ratio(spread * inverse, q * growth) - excess_ratio(-spread / y, success * growth / y)
    gammas = stirling_error(y + c) - stirling_error(c) - stirling_error(y)
    return gammas - spread * both - 0.5 * (_LOG_TWO_PI + jnp.log(y) + jnp.log1p(y * inverse))


@jax.custom_jvp
def _by_logits(y: jax.Array, c: jax.Array, logits: jax.Array) -> jax.Array:
    p, q = probabilities(logits)
    positive = jnp.maximum(y, 1.0)
    success = c * p
    some = _saddle(positive, c, positive * q - success, success, q)
    return jnp.where(y == 0, c * log_complement(logits), some)


@_by_logits.defjvp
def _by_logits_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    y, c, logits = primals
    p, q = probabilities(logits)
    spread = y * q - c * p
    slope = _log_near_one(spread / c, q * (1.0 + y / c)) + digamma_remainder_rise(c, y)
    return _by_logits(y, c, logits), slope * tangents[1] + spread * tangents[2]


@jax.custom_jvp
def _by_mean(y: jax.Array, mean: jax.Array, c: jax.Array) -> jax.Array:
    ratio = mean / c
    q = 1.0 / (1.0 + ratio)
    positive = jnp.maximum(y, 1.0)
    some = _saddle(positive, c, (positive - mean) * q, mean * q, q)
    safe = jnp.where(ratio > 0, ratio, 1.0)
    return jnp.where(y == 0, -mean * jnp.where(ratio > 0, jnp.log1p(safe) / safe, 1.0), some)


@_by_mean.defjvp
def _by_mean_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    y, mean, c = primals
    q = 1.0 / (1.0 + mean / c)
    in_mean = jnp.where(y == 0, -q, (y - mean) * q / jnp.where(y == 0, 1.0, mean))
    in_concentration = digamma_remainder_rise(c, y) - excess((y - mean) * q / c, q * (1.0 + y / c))
    return _by_mean(y, mean, c), in_mean * tangents[1] + in_concentration * tangents[2]


@jax.custom_jvp
def _poisson(y: jax.Array, mean: jax.Array) -> jax.Array:
    positive = jnp.maximum(y, 1.0)
    spread = positive - mean
    some = spread * excess_ratio(-spread / positive, mean / positive) - stirling_error(positive)
    return jnp.where(y == 0, -mean, some - 0.5 * (_LOG_TWO_PI + jnp.log(positive)))


@_poisson.defjvp
def _poisson_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    y, mean = primals
    slope = jnp.where(y == 0, -1.0, (y - mean) / jnp.where(y == 0, 1.0, mean))
    return _poisson(y, mean), slope * tangents[1]


def _log_near_one(t: jax.Array, one_plus_t: jax.Array) -> jax.Array:
    """Log(1 + t) from whichever of t and 1 + t has the digits."""
    near = jnp.abs(t) < 0.25
    return jnp.where(near, jnp.log1p(jnp.where(near, t, 0.0)), jnp.log(jnp.where(near, 1.0, one_plus_t)))
