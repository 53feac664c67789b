"""Monotonic rational-quadratic splines.

Within [-B, B] the function is made of K pieces between knots (x_k, y_k), each a quotient of two quadratics with given
slopes d_k at its ends; outside it is the identity. With w = x_{k+1} - x_k, h = y_{k+1} - y_k, s = h / w and
xi = (x - x_k) / w:

    y     = y_k + h (s xi^2 + d_k xi (1 - xi)) / (s + (d_{k+1} + d_k - 2 s) xi (1 - xi))
    dy/dx = s^2 (d_{k+1} xi^2 + 2 s xi (1 - xi) + d_k (1 - xi)^2) / (s + (d_{k+1} + d_k - 2 s) xi (1 - xi))^2

dy/dx is the derivative by x itself: the bin's width is in s already. The slopes at -B and B are 1, those of the tails,
so that the density has no step there.
"""

from dataclasses import dataclass
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modelwright.generative.flow.scalars import AbstractScalar, Numbers, Parameters

LEAST_BIN = 1e-3
"""Smallest width and height of a bin as a share of [-B, B], as in the paper."""

LEAST_SLOPE = 1e-3
"""Smallest slope at a knot, as in the paper."""


@final
class Piece(NamedTuple):
    """The piece of the spline that each number lies in; all of the shape of the numbers."""

    x: Array
    width: Array
    y: Array
    height: Array
    slope: Array
    next_slope: Array


@final
@dataclass(frozen=True)
class RationalQuadraticSpline(AbstractScalar):
    """A spline of K bins on [-B, B]; its parameters are K widths, K heights and K - 1 inner slopes, all unconstrained.

    With all parameters zero it is the identity.

    Args:
        n_bins: K.
        tail_bound: B.

    Source: C. Durkan, A. Bekasov, I. Murray, G. Papamakarios (2019), https://arxiv.org/abs/1906.04032.

    Example:
        >>> spline = RationalQuadraticSpline(4, 3.0)
        >>> y, log_slope = spline.forward(jnp.array([-5.0, 0.5]), jnp.zeros((2, spline.n_parameters)))
        >>> [round(float(value), 5) for value in (*y, *log_slope)]
        [-5.0, 0.5, 0.0, 0.0]
    """

    n_bins: int = 8
    tail_bound: float = 3.0

    @property
    def n_parameters(self) -> int:
        """3 K - 1."""
        return 3 * self.n_bins - 1

    def forward(self, x: Numbers, parameters: Parameters) -> tuple[Numbers, Numbers]:
        """y(x) and log dy/dx."""
        inside = jnp.abs(x) < self.tail_bound
        xs, ys, slopes = self.knots(parameters)
        # numbers outside are replaced before anything is computed: their gradients would be NaN, and 0 x NaN is NaN
        safe = jnp.where(inside, x, 0.0)
        piece = _piece(safe, xs, xs, ys, slopes)
        xi = (safe - piece.x) / piece.width
        s = piece.height / piece.width
        below = s + (piece.next_slope + piece.slope - 2.0 * s) * xi * (1.0 - xi)
        y = piece.y + piece.height * (s * xi**2 + piece.slope * xi * (1.0 - xi)) / below
        return jnp.where(inside, y, x), jnp.where(inside, _log_slope(piece, xi), 0.0)

    def inverse(self, y: Numbers, parameters: Parameters) -> tuple[Numbers, Numbers]:
        """x(y), the root in [0, 1] of a xi^2 + b xi + c = 0, and log dx/dy."""
        inside = jnp.abs(y) < self.tail_bound
        xs, ys, slopes = self.knots(parameters)
        safe = jnp.where(inside, y, 0.0)
        piece = _piece(safe, ys, xs, ys, slopes)
        s = piece.height / piece.width
        risen = safe - piece.y
        bend = piece.next_slope + piece.slope - 2.0 * s
        a = piece.height * (s - piece.slope) + risen * bend
        b = piece.height * piece.slope - risen * bend
        c = -s * risen
        # c is at most 0. Of the two ways to write the root, the one in which nothing cancels: a may be small (a piece
        # that is straight) where b is positive, and is not where b is negative.
        root = jnp.sqrt(jnp.maximum(b**2 - 4.0 * a * c, 0.0))
        rising = b >= 0.0
        xi = jnp.where(rising, -2.0 * c, root - b) / jnp.where(rising, b + root, 2.0 * a)
        xi = jnp.clip(xi, 0.0, 1.0)
        return jnp.where(inside, piece.x + xi * piece.width, y), jnp.where(inside, -_log_slope(piece, xi), 0.0)

    def knots(
        self, parameters: Parameters
    ) -> tuple[Float[Array, "*n knots"], Float[Array, "*n knots"], Float[Array, "*n knots"]]:
        """Where the knots are, x and y, and the slopes at them; K + 1 of each, those at the ends fixed."""
        k = self.n_bins
        # that slopes of 0 + this are 1: the inverse of softplus
        at_one = jnp.log(jnp.expm1(1.0 - LEAST_SLOPE))
        inner = LEAST_SLOPE + jax.nn.softplus(parameters[..., 2 * k :] + at_one)
        ends = jnp.ones_like(parameters[..., :1])
        slopes = jnp.concatenate([ends, inner, ends], axis=-1)
        return self._edges(parameters[..., :k]), self._edges(parameters[..., k : 2 * k]), slopes

    def _edges(self, raw: Float[Array, "*n bins"]) -> Float[Array, "*n knots"]:
        shares = LEAST_BIN + (1.0 - LEAST_BIN * self.n_bins) * jax.nn.softmax(raw, axis=-1)
        inner = self.tail_bound * (2.0 * jnp.cumsum(shares, axis=-1)[..., :-1] - 1.0)
        end = jnp.full_like(raw[..., :1], self.tail_bound)
        return jnp.concatenate([-end, inner, end], axis=-1)


def _piece(at: Numbers, edges: Array, xs: Array, ys: Array, slopes: Array) -> Piece:
    # the bin of each number as zeros and a one: a sum over few bins is quicker than a gather, above all its gradient
    inner = (at[..., None] >= edges[..., 1:-1]).astype(at.dtype)
    one, zero = jnp.ones_like(inner[..., :1]), jnp.zeros_like(inner[..., :1])
    chosen = jnp.concatenate([one, inner], axis=-1) - jnp.concatenate([inner, zero], axis=-1)

    def of(values: Array) -> Array:
        return (chosen * values).sum(-1)

    return Piece(
        of(xs[..., :-1]),
        of(jnp.diff(xs)),
        of(ys[..., :-1]),
        of(jnp.diff(ys)),
        of(slopes[..., :-1]),
        of(slopes[..., 1:]),
    )


def _log_slope(piece: Piece, xi: Array) -> Array:
    s = piece.height / piece.width
    rest = 1.0 - xi
    above = s**2 * (piece.next_slope * xi**2 + 2.0 * s * xi * rest + piece.slope * rest**2)
    below = s + (piece.next_slope + piece.slope - 2.0 * s) * xi * rest
    return jnp.log(above) - 2.0 * jnp.log(below)
