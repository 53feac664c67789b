"""A few convolutions that keep height and width, as matrix products of patches.

Flows repeat these networks in compiled loops, and on CPUs XLA's convolutions take a slow path inside loops: gradients
of 3 x 3 convolutions of 16 channels took 3.4 times as long as the same sums written as products of patches.
"""

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
        last = len(widths) - 2
        self.sizes = tuple(3 if k in (0, last) else 1 for k in range(last + 1))
        self.layers = nnx.List(
            nnx.Linear(size * size * a, b, rngs=rngs) for (a, b), size in zip(pairwise(widths), self.sizes, strict=True)
        )
        kernel = self.layers[-1].kernel
        kernel[...] = last_scale * kernel[...]
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
        for k, (size, layer) in enumerate(zip(self.sizes, self.layers, strict=True)):
            h = layer(patches(h) if size == 3 else h)
            if k < len(self.layers) - 1:
                h = nonlinear(h)
        return h


def patches(x: Float[Array, "n h w channels"]) -> Float[Array, "n h w nine_channels"]:
    """The channels of each pixel and its eight neighbours, row by row; zeros beyond the edges.

    Example:
        >>> patches(jnp.arange(4.0).reshape(1, 2, 2, 1))[0, 0, 0].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 3.0]
    """
    h, w = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return jnp.concatenate([padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=-1)
