"""What a likelihood is: from the numbers a network puts out to a distribution over examples."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, Float, PRNGKeyArray


@dataclass(frozen=True)
class AbstractObservation(ABC):
    """A likelihood p(x | output), independent over the numbers of an example given the output.

    Attributes:
        outputs: Numbers that a network puts out for each number of an example.
        discrete: Whether `log_prob` is of a probability (else of a density).
    """

    outputs: ClassVar[int] = 1
    discrete: ClassVar[bool]

    @abstractmethod
    def log_prob(self, output: Float[Array, "*n outputs"], x: Array) -> Float[Array, "*n"]:
        """Log probability of every number, nats, constants included; computed in float32 at least.

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

    def describe(self) -> Mapping[str, object]:
        """What it is, for reports."""
        return {"likelihood": type(self).__name__, **vars(self)}
