"""Causal self-attention: a stack of pre-norm transformer layers, over whole sequences or one position at a time.

At each position the stack sees that position and those before it. One at a time it keeps the keys and values of the
positions behind it in arrays of fixed size, so that a step costs as much at the last position as at the first.
"""

from collections.abc import Sequence
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.core.errors import ConfigurationError
from modelwright.generative.nets.activations import activation_named
from modelwright.generative.nets.dropout import dropped
from modelwright.generative.nets.stacked import stacked, through


@final
class Past(NamedTuple):
    """Keys and values of the positions so far; what lies at later ones is never looked at.

    Each layer has arrays of its own: sliced out of one array of all layers, they would be copied at every step. So they
    would with an axis for examples and another for heads: compilers for processors make two of such a write.

    Args:
        keys: Of each layer, shape (n n_heads, length, head).
        values: The same shapes.
        filled: How many positions there are so far: where the next one goes. Kept here, so that nobody who takes steps
            has to count.
    """

    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    filled: Int[Array, ""]


@final
class AttentionLayer(nnx.Module):
    """One layer: h + attention(norm(h)), then h + dense(norm(h)).

    Args:
        width: Numbers at a position.
        n_heads: Of attention, each of width / n_heads numbers.
        n_layers: Of the stack, by which the two additions are scaled down at the start.
        expansion: The dense part is so many times as wide.
        activation: Its non-linearity.
        rngs: Of the initial weights: normal, standard deviation 0.02, where something is added 0.02 / sqrt(2 n_layers),
            as in GPT-2.
    """

    def __init__(
        self, width: int, n_heads: int, n_layers: int, *, expansion: int, activation: str, rngs: nnx.Rngs
    ) -> None:
        usual, added = nnx.initializers.normal(0.02), nnx.initializers.normal(0.02 / np.sqrt(2 * n_layers))
        self.norm_before_attention = nnx.LayerNorm(width, rngs=rngs)
        self.to_attention = nnx.Linear(width, 3 * width, kernel_init=usual, rngs=rngs)
        self.from_attention = nnx.Linear(width, width, kernel_init=added, rngs=rngs)
        self.norm_before_dense = nnx.LayerNorm(width, rngs=rngs)
        self.to_dense = nnx.Linear(width, expansion * width, kernel_init=usual, rngs=rngs)
        self.from_dense = nnx.Linear(expansion * width, width, kernel_init=added, rngs=rngs)
        self.n_heads = n_heads
        self.activation = activation

    def split_heads(self, h: Float[Array, "*n width"]) -> tuple[Array, Array, Array]:
        """Queries, keys and values, each of shape (*n, n_heads, head)."""
        projected = self.to_attention(self.norm_before_attention(h))
        return tuple(part.reshape(*h.shape[:-1], self.n_heads, -1) for part in jnp.split(projected, 3, axis=-1))

    def dense(self, h: Float[Array, "*n width"]) -> Float[Array, "*n width"]:
        """What the dense part adds."""
        return self.from_dense(activation_named(self.activation)(self.to_dense(self.norm_before_dense(h))))


