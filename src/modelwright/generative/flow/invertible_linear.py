"""A linear map of the last axis whose determinant can be read off: on images, the invertible 1 x 1 convolution."""

from typing import final

import jax
import jax.numpy as jnp
from flax import nnx
from jax.scipy.linalg import lu, solve_triangular
from jaxtyping import Array, Float

from modelwright.generative.flow.bijection import AbstractBijection, Fixed, Moved, nothing
from modelwright.generative.precision import PreciseParam


@final
class InvertibleLinear(AbstractBijection):
    """y = W x for every pixel, with W = P L (U + diag(s)): a permutation, and two triangular matrices.

        log |det dy/dx| = pixels x sum log |s|

    P and the signs of s stay as they are, so that W is invertible whatever the weights. It begins as a random rotation.

    Args:
        n: Length of the last axis.
        rngs: Of the rotation.

    Source: D. Kingma, P. Dhariwal (2018), https://arxiv.org/abs/1807.03039, section 3.2.
    """

    def __init__(self, n: int, *, rngs: nnx.Rngs) -> None:
        # by JAX, not by SciPy: what is only outlined has no numbers that SciPy could take
        rotation = jnp.linalg.qr(jax.random.normal(rngs.params(), (n, n)))[0]
        permutation, lower, upper = lu(rotation)
        scale = jnp.diag(upper)
        self.index = Fixed(permutation.argmax(1))
        self.signs = Fixed(jnp.sign(scale))
        self.lower = PreciseParam(jnp.tril(lower, -1))
        self.upper = PreciseParam(jnp.triu(upper, 1))
        self.log_scale = PreciseParam(jnp.log(jnp.abs(scale)))

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """W x."""
        lower, upper, log_scale = self._factors(x)
        # P picks rows: row i of P L is row index[i] of L
        y = jnp.einsum("...j,ij->...i", jnp.einsum("...j,ij->...i", x, upper), lower)
        return jnp.take(y, self.index[...], axis=-1), nothing(x) + _pixels(x) * log_scale.sum()

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """W^-1 y, by two triangular systems."""
        lower, upper, log_scale = self._factors(y)
        rows = jnp.take(y, jnp.argsort(self.index[...]), axis=-1).reshape(-1, y.shape[-1]).T
        x = solve_triangular(upper, solve_triangular(lower, rows, lower=True, unit_diagonal=True)).T
        return x.reshape(y.shape), nothing(y) - _pixels(y) * log_scale.sum()

    def _factors(self, x: Array) -> tuple[Float[Array, "n n"], Float[Array, "n n"], Float[Array, " n"]]:
        log_scale = self.log_scale[...].astype(x.dtype)
        lower = jnp.tril(self.lower[...].astype(x.dtype), -1) + jnp.eye(len(log_scale), dtype=x.dtype)
        diagonal = self.signs[...].astype(x.dtype) * jnp.exp(log_scale)
        return lower, jnp.triu(self.upper[...].astype(x.dtype), 1) + jnp.diag(diagonal), log_scale


def _pixels(x: Array) -> int:
    return x[0].size // x.shape[-1]
