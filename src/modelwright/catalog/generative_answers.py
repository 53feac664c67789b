"""What a trained generative model answers: log probabilities of examples, samples as people have them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.catalog.generative_data import prepared
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.examples import Examples
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, lacking
from modelwright.modalities import AdaptedModel, TextCodec

BLOCK = 256
"""Examples whose log probability is found together."""


def held_out_nats(model: AbstractGenerativeModel, part: Examples) -> tuple[float, float, str]:
    """Minus the mean log probability of a part in nats per example, its standard error, and what kind of number it is.

    A text is cut into windows that follow each other; what stands before a window is not known to the model.
    """
    found = log_probabilities(model, part, limit=None)
    values = -np.asarray(found.value, float)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), found.kind


def log_probabilities(model: AbstractGenerativeModel, part: Examples, *, limit: int | None) -> LogProb:
    """Log probabilities of examples, nats, in blocks; of a text, of windows that follow each other.

    Raises:
        DataError: the examples do not go with the model, or there is none.
    """
    x = prepared(model, part)
    labels = part.labels if model.condition.width and not isinstance(part.x, str) else None
    if isinstance(part.x, str):
        length = model.example_shape[0]
        x = x[: len(x) // length * length].reshape(-1, length)
    x = x[:limit]
    if len(x) == 0:
        raise DataError("shorter than one example", field="data", expected=f"{model.example_shape[0]} symbols or more")
    graph, state = nnx.split(model)

    @jax.jit
    def block(state: Any, x: Any, cond: Any, key: Any) -> LogProb:
        return nnx.merge(graph, state).log_prob(x, key=key, cond=cond)

    found = []
    for k, start in enumerate(range(0, len(x), BLOCK)):
        rows = slice(start, start + BLOCK)
        cond = None if labels is None else jnp.asarray(labels[rows])
        found.append(block(state, jnp.asarray(x[rows]), cond, jax.random.fold_in(jax.random.key(0), k)))
    return LogProb(jnp.concatenate([each.value for each in found]), found[0].kind, found[0].of)


def row_numbers(model: AbstractGenerativeModel, part: Examples, n: int) -> list[int]:
    """What the first n examples of a part are called: their rows in the set as it lies, counted from 0.

    A window of text is called by the character that it begins with, or in the middle of, where the symbols are bytes.
    """
    rows = np.arange(len(part)) if part.rows is None else np.asarray(part.rows)
    if not isinstance(part.x, str):
        return [int(row) for row in rows[:n]]
    if isinstance(model, AdaptedModel) and isinstance(model.codec, TextCodec) and not model.codec.alphabet:
        rows = np.repeat(rows, [len(character.encode("utf-8")) for character in part.x])
    step = model.example_shape[0]
    return [int(row) for row in rows[: n * step : step]]


def drawn(model: AbstractGenerativeModel, n: int, *, seed: int, label: int | None) -> Any:
    """Examples drawn from a model, as people have them: arrays, or texts."""
    if "sample" not in model.offers:
        raise lacking(model, "sample")
    condition, cond = model.condition, None
    if condition.n_classes:
        if label is None:
            cond = jnp.arange(n) % condition.n_classes
        elif 0 <= label < condition.n_classes:
            cond = jnp.full(n, label)
        else:
            raise ConfigurationError(
                "no such label", field="label", expected=f"0 to {condition.n_classes - 1}", got=label
            )
    elif label is not None:
        raise ConfigurationError("the model is not conditioned on labels", field="label", got=label)
    graph, state = nnx.split(model)
    x = jax.jit(lambda state, key: nnx.merge(graph, state).sample(n, key=key, cond=cond))(state, jax.random.key(seed))
    return model.codec.present(np.asarray(x)) if isinstance(model, AdaptedModel) else np.asarray(x)


def shape_of_samples(model: AbstractGenerativeModel) -> tuple[int, ...] | None:
    """The shape of one example as people have it; None for a text."""
    nothing = np.zeros((1, *model.example_shape), np.int32)
    shown = model.codec.present(nothing) if isinstance(model, AdaptedModel) else nothing
    return None if isinstance(shown, list) else tuple(shown.shape[1:])
