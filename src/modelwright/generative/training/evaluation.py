"""The held-out loss: over all examples of a set, in compiled batches."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.generative.training.examples import AbstractExamples


def held_out_loss(
    graph: Any, params: Any, rest: Any, examples: AbstractExamples, batch_size: int, key: PRNGKeyArray
) -> float:
    """The mean of `model.held_out_loss` over all examples, nats per example.

    Args:
        graph: Structure of the model.
        params: Its parameters.
        rest: Its other variables.
        examples: The examples.
        batch_size: Examples looked at together.
        key: Of whatever is random; the same at every look, so that looks compare.
    """
    size = min(batch_size, examples.size)
    whole, left = divmod(examples.size, size)
    total = float(_batches(graph, params, rest, examples, jnp.arange(whole * size).reshape(whole, size), key)) * size
    if left:
        last = jnp.arange(whole * size, examples.size)[None]
        total += float(_batches(graph, params, rest, examples, last, jax.random.fold_in(key, whole))) * left
    return total / examples.size if np.isfinite(total) else float("inf")


@partial(jax.jit, static_argnums=0)
def _batches(
    graph: Any, params: Any, rest: Any, examples: AbstractExamples, numbers: Array, key: PRNGKeyArray
) -> Float[Array, ""]:
    def one(total: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
        numbers, place = row
        model = nnx.merge(graph, params, rest, copy=True)
        loss = model.held_out_loss(examples.take(numbers), key=jax.random.fold_in(key, place))
        return total + loss.value.astype(jnp.float32), None

    return jax.lax.scan(one, jnp.zeros(()), (numbers, jnp.arange(len(numbers))))[0]
