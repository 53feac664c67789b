"""Bijections of images, height x width x channels, that work at several scales."""

import math
from collections.abc import Sequence
from typing import final

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from modelwright.generative.flow.bijection import AbstractBijection, Moved, nothing


def squeezed(x: Float[Array, "n h w c"]) -> Float[Array, "n half_h half_w four_c"]:
    """Each block of 2 x 2 pixels as one pixel with four times the channels."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4 * c)


def spread(y: Float[Array, "n half_h half_w four_c"]) -> Float[Array, "n h w c"]:
    """The inverse of `squeezed`."""
    n, h, w, c = y.shape
    return y.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c // 4)


@final
class MultiScale(AbstractBijection):
    """At each level the image is squeezed and transformed, and half of its channels leave for the latent.

    The half that leaves is moved first given the half that stays, so that the two need not be independent. All that has
    left, and the last level whole, make the latent: one vector.

    Args:
        shape: Height, width and channels of an example; the first two divisible by 2^levels.
        steps: What is done at each level, on images of `level_shapes`.
        splits: What is done at the end of each level but the last: keeps the first half of the channels.

    Source: L. Dinh, J. Sohl-Dickstein, S. Bengio (2017), https://arxiv.org/abs/1605.08803, section 3.6.
    """

    def __init__(
        self, shape: tuple[int, int, int], steps: Sequence[AbstractBijection], splits: Sequence[AbstractBijection]
    ) -> None:
        self.shapes = level_shapes(shape, len(steps))
        self.steps = nnx.List(steps)
        self.splits = nnx.List(splits)

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """From an image to one vector."""
        log_det, left = nothing(x), []
        for k, step in enumerate(self.steps):
            x, more = step.forward(squeezed(x), cond)
            log_det = log_det + more
            if k < len(self.splits):
                x, more = self.splits[k].forward(x, cond)
                log_det = log_det + more
                x, leaving = jnp.split(x, 2, axis=-1)
                left.append(leaving.reshape(len(x), -1))
        return jnp.concatenate([*left, x.reshape(len(x), -1)], axis=-1), log_det

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """From one vector to an image."""
        sizes = [math.prod(shape) // 2 for shape in self.shapes[:-1]]
        ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
        *left, last = jnp.split(y, ends, axis=-1)
        x, log_det = last.reshape(len(y), *self.shapes[-1]), nothing(y)
        for k in reversed(range(len(self.steps))):
            if k < len(self.splits):
                h, w, c = self.shapes[k]
                x = jnp.concatenate([x, left[k].reshape(len(y), h, w, c // 2)], axis=-1)
                x, more = self.splits[k].inverse(x, cond)
                log_det = log_det + more
            x, more = self.steps[k].inverse(x, cond)
            x, log_det = spread(x), log_det + more
        return x, log_det

    def begin(self, x: Array, cond: Array | None = None) -> None:
        """Each level from what the levels before it have made of the examples."""
        for k, step in enumerate(self.steps):
            x = squeezed(x)
            step.begin(x, cond)
            x = step.forward(x, cond)[0]
            if k < len(self.splits):
                self.splits[k].begin(x, cond)
                x = jnp.split(self.splits[k].forward(x, cond)[0], 2, axis=-1)[0]


def level_shapes(shape: tuple[int, int, int], levels: int) -> tuple[tuple[int, int, int], ...]:
    """Shape of the images on which each level works, after squeezing.

    Example:
        >>> level_shapes((8, 8, 3), 2)
        ((4, 4, 12), (2, 2, 24))
    """
    h, w, c = shape
    return tuple((h >> k, w >> k, c * 2 ** (k + 1)) for k in range(1, levels + 1))
