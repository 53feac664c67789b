"""Convolutions of images whose gradients are as fast in a compiled loop as outside of one.

XLA's compiler for processors brings a convolution into the order of axes that its fast code knows, but not within the
body of a loop; there the gradient of a kernel takes some eighty times as long, and training is a loop. So the two
gradients are written here as convolutions in that order.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = tuple[tuple[int, int], tuple[int, int]]
"""Rows above and below, columns to the left and to the right."""


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolved(
    x: Float[Array, "n height width c_in"],
    kernel: Float[Array, "rows columns c_in c_out"],
    padding: Padding,
    strides: tuple[int, int] = (1, 1),
) -> Float[Array, "n height_out width_out c_out"]:
    """Each place of the output sums what lies under the kernel there; of gradients only those in reverse are known.

    Args:
        x: Images.
        kernel: The weights.
        padding: Zeros around each image; fewer than the kernel has rows or columns.
        strides: Rows and columns from one place to the next.

    Example:
        >>> x, kernel = jnp.arange(3.0).reshape(1, 1, 3, 1), jnp.ones((1, 2, 1, 1))
        >>> convolved(x, kernel, ((0, 0), (1, 0))).ravel().tolist()
        [0.0, 1.0, 3.0]
    """
    return _ordered(x, kernel, strides, padding)


def _ordered(
    x: Array, kernel: Array, strides: Sequence[int], padding: Sequence[tuple[int, int]], **dilations: Any
) -> Array:
    order = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=order, **dilations)


def _forward(x: Array, kernel: Array, padding: Padding, strides: tuple[int, int]) -> tuple[Array, tuple[Array, Array]]:
    return convolved(x, kernel, padding, strides), (x, kernel)


def _backward(
    padding: Padding, strides: tuple[int, int], kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    rows, columns = kernel.shape[:2]
    # A weight meets every place of the image: the image with the slope for a kernel, examples summed as channels are.
    of_kernel = _ordered(x.transpose(3, 1, 2, 0), slope.transpose(1, 2, 0, 3), (1, 1), padding, rhs_dilation=strides)
    # A number of the image meets every weight: the slope, with gaps where strides went past, under the kernel turned.
    around = tuple(
        (size - 1 - before, length + before - 1 - stride * (places - 1))
        for size, (before, _), stride, length, places in zip(
            (rows, columns), padding, strides, x.shape[1:3], slope.shape[1:3], strict=True
        )
    )
    turned = jnp.flip(kernel, (0, 1)).transpose(0, 1, 3, 2)
    of_x = _ordered(slope, turned, (1, 1), around, lhs_dilation=strides)
    return of_x, of_kernel[:, :rows, :columns].transpose(1, 2, 0, 3)


convolved.defvjp(_forward, _backward)


def of_layers(
    x: Array, kernel: Array, strides: Sequence[int], padding: str | Sequence[tuple[int, int]], **others: Any
) -> Array:
    """`convolved` as `flax.nnx.Conv` calls it; for layers over images without dilations and groups.

    Args:
        x: Images.
        kernel: The weights.
        strides: Rows and columns from one place to the next.
        padding: Zeros around each image, or "SAME" or "VALID".
        **others: What else such a layer says; anything but the order of axes and ones would be another convolution.
    """
    dilated = any(size != 1 for name in ("lhs_dilation", "rhs_dilation") for size in others.get(name) or ())
    if x.ndim != 4 or dilated or others.get("feature_group_count", 1) != 1:
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **others)
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    (above, below), (left, right) = padding
    rows, columns = strides
    return convolved(x, kernel, ((above, below), (left, right)), (rows, columns))
