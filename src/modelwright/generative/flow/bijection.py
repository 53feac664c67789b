"""What a bijection is: two directions, each with the logarithm of its own volume change.

    forward(x, cond) -> y, log |det dy/dx|        from data towards the base, where the density is known
    inverse(y, cond) -> x, log |det dx/dy|        from the base towards data

Arrays are (n, *shape), log-determinants (n,), in nats. Networks inside run in the precision of their weights; what they
put out is brought to that of x before anything is exponentiated or summed, and x is in single precision at least.
"""

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

__all__ = ["AbstractBijection", "Fixed", "Moved", "asked", "over_example"]

Moved = tuple[Array, Float[Array, " n"]]
"""Where examples went, and the log-determinant of each."""


class Fixed(nnx.Variable):
    """An array made with the model and changed by nobody, such as a permutation."""


class AbstractBijection(nnx.Module):
    """A smooth one-to-one map of examples, given a context."""

    @abstractmethod
    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """Towards the base, and log |det dy/dx|.

        Args:
            x: Shape (n, *shape).
            cond: Context of each, shape (n, width), or None.
        """

    @abstractmethod
    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """Towards data, and log |det dx/dy|: the negative of `forward`'s there."""

    def begin(self, x: Array, cond: Array | None = None) -> None:
        """Set what depends on data, in place, from some examples as they arrive here; nothing by default."""


def over_example(each: Float[Array, "n *shape"]) -> Float[Array, " n"]:
    """The sum over all but the first axis."""
    return each.reshape(len(each), -1).sum(-1)


def asked(net: Any, x: Array, cond: Array | None) -> Array:
    """What a network puts out for x: computed in the precision of its weights, given back in that of x."""
    precision = jax.tree.leaves(nnx.state(net, nnx.Param))[0].dtype
    return net(x.astype(precision), None if cond is None else cond.astype(precision)).astype(x.dtype)


def nothing(x: Array) -> Float[Array, " n"]:
    """The log-determinant of a map that keeps volumes: zeros in the precision of x."""
    return jnp.zeros(len(x), x.dtype)
