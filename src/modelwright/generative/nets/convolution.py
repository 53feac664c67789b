"""Convolutions from images down to small grids of features, and from grids back up to images of the exact size.

A stage halves height and width, rounding up: 28 -> 14 -> 7 -> 4. On the way up every stage doubles them and cuts off
the row or column that is too much, so that any size is met exactly. Images are height x width x channels.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import final

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.core.errors import ConfigurationError
from modelwright.generative.nets.activations import activation_named
from modelwright.generative.nets.convolved import of_layers
from modelwright.generative.nets.dropout import dropped
from modelwright.generative.nets.residual import ResidualBlock


def image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """The shape as height, width, channels.

    Raises:
        ConfigurationError: it is not of an image.
    """
    if len(shape) != 3:
        raise ConfigurationError(
            "convolutions are of images",
            field="input_dim",
            expected="height, width and channels, such as (28, 28, 1)",
            got=tuple(shape),
            todo="choose mlp for encoder_type and decoder_type, or give the shape of an image",
        )
    height, width, channels = shape
    return height, width, channels


def grid_sizes(height: int, width: int, stages: int) -> tuple[tuple[int, int], ...]:
    """Height and width of the image and after each stage.

    Example:
        >>> grid_sizes(28, 5, 2)
        ((28, 5), (14, 3), (7, 2))
    """
    sizes = [(height, width)]
    for _ in range(stages):
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        sizes.append((height, width))
    return tuple(sizes)


@final
class ConvolutionEncoder(nnx.Module):
    """From an image to numbers, or to a grid of vectors: one convolution of stride 2 for each of `channels`.

    Args:
        in_shape: Height, width and channels of an image.
        n_out: Numbers of the output, or of each vector of the grid.
        channels: Of the stages.
        to_grid: Put out a grid of vectors, one for each place of the last stage, in place of one vector.
        context: Numbers of the context; put beside the channels of every pixel.
        kernel_size: Height and width of the convolutions.
        blocks: Residual blocks after each stage; 0 for plain convolutions.
        activation: Name of the non-linearity.
        dropout_rate: Share of units left out, when a key is given.
        rngs: Of the initial weights (LeCun's normal; biases zero).

    Example:
        >>> net = ConvolutionEncoder((9, 7, 1), 5, (4, 8), rngs=nnx.Rngs(0))
        >>> net(jnp.ones((2, 9, 7, 1))).shape
        (2, 5)
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        n_out: int,
        channels: Sequence[int],
        *,
        to_grid: bool = False,
        context: int = 0,
        kernel_size: int = 3,
        blocks: int = 0,
        activation: str = "relu",
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        height, width, in_channels = image_shape(in_shape)
        size, how = (kernel_size, kernel_size), {"activation": activation, "dropout_rate": dropout_rate, "rngs": rngs}
        widths = (in_channels + context, *channels)
        self.stages = nnx.List(
            nnx.Conv(a, b, size, strides=2, conv_general_dilated=of_layers, rngs=rngs) for a, b in pairwise(widths)
        )
        self.blocks = nnx.List(
            nnx.List(ResidualBlock(b, kernel_size, **how) for _ in range(blocks)) for b in widths[1:]
        )
        self.grid = grid_sizes(height, width, len(channels))[-1]
        n_features = widths[-1] if to_grid else math.prod(self.grid) * widths[-1]
        self.last = nnx.Linear(n_features, n_out, rngs=rngs)
        self.to_grid = to_grid
        self.activation = activation
        self.dropout_rate = dropout_rate

    def __call__(
        self, x: Float[Array, "n height width channels"], cond: Array | None = None, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n *grid n_out"]:
        """The output of each image, shape (n, n_out) or (n, *grid, n_out); a key leaves units out."""
        nonlinear = activation_named(self.activation)
        h = beside(x.astype(self.last.kernel.dtype), cond)
        for k, (stage, blocks) in enumerate(zip(self.stages, self.blocks, strict=True)):
            h = dropped(nonlinear(stage(h)), self.dropout_rate, key, k)
            h = through(blocks, h, key, k)
        return self.last(h if self.to_grid else h.reshape(len(h), -1))


@final
class ConvolutionDecoder(nnx.Module):
    """From numbers, or a grid of vectors, to `outputs` numbers for each number of an image of exactly `out_shape`.

    Doubling repeats every place two by two and a convolution follows, which leaves no chequerboard behind.

    Args:
        in_shape: Of one input: (numbers,), or (height, width, numbers) for a grid of the size of the last stage.
        out_shape: Height, width and channels of an image.
        outputs: Numbers put out for each number of the image.
        channels: Of the stages, from the smallest grid to the largest.
        context, kernel_size, blocks, activation, dropout_rate, rngs: As for `ConvolutionEncoder`.

    Source: A. Odena, V. Dumoulin, C. Olah (2016), https://distill.pub/2016/deconv-checkerboard.

    Example:
        >>> net = ConvolutionDecoder((5,), (9, 7, 1), 2, (8, 4), rngs=nnx.Rngs(0))
        >>> net(jnp.ones((2, 5))).shape
        (2, 9, 7, 1, 2)
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        outputs: int,
        channels: Sequence[int],
        *,
        context: int = 0,
        kernel_size: int = 3,
        blocks: int = 0,
        activation: str = "relu",
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        height, width, out_channels = image_shape(out_shape)
        size, how = (kernel_size, kernel_size), {"activation": activation, "dropout_rate": dropout_rate, "rngs": rngs}
        self.sizes = grid_sizes(height, width, len(channels))[::-1]
        widths = tuple(channels) or (out_channels,)
        self.from_grid = len(in_shape) == 3
        n_features = widths[0] if self.from_grid else math.prod(self.sizes[0]) * widths[0]
        self.first = nnx.Linear(
            (in_shape[-1] if self.from_grid else math.prod(in_shape)) + context, n_features, rngs=rngs
        )
        self.blocks = nnx.List(nnx.List(ResidualBlock(a, kernel_size, **how) for _ in range(blocks)) for a in widths)
        self.stages = nnx.List(
            nnx.Conv(a, b, size, conv_general_dilated=of_layers, rngs=rngs) for a, b in pairwise(widths)
        )
        self.last = nnx.Conv(widths[-1], out_channels * outputs, size, conv_general_dilated=of_layers, rngs=rngs)
        self.out_shape = (height, width, out_channels, outputs)
        self.activation = activation
        self.dropout_rate = dropout_rate

    def __call__(
        self, z: Float[Array, "n *in"], cond: Array | None = None, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n height width channels outputs"]:
        """The output of each input; a key leaves units out."""
        nonlinear = activation_named(self.activation)
        z = z.astype(self.first.kernel.dtype)
        h = self.first(beside(z if self.from_grid else z.reshape(len(z), -1), cond))
        h = nonlinear(h).reshape(len(z), *self.sizes[0], -1)
        h = through(self.blocks[0], h, key, 0)
        for k, stage in enumerate(self.stages):
            h = dropped(nonlinear(stage(doubled(h, self.sizes[k + 1]))), self.dropout_rate, key, k)
            h = through(self.blocks[k + 1], h, key, k + 1)
        return self.last(doubled(h, self.sizes[-1])).reshape(len(z), *self.out_shape)

    def begin(self, x: Array, start: Callable[[Array], Array]) -> None:
        """Let the output begin at what suits some images, in place: one bias for all pixels of a channel.

        Args:
            x: Images, shape (n, height, width, channels).
            start: From examples of shape (m, channels) to an output of shape (channels, outputs).
        """
        bias = self.last.bias
        bias[...] = start(x.reshape(-1, x.shape[-1])).reshape(bias.shape).astype(bias.dtype)


def beside(h: Array, cond: Float[Array, "n context"] | None) -> Array:
    """Inputs with the context of each example beside the last axis, the same at every place."""
    if cond is None:
        return h
    places = cond.astype(h.dtype).reshape(len(cond), *(1,) * (h.ndim - 2), -1)
    return jnp.concatenate([h, jnp.broadcast_to(places, (*h.shape[:-1], cond.shape[-1]))], axis=-1)


def doubled(h: Float[Array, "n a b channels"], size: tuple[int, int]) -> Float[Array, "n height width channels"]:
    """Every place repeated two by two, cut to a size."""
    return h.repeat(2, axis=1).repeat(2, axis=2)[:, : size[0], : size[1]]


def through(blocks: nnx.List, h: Array, key: PRNGKeyArray | None, stage: int) -> Array:
    """Through one residual block after the other."""
    for k, block in enumerate(blocks):
        h = block(h, None if key is None else jax.random.fold_in(key, 1000 * (stage + 1) + k))
    return h
