"""Gated convolutions over images in raster order, without a blind spot and with the channels in order.

Two stacks go through the image side by side. The vertical one sees all rows above; the horizontal one sees the pixels
to the left in the same row, the channels before its own in the same pixel, and at every layer the vertical stack one
row up.
Features belong to a channel each: those of channel c see, of their own pixel, the channels before c only.
"""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from modelwright.core.errors import ConfigurationError
from modelwright.generative.nets.activations import activation_named
from modelwright.generative.nets.convolved import convolved
from modelwright.generative.nets.stacked import stacked, through

MOST_WEIGHTS = 2**31
"""Weights of one masked convolution: of each an array of NumPy says whether it is there, even where nothing is made."""


def between_channels(channels: int, n_in: int, n_out: int, *, strict: bool) -> np.ndarray:
    """Which features of a pixel see which: those of the channels before their own, of their own too unless strict.

    Args:
        channels: Of the image.
        n_in: Features of each channel coming in.
        n_out: Features of each channel going out.
        strict: Leave the own channel out: in the first layer, whose inputs are the image.

    Example:
        >>> between_channels(2, 1, 2, strict=True).astype(int).tolist()
        [[0, 0, 1, 1], [0, 0, 0, 0]]
    """
    allowed = np.triu(np.ones((channels, channels), bool), 1 if strict else 0)
    return np.kron(allowed, np.ones((n_in, n_out), bool))


@final
class RowConvolution(nnx.Module):
    """A convolution along rows that sees `reach` pixels to the left and, of its own pixel, the channels before.

    Args:
        channels: Of the image.
        n_in: Features of each channel coming in.
        n_out: Features of each channel going out.
        reach: Pixels to the left; 0 for a mere pixel.
        strict: Do not see the own channel of the own pixel.
        rngs: Of the initial weights: normal, variance one over the weights that are seen.

    Raises:
        ConfigurationError: there would be more weights than `MOST_WEIGHTS`.
    """

    def __init__(
        self, channels: int, n_in: int, n_out: int, *, reach: int, strict: bool = False, rngs: nnx.Rngs
    ) -> None:
        self.channels, self.features, self.reach, self.strict = channels, (n_in, n_out), reach, strict
        n_weights = (reach + 1) * channels * n_in * channels * n_out
        if n_weights > MOST_WEIGHTS:
            raise ConfigurationError(
                "a masked convolution of too many weights",
                field="hidden_dims",
                expected=f"at most {MOST_WEIGHTS:,}: pixels x features in x features out",
                got=n_weights,
            )
        mask = self.mask()
        seen = np.maximum(mask.sum((0, 1, 2)), 1)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), mask.shape) * mask / np.sqrt(seen))
        self.bias = nnx.Param(jnp.zeros(mask.shape[-1]))

    def mask(self) -> np.ndarray:
        """Which weights there are, shape (1, reach + 1, channels n_in, channels n_out)."""
        own = between_channels(self.channels, *self.features, strict=self.strict)
        return np.stack([np.ones_like(own)] * self.reach + [own])[None]

    def __call__(
        self, h: Float[Array, "n height columns channels_in"]
    ) -> Float[Array, "n height columns channels_out"]:
        """The output at every pixel."""
        kernel = jnp.where(self.mask(), self.kernel[...], 0)
        if self.reach == 0:
            return h @ kernel[0, 0] + self.bias[...]
        return convolved(h, kernel, ((0, 0), (self.reach, 0))) + self.bias[...]