@final
class AttentionStack(nnx.Module):
    """Transformer layers over sequences of at most `length` positions.

    Args:
        width: Numbers at a position.
        n_layers: Layers.
        n_heads: Heads of attention; a divisor of the width.
        length: The most positions.
        rotary: Turn queries and keys by angles that grow with the position, in place of positions added to the input.
        expansion: The dense part of a layer is so many times as wide.
        activation: Its non-linearity.
        dropout_rate: Share of what each half of a layer adds that is left out, when a key is given.
        rngs: Of the initial weights.

    Raises:
        ConfigurationError: the heads do not divide the width, or are of an odd size where they have to turn.

    Source: A. Vaswani et al. (2017), https://arxiv.org/abs/1706.03762; A. Radford et al. (2019), "Language models are
    unsupervised multitask learners" (norm first); J. Su et al. (2021), https://arxiv.org/abs/2104.09864 (rotary).

    Example:
        >>> net = AttentionStack(8, n_layers=2, n_heads=2, length=5, rngs=nnx.Rngs(0))
        >>> h, past = net(jnp.ones((3, 5, 8)))
        >>> h.shape, [keys.shape for keys in past.keys]
        ((3, 5, 8), [(6, 5, 4), (6, 5, 4)])
    """

    def __init__(
        self,
        width: int,
        *,
        n_layers: int,
        n_heads: int,
        length: int,
        rotary: bool = False,
        expansion: int = 4,
        activation: str = "gelu",
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        multiple = 2 * n_heads if rotary else n_heads
        if width % multiple:
            raise ConfigurationError(
                "heads of unequal size" if width % n_heads else "rotary positions turn pairs of numbers",
                field="hidden_dims",
                expected=f"a width that is a multiple of {multiple}",
                got=width,
                todo="change the width or parameters.n_heads",
            )
        self.layers = stacked(
            lambda: AttentionLayer(width, n_heads, n_layers, expansion=expansion, activation=activation, rngs=rngs),
            n_layers,
        )
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.positions = None if rotary else nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (length, width)))
        self.width, self.n_layers, self.n_heads, self.length = width, n_layers, n_heads, length
        self.dropout_rate = dropout_rate

    def __call__(
        self, h: Float[Array, "n positions width"], key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "n positions width"], Past]:
        """The output at each position, which sees those up to it; and their keys and values.

        Args:
            h: Inputs, at most `length` positions.
            key: Leaves units out when given.
        """
        positions = h.shape[1]
        mask = jnp.tril(jnp.ones((positions, positions), bool))
        where = jnp.arange(positions)
        h = dropped(self._placed(h, where), self.dropout_rate, key, self.n_layers)

        def layer(block: AttentionLayer, h: Array, key: PRNGKeyArray | None) -> tuple[Array, tuple[Array, Array]]:
            q, k, v = block.split_heads(h)
            q, k = self._turned(q, where[:, None]), self._turned(k, where[:, None])
            scores = jnp.einsum("nihd,njhd->nhij", q, k) / np.sqrt(q.shape[-1])
            weights = _softmax(jnp.where(mask, scores, -jnp.inf)).astype(v.dtype)
            seen = jnp.einsum("nhij,njhd->nihd", weights, v).reshape(h.shape)
            h = h + dropped(block.from_attention(seen), self.dropout_rate, key, 0)
            h = h + dropped(block.dense(h), self.dropout_rate, key, 1)
            return h, tuple(part.swapaxes(1, 2).reshape(-1, positions, part.shape[-1]) for part in (k, v))

        keys = None if key is None else jax.random.split(key, self.n_layers)
        h, past = through(self.layers, layer, h, keys)
        return self.norm(h), Past(*(tuple(part) for part in past), jnp.asarray(positions))

    def step(
        self, layers: Sequence[AttentionLayer], h: Float[Array, "n width"], past: Past
    ) -> tuple[Float[Array, "n width"], Past]:
        """The output at the next position given what is kept of those before it, and the same with this one kept too.

        Args:
            layers: `each_of(self.layers)`. Taken apart before a loop over positions; within it every step would copy
                all weights.
            h: Input.
            past: Keys and values with room for `length` positions.
        """
        position = past.filled
        h = self._placed(h, position)
        up_to_here = jnp.arange(self.length) <= position
        kept = []
        for block, keys, values in zip(layers, *past[:2], strict=True):
            q, k, v = (part.reshape(-1, part.shape[-1]) for part in block.split_heads(h))
            q, k = self._turned(q, position), self._turned(k, position)
            keys, values = _put(keys, k, position), _put(values, v, position)
            scores = jnp.where(up_to_here, jnp.einsum("md,mjd->mj", q, keys), -jnp.inf)
            weights = _softmax(scores / np.sqrt(q.shape[-1])).astype(v.dtype)
            h = h + block.from_attention(jnp.einsum("mj,mjd->md", weights, values).reshape(h.shape))
            h = h + block.dense(h)
            kept.append((keys, values))
        keys, values = zip(*kept, strict=True)
        return self.norm(h), Past(keys, values, position + 1)

    def room(self, past: Past) -> Past:
        """The same keys and values with room for `length` positions."""
        spare = ((0, 0), (0, self.length - past.keys[0].shape[1]), (0, 0))
        return Past(*(tuple(jnp.pad(one, spare) for one in part) for part in past[:2]), past.filled)

    def _placed(self, h: Array, position: Array) -> Array:
        return h if self.positions is None else h + self.positions[position].astype(h.dtype)

    def _turned(self, h: Float[Array, "*n head"], position: Array) -> Array:
        if self.positions is not None:
            return h
        half = h.shape[-1] // 2
        angles = position[..., None] * 10000.0 ** (-jnp.arange(half) / half)
        cosine, sine = jnp.cos(angles).astype(h.dtype), jnp.sin(angles).astype(h.dtype)
        a, b = h[..., :half], h[..., half:]
        return jnp.concatenate([a * cosine - b * sine, a * sine + b * cosine], axis=-1)


def _softmax(scores: Array) -> Array:
    return jax.nn.softmax(scores.astype(jnp.promote_types(scores.dtype, jnp.float32)))


def _put(old: Array, new: Array, position: Array) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(old, new[:, None].astype(old.dtype), position, axis=1)
