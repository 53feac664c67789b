"""Drawing symbols one at a time by whole passes, for networks that keep nothing from one symbol to the next."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int, PRNGKeyArray

from modelwright.generative.autoregressive.model import AbstractAutoregressiveModel


def drawn_in_order(
    model: AbstractAutoregressiveModel, n: int, order: tuple[int, ...], key: PRNGKeyArray, vectors: Array | None
) -> Int[Array, "n *example"]:
    """Examples as symbols; one pass of the network for each symbol.

    Args:
        model: Its logits are asked for.
        n: Examples.
        order: The symbols of an example in the order in which they are drawn, numbered as it is flattened.
        key: The same key gives the same symbols.
        vectors: Of the condition.
    """
    return _drawn(*nnx.split(model), key, vectors, n, order)


@partial(jax.jit, static_argnames=("graph", "n", "order"))
def _drawn(graph: Any, state: Any, key: PRNGKeyArray, vectors: Array | None, n: int, order: tuple[int, ...]) -> Array:
    model = nnx.merge(graph, state)
    shape = model.example_shape

    def step(symbols: Array, at: tuple[PRNGKeyArray, Array]) -> tuple[Array, None]:
        logits = model.logits(symbols.reshape(n, *shape), vectors).reshape(n, len(order), -1)
        own = jax.lax.dynamic_index_in_dim(logits, at[1], axis=1, keepdims=False)
        drawn = jax.random.categorical(at[0], own).astype(jnp.int32)
        return jax.lax.dynamic_update_slice_in_dim(symbols, drawn[:, None], at[1], axis=1), None

    keys = jax.random.split(key, len(order))
    empty = jnp.zeros((n, int(np.prod(shape))), jnp.int32)
    return jax.lax.scan(step, empty, (keys, jnp.asarray(order)))[0].reshape(n, *shape)
