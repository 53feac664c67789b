"""Counts drawn by NumPy, in a tenth of the time of JAX's samplers: their loops run until the last entry is accepted.

y ~ Poisson(m G/r),  G ~ Gamma(r)        is negative binomial of mean m and concentration r
"""

from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist

from modelwright.bayesian.components.count_distributions import (
    NegativeBinomialByLogits,
    NegativeBinomialByMean,
    PoissonByMean,
    ZeroInflated,
)

LARGEST_MEAN = 2.0**31 - 1.0
"""Mean at which a count is cut: NumPy draws none of a larger one on every platform."""


def draw_counts(of: dist.Distribution, generator: np.random.Generator) -> np.ndarray:
    """One draw of every count of a distribution.

    Args:
        of: Its parameters are arrays, not traced ones. Kinds that are not of this package are drawn by their own
            method, with a key that the generator gives.
        generator: Where chance comes from.

    Returns:
        Whole numbers, shape of batch and event.

    Example:
        >>> several = NegativeBinomialByLogits(np.array([0.5, 2.0]), np.zeros((3, 1))).to_event(1)
        >>> draw_counts(several, np.random.default_rng(0)).shape
        (3, 2)
    """
    shape = (*of.batch_shape, *of.event_shape)
    match _single(of):
        case NegativeBinomialByLogits() as each:
            rate = _gamma(each.concentration, shape, generator)
            rate *= np.exp(np.minimum(np.asarray(each.logits), np.log(LARGEST_MEAN)))
            return _poisson(rate, generator)
        case NegativeBinomialByMean() as each:
            concentration = np.asarray(each.concentration)
            finite = np.minimum(concentration, 1e30)  # a Gamma mean of this one shows no spread
            rate = _gamma(finite, shape, generator)
            rate *= np.asarray(each.mean) / finite
            return _poisson(rate, generator)
        case PoissonByMean() as each:
            return _poisson(np.broadcast_to(np.asarray(each.mean), shape), generator)
        case ZeroInflated() as each:
            closed = generator.random(shape) < np.asarray(jax.nn.sigmoid(each.gate_logits))
            return np.where(closed, 0, draw_counts(each.base.expand(shape), generator))
        case _:
            key = jax.random.key(int(generator.integers(2**31)))
            return np.asarray(_by_its_own_method(of, key))


@jax.jit
def _by_its_own_method(of: dist.Distribution, key: jax.Array) -> jax.Array:
    return of.sample(key)


def _single(of: dist.Distribution) -> dist.Distribution:
    """What a distribution repeats: its parameters broadcast over batch and event."""
    while isinstance(of, dist.Independent | dist.ExpandedDistribution):
        of = of.base_dist
    return of


def _gamma(concentration: Any, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    return generator.standard_gamma(np.broadcast_to(np.asarray(concentration, np.float64), shape))


def _poisson(mean: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return generator.poisson(np.minimum(mean, LARGEST_MEAN))
