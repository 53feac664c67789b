"""What the autoregressive models share: the chain rule, and the loss and log probability that follow from it.

    log p(x) = sum over i of log p(x_i | the x that come before i)

A model turns a whole example into the logits of every symbol given those before it, in one pass; the order is its own.
The first symbol has a probability like any other. Everything here works on symbols 0 to levels - 1; an `Alphabet` says
what they stand for.
"""

from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.generative.arguments import examples
from modelwright.generative.autoregressive.alphabet import AbstractAlphabet, Levels
from modelwright.generative.log_prob import Kind, LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, Loss
from modelwright.generative.reading import Reading


class AbstractAutoregressiveModel(AbstractGenerativeModel):
    """A model of symbols, each given those before it.

    Attributes:
        alphabet: The symbols.
    """

    family: ClassVar[str] = "autoregressive"
    offers: ClassVar[frozenset[str]] = frozenset({"sample", "log_prob", "condition"})
    log_prob_kind: ClassVar[Kind | None] = "exact"

    alphabet: AbstractAlphabet

    @property
    def levels(self) -> int | None:  # type: ignore[override]
        """The symbols where they are the data themselves, None where they stand for real numbers."""
        return self.alphabet.levels if isinstance(self.alphabet, Levels) else None

    @abstractmethod
    def logits(
        self,
        symbols: Int[Array, "n *example"],
        vectors: Float[Array, "n width"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n *example levels"]:
        """The logits of every symbol given those before it, float32 at least.

        Args:
            symbols: Whole examples.
            vectors: Of the condition.
            key: Leaves units out: while training.
        """

    @abstractmethod
    def dependence(self) -> np.ndarray:
        """Which symbols a logit can depend on: shape (d, d), entry (i, j) whether the logits of i see the symbol j.

        The symbols are numbered as an example is flattened.
        """

    def check(self, batch: Batch) -> None:
        """Refuse examples with numbers that are no symbols: their loss would be infinite.

        Raises:
            ConfigurationError: naming one such number.
        """
        self.alphabet.check(batch.x)

    def loss(self, batch: Batch, *, key: PRNGKeyArray, step: Array) -> Loss:
        """The negative log probability, nats per example; `nats_per_symbol` among the metrics."""
        value = -self._scored(batch.x, self._vectors(batch.x, batch.cond), key).mean()
        return Loss(value, {"nats_per_symbol": value / np.prod(self.example_shape)})

    def log_prob(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> LogProb:
        """Log probability of each example, nats, exact, the first symbol included.

        Args:
            x: Examples, shape (n, *example_shape). One with a number that is no symbol has probability 0.
            key: Ignored.
            cond: What each is conditioned on.
        """
        graph, state = nnx.split(self)
        return LogProb(_compiled_log_prob(graph, state, x, self._vectors(x, cond)), "exact")

    def _vectors(self, x: Array, cond: Array | None) -> Array | None:
        return self.condition.vectors(cond, len(examples(self, x)))

    def _scored(self, x: Array, vectors: Array | None, key: PRNGKeyArray | None) -> Float[Array, " n"]:
        symbols = self.alphabet.symbols(x)
        logits = self.logits(symbols, vectors, key)
        each = jnp.take_along_axis(jax.nn.log_softmax(logits), symbols[..., None], axis=-1)[..., 0]
        each = jnp.where(self.alphabet.known(x), each, -jnp.inf)
        return each.reshape(len(x), -1).sum(-1)


@runtime_checkable
class Caching(Protocol):
    """A model that finds its logits one symbol at a time, too, from what it keeps of those before."""

    def cached_logits(self, symbols: Array, vectors: Array | None = None, *, prompt: int = 0) -> Array:
        """The same as `logits`, the first `prompt` symbols at once where the model can."""
        ...


@runtime_checkable
class Continuing(Protocol):
    """A model that goes on from a prompt."""

    def continue_from(self, prompt: Array, n_tokens: int, *, key: PRNGKeyArray, **choice: Any) -> Array:
        """Prompt and what follows, shape (n, given + n_tokens)."""
        ...


# Compiled here and kept by the structure of the model: layer after layer by hand, a call would take seconds.


@partial(jax.jit, static_argnames="graph")
def _compiled_log_prob(graph: Any, state: Any, x: Array, vectors: Array | None) -> Float[Array, " n"]:
    return nnx.merge(graph, state)._scored(x, vectors, None)


@partial(jax.jit, static_argnames="graph")
def _compiled_logits(graph: Any, state: Any, symbols: Array, vectors: Array | None) -> Array:
    return nnx.merge(graph, state).logits(symbols, vectors)


def compiled_logits(model: AbstractAutoregressiveModel, symbols: Array, vectors: Array | None = None) -> Array:
    """`model.logits`, compiled once for all models of one structure."""
    return _compiled_logits(*nnx.split(model), symbols, vectors)


def one_width(reading: Reading, default: int) -> int:
    """The one number in hidden_dims, for models whose layers are all of one width.

    Raises:
        ConfigurationError: there are several.
    """
    widths = reading.hidden_dims((default,))
    if len(widths) != 1:
        raise reading.refuse(
            "hidden_dims",
            "all layers are of one width",
            expected=f"one number, such as [{default}]",
            got=widths,
            todo="say how many layers there are by parameters.n_layers",
        )
    return int(widths[0])


def one_length(reading: Reading) -> int:
    """The one number in input_dim, for models of sequences.

    Raises:
        ConfigurationError: an example has several axes.
    """
    shape = reading.input_dim()
    if len(shape) != 1:
        raise reading.refuse("input_dim", "not a sequence", expected="one number, its length", got=shape)
    return int(shape[0])
