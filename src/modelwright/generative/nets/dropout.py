"""Leaving units out while training, by a key that is given: without one, nothing is left out."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray


def dropped(h: Array, rate: float, key: PRNGKeyArray | None, layer: int) -> Array:
    """Units left out at random and the others scaled up by 1 / (1 - rate).

    Args:
        h: Activations.
        rate: Share of units left out.
        key: None leaves them as they are.
        layer: Number of the layer, so that one key serves all layers.

    Source: N. Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html.
    """
    if key is None or rate == 0.0:
        return h
    kept = jax.random.bernoulli(jax.random.fold_in(key, layer), 1.0 - rate, h.shape)
    return jnp.where(kept, h / (1.0 - rate), 0.0).astype(h.dtype)
