"""A few convolutions that keep height and width."""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from modelwright.generative.nets.activations import activation_named


@final
class PixelNet(nnx.Module):
    """Convolutions of stride 1 with a non-linearity after each but the last: 3 x 3 at both ends, 1 x 1 between.

    Args:
        n_in: Channels of one input, those of a context included.
        hidden_dims: Channels between the convolutions.
        n_out: Channels of one output.
        activation: Name of the non-linearity.
        last_scale: Factor of the last layer's initial weights.
        rngs: Of the initial weights (LeCun's normal; biases zero).

    Example:
        >>> net = PixelNet(2, (8,), 3, rngs=nnx.Rngs(0))
        >>> net(jnp.ones((5, 4, 4, 2))).shape
        (5, 4, 4, 3)
    """

    def __init__(
        self,
        n_in: int,
        hidden_dims: Sequence[int],
        n_out: int,
        *,
        activation: str = "relu",
        last_scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        widths = (n_in, *hidden_dims, n_out)
        sizes = [3 if k in (0, len(widths) - 2) else 1 for k in range(len(widths) - 1)]
        self.layers = nnx.List(
            nnx.Conv(a, b, (size, size), rngs=rngs) for (a, b), size in zip(pairwise(widths), sizes, strict=True)
        )
        last = self.layers[-1].kernel
        last[...] = last_scale * last[...]
        self.activation = activation

    def __call__(
        self, x: Float[Array, "n h w channels"], cond: Float[Array, "n context"] | None = None
    ) -> Float[Array, "n h w n_out"]:
        """The output of each image.

        Args:
            x: Images.
            cond: Context, put beside the channels of every pixel.
        """
        h = x
        if cond is not None:
            everywhere = jnp.broadcast_to(cond[:, None, None, :], (*x.shape[:3], cond.shape[-1]))
            h = jnp.concatenate([x, everywhere.astype(x.dtype)], axis=-1)
        nonlinear = activation_named(self.activation)
        for k, layer in enumerate(self.layers):
            h = layer(h)
            if k < len(self.layers) - 1:
                h = nonlinear(h)
        return h