@final
class GatedLayer(nnx.Module):
    """One layer of both stacks.

    Args:
        channels: Of the image.
        n_in: Features of each channel coming in.
        width: Features of each channel going out.
        reach: Pixels seen to each side and upwards.
        first: The inputs are the image itself: the own pixel is not seen, and nothing is added to what came in.
        context: Numbers of the context; 0 for none.
        rngs: Of the initial weights.
    """

    def __init__(
        self, channels: int, n_in: int, width: int, *, reach: int, first: bool, context: int, rngs: nnx.Rngs
    ) -> None:
        both = 2 * channels * width
        # rows above and the own one: this stack reaches the other one row further down
        self.vertical = nnx.Conv(
            channels * n_in,
            both,
            kernel_size=(reach + 1, 2 * reach + 1),
            padding=((reach, 0), (reach, reach)),
            rngs=rngs,
        )
        self.horizontal = RowConvolution(channels, n_in, 2 * width, reach=reach, strict=first, rngs=rngs)
        self.link = nnx.Linear(both, both, rngs=rngs)
        self.after = RowConvolution(channels, width, width, reach=0, rngs=rngs)
        self.context = nnx.Linear(context, 2 * both, use_bias=False, rngs=rngs) if context else None
        self.channels, self.reach, self.first = channels, reach, first

    def __call__(self, v: Array, h: Array, vectors: Array | None) -> tuple[Array, Array]:
        """Both stacks after this layer, each of shape (n, height, columns, channels width)."""
        above = ((self.reach, 0), (self.reach, self.reach))
        into_v = convolved(v, self.vertical.kernel[...], above) + self.vertical.bias[...]
        into_h = self.horizontal(h)
        if self.context is not None:
            of_v, of_h = jnp.split(self.context(vectors.astype(into_h.dtype))[:, None, None], 2, axis=-1)
            into_v, into_h = into_v + of_v, into_h + of_h
        one_up = jnp.pad(into_v, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]
        found = self.after(self._gated(into_h + self.link(one_up)))
        return self._gated(into_v), found if self.first else h + found

    def _gated(self, h: Array) -> Array:
        # halves within each channel, so that gates mix no channels
        halves = h.reshape(*h.shape[:-1], self.channels, 2, -1)
        gated = jnp.tanh(halves[..., 0, :]) * jax.nn.sigmoid(halves[..., 1, :])
        return gated.reshape(*h.shape[:-1], -1)


@final
class GatedStacks(nnx.Module):
    """Layers of both stacks, and for every channel of every pixel some numbers that see all before it within reach.

    After L layers of reach p the numbers at (row i, column j, channel c) see the rows i - 1 - L p to i - 1 within L p
    columns of j, L p pixels to the left, and the channels before c.

    Args:
        channels: Of the image.
        width: Features of each channel in each stack.
        outputs: Numbers put out for every channel of every pixel.
        n_layers: L, the first one included.
        kernel_size: 2 p + 1, an odd number.
        context: Numbers of the context; 0 for none.
        activation: Non-linearity of the last two layers, which are pixel by pixel.
        rngs: Of the initial weights.

    Raises:
        ConfigurationError: the kernel size is even.

    Source: A. van den Oord et al. (2016), https://arxiv.org/abs/1606.05328.

    Example:
        >>> net = GatedStacks(3, 4, 2, n_layers=2, kernel_size=3, rngs=nnx.Rngs(0))
        >>> net(jnp.ones((5, 6, 6, 3))).shape
        (5, 6, 6, 3, 2)
    """

    def __init__(
        self,
        channels: int,
        width: int,
        outputs: int,
        *,
        n_layers: int,
        kernel_size: int,
        context: int = 0,
        activation: str = "silu",
        rngs: nnx.Rngs,
    ) -> None:
        if kernel_size % 2 == 0:
            raise ConfigurationError(
                "a kernel without a middle", field="parameters.kernel_size", expected="an odd number", got=kernel_size
            )
        reach = kernel_size // 2
        self.first = GatedLayer(channels, 1, width, reach=reach, first=True, context=context, rngs=rngs)
        self.others = (
            stacked(
                lambda: GatedLayer(channels, width, width, reach=reach, first=False, context=context, rngs=rngs),
                n_layers - 1,
            )
            if n_layers > 1
            else None
        )
        self.mix = RowConvolution(channels, width, width, reach=0, rngs=rngs)
        self.last = RowConvolution(channels, width, outputs, reach=0, rngs=rngs)
        self.channels, self.outputs, self.activation = channels, outputs, activation
        self.reach = n_layers * reach

    def __call__(
        self, x: Float[Array, "n height columns channels"], vectors: Float[Array, "n context"] | None = None
    ) -> Float[Array, "n height columns channels outputs"]:
        """The numbers of every channel of every pixel.

        Args:
            x: Images.
            vectors: Their context.
        """
        x = x.astype(self.last.kernel.dtype)
        v, h = self.first(x, x, vectors)
        if self.others is not None:
            (v, h), _ = through(self.others, lambda layer, vh, _: (layer(*vh, vectors), None), (v, h))
        nonlinear = activation_named(self.activation)
        out = self.last(nonlinear(self.mix(nonlinear(h))))
        return out.reshape(*x.shape[:3], self.channels, self.outputs)

    def sees(self, height: int, columns: int) -> np.ndarray:
        """Which numbers see which of an image of this size, shape (d, d) with d = height columns channels."""
        i, j, c = (axis.ravel() for axis in np.indices((height, columns, self.channels)))
        down, right = i[:, None] - i[None, :], j[:, None] - j[None, :]
        above = (down >= 1) & (down <= 1 + self.reach) & (np.abs(right) <= self.reach)
        left = (down == 0) & (right >= 1) & (right <= self.reach)
        return above | left | ((down == 0) & (right == 0) & (c[:, None] > c[None, :]))
