"""Likelihoods of held-out examples: with importance weights, and in bits per dimension."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.core.errors import CapabilityError, ConfigurationError
from modelwright.core.seeds import named_seed
from modelwright.generative.log_prob import Kind, LogProb


@final
@dataclass(frozen=True)
class BitsPerDimension:
    """Minus the mean log probability, in bits for each number of an example.

    Args:
        value: Bits per dimension; lower is better. Of densities it is relative to the unit of the data.
        standard_error: Of the value, from the spread over examples.
        kind: "exact", or "bound": the true number is at most this.
        n_examples: How many.
        n_dimensions: Numbers of one example.
        of: As of `LogProb`.
    """

    value: float
    standard_error: float
    kind: Kind
    n_examples: int
    n_dimensions: int
    of: str = ""

    def __str__(self) -> str:
        words = "at most " if self.kind == "bound" else ""
        of = f" of {self.of}" if self.of else ""
        return f"{words}{self.value:.4f} +- {self.standard_error:.4f} bits per dimension{of}"


def bits_per_dim(log_prob: LogProb, shape: Sequence[int]) -> BitsPerDimension:
    """Bits per dimension of log probabilities, -mean(log p) / (D log 2).

    Args:
        log_prob: Nats per example. Of discrete data they are probabilities; densities have to be of the data in the
            units that are meant (of bytes, not of bytes / 255).
        shape: Of one example.

    Raises:
        ConfigurationError: the values are known up to a constant only.

    Source: L. Theis, A. van den Oord, M. Bethge (2016), https://arxiv.org/abs/1511.01844.

    Example:
        >>> fair = LogProb(np.full(3, -2.0 * np.log(2.0)), "exact")
        >>> str(bits_per_dim(fair, (2, 1)))
        '1.0000 +- 0.0000 bits per dimension'
    """
    if log_prob.kind == "unnormalized":
        raise ConfigurationError(
            "values known up to a constant are no number of bits", field="kind", todo="estimate the constant first"
        )
    nats, dimensions = np.asarray(log_prob.value, np.float64), math.prod(shape)
    bits = -nats / (dimensions * math.log(2.0))
    error = _standard_error(bits)
    return BitsPerDimension(float(bits.mean()), error, log_prob.kind, len(bits), dimensions, log_prob.of)


@final
@dataclass(frozen=True)
class ImportanceWeighted:
    """The importance-weighted bound of held-out examples.

    Args:
        log_prob: Nats per example, shape (n,), a lower bound of each on average.
        draws: Latents for each example.
        of: As of `LogProb`.
    """

    log_prob: Float[np.ndarray, " n"]
    draws: int
    of: str = ""

    @property
    def mean(self) -> float:
        """Nats per example."""
        return float(self.log_prob.mean())

    @property
    def standard_error(self) -> float:
        """Of the mean, from the spread over examples, nats."""
        return _standard_error(self.log_prob)

    def as_log_prob(self) -> LogProb:
        """The same, saying that it is a bound, and of what."""
        return LogProb(self.log_prob, "bound", self.of)


@runtime_checkable
class CodedModel(Protocol):
    """A model of coded data and the codec before it.

    Attributes:
        inner: The model.
        codec: With `encode(x, key)`: what the model takes, and the log-determinant of each example, nats; and
            `probability_of`: what probabilities are of, where it is not the data as they are.
    """

    inner: Any
    codec: Any


@runtime_checkable
class WeighingModel(Protocol):
    """A model with latents to draw and weigh, as the autoencoders with a normal latent."""

    def importance_weighted(self, x: Array, draws: int, *, key: PRNGKeyArray, cond: Array | None = None) -> LogProb:
        """The bound of `draws` latents, nats per example, shape (n,)."""
        ...


def inner_of(model: Any) -> Any:
    """The model that has the latents: the one inside, where a codec stands before it."""
    return model.inner if isinstance(model, CodedModel) else model


def importance_weighted(
    model: Any, x: Array, draws: int = 500, *, chunk: int = 500, cond: Array | None = None, seed: int = 0
) -> ImportanceWeighted:
    """The bound log (1/K) sum_k p(x, z_k) / q(z_k | x) of examples, chunk after chunk.

    Memory of the device grows with the chunk, with the draws by a key for each, and with the examples not at all.

    Args:
        model: With a method `importance_weighted`, as the autoencoders with a normal latent have, or with such a model
            behind its codec: the bound is then of the data as they are.
        x: Examples, shape (n, *example_shape).
        draws: Latents K for each example; the bound grows with them towards log p(x).
        chunk: Examples looked at together.
        cond: What each is conditioned on, shape (n, ...).
        seed: Of the latents.

    Raises:
        CapabilityError: the model has no latents to draw.

    Source: Y. Burda, R. Grosse, R. Salakhutdinov (2016), https://arxiv.org/abs/1509.00519.
    """
    inner = inner_of(model)
    if not isinstance(inner, WeighingModel):
        raise CapabilityError(
            f"{type(inner).__name__} draws no latents to be weighted", todo="its log_prob is what it has to say"
        )
    for name, number in (("draws", draws), ("chunk", chunk)):
        if number < 1:
            raise ConfigurationError("too few", field=name, expected="a whole number of at least 1", got=number)
    graph, state = nnx.split(model)

    @jax.jit
    def bound(state: nnx.State, x: Array, cond: Array | None, key: Array) -> LogProb:
        model = nnx.merge(graph, state)
        if not isinstance(model, CodedModel):
            found: LogProb = model.importance_weighted(x, draws, key=key, cond=cond)
            return found
        of_codec, of_model = jax.random.split(key)
        z, log_det = model.codec.encode(x, of_codec)
        inside = model.inner.importance_weighted(z, draws, key=of_model, cond=cond)
        return LogProb(inside.value + log_det, inside.kind, model.codec.probability_of or inside.of)

    found, of = [], ""
    for begin in range(0, len(x), chunk):
        part = slice(begin, begin + chunk)
        key = jax.random.key(named_seed(seed, f"chunk {begin}"))
        bounds = bound(state, x[part], None if cond is None else cond[part], key)
        found.append(np.asarray(bounds.value, np.float64))
        of = bounds.of
    return ImportanceWeighted(np.concatenate(found), draws, of)


def _standard_error(each: np.ndarray) -> float:
    return float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan
