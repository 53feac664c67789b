"""Differences of log-gamma functions and their derivatives that keep their digits from tiny to huge arguments.

A negative binomial needs log Gamma(y + r) - log Gamma(r). Both are of size r log r, so for a large r their difference
has lost every digit in float32. Stirling's series says what is left after the large parts have been taken away by hand,
and for the derivatives the *differences* of its terms are written out, so that nothing is subtracted from its like.
Arguments below the reach of the series are shifted upwards by Gamma(x + 1) = x Gamma(x).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

_LOG_GAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
"""Coefficients B_2k / (2k (2k - 1)) of 1/x^(2k-1), and B_2k / (2k) of 1/x^2k, k = 1, 2, ..."""

_LOG_TWO_PI = math.log(2 * math.pi)

_REACH = {True: (10, 7), False: (4, 5)}
"""Where the series begins and how many terms it takes, for float64 and for narrower types: what is left out is below
a quarter of a unit of rounding of the result."""


def float_type(*parameters: Any) -> Any:
    """The floating-point type in which these parameters meet: their own, or JAX's default for whole numbers.

    Example:
        >>> import numpy as np
        >>> str(float_type(np.float32(1.0), 3))
        'float32'
    """
    return jnp.result_type(float, *parameters)


def stirling_error(x: Any) -> jax.Array:
    """What Stirling's formula misses of log Gamma, for x > 0; zero at infinity.

        S(x) = log Gamma(x) - (x - 1/2) log x + x - log(2 pi)/2

    Not meant to be differentiated: the kernels carry exact derivatives of their own.

    Args:
        x: Positive, any shape; infinity allowed.

    Source:
        C. Loader (2000), Fast and accurate computation of binomial probabilities,
        https://www.r-project.org/doc/reports/CLoader-dbinom-2002.pdf

    Example:
        >>> round(float(stirling_error(1.0)), 5)
        0.08106
    """
    x = jnp.asarray(x, float_type(x))
    reach, terms = _REACH[x.dtype == jnp.float64]
    near = x < reach
    small = jnp.where(near, x, 1.0)
    inverse = 1.0 / jnp.where(near, x + reach, x)
    square = inverse * inverse
    series = jnp.zeros_like(x)
    for coefficient in reversed(_LOG_GAMMA[:terms]):
        series = series * square + coefficient
    shifted = small + reach
    ratio = small / shifted  # x (x+1) ... (x+reach-1) / (x+reach)^reach, which stays of order one
    for step in range(1, reach):
        ratio = ratio * ((small + step) / shifted)
    correction = (small - 0.5) * jnp.log(shifted / small) - reach - jnp.log(ratio)
    return series * inverse + jnp.where(near, correction, 0.0)


def digamma_remainder_rise(concentration: Any, count: Any) -> jax.Array:
    """R(count + concentration) - R(concentration), where R(x) = digamma(x) - log x is the small part of digamma.

    It is positive, count / (2 c (c + count)) for large c, and has its digits there, too. May be differentiated in the
    concentration.

    Args:
        concentration: Positive, any shape; infinity allowed.
        count: From 0, broadcastable with it.

    Example:
        >>> float(digamma_remainder_rise(1e8, 2.0)) > 0.9e-16  # digamma itself is 18.42068 at both ends
        True
    """
    kind = float_type(concentration, count)
    c, y = jnp.asarray(concentration, kind), jnp.asarray(count, kind)
    reach, terms = _REACH[kind == jnp.float64]
    near = c < reach
    moved = jnp.where(near, c + reach, c)
    a, b = 1.0 / moved, 1.0 / (moved + y)
    first = y * a * b  # a - b
    rise, power = first * (a + b), b * b
    step, square = rise, a * a
    total = 0.5 * first + _DIGAMMA[0] * rise
    highest = power
    for coefficient in _DIGAMMA[1:terms]:
        rise = square * rise + highest * step  # a^2k - b^2k from the power before
        highest = highest * power
        total = total + coefficient * rise
    small = jnp.where(near, c, 1.0)
    harmonic = jnp.zeros_like(total)
    for j in range(reach):
        harmonic = harmonic + 1.0 / ((small + j) * (small + y + j))
    correction = y * harmonic - jnp.log1p(reach * y / (small * (small + y + reach)))
    return total + jnp.where(near, correction, 0.0)


def digamma_rise(concentration: Any, count: Any) -> jax.Array:
    """Digamma(count + concentration) - digamma(concentration), the sum of 1/(concentration + j) over j < count.

    Args and shapes as in `digamma_remainder_rise`.

    Example:
        >>> round(float(digamma_rise(1.0, 3)), 5)  # 1 + 1/2 + 1/3
        1.83333
    """
    kind = float_type(concentration, count)
    c, y = jnp.asarray(concentration, kind), jnp.asarray(count, kind)
    return jnp.log1p(y / c) + digamma_remainder_rise(c, y)


def log_rise(concentration: Any, count: Any) -> jax.Array:
    """Log Gamma(count + concentration) - log Gamma(concentration), the sum of log(concentration + j) over j < count.

        y (log n - excess(y/c) c/y) - log(n/c)/2 + S(n) - S(c),    n = c + y,  excess(t) = t - log(1 + t)

    Its derivative in the concentration is `digamma_rise`; in the count there is none.

    Args:
        concentration: Positive, any shape.
        count: Whole numbers from 0, broadcastable with it.

    Returns:
        Array of the broadcast shape, in nats.

    Example:
        >>> round(float(log_rise(2.0, 3)), 5)  # log(2 * 3 * 4)
        3.17805
    """
    kind = float_type(concentration)
    return _log_rise(jnp.asarray(concentration, kind), jax.lax.stop_gradient(jnp.asarray(count, kind)))


@jax.custom_jvp
def _log_rise(c: jax.Array, y: jax.Array) -> jax.Array:
    n, ratio = c + y, y / c
    rise = y * (jnp.log(n) - excess_ratio(ratio, 1.0 + ratio))
    rise = rise - 0.5 * jnp.log1p(ratio) + stirling_error(n) - stirling_error(c)
    return jnp.where(y == 0, 0.0, rise)


@_log_rise.defjvp
def _log_rise_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    c, y = primals
    return _log_rise(c, y), digamma_rise(c, y) * tangents[0]


def log_beta(a: Any, b: Any) -> jax.Array:
    """Log of the Beta function B(a, b), with exact derivatives digamma(a) - digamma(a + b) and their like.

    JAX's own is good to nine digits only where an argument is above 8.

    Args:
        a: Positive, any shape.
        b: Positive, broadcastable with it.

    Example:
        >>> round(float(log_beta(2.0, 3.0)), 4)  # log(1/12)
        -2.4849
    """
    kind = float_type(a, b)
    return _log_beta(jnp.asarray(a, kind), jnp.asarray(b, kind))


@jax.custom_jvp
def _log_beta(a: jax.Array, b: jax.Array) -> jax.Array:
    errors = stirling_error(a) + stirling_error(b) - stirling_error(a + b)
    leading = (0.5 - a) * jnp.log1p(b / a) - b * jnp.log1p(a / b)
    return leading + errors - 0.5 * (jnp.log(b) - _LOG_TWO_PI)


@_log_beta.defjvp
def _log_beta_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    a, b = primals
    return _log_beta(a, b), -digamma_rise(a, b) * tangents[0] - digamma_rise(b, a) * tangents[1]


def excess_ratio(t: jax.Array, one_plus_t: jax.Array) -> jax.Array:
    """(t - log(1 + t)) / t without cancellation near zero, where it is t/2, nor near -1, where 1 + t has the digits.

    Args:
        t: Above -1, any shape.
        one_plus_t: 1 + t, given apart because adding the one may cost its digits.

    Example:
        >>> import numpy as np
        >>> bool(np.isclose(excess_ratio(jnp.float32(1e-6), jnp.float32(1 + 1e-6)), 0.5e-6, rtol=1e-5))
        True
    """
    v = t / (2.0 + t)  # log(1 + t) = 2 artanh v
    near = jnp.abs(v) <= 1 / 3
    inside = jnp.where(near, v, 0.0)
    square = inside * inside
    series = jnp.zeros_like(t)
    last = 37 if t.dtype == jnp.float64 else 19  # (1/9)^18 and (1/9)^9, relative, are below the rounding
    for odd in range(last, 1, -2):
        series = series * square + 1.0 / odd
    close = inside - 2.0 * square * series / (2.0 + jnp.where(near, t, 0.0))
    far = 1.0 - jnp.log(jnp.where(near, 2.0, one_plus_t)) / jnp.where(near, 1.0, t)
    return jnp.where(near, close, far)


@jax.custom_jvp
def excess(t: jax.Array, one_plus_t: jax.Array) -> jax.Array:
    """T - log(1 + t), never negative, with exact derivative t / (1 + t) in t; arguments as in `excess_ratio`.

    Example:
        >>> round(float(excess(jnp.float32(1.0), jnp.float32(2.0))), 5)
        0.30685
    """
    return t * excess_ratio(t, one_plus_t)


@excess.defjvp
def _excess_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    t, one_plus_t = primals
    return excess(t, one_plus_t), (t / one_plus_t) * tangents[0]
