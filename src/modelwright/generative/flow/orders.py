"""Bijections that only put numbers in another order; volumes stay as they are."""

from typing import final

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from modelwright.generative.flow.bijection import AbstractBijection, Fixed, Moved, nothing


@final
class Reverse(AbstractBijection):
    """The last axis read backwards."""

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """Backwards."""
        return jnp.flip(x, axis=-1), nothing(x)

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """Backwards again."""
        return jnp.flip(y, axis=-1), nothing(y)


@final
class Permutation(AbstractBijection):
    """The last axis in a random order, drawn when the model is made.

    Args:
        n: Length of the axis.
        rngs: Of the order.
    """

    def __init__(self, n: int, *, rngs: nnx.Rngs) -> None:
        self.index = Fixed(jax.random.permutation(rngs.params(), n))

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """y_i = x[index_i]."""
        return jnp.take(x, self.index[...], axis=-1), nothing(x)

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """x[index_i] = y_i."""
        return jnp.take(y, jnp.argsort(self.index[...]), axis=-1), nothing(y)
