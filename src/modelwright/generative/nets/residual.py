"""A block of two convolutions beside which its input is passed on."""

from typing import final

from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.generative.nets.activations import activation_named
from modelwright.generative.nets.convolved import of_layers
from modelwright.generative.nets.dropout import dropped

BEGIN_SMALL = 0.1
"""Variance of the last convolution of a block at the start, relative to the usual one: a stack begins close to the
identity, and not at it, where the first convolution would receive no gradient. Arbitrary."""


@final
class ResidualBlock(nnx.Module):
    """h + convolution(f(convolution(f(h)))), of the same shape.

    There are no running statistics: an example's output depends on nothing but the example.

    Args:
        channels: Of input and output.
        kernel_size: Height and width of the convolutions.
        activation: Name of the non-linearity f.
        dropout_rate: Share of inner units left out, when a key is given.
        rngs: Of the initial weights.

    Source: K. He, X. Zhang, S. Ren, J. Sun (2016), https://arxiv.org/abs/1603.05027.

    Example:
        >>> import jax.numpy as jnp
        >>> ResidualBlock(4, 3, rngs=nnx.Rngs(0))(jnp.ones((2, 5, 5, 4))).shape
        (2, 5, 5, 4)
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        *,
        activation: str = "relu",
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        size = (kernel_size, kernel_size)
        small = nnx.initializers.variance_scaling(BEGIN_SMALL, "fan_in", "truncated_normal")
        self.first = nnx.Conv(channels, channels, size, conv_general_dilated=of_layers, rngs=rngs)
        self.second = nnx.Conv(channels, channels, size, kernel_init=small, conv_general_dilated=of_layers, rngs=rngs)
        self.activation = activation
        self.dropout_rate = dropout_rate

    def __call__(
        self, h: Float[Array, "n height width channels"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "n height width channels"]:
        """The output of each input; a key leaves units out."""
        nonlinear = activation_named(self.activation)
        inner = nonlinear(self.first(nonlinear(h)))
        return h + self.second(dropped(inner, self.dropout_rate, key, 0))
