"""Data against the model that they are for: refused before it is built, and made into what its trainer takes."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.core.errors import DataError
from modelwright.data.examples import Examples, Split
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.training import Rows, Windows
from modelwright.generative.training.examples import as_examples, device_numbers
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
    cond = conditions(model, part)
    return Rows(jnp.asarray(x), None if cond is None else jnp.asarray(cond))


def looked_at(model: AbstractGenerativeModel, part: Examples) -> Rows | Windows:
    """A part of the data as the trainer looks at it: a text in windows that follow each other, not in all of them."""
    if not isinstance(part.x, str):
        return trained_on(model, part)
    length = model.example_shape[0]
    return Windows(jnp.asarray(prepared(model, part)), length, stride=length)


def prepared(model: AbstractGenerativeModel, part: Examples) -> np.ndarray:
    """Examples as the model's codec makes them; without one, numbers of the model's shape; fit for the device.

    Raises:
        DataError: they are of another shape, no numbers that the model knows, or too large.
    """
    if isinstance(model, AdaptedModel):
        return device_numbers(model.codec.prepare(part.x), "data")
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
    return device_numbers(x, "data")


def conditions(model: AbstractGenerativeModel, part: Examples) -> np.ndarray | None:
    """What each example of a part is conditioned on, fit for the device; None where the model or the part has nothing.

    They are looked at here, by their values: within a compiled function, nothing of them can be refused.

    Raises:
        DataError: labels that are no whole numbers, or that the model does not know; contexts that are no numbers.
    """
    if not model.condition.width or part.labels is None or isinstance(part.x, str):
        return None
    found = device_numbers(_numbers_only(part.labels), "labels")
    if not model.condition.n_classes:
        return found
    expected = f"whole numbers from 0 to {model.condition.n_classes - 1}"
    if not (found == np.round(found)).all():
        raise DataError("labels that are no whole numbers", field="labels", expected=expected)
    if found.size and (found.min() < 0 or found.max() >= model.condition.n_classes):
        raise DataError(
            "labels that the model does not know",
            field="labels",
            expected=expected,
            got=f"{found.min():g} to {found.max():g}",
        )
    return found.astype(np.int32)


def _numbers_only(labels: np.ndarray) -> np.ndarray:
    found = np.asarray(labels)
    if found.dtype.kind not in "biuf":
        raise DataError("labels that are no numbers", field="labels", expected="numbers", got=str(found.dtype))
    return found
