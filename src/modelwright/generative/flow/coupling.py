"""Couplings: some numbers of an example decide what is done to the others."""

from typing import Any, final

import jax.numpy as jnp
from jaxtyping import Array

from modelwright.generative.flow.bijection import AbstractBijection, Moved, asked, over_example
from modelwright.generative.flow.scalars import AbstractScalar


@final
class Coupling(AbstractBijection):
    """The first numbers along the last axis stay, the rest are moved one by one.

        y[kept:]_i = scalar(x[kept:]_i; net(x[:kept])_i)

    Both directions take one pass of the network.

    Args:
        net: (kept numbers, cond) -> shape (..., moved x scalar.n_parameters), in the order moved, parameters.
        scalar: What moves each number.
        kept: How many stay.

    Source: L. Dinh, J. Sohl-Dickstein, S. Bengio (2017), https://arxiv.org/abs/1605.08803.
    """

    def __init__(self, net: Any, scalar: AbstractScalar, kept: int) -> None:
        self.net = net
        self.scalar = scalar
        self.kept = kept

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """The rest moved given those kept."""
        same, rest = x[..., : self.kept], x[..., self.kept :]
        moved, log_slope = self.scalar.forward(rest, self._parameters(same, rest, cond))
        return jnp.concatenate([same, moved], axis=-1), over_example(log_slope)

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """The rest moved back."""
        same, rest = y[..., : self.kept], y[..., self.kept :]
        moved, log_slope = self.scalar.inverse(rest, self._parameters(same, rest, cond))
        return jnp.concatenate([same, moved], axis=-1), over_example(log_slope)

    def _parameters(self, same: Array, rest: Array, cond: Array | None) -> Array:
        return asked(self.net, same, cond).reshape(*rest.shape, self.scalar.n_parameters)
