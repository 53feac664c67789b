"""Convolutions of images whose gradients are as fast in a compiled loop as outside of one.

XLA's compiler for processors brings a convolution into the order of axes that its fast code knows, but not within the
body of a loop; there the gradient of a kernel takes some eighty times as long, and training is a loop. So the two
gradients are written here as convolutions in that order.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = tuple[tuple[int, int], tuple[int, int]]
"""Rows above and below, columns to the left and to the right."""


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolved(
    x: Float[Array, "n height width c_in"], kernel: Float[Array, "rows columns c_in c_out"], padding: Padding
) -> Float[Array, "n height_out width_out c_out"]:
    """Each place of the output sums what lies under the kernel there; of gradients only those in reverse are known.

    Args:
        x: Images.
        kernel: The weights.
        padding: Zeros around each image; fewer than the kernel has rows or columns.

    Example:
        >>> x, kernel = jnp.arange(3.0).reshape(1, 1, 3, 1), jnp.ones((1, 2, 1, 1))
        >>> convolved(x, kernel, ((0, 0), (1, 0))).ravel().tolist()
        [0.0, 1.0, 3.0]
    """
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _forward(x: Array, kernel: Array, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return convolved(x, kernel, padding), (x, kernel)


def _backward(padding: Padding, kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    x, kernel = kept
    # A weight meets every place of the image: the image with the slope for a kernel, examples summed as channels are.
    of_kernel = convolved(x.transpose(3, 1, 2, 0), slope.transpose(1, 2, 0, 3), padding).transpose(1, 2, 0, 3)
    rows, columns = kernel.shape[:2]
    (above, below), (left, right) = padding
    around = ((rows - 1 - above, rows - 1 - below), (columns - 1 - left, columns - 1 - right))
    of_x = convolved(slope, jnp.flip(kernel, (0, 1)).transpose(0, 1, 3, 2), around)
    return of_x, of_kernel


convolved.defvjp(_forward, _backward)
