"""What a model is conditioned on: labels, or a context vector; one width for both.

Labels become one-hot vectors, context vectors stay as they are. A model keeps a `Condition` and asks it for the vectors
that stand beside its inputs.
"""

from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from modelwright.core.errors import ConfigurationError
from modelwright.generative.arguments import check_held
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading

CONDITIONS = (
    Parameter("n_classes", "integer", 0, "labels 0 to n_classes - 1 that the model is conditioned on; 0 for none", 0),
    Parameter("context_dim", "integer", 0, "length of the context vector it is conditioned on; 0 for none", 0),
)
"""The parameters of every model that can be conditioned."""


@final
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
        """The vector of each example; while labels are traced, NaN for those that are not known.

        Log probabilities and real numbers are then NaN, too. Samples that are whole numbers cannot be: whoever compiles
        a function of labels checks them before. Context vectors that are traced stay as they are, numbers or not.

        Args:
            cond: Labels, shape (n,), or vectors, shape (n, context_dim); one for all is repeated.
            n: Examples.

        Raises:
            ConfigurationError: there is none where one is needed, one where none is, it is of another shape, or holds
                labels that are not known or numbers that are not finite.
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
        if not isinstance(cond, jax.Array | np.ndarray):
            given = cond
            try:
                cond = np.asarray(cond)  # not by JAX, for which a number in a function that is traced is traced, too
            except ValueError:  # rows of unequal length
                cond = np.empty(0, object)
            if cond.dtype.kind not in "biuf":
                raise ConfigurationError("no array of numbers", field="cond", expected=words, got=given)
        if cond.shape not in (own, (n, *own)):
            raise ConfigurationError("of another shape", field="cond", expected=words, got=cond.shape)
        if self.n_classes and not jnp.issubdtype(cond.dtype, jnp.integer):
            raise ConfigurationError("no labels", field="cond", expected="whole numbers", got=str(cond.dtype))
        traced = isinstance(cond, jax.core.Tracer)
        if not traced and cond.size:
            # by NumPy: within a function that is traced, JAX would trace the comparison, too
            (self._check_labels if self.n_classes else self._check_numbers)(np.asarray(cond))
        cond = jnp.broadcast_to(jnp.asarray(cond), (n, *own))
        if not self.n_classes:
            return cond
        vectors = jax.nn.one_hot(cond, self.n_classes)
        if not traced:
            return vectors
        # Of labels that are traced nothing can be refused. One that there is not becomes no number, and so does all
        # that is computed from it: better than the zeros that it would be, which are an example of no class at all.
        return jnp.where(((cond < 0) | (cond >= self.n_classes))[:, None], jnp.nan, vectors)

    def _check_labels(self, labels: np.ndarray) -> None:
        if labels.min() < 0 or labels.max() >= self.n_classes:
            raise ConfigurationError(
                "labels that the model does not know",
                field="cond",
                expected=f"whole numbers from 0 to {self.n_classes - 1}",
                got=f"{labels.min()} to {labels.max()}",
            )

    def _check_numbers(self, vectors: np.ndarray) -> None:
        check_held(vectors, "cond")
        with np.errstate(over="ignore"):  # what is too large for the device is infinite there
            wrong = ~np.isfinite(vectors.astype(jax.dtypes.canonicalize_dtype(vectors.dtype)))
        if wrong.any():
            # a network may well make plain numbers of it, and samples that look like any others
            raise ConfigurationError(
                "context vectors with what is no number",
                field="cond",
                expected="finite numbers, of single precision where that is the device's",
                got=vectors[wrong][0].item(),
                todo="leave out the examples without a context, or fill it in",
            )
