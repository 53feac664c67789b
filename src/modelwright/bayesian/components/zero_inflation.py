"""Zero inflation: with probability pi a count is zero whatever its distribution says; the gate pi is given in log-odds.

P(0) = pi + (1 - pi) P_base(0),      P(y) = (1 - pi) P_base(y)  for y > 0
"""

from typing import Any

import jax
import jax.numpy as jnp

from modelwright.bayesian.components.count_kernels import (
    log_complement,
    negative_binomial_log_prob,
    negative_binomial_mean_log_prob,
    poisson_log_prob,
    probabilities,
)
from modelwright.bayesian.components.stirling_series import float_type


def zero_inflated_log_prob(count: Any, gate_logits: Any, base_log_prob: Any) -> jax.Array:
    """Log probability of counts behind a gate, in nats.

    Args:
        count: Whole numbers from 0, any shape.
        gate_logits: log(pi / (1 - pi)), broadcastable with it.
        base_log_prob: Log probability of the same counts without the gate, of the broadcast shape.

    Example:
        >>> round(float(jnp.exp(zero_inflated_log_prob(0, 0.0, jnp.log(0.5)))), 5)
        0.75
    """
    kind = float_type(gate_logits, base_log_prob)
    gate, base = jnp.asarray(gate_logits, kind), jnp.asarray(base_log_prob, kind)
    zero = jnp.asarray(count) == 0
    return jnp.where(zero, log_zero_with_gate(gate, jnp.where(zero, base, 0.0)), log_complement(gate) + base)


def zero_inflated_negative_binomial_log_prob(
    count: Any, concentration: Any, logits: Any, gate_logits: Any
) -> jax.Array:
    """`negative_binomial_log_prob` behind a gate.

    Example:
        >>> round(float(jnp.exp(zero_inflated_negative_binomial_log_prob(0, 1.0, 0.0, 0.0))), 5)
        0.75
    """
    return zero_inflated_log_prob(count, gate_logits, negative_binomial_log_prob(count, concentration, logits))


def zero_inflated_negative_binomial_mean_log_prob(
    count: Any, mean: Any, concentration: Any, gate_logits: Any
) -> jax.Array:
    """`negative_binomial_mean_log_prob` behind a gate.

    Example:
        >>> round(float(jnp.exp(zero_inflated_negative_binomial_mean_log_prob(0, 1.0, 1.0, 0.0))), 5)
        0.75
    """
    return zero_inflated_log_prob(count, gate_logits, negative_binomial_mean_log_prob(count, mean, concentration))


def zero_inflated_poisson_log_prob(count: Any, mean: Any, gate_logits: Any) -> jax.Array:
    """`poisson_log_prob` behind a gate.

    Example:
        >>> round(float(zero_inflated_poisson_log_prob(0, 1.0, -200.0)), 5)
        -1.0
    """
    return zero_inflated_log_prob(count, gate_logits, poisson_log_prob(count, mean))


@jax.custom_jvp
def log_zero_with_gate(gate_logits: jax.Array, log_zero: jax.Array) -> jax.Array:
    """log(pi + (1 - pi) P(0)) of gate log-odds and log P(0), with its digits near zero and near minus infinity.

    Args:
        gate_logits: log(pi / (1 - pi)), an array.
        log_zero: log P(0) without the gate, at most 0, broadcastable with it, of the same type.

    Example:
        >>> round(float(log_zero_with_gate(jnp.asarray(-1000.0), jnp.asarray(-800.0))), 5)
        -800.0
    """
    closed, opened = jax.nn.log_sigmoid(gate_logits), log_complement(gate_logits)
    missing = probabilities(gate_logits)[1] * jnp.expm1(log_zero)
    near_one = missing > -0.25  # JAX's own log1p loses two digits of float64 about -0.4
    return jnp.where(near_one, jnp.log1p(jnp.where(near_one, missing, 0.0)), jnp.logaddexp(closed, opened + log_zero))


@log_zero_with_gate.defjvp
def _log_zero_with_gate_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    gate, log_zero = primals
    # P(gate closed | zero) - pi = -expm1(log P(0)) P(gate closed | zero) (1 - pi): the difference, not its two sides
    in_gate = -jnp.expm1(log_zero) * jax.nn.sigmoid(gate - log_zero) * jax.nn.sigmoid(-gate)
    in_zero = jax.nn.sigmoid(log_zero - gate)
    return log_zero_with_gate(gate, log_zero), in_gate * tangents[0] + in_zero * tangents[1]
