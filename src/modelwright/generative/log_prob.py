"""Log probabilities that say what they are, so that a bound is never read as the thing itself."""

from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modelwright.core.errors import ConfigurationError

Kind: TypeAlias = Literal["exact", "bound", "unnormalized"]

WORDS = {"exact": "an exact value", "bound": "a lower bound", "unnormalized": "a value known up to a constant"}


@final
@partial(jax.tree_util.register_dataclass, data_fields=["value"], meta_fields=["kind", "of"])
@dataclass(frozen=True)
class LogProb:
    """Log probabilities or densities.

    Args:
        value: Nats per example, shape (n,).
        kind: "exact", "bound" (the true value is at least this on average) or "unnormalized" (known up to a constant).
        of: What they are the probabilities of, where that is not the examples themselves but what was made of them.

    Example:
        >>> exact, bound = LogProb(jnp.array([-1.0]), "exact"), LogProb(jnp.array([-1.5]), "bound")
        >>> exact.minus(bound)
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: kind: an exact value and a lower bound do not compare; expected \
two of one kind; pass although_unlike=True where a bound may stand for the value
        >>> float(exact.minus(bound, although_unlike=True)[0])
        0.5
    """

    value: Float[Array, " n"]
    kind: Kind
    of: str = ""

    def mean(self) -> Float[Array, ""]:
        """The mean over the examples, nats."""
        return jnp.mean(self.value)

    def minus(self, other: "LogProb", *, although_unlike: bool = False) -> Float[Array, " n"]:
        """By how many nats each example is likelier here than there.

        Args:
            other: Of the same examples.
            although_unlike: Compare although one is a bound and the other is not.

        Raises:
            ConfigurationError: the two are of different kinds or of different things, or either is known up to a
                constant only.
        """
        for one in (self, other):
            if one.kind == "unnormalized":
                raise ConfigurationError(
                    f"{WORDS[one.kind]} compares with nothing", field="kind", todo="estimate the constant first"
                )
        if self.kind != other.kind and not although_unlike:
            raise ConfigurationError(
                f"{WORDS[self.kind]} and {WORDS[other.kind]} do not compare",
                field="kind",
                expected="two of one kind",
                todo="pass although_unlike=True where a bound may stand for the value",
            )
        if self.of != other.of:
            raise ConfigurationError(
                "probabilities of different things do not compare",
                field="of",
                expected=self.of or "the examples themselves",
                got=other.of or "the examples themselves",
                todo="ask both models about the same data",
            )
        return self.value - other.value
