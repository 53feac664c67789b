"""What a model is conditioned on: labels, or a context vector; one width for both.

Labels become one-hot vectors, context vectors stay as they are. A model keeps a `Condition` and asks it for the vectors
that stand beside its inputs.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from modelwright.core.errors import ConfigurationError
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading

CONDITIONS = (
    Parameter("n_classes", "integer", 0, "labels 0 to n_classes - 1 that the model is conditioned on; 0 for none", 0),
    Parameter("context_dim", "integer", 0, "length of the context vector it is conditioned on; 0 for none", 0),
)
"""The parameters of every model that can be conditioned."""


@dataclass(frozen=True)
class Condition:
    """Labels of some number of classes, or context vectors of some length, or nothing.

    Args:
        n_classes: Classes; 0 where there are no labels.
        context_dim: Length of a context vector; 0 where there is none.
    """

    n_classes: int = 0
    context_dim: int = 0

    @staticmethod
    def read(reading: Reading) -> "Condition":
        """The condition that a configuration asks for."""
        found = Condition(reading.parameter("n_classes"), reading.parameter("context_dim"))
        if found.n_classes and found.context_dim:
            raise ConfigurationError(
                "labels and context vectors at once",
                field="parameters.context_dim",
                expected="one of n_classes and context_dim",
                got=found.context_dim,
                todo="put one-hot labels into the context vector",
            )
        return found

    @property
    def width(self) -> int:
        """Numbers beside each input; 0 for none."""
        return self.n_classes or self.context_dim

    def vectors(self, cond: Array | None, n: int) -> Float[Array, "n width"] | None:
        """The vector of each example.

        Args:
            cond: Labels, shape (n,), or vectors, shape (n, context_dim); one for all is repeated.
            n: Examples.

        Raises:
            ConfigurationError: there is none where one is needed, one where none is, or it is of another shape.
        """
        if self.width == 0:
            if cond is not None:
                raise ConfigurationError(
                    "the model is not conditioned on anything",
                    field="cond",
                    expected="None",
                    got=jnp.shape(cond),
                    todo="set n_classes or context_dim under parameters",
                )
            return None
        own = () if self.n_classes else (self.context_dim,)
        words = f"{n} labels" if self.n_classes else f"an array of shape ({n}, {self.context_dim})"
        if cond is None:
            raise ConfigurationError("the model is conditioned on something", field="cond", expected=words)
        cond = jnp.asarray(cond)
        if cond.shape == own:
            cond = jnp.broadcast_to(cond, (n, *own))
        if cond.shape != (n, *own):
            raise ConfigurationError("of another shape", field="cond", expected=words, got=cond.shape)
        if not self.n_classes:
            return cond
        if not jnp.issubdtype(cond.dtype, jnp.integer):
            raise ConfigurationError("no labels", field="cond", expected="whole numbers", got=str(cond.dtype))
        # Known labels are compared outside of JAX: while something is compiled, its comparisons have no value yet.
        labels = None if isinstance(cond, jax.core.Tracer) else np.asarray(cond)
        if labels is not None and n and not ((labels >= 0) & (labels < self.n_classes)).all():
            raise ConfigurationError(
                "labels that the model does not know",
                field="cond",
                expected=f"whole numbers from 0 to {self.n_classes - 1}",
                got=f"{int(labels.min())} to {int(labels.max())}",
            )
        return jax.nn.one_hot(cond, self.n_classes)
