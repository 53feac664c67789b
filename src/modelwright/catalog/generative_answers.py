"""What a trained generative model answers: log probabilities of examples, samples as people have them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.catalog.generative_data import conditions, prepared
from modelwright.core.errors import CapabilityError, ConfigurationError, DataError
from modelwright.core.seeds import named_seed
from modelwright.data.examples import Examples
from modelwright.generative.log_prob import Kind, LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, lacking
from modelwright.generative.training import Rows
from modelwright.generative.training.examples import as_examples
from modelwright.modalities import AdaptedModel, TextCodec

BLOCK = 256
"""Examples whose log probability is found, or that are drawn, together: memory is that of a block, however many."""


KINDS: Mapping[Kind, str] = {
    "exact": "exact",
    "bound": "a lower bound of the log probability",
    "unnormalized": "known up to a constant only",
}


@dataclass(frozen=True)
class HeldOut:
    """How probable a model finds examples that it was not trained on.

    Args:
        nats: Minus the mean log probability of an example.
        error: Standard error of the mean, nats; NaN where there is one example.
        kind: Of the log probability.
        of: As of `LogProb`.
        n: Examples that the mean is over.
        lost: How many of them have no log probability, which makes a NaN of the mean.
        windows_of: Symbols of an example, where each is a window of a text; None elsewhere.
        remedy: Of the model, for those that are lost.
    """

    nats: float
    error: float
    kind: Kind
    of: str
    n: int
    windows_of: int | None = None
    lost: int = 0
    remedy: str | None = None

    @property
    def sentence(self) -> str:
        """The same for people.

        Example:
            >>> HeldOut(41.25, 0.5, "exact", "", 541, windows_of=64).sentence
            'On 541 windows of 64 symbols held out: 41.25 +- 0.5 nats per window (exact).'
            >>> HeldOut(7.5, 0.25, "exact", "the image in black and white", 180).sentence
            'On 180 examples held out: 7.5 +- 0.25 nats per example (exact), of the image in black and white.'
        """
        one, many = ("example", "examples")
        if self.windows_of is not None:
            one, many = "window", f"windows of {self.windows_of} symbols"
        of = f", of {self.of}" if self.of else ""
        figure = f"{self.nats:.4g} +- {self.error:.2g} nats per {one} ({KINDS[self.kind]})"
        lost = f" {lost_in_words(self.lost, self.n, self.remedy)}" if self.lost else ""
        return f"On {self.n:,} {many} held out: {figure}{of}.{lost}"


def lost_in_words(lost: int, n: int, remedy: str | None) -> str:
    """A sentence on examples without a log probability, and what the model says may help.

    Example:
        >>> lost_in_words(3, 541, None)
        '3 of 541 have no log probability: the model gives no number.'
        >>> lost_in_words(3, 541, "raise parameters.max_steps")
        '3 of 541 have no log probability: the model gives no number; raise parameters.max_steps.'
    """
    own = f"; {remedy}" if remedy else ""
    return f"{lost:,} of {n:,} have no log probability: the model gives no number{own}."


def held_out_nats(model: AbstractGenerativeModel, part: Examples) -> HeldOut:
    """Minus the mean log probability of a part, nats, and what it is a mean of.

    A text is cut into windows that follow each other; what stands before a window is not known to the model.
    """
    found = log_probabilities(model, part, limit=None)
    values = -np.asarray(found.value, float)
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else math.nan
    windows_of = model.example_shape[0] if isinstance(part.x, str) else None
    lost = int(np.isnan(values).sum())
    return HeldOut(float(values.mean()), error, found.kind, found.of, len(values), windows_of, lost, model.remedy)


def log_probabilities(model: AbstractGenerativeModel, part: Examples, *, limit: int | None) -> LogProb:
    """Log probabilities of examples, nats, in blocks; of a text, of windows that follow each other.

    Raises:
        DataError: the examples do not go with the model, or there is none.
    """
    x, cond = prepared(model, part), conditions(model, part)
    if isinstance(part.x, str):
        length = model.example_shape[0]
        x = x[: len(x) // length * length].reshape(-1, length)
    x, cond = x[:limit], None if cond is None else cond[:limit]
    if len(x) == 0:
        raise DataError("shorter than one example", field="data", expected=f"{model.example_shape[0]} symbols or more")
    examples = as_examples(Rows(jnp.asarray(x), None if cond is None else jnp.asarray(cond)), model)
    graph, state = nnx.split(model)

    @jax.jit
    def block(state: Any, x: Any, cond: Any, key: Any) -> LogProb:
        return nnx.merge(graph, state).log_prob(x, key=key, cond=cond)

    found = []
    for k, start in enumerate(range(0, len(x), BLOCK)):
        batch = examples.take(jnp.arange(start, min(start + BLOCK, len(x))))
        found.append(block(state, batch.x, batch.cond, jax.random.fold_in(jax.random.key(0), k)))
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


def drawn(
    model: AbstractGenerativeModel, n: int, *, seed: int, label: int | None, contexts: np.ndarray | None = None
) -> Any:
    """Examples drawn from a model in blocks, as people have them: arrays, or texts.

    Args:
        model: Trained or not.
        n: How many.
        seed: The same seed gives the same examples; of more than a block, the same first ones whatever their number.
        label: Class of all of them, for a model of labels; None takes all classes in turn.
        contexts: What each is conditioned on, for a model of context vectors, in turn; shape (any, context_dim).

    Raises:
        CapabilityError: the model does not sample, or needs contexts. ConfigurationError: the label is none of it.
        DataError: some are no numbers.
    """
    if "sample" not in model.offers:
        raise lacking(model, "sample")
    condition, cond = model.condition, None
    size = min(max(n, 1), BLOCK)
    whole = max(-(-n // size), 1) * size  # of the last block, too, all are drawn: one program serves every block
    if condition.context_dim:
        if contexts is None:
            raise CapabilityError(
                f"the model is conditioned on vectors of {condition.context_dim} numbers, and none are given",
                todo="in Python, call sample of the trained model with cond",
            )
        cond = np.asarray(contexts)[np.arange(whole) % len(contexts)]
    if condition.n_classes:
        if label is None:
            cond = np.arange(whole) % condition.n_classes
        elif 0 <= label < condition.n_classes:
            cond = np.full(whole, label)
        else:
            raise ConfigurationError(
                "no such label", field="label", expected=f"0 to {condition.n_classes - 1}", got=label
            )
    elif label is not None:
        raise ConfigurationError("the model is not conditioned on labels", field="label", got=label)
    graph, state = nnx.split(model)

    @jax.jit
    def block(state: Any, key: Any, cond: Any) -> Any:
        return nnx.merge(graph, state).sample(size, key=key, cond=cond)

    found = []
    for start in range(0, whole, size):
        # the first block's key is the seed's own: what fits into one block is what `model.sample` draws
        key = jax.random.key(named_seed(seed, f"samples from {start}") if start else seed)
        of_block = None if cond is None else jnp.asarray(cond[start : start + size])
        found.append(np.asarray(block(state, key, of_block)))
    x = np.concatenate(found)[:n]
    lost = int((~np.isfinite(x.reshape(len(x), -1)).all(-1)).sum())
    if lost:
        own = f", or {model.remedy}" if model.remedy else ""
        raise DataError(
            f"{lost} of {n} samples are no numbers",
            todo=f"train for longer, or with a smaller learning rate{own}",
        )
    return model.codec.present(x) if isinstance(model, AdaptedModel) else x


def shape_of_samples(model: AbstractGenerativeModel) -> tuple[int, ...] | None:
    """The shape of one example as people have it; None for a text."""
    nothing = np.zeros((1, *model.example_shape), np.int32)
    shown = model.codec.present(nothing) if isinstance(model, AdaptedModel) else nothing
    return None if isinstance(shown, list) else tuple(shown.shape[1:])
