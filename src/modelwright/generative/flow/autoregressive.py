"""Masked autoregressive bijections: every number is moved given those before it."""

from typing import final

import jax
import jax.numpy as jnp
from jaxtyping import Array

from modelwright.generative.flow.bijection import AbstractBijection, Moved, asked, nothing, over_example
from modelwright.generative.flow.scalars import AbstractScalar
from modelwright.generative.nets.masked import MaskedNet


@final
class MaskedAutoregressive(AbstractBijection):
    """y_i = scalar(x_i; net(the x before i)), one pass forward; the inverse finds one number after the other.

    Args:
        net: A masked network of `scalar.n_parameters` outputs.
        scalar: What moves each number.
        order: The place of each number, the same as the network's.

    Source: G. Papamakarios, T. Pavlakou, I. Murray (2017), https://arxiv.org/abs/1705.07057.
    """

    def __init__(self, net: MaskedNet, scalar: AbstractScalar, order: tuple[int, ...]) -> None:
        self.net = net
        self.scalar = scalar
        self.order = order

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """All numbers at once."""
        y, log_slope = self.scalar.forward(x, asked(self.net, x, cond))
        return y, over_example(log_slope)

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """One pass of the network for each number, in the order in which they depend on each other."""
        places = jnp.asarray(self.order)

        def step(carry: Moved, place: Array) -> tuple[Moved, None]:
            x, log_det = carry
            moved, log_slope = self.scalar.inverse(y, asked(self.net, x, cond))
            now = places == place
            return (jnp.where(now, moved, x), log_det + jnp.where(now, log_slope, 0.0).sum(-1)), None

        return jax.lax.scan(step, (jnp.zeros_like(y), nothing(y)), jnp.arange(len(self.order)))[0]
