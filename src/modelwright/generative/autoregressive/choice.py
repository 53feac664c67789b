"""How the next symbol is drawn from its logits: temperature, the k likeliest, the nucleus."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.core.errors import ConfigurationError
from modelwright.core.values import Refusal, to_float, to_integer

COLDEST = 1e-30
"""A temperature below this is taken for 0: numbers in single precision would not hold logits divided by it."""


@final
@dataclass(frozen=True)
class Choice:
    """What is kept of a distribution over symbols before one is drawn.

    In this order:

    1. temperature T: probabilities go with p^(1/T); 0 leaves the likeliest symbol only;
    2. top_k: the k likeliest symbols, brought to sum 1;
    3. top_p: of these the fewest likeliest symbols whose probabilities sum to at least top_p.

    Among equally likely symbols the smaller one comes first. The usual choice keeps everything.

    Args:
        temperature: At least 0.
        top_k: At least 1; None for all.
        top_p: Above 0, at most 1; None for all.

    Raises:
        ConfigurationError: a number is out of range.

    Source: A. Holtzman et al. (2020), https://arxiv.org/abs/1904.09751 (top_p); A. Fan et al. (2018),
    https://arxiv.org/abs/1805.04833 (top_k).

    Example:
        >>> logits = jnp.log(jnp.array([0.5, 0.3, 0.2]))
        >>> [round(float(p), 3) for p in jnp.exp(Choice(top_k=2).log_probabilities(logits))]
        [0.625, 0.375, 0.0]
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        self._take("temperature", to_float, "a number of at least 0", lambda t: t >= 0.0)
        if self.top_k is not None:
            self._take("top_k", to_integer, "a whole number of at least 1", lambda k: k >= 1)
        if self.top_p is not None:
            self._take("top_p", to_float, "a number above 0, at most 1", lambda p: 0.0 < p <= 1.0)

    def _take(self, name: str, convert: Callable[[Any], Any], expected: str, holds: Callable[[Any], bool]) -> None:
        value = getattr(self, name)
        try:
            found = convert(value)
        except Refusal:
            found = None
        if found is None or not holds(found):
            raise ConfigurationError("not accepted", field=name, expected=expected, got=value)
        # what was looked at is what is kept: "0.5" and np.array(0.5) are no numbers to compute or compile with
        object.__setattr__(self, name, found)

    @property
    def _is_cold(self) -> bool:
        return self.temperature < COLDEST

    def log_probabilities(self, logits: Float[Array, "*n levels"]) -> Float[Array, "*n levels"]:
        """Log probabilities of the symbols that are kept, -inf for the others."""
        levels = logits.shape[-1]
        k = 1 if self._is_cold else levels if self.top_k is None else min(self.top_k, levels)
        above = logits - logits.max(-1, keepdims=True)  # or a low temperature would make infinite numbers of them
        scaled = jax.nn.log_softmax(above if self._is_cold else above / self.temperature)
        if k == levels and self.top_p is None:
            return scaled
        order = jnp.argsort(-scaled, axis=-1)  # stable: equal ones stay in the order of the symbols
        ranked = jax.nn.log_softmax(jnp.take_along_axis(scaled, order, axis=-1)[..., :k])
        if self.top_p is not None:
            before = jnp.cumsum(jnp.exp(ranked), axis=-1) - jnp.exp(ranked)
            # the likeliest stays whatever rounding does
            kept = (before < self.top_p).at[..., 0].set(True)
            ranked = jax.nn.log_softmax(jnp.where(kept, ranked, -jnp.inf))
        padded = jnp.concatenate([ranked, jnp.full((*ranked.shape[:-1], levels - k), -jnp.inf, ranked.dtype)], axis=-1)
        return jnp.take_along_axis(padded, jnp.argsort(order, axis=-1), axis=-1)

    def draw(self, logits: Float[Array, "*n levels"], key: PRNGKeyArray) -> Int[Array, "*n"]:
        """One symbol for each row of logits."""
        if self._is_cold:
            return jnp.argmax(logits, axis=-1).astype(jnp.int32)
        return jax.random.categorical(key, self.log_probabilities(logits)).astype(jnp.int32)
