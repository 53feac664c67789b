"""The distribution of a row of codes: one after the other, each given all before it; or each by itself."""

from typing import final

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.generative.nets.causal_convolution import CausalStack, Rings
from modelwright.generative.nets.embedding import embedded

KERNEL = 3
"""Codes that each convolution of the causal prior sees, itself included."""


@final
class CausalPrior(nnx.Module):
    """p(c) = product over t of p(c_t | c_1 ... c_(t-1)), by gated convolutions that look back only.

    The codes are moved one place back before the first layer; no layer looks ahead. The dilations 1, 2, 4, ... are as
    many as it takes for the last code to see the first.

    Args:
        length: Codes in a row.
        size: Codes that there are.
        width: Channels of the convolutions.
        context: Numbers of what the row is conditioned on.
        rngs: Of the initial weights.

    Source: A. van den Oord et al. (2016), https://arxiv.org/abs/1609.03499.
    """

    def __init__(self, length: int, size: int, *, width: int = 64, context: int = 0, rngs: nnx.Rngs) -> None:
        dilations = [1]
        while 1 + (KERNEL - 1) * sum(dilations) < length:
            dilations.append(2 * dilations[-1])
        self.table = nnx.Embed(size, width, rngs=rngs)
        self.places = nnx.Embed(length, width, rngs=rngs)
        self.net = CausalStack(width, width, kernel_size=KERNEL, dilations=tuple(dilations), context=context, rngs=rngs)
        self.last = nnx.Linear(width, size, rngs=rngs)
        self.length = length

    def logits(self, codes: Int[Array, "n length"], context: Array | None = None) -> Float[Array, "n length size"]:
        """Of each code, given those before it."""
        before = jnp.pad(embedded(self.table, codes[:, :-1]), ((0, 0), (1, 0), (0, 0)))
        return self._to_logits(self.net(before + self._places(), context))

    def log_prob(self, codes: Int[Array, "n length"], context: Array | None = None) -> Float[Array, " n"]:
        """Log probability of each row, nats."""
        return _log_prob(self.logits(codes, context), codes)

    def sample(self, n: int, key: PRNGKeyArray, context: Array | None = None) -> Int[Array, "n length"]:
        """Rows of codes, drawn one code after the other; the layers keep what they have seen."""

        def step(carry: tuple[Array, Rings], at: tuple[Array, Array]) -> tuple[tuple[Array, Rings], Array]:
            (before, rings), (place, key) = carry, at
            out, rings = self.net.step(before + place, rings, context)
            drawn = jax.random.categorical(key, self._to_logits(out)).astype(jnp.int32)
            return (embedded(self.table, drawn), rings), drawn

        places = self._places()
        nothing = jnp.zeros((n, places.shape[-1]), places.dtype)
        begun = (nothing, self.net.empty_rings(n, places.dtype))
        return jax.lax.scan(step, begun, (places, jax.random.split(key, self.length)))[1].T

    def _places(self) -> Float[Array, "length width"]:
        return embedded(self.places, jnp.arange(self.length))

    def _to_logits(self, h: Array) -> Array:
        return _single(self.last(jax.nn.silu(h)))


@final
class IndependentPrior(nnx.Module):
    """p(c) = product over t of p_t(c_t): every place has a distribution of its own, and knows of no other place.

    Args:
        length, size, context, rngs: As for `CausalPrior`.
    """

    def __init__(self, length: int, size: int, *, context: int = 0, rngs: nnx.Rngs) -> None:
        self.base = nnx.Param(jnp.zeros((length, size)))
        self.context = nnx.Linear(context, length * size, use_bias=False, rngs=rngs) if context else None

    def logits(self, codes: Int[Array, "n length"], context: Array | None = None) -> Float[Array, "n length size"]:
        """Of each code, whatever the others are."""
        return self._logits(len(codes), context)

    def log_prob(self, codes: Int[Array, "n length"], context: Array | None = None) -> Float[Array, " n"]:
        """Log probability of each row, nats."""
        return _log_prob(self.logits(codes, context), codes)

    def sample(self, n: int, key: PRNGKeyArray, context: Array | None = None) -> Int[Array, "n length"]:
        """Rows of codes."""
        return jax.random.categorical(key, self._logits(n, context)).astype(jnp.int32)

    def _logits(self, n: int, context: Array | None) -> Array:
        base = self.base[...]
        if self.context is None:
            return jnp.broadcast_to(_single(base), (n, *base.shape))
        return _single(base + self.context(context.astype(base.dtype)).reshape(n, *base.shape))


def _log_prob(logits: Array, codes: Array) -> Array:
    return jnp.take_along_axis(jax.nn.log_softmax(logits), codes[..., None], axis=-1)[..., 0].sum(-1)


def _single(logits: Array) -> Array:
    """In single precision at least, whatever that of the network: probabilities are of these."""
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
