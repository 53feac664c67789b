"""Certificates of generative models: a trained run, or the model as it is made, held to the laws."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from modelwright.core.errors import ModelwrightError, NotFoundError
from modelwright.generative.laws.codec import CODEC_LAWS
from modelwright.generative.laws.general import GENERAL_LAWS, LOSSES_ARE_LIKELIHOODS
from modelwright.generative.laws.law import Ruling, Subject, certified, failed
from modelwright.generative.laws.table import LAWS
from modelwright.generative.protocol import AbstractGenerativeModel, Batch
from modelwright.modalities import AdaptedModel

if TYPE_CHECKING:
    from modelwright.catalog.generative_model import GenerativeModel

EXAMPLES = 16


def certificate(model: "GenerativeModel", run: str | None, seed: int) -> tuple[str, tuple[Ruling, ...]]:
    """Which weights were looked at, and what came of every law that applies.

    Args:
        model: Of the catalog.
        run: A run of it; None takes the newest complete one, or untrained weights where there is none.
        seed: Of everything drawn while checking.
    """
    try:
        record = model.trained_run(run)
    except NotFoundError:
        if run is not None:
            raise
        made = model.zoo.create_model(model.model_id, rngs=seed)
        return "as it is made, untrained", rulings_of(made, seed)
    return f"run {record.run_id}", rulings_of(model.model(record), seed)


def rulings_of(model: AbstractGenerativeModel, seed: int) -> tuple[Ruling, ...]:
    """Every law that applies to a model, on examples that it draws itself.

    The laws of all models and those of codecs are asked of the whole; those of its family, where a codec stands before
    it, of the model behind the codec, as is that of its losses, whose likelihood may be exact where the whole's is a
    bound.
    """
    condition, cond = model.condition, None
    if condition.n_classes:
        cond = jnp.arange(EXAMPLES) % condition.n_classes
    elif condition.context_dim:
        cond = jax.random.normal(jax.random.key(seed), (EXAMPLES, condition.context_dim))
    try:
        x = model.sample(EXAMPLES, key=jax.random.key(seed), cond=cond)
    except ModelwrightError:
        raise
    except Exception as error:  # whatever a wrong model raises: the other laws would have no examples
        return (failed("examples can be drawn", error),)
    whole = Subject(model, Batch(x, cond), seed)
    if not isinstance(model, AdaptedModel):
        return certified(whole, LAWS)
    z, _ = model.codec.encode(x, jax.random.key(seed))
    inside = Subject(model.inner, Batch(z, cond), seed)
    of_whole = (*GENERAL_LAWS, *CODEC_LAWS)
    return certified(whole, of_whole) + certified(
        inside, [law for law in LAWS if law is LOSSES_ARE_LIKELIHOODS or law not in of_whole]
    )
