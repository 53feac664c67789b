"""Bijections of R^n with learnable parameters: elementwise with skewness and tails, and affine couplings.

Both invert in closed form, so that a density can be evaluated anywhere, not only where the flow itself has drawn.
"""

from collections.abc import Callable
from typing import Any, final

import jax.numpy as jnp
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform


@final
class SinhArcsinhTransform(Transform[Any]):
    """y = sinh((arcsinh(x) + skewness) / tail), elementwise; the identity at skewness 0 and tail 1.

    A tail below 1 makes what was normal heavier-tailed, above 1 lighter; skewness pulls to the right when positive.

    Args:
        skewness: Any real number, broadcast to x.
        tail: Above 0, broadcast to x.

    Source:
        M. C. Jones, A. Pewsey (2009), Sinh-arcsinh distributions, https://doi.org/10.1093/biomet/asp053.

    Example:
        >>> bend = SinhArcsinhTransform(0.5, 0.8)
        >>> float(bend.inv(bend(1.5)).round(5))
        1.5
    """

    def __init__(self, skewness: Any, tail: Any) -> None:
        self.skewness, self.tail = skewness, tail

    def __call__(self, x: Any) -> Any:
        """Shape of x."""
        return jnp.sinh((jnp.arcsinh(x) + self.skewness) / self.tail)

    def _inverse(self, y: Any) -> Any:
        return jnp.sinh(self.tail * jnp.arcsinh(y) - self.skewness)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        """The logarithm of |dy/dx|, shape of x: cosh of the inner bracket is sqrt(1 + y^2)."""
        return 0.5 * (jnp.log1p(y**2) - jnp.log1p(x**2)) - jnp.log(self.tail)

    def tree_flatten(self) -> Any:
        """Parameters as JAX sees them."""
        return (self.skewness, self.tail), (("skewness", "tail"), {})


@final
class AffineCouplingTransform(Transform[Any]):
    """One part of a vector passes, the other is moved and scaled by functions of the first.

        y_a = x_a,    y_b = x_b exp(s(x_a)) + t(x_a)

    The Jacobian is triangular with diagonal 1 and exp(s); every entry of the block dy_b/dx_a is there.

    Args:
        passing: Positions of a.
        moved: Positions of b; together all positions, each once.
        network: Takes x_a (..., n_a) and parameters, returns log scale s and shift t, each (..., n_b).
        parameters: Of the network.

    Source:
        L. Dinh, J. Sohl-Dickstein, S. Bengio (2017), Density estimation using Real NVP,
        https://arxiv.org/abs/1605.08803.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(
        self,
        passing: tuple[int, ...],
        moved: tuple[int, ...],
        network: Callable[[Any, Any], tuple[Any, Any]],
        parameters: Any,
    ) -> None:
        self.passing, self.moved = passing, moved
        self.network, self.parameters = network, parameters

    def __call__(self, x: Any) -> Any:
        """Shape of x, (..., n)."""
        return self.call_with_intermediates(x)[0]

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        """The value, and the log scale for the Jacobian."""
        kept = jnp.asarray(x)[..., self._passing]
        log_scale, shift = self.network(self.parameters, kept)
        return self._joined(kept, x[..., self._moved] * jnp.exp(log_scale) + shift), log_scale

    def _inverse(self, y: Any) -> Any:
        kept = jnp.asarray(y)[..., self._passing]
        log_scale, shift = self.network(self.parameters, kept)
        return self._joined(kept, (y[..., self._moved] - shift) * jnp.exp(-log_scale))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        """Sum of the log scales, shape (...)."""
        log_scale = intermediates
        if log_scale is None:
            log_scale, _ = self.network(self.parameters, jnp.asarray(x)[..., self._passing])
        return log_scale.sum(axis=-1)

    def tree_flatten(self) -> Any:
        """Parameters as JAX sees them."""
        fixed = {"passing": self.passing, "moved": self.moved, "network": self.network}
        return (self.parameters,), (("parameters",), fixed)

    @property
    def _passing(self) -> Any:
        return jnp.asarray(self.passing)

    @property
    def _moved(self) -> Any:
        return jnp.asarray(self.moved)

    def _joined(self, kept: Any, changed: Any) -> Any:
        order = jnp.argsort(jnp.concatenate([self._passing, self._moved]))
        return jnp.concatenate([kept, changed], axis=-1)[..., order]


def halves(n: int, layer: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which positions pass a coupling and which it moves: the even and the odd ones, in turn.

    Args:
        n: Numbers in the vector, at least 2.
        layer: Which layer.

    Returns:
        Those that pass, those that are moved.

    Example:
        >>> halves(5, 0), halves(5, 1)
        (((0, 2, 4), (1, 3)), ((1, 3), (0, 2, 4)))
    """
    even, odd = tuple(range(0, n, 2)), tuple(range(1, n, 2))
    return (even, odd) if layer % 2 == 0 else (odd, even)
