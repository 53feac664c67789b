"""What a bijection is: two directions, each with the logarithm of its own volume change.

    forward(x, cond) -> y, log |det dy/dx|        from data towards the base, where the density is known
    inverse(y, cond) -> x, log |det dx/dy|        from the base towards data

Arrays are (n, *shape), log-determinants (n,), in nats. Networks inside run in the precision of their weights; what they
put out is brought to that of x before anything is exponentiated or summed, and x is in single precision at least.
"""

from abc import abstractmethod
from typing import Any, final

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from modelwright.core.errors import ConfigurationError

__all__ = ["AbstractBijection", "Fixed", "Moved", "asked", "over_example"]

Moved = tuple[Array, Float[Array, " n"]]
"""Where examples went, and the log-determinant of each."""


@final
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

    def begin_inverse(self, y: Array, cond: Array | None = None) -> None:
        """The same where data arrive at the other end, because the bijection is turned round.

        Raises:
            ConfigurationError: what the bijection sets by `begin` it cannot set from this end.
        """
        if type(self).begin is not AbstractBijection.begin:
            raise ConfigurationError(
                f"{type(self).__name__} begins with data, and not with data that come the other way",
                field="bijection",
                expected="inside of Inverted one with begin_inverse, or without begin",
                got=type(self).__name__,
                todo="leave it outside of Inverted",
            )


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
