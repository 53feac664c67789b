"""A dense network between arrays of given shapes."""

import math
from collections.abc import Callable, Sequence
from typing import final

from flax import nnx
from jaxtyping import Array, PRNGKeyArray

from modelwright.generative.nets.dense import DenseNet


@final
class ReshapedNet(nnx.Module):
    """A dense network whose inputs are flattened first and whose outputs are brought into a shape.

    Args:
        in_shape: Of one input.
        out_shape: Of one output.
        hidden_dims, activation, dropout_rate, rngs: As for `DenseNet`.
        context: Numbers of the context beside each input.

    Example:
        >>> import jax.numpy as jnp
        >>> net = ReshapedNet((4, 4, 1), (2, 3), (8,), rngs=nnx.Rngs(0))
        >>> net(jnp.ones((5, 4, 4, 1))).shape
        (5, 2, 3)
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        hidden_dims: Sequence[int],
        *,
        context: int = 0,
        activation: str = "relu",
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        self.net = DenseNet(
            math.prod(in_shape) + context,
            hidden_dims,
            math.prod(out_shape),
            activation=activation,
            dropout_rate=dropout_rate,
            rngs=rngs,
        )
        self.out_shape = tuple(out_shape)

    def __call__(self, x: Array, cond: Array | None = None, key: PRNGKeyArray | None = None) -> Array:
        """The output of each input, shape (n, *out_shape); a key leaves units out."""
        return self.net(x.reshape(len(x), -1), cond, key).reshape(len(x), *self.out_shape)

    def begin(self, x: Array, start: Callable[[Array], Array]) -> None:
        """Let the output begin at what suits some examples, in place: the bias of the last layer.

        Args:
            x: Examples, shape (n, *example).
            start: From examples of shape (n, *example) to an output of shape out_shape.
        """
        bias = self.net.layers[-1].bias
        bias[...] = start(x).reshape(bias.shape).astype(bias.dtype)
