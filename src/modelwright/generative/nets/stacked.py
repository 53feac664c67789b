"""Layers that are alike, their parameters stacked along a first axis, so that one compiled layer serves them all."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

MOST_UNROLLED = 6
"""Up to so many layers are compiled one by one. A transformer of four then takes a quarter less CPU time a gradient and
as long to compile; one of twelve takes twice as long to compile."""


def stacked(make: Callable[[], nnx.Module], n_layers: int) -> Any:
    """A module whose every parameter holds those of `n_layers` modules, shape (n_layers, ...).

    It says so by an attribute `n_stacked`.

    Args:
        make: One module; called once for each layer, so that no two begin alike.
        n_layers: At least 1.

    Example:
        >>> rngs = nnx.Rngs(0)
        >>> layers = stacked(lambda: nnx.Linear(2, 2, rngs=rngs), 3)
        >>> layers.kernel.shape, bool((layers.kernel[0] == layers.kernel[1]).any())
        ((3, 2, 2), False)
    """
    graph, first = nnx.split(make())
    others = [nnx.state(make()) for _ in range(n_layers - 1)]
    layers = nnx.merge(graph, jax.tree.map(lambda *each: jnp.stack(each), first, *others))
    layers.n_stacked = n_layers
    return layers


def through(
    layers: Any, call: Callable[[Any, Any, Any], tuple[Any, Any]], carry: Any, xs: Any = None
) -> tuple[Any, Any]:
    """Run stacked layers one after the other; more than `MOST_UNROLLED` are one compiled layer in a loop.

    Args:
        layers: From `stacked`.
        call: (layer, carry, x) -> (carry, y).
        carry: What the first layer begins with.
        xs: What else each layer takes, along a first axis.

    Returns:
        The last carry, and the y of all layers along a first axis.
    """
    graph, state = nnx.split(layers)
    n_layers = len(jax.tree.leaves(state)[0])

    def step(carry: Any, at: tuple[Any, Any]) -> tuple[Any, Any]:
        return call(nnx.merge(graph, at[0]), carry, at[1])

    return jax.lax.scan(step, carry, (state, xs), unroll=n_layers <= MOST_UNROLLED)


def each_of(layers: Any) -> list[Any]:
    """The stacked layers one by one.

    Example:
        >>> rngs = nnx.Rngs(0)
        >>> [layer.kernel.shape for layer in each_of(stacked(lambda: nnx.Linear(2, 2, rngs=rngs), 3))]
        [(2, 2), (2, 2), (2, 2)]
    """
    graph, state = nnx.split(layers)
    return [
        nnx.merge(graph, jax.tree.map(lambda leaf, k=k: leaf[k], state)) for k in range(len(jax.tree.leaves(state)[0]))
    ]
