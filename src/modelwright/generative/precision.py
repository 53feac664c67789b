"""Which parameters are in half precision while a model is trained in it: those of networks."""

from typing import Any, final

import jax
import jax.numpy as jnp
from flax import nnx


@final
class PreciseParam(nnx.Param):
    """A parameter outside of networks, such as a shift of the data themselves, that stays in single precision.

    A shift of 1,000 in half precision is off by up to 2; and what is exact while training has to be the same after it.
    """


def lowered(params: Any) -> Any:
    """Parameters of networks in bfloat16, which take their inputs to it; those that are precise as they are.

    Args:
        params: A state of Flax.

    Example:
        >>> class Both(nnx.Module):
        ...     def __init__(self):
        ...         self.kernel, self.shift = nnx.Param(jnp.ones(1)), PreciseParam(jnp.ones(1))
        >>> [str(leaf.dtype) for leaf in jax.tree.leaves(lowered(nnx.state(Both())))]
        ['bfloat16', 'float32']
    """

    def of(variable: Any) -> Any:
        if isinstance(variable, PreciseParam):
            return variable
        return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16) if leaf.dtype == jnp.float32 else leaf, variable)

    return jax.tree.map(of, params, is_leaf=lambda node: isinstance(node, nnx.Variable))
