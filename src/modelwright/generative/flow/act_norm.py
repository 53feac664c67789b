"""A shift and a scale for each channel that begin by standardising the data."""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array

from modelwright.generative.flow.bijection import AbstractBijection, Moved, nothing
from modelwright.generative.precision import PreciseParam

SMALLEST = 1e-6
"""A channel whose standard deviation is not above this share of its largest number is taken for constant, and its scale
is left alone: what varies is rounding."""


@final
class ActNorm(AbstractBijection):
    """y = (x - shift) exp(-log_scale), one shift and one scale for each entry of the last axis.

    The identity until `begin` has seen data; after that, what it saw has mean 0 and standard deviation 1.

    Args:
        n: Length of the last axis.

    Source: D. Kingma, P. Dhariwal (2018), https://arxiv.org/abs/1807.03039.
    """

    def __init__(self, n: int) -> None:
        self.shift = PreciseParam(jnp.zeros(n))
        self.log_scale = PreciseParam(jnp.zeros(n))

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """Standardised."""
        log_scale = self.log_scale[...].astype(x.dtype)
        return (x - self.shift[...].astype(x.dtype)) * jnp.exp(-log_scale), nothing(x) - _of_all(log_scale, x)

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """Back to the old mean and scale."""
        log_scale = self.log_scale[...].astype(y.dtype)
        return y * jnp.exp(log_scale) + self.shift[...].astype(y.dtype), nothing(y) + _of_all(log_scale, y)

    def begin(self, x: Array, cond: Array | None = None) -> None:
        """Mean and standard deviation of each channel, over examples and pixels."""
        mean, scale = _moments(x)
        self._set(mean, jnp.log(scale))

    def begin_inverse(self, y: Array, cond: Array | None = None) -> None:
        """Those for which `inverse` standardises: y exp(log_scale) + shift = (y - mean) / deviation."""
        mean, scale = _moments(y)
        self._set(-mean / scale, -jnp.log(scale))

    def _set(self, shift: Array, log_scale: Array) -> None:
        self.shift[...] = shift.astype(self.shift.dtype)
        self.log_scale[...] = log_scale.astype(self.log_scale.dtype)


def _moments(x: Array) -> tuple[Array, Array]:
    rows = x.reshape(-1, x.shape[-1])
    moved = rows - rows[0]  # the mean of equal numbers would not be that number to the last digit
    deviation = moved.std(0)
    varies = deviation > SMALLEST * jnp.abs(rows).max(0)
    return rows[0] + moved.mean(0), jnp.where(varies, deviation, 1.0)


def _of_all(log_scale: Array, x: Array) -> Array:
    pixels = x[0].size // x.shape[-1]
    return pixels * log_scale.sum()
