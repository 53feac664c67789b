"""The decoder-only transformer over tokens."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.core.errors import ConfigurationError
from modelwright.generative.arguments import count, numbers
from modelwright.generative.autoregressive.alphabet import Levels
from modelwright.generative.autoregressive.choice import Choice
from modelwright.generative.autoregressive.model import AbstractAutoregressiveModel, one_length, one_width
from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.nets.attention import AttentionLayer, AttentionStack, Past
from modelwright.generative.nets.embedding import embedded
from modelwright.generative.nets.stacked import each_of
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading


@final
class Transformer(AbstractAutoregressiveModel):
    """Sequences of `length` tokens, whole numbers 0 to vocabulary - 1, each given all before it.

        inputs    start  x_1  x_2  ...  x_(T-1)
        logits of  x_1   x_2  x_3  ...    x_T

    The start symbol is learned, so that the first token has a probability too. For language modelling an example is a
    window of `length` tokens from anywhere in a text.

    Dims: input_dim is (length,); hidden_dims is one number, the width of every layer; how many there are is
    `n_layers`. output_dim is not used.

    Args:
        net: The layers; its length is that of an example.
        vocabulary: Tokens.
        condition: What it is conditioned on; the vector is added to the input at every position.
        rngs: Of the initial weights: normal, standard deviation 0.02.

    Source: A. Radford et al. (2019), "Language models are unsupervised multitask learners".

    Example:
        >>> net = AttentionStack(8, n_layers=1, n_heads=2, length=4, rngs=nnx.Rngs(0))
        >>> model = Transformer(net, 3, rngs=nnx.Rngs(1))
        >>> model.sample(2, key=jax.random.key(0)).shape
        (2, 4)
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        Parameter("vocabulary", "integer", 256, "tokens; 256 for bytes", 2),
        Parameter("n_layers", "integer", 4, "layers", 1, 256),
        Parameter("n_heads", "integer", 4, "heads of attention in each layer; a divisor of the width", 1, 1000),
        Parameter(
            "positions",
            "choice",
            "learned",
            "a learned vector for each position, or queries and keys that turn with it",
            choices=("learned", "rotary"),
        ),
        Parameter("expansion", "integer", 4, "the dense part of a layer is so many times as wide", 1, 1000),
        *CONDITIONS,
    )

    def __init__(
        self,
        net: AttentionStack,
        vocabulary: int,
        *,
        condition: Condition = Condition(),  # noqa: B008 (frozen)
        rngs: nnx.Rngs,
    ) -> None:
        usual = nnx.initializers.normal(0.02)
        self.embedding = nnx.Embed(vocabulary, net.width, embedding_init=usual, rngs=rngs)
        self.start = nnx.Param(usual(rngs.params(), (net.width,)))
        self.context = nnx.Linear(condition.width, net.width, rngs=rngs) if condition.width else None
        self.net = net
        self.head = nnx.Linear(net.width, vocabulary, kernel_init=usual, rngs=rngs)
        self.alphabet = Levels(vocabulary)
        self.condition = condition
        self.example_shape = (net.length,)

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "Transformer":
        """The model that a configuration asks for."""
        net = AttentionStack(
            one_width(reading, 128),
            n_layers=reading.parameter("n_layers"),
            n_heads=reading.parameter("n_heads"),
            length=one_length(reading),
            rotary=reading.parameter("positions") == "rotary",
            expansion=reading.parameter("expansion"),
            activation=reading.activation("gelu"),
            dropout_rate=reading.dropout_rate(),
            rngs=rngs,
        )
        return cls(net, reading.parameter("vocabulary"), condition=Condition.read(reading), rngs=rngs)

    def logits(
        self,
        symbols: Int[Array, "n length"],
        vectors: Float[Array, "n width"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n length vocabulary"]:
        """The logits of every token given those before it."""
        return self._to_logits(self.net(self._inputs(symbols[:, :-1], vectors), key)[0])

    def dependence(self) -> np.ndarray:
        """Every token sees all before it."""
        return np.tri(*self.example_shape, *self.example_shape, -1).astype(bool)

    def cached_logits(
        self, symbols: Int[Array, "n length"], vectors: Float[Array, "n width"] | None = None, *, prompt: int = 0
    ) -> Float[Array, "n length vocabulary"]:
        """The same as `logits`, by the sampler's own steps: the first `prompt` tokens at once, then one at a time."""
        logits, past = self._begun(symbols[:, :prompt], vectors)
        layers = each_of(self.net.layers)

        def step(past: Past, token: Array) -> tuple[Past, Array]:
            return self._step(layers, past, token, vectors)

        _, after = jax.lax.scan(step, past, symbols[:, prompt:-1].T)
        return jnp.concatenate([logits, after.swapaxes(0, 1)], axis=1)

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Int[Array, "n length"]:
        """Sequences drawn from the model, shape (n, length)."""
        return self.continue_from(jnp.zeros((n, 0), jnp.int32), self.example_shape[0], key=key, cond=cond)

    def continue_from(
        self,
        prompt: Int[Array, "n given"],
        n_tokens: int,
        *,
        key: PRNGKeyArray,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        cond: Array | None = None,
    ) -> Int[Array, "n given+n_tokens"]:
        """Sequences that begin with a prompt, drawn from the model given it.

        Args:
            prompt: Tokens, shape (n, given); given + n_tokens is at most `length`. Of one that is traced no token can
                be refused: what is not in the vocabulary stays in the result as it is.
            n_tokens: Tokens that follow, at least 1.
            key: The same key gives the same tokens.
            temperature: Below 1 sharpens, 0 takes the likeliest token; see `Choice`.
            top_k: Keep the k likeliest tokens only.
            top_p: Keep the fewest likeliest tokens that have this probability together.
            cond: What each is conditioned on.

        Returns:
            Prompt and what follows, shape (n, given + n_tokens).

        Raises:
            ConfigurationError: the prompt holds no tokens of the vocabulary, or it all becomes too long.
        """
        choice, n_tokens = Choice(temperature, top_k, top_p), count(self, n_tokens, "n_tokens")
        prompt = self._checked(prompt, n_tokens)
        graph, state = nnx.split(self)
        return _continued(graph, state, prompt, key, self.condition.vectors(cond, len(prompt)), n_tokens, choice)

    def _checked(self, prompt: Array, n_tokens: int) -> Array:
        prompt = numbers(prompt, "prompt", None, "a prompt")
        if prompt.ndim != 2 or not jnp.issubdtype(prompt.dtype, jnp.integer):
            raise ConfigurationError(
                "no prompt",
                field="prompt",
                expected="whole numbers, shape (n, given)",
                got=f"{prompt.dtype} of shape {prompt.shape}",
            )
        length, given = self.example_shape[0], prompt.shape[1]
        if given + n_tokens > length:
            raise ConfigurationError(
                f"a prompt of {given} tokens leaves room for {length - given}",
                field="n_tokens",
                expected=f"a whole number from 1 to {length - given}",
                got=n_tokens,
                todo="give the last tokens of the prompt only, or train with a greater input_dim",
            )
        known = np.zeros((0,)) if isinstance(prompt, jax.core.Tracer) else np.asarray(prompt)
        wrong = (known < 0) | (known >= self.alphabet.levels)  # by NumPy: JAX would trace it where anything is traced
        if wrong.any():
            raise ConfigurationError(
                "tokens that are not in the vocabulary",
                field="prompt",
                expected=f"whole numbers from 0 to {self.alphabet.levels - 1}",
                got=np.unique(known[wrong])[:8].tolist(),
            )
        return jnp.asarray(prompt, jnp.int32)

    def _inputs(self, tokens: Int[Array, "n given"], vectors: Array | None) -> Float[Array, "n given+1 width"]:
        start = jnp.broadcast_to(self.start[...], (len(tokens), 1, self.net.width))
        h = jnp.concatenate([start, embedded(self.embedding, tokens)], axis=1)
        return h if vectors is None else h + self.context(vectors.astype(h.dtype))[:, None]

    def _to_logits(self, h: Array) -> Array:
        logits = self.head(h)
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))

    def _begun(self, prompt: Array, vectors: Array | None) -> tuple[Array, Past]:
        h, past = self.net(self._inputs(prompt, vectors))
        return self._to_logits(h), self.net.room(past)

    def _step(
        self, layers: Sequence[AttentionLayer], past: Past, token: Array, vectors: Array | None
    ) -> tuple[Past, Array]:
        h = embedded(self.embedding, token)
        h = h if vectors is None else h + self.context(vectors.astype(h.dtype))
        h, past = self.net.step(layers, h, past)
        return past, self._to_logits(h)


@partial(jax.jit, static_argnames=("graph", "n_tokens", "choice"))
def _continued(
    graph: Any, state: Any, prompt: Array, key: PRNGKeyArray, vectors: Array | None, n_tokens: int, choice: Choice
) -> Array:
    # compiled here, so that two calls with as many tokens compile once, whoever calls
    model = nnx.merge(graph, state)
    logits, past = model._begun(prompt, vectors)
    keys = jax.random.split(key, n_tokens)
    layers = each_of(model.net.layers)

    def step(carry: tuple[Past, Array], key: PRNGKeyArray) -> tuple[tuple[Past, Array], Array]:
        past, logits = carry
        token = choice.draw(logits, key)
        return model._step(layers, past, token, vectors), token

    (_, logits), tokens = jax.lax.scan(step, (past, logits[:, -1]), keys[:-1])
    last = choice.draw(logits, keys[-1])
    return jnp.concatenate([prompt, tokens.T, last[:, None]], axis=1)
