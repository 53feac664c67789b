"""Data against the model that they are for: refused before it is built, and made into what its trainer takes."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.core.errors import DataError
from modelwright.data.examples import Examples, Split
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.training import Rows, Windows
from modelwright.generative.training.examples import as_examples
from modelwright.modalities import AdaptedModel
from modelwright.zoo import Zoo


def check_examples(zoo: Zoo, name: str, data: Split) -> None:
    """Refuse data that an entry of the zoo does not take, by its outline: no weights are made for it.

    Args:
        zoo: Where the entry is.
        name: Of the entry.
        data: Examples in three parts.

    Raises:
        DataError: they are of another shape than the model's, too few, or hold what it does not know.
    """
    try:
        outline = nnx.eval_shape(lambda: zoo.create_model(name, rngs=0))
    except (
        jax.errors.JAXTypeError
    ):  # a family from elsewhere that looks at numbers while it builds: its trainer refuses
        return
    for part in (data.train, data.valid, data.test):
        if isinstance(part.x, str) and len(prepared(outline, part)) < outline.example_shape[0]:
            raise DataError(
                "a text of which a part is shorter than one example",
                field="data",
                expected=f"at least {outline.example_shape[0]} symbols in its last twentieth",
                got=len(part.x),
                todo="give a longer text",
            )
        as_examples(looked_at(outline, part), outline)


def trained_on(model: AbstractGenerativeModel, part: Examples) -> Rows | Windows:
    """A part of the data as the trainer takes it."""
    x = prepared(model, part)
    if isinstance(part.x, str):
        return Windows(jnp.asarray(x), model.example_shape[0])
    labels = part.labels if model.condition.width else None
    return Rows(jnp.asarray(x), None if labels is None else jnp.asarray(labels))


def looked_at(model: AbstractGenerativeModel, part: Examples) -> Rows | Windows:
    """A part of the data as the trainer looks at it: a text in windows that follow each other, not in all of them."""
    if not isinstance(part.x, str):
        return trained_on(model, part)
    length = model.example_shape[0]
    return Windows(jnp.asarray(prepared(model, part)), length, stride=length)


def prepared(model: AbstractGenerativeModel, part: Examples) -> np.ndarray:
    """Examples as the model's codec makes them; without one, numbers of the model's shape."""
    if isinstance(model, AdaptedModel):
        return model.codec.prepare(part.x)
    if isinstance(part.x, str):
        raise DataError("text for a model without a vocabulary", field="data", todo="add modality: text to the entry")
    x = np.asarray(part.x)
    if x.shape[1:] != tuple(model.example_shape):
        raise DataError(
            "examples of another shape than the model's",
            field="data",
            expected=f"({', '.join(map(str, ('n', *model.example_shape)))})",
            got=x.shape,
        )
    return x
