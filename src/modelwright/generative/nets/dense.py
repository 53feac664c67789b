"""A stack of dense layers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.generative.nets.activations import activation_named
from modelwright.generative.nets.dropout import dropped


@final
class DenseNet(nnx.Module):
    """Dense layers with a non-linearity after each but the last.

    Args:
        n_in: Numbers of one input, those of a context included.
        hidden_dims: Widths of the hidden layers.
        n_out: Numbers of one output.
        activation: Name of the non-linearity.
        dropout_rate: Share of hidden units left out, when a key is given.
        rngs: Of the initial weights (LeCun's normal; biases zero).

    Example:
        >>> net = DenseNet(3, (8,), 2, rngs=nnx.Rngs(0))
        >>> net(jnp.ones((5, 3))).shape
        (5, 2)
    """

    def __init__(
        self,
        n_in: int,
        hidden_dims: Sequence[int],
        n_out: int,
        *,
        activation: str = "relu",
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        widths = (n_in, *hidden_dims, n_out)
        self.layers = nnx.List(nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(widths))
        self.activation = activation
        self.dropout_rate = dropout_rate

    def __call__(
        self,
        x: Float[Array, "*n n_in"],
        cond: Float[Array, "*n context"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*n n_out"]:
        """The output of each input.

        Args:
            x: Inputs.
            cond: Context, put beside the inputs.
            key: Leaves units out when given: while training.
        """
        h = x if cond is None else jnp.concatenate([x, cond], axis=-1)
        h = h.astype(self.layers[0].kernel.dtype)  # the precision of a network is that of its parameters
        nonlinear = activation_named(self.activation)
        for k, layer in enumerate(self.layers):
            h = layer(h)
            if k < len(self.layers) - 1:
                h = dropped(nonlinear(h), self.dropout_rate, key, k)
        return h
