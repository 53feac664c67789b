"""What a likelihood is: from the numbers a network puts out to a distribution over examples."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.core.errors import ConfigurationError


@dataclass(frozen=True)
class AbstractObservation(ABC):
    """A likelihood p(x | output), independent over the numbers of an example given the output.

    Each says in which form it takes data (`takes`), and what networks see of them (`as_input`): a model hands data on
    as they are, so that its probabilities are of the data and of nothing scaled.

    Attributes:
        levels: How many values a number can take, 0 to levels - 1; None for real numbers.
        takes: The numbers that data may be, in words.
    """

    levels: ClassVar[int | None]

    @property
    def discrete(self) -> bool:
        """Whether `log_prob` is of a probability (else of a density)."""
        return self.levels is not None

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that a network puts out for each number of an example."""

    @property
    @abstractmethod
    def takes(self) -> str:
        """The numbers that data may be, in words."""

    @abstractmethod
    def possible(self, x: Array) -> Array:
        """Whether each number can be observed at all, shape of x."""

    @abstractmethod
    def log_prob(self, output: Float[Array, "*n outputs"], x: Array) -> Float[Array, "*n"]:
        """Log probability of every number, nats, constants included; computed in float32 at least.

        What is not `possible` has probability 0, -inf nats: greys are no zeros and ones, and no number is made up for
        them.

        Args:
            output: What the network put out, shape (*x.shape, outputs).
            x: Examples.
        """

    @abstractmethod
    def mean(self, output: Float[Array, "*n outputs"]) -> Float[Array, "*n"]:
        """The expected value of every number."""

    @abstractmethod
    def sample(self, output: Float[Array, "*n outputs"], key: PRNGKeyArray) -> Array:
        """Numbers drawn independently given the output."""

    @abstractmethod
    def start(self, x: Array) -> Float[Array, "*example outputs"]:
        """The output, one for all examples, that suits some examples well, shape (*x.shape[1:], outputs).

        Args:
            x: Examples, shape (n, *example).
        """

    def as_input(self, x: Array) -> Float[Array, "*n"]:
        """What networks see of the data: floating-point numbers of about unit size, the same shape."""
        return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)

    def check(self, x: Array) -> None:
        """Refuse examples that cannot be observed; for arrays with values, not while a function is traced.

        Raises:
            ConfigurationError: naming one such number.
        """
        if isinstance(x, jax.core.Tracer):
            return
        wrong = ~self.possible(x)
        if bool(wrong.any()):
            raise ConfigurationError(
                f"the {type(self).__name__} likelihood has no probability for some of the data",
                field="x",
                expected=self.takes,
                got=x[wrong][0].item(),
                todo="bring the data into this form, or choose another likelihood",
            )

    def describe(self) -> Mapping[str, object]:
        """What it is, for reports."""
        return {"likelihood": type(self).__name__, **vars(self)}


def at_least_single(output: Array) -> Array:
    """An output in float32, or as it is where it is finer."""
    return output.astype(jnp.promote_types(output.dtype, jnp.float32))
