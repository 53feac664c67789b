"""What a codec is: raw data to model space and back, and what that does to densities."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modelwright.generative.autoregressive.alphabet import Levels
from modelwright.generative.log_prob import Kind
from modelwright.generative.protocol import AbstractGenerativeModel


@dataclass(frozen=True)
class AbstractCodec(ABC):
    """Raw data <-> arrays of data (on the host) <-> what the model takes (on the device).

        log p(raw) = log p(model space) + log |d model space / d raw|

    Attributes:
        name: Of the modality.
        families: The families that it goes with.
    """

    name: ClassVar[str]
    families: ClassVar[frozenset[str]]

    @abstractmethod
    def fitted(self, model: AbstractGenerativeModel) -> Self:
        """The codec for a model: what it decides by what the model takes.

        Raises:
            ConfigurationError: the two do not go together.
        """

    @property
    @abstractmethod
    def example_shape(self) -> tuple[int, ...]:
        """Shape of an example as data have it."""

    @property
    @abstractmethod
    def levels_of_data(self) -> int:
        """How many values a number of an array of data can take."""

    @abstractmethod
    def prepare(self, raw: Any) -> np.ndarray:
        """Raw data as an array with examples along the first axis (of one long text: its symbols); on the host.

        What has been prepared stays as it is.

        Raises:
            DataError: they are not of this modality.
        """

    @abstractmethod
    def present(self, x: np.ndarray) -> Any:
        """An array of examples as people have them; on the host."""

    def check(self, x: Array) -> None:
        """Refuse numbers that no example can have; for arrays with values, not while a function is traced.

        Raises:
            ConfigurationError: naming one such number.
        """
        Levels(self.levels_of_data).check(x)

    def only_known(self, x: Array) -> tuple[Array, Float[Array, " n"]]:
        """Examples with 0 for every number that none can have; of each, -inf where there was one, else 0.

        Without it a number between the levels would be rounded, and a density asked for beyond the last one.
        """
        known: Bool[Array, "*n"] = Levels(self.levels_of_data).known(x)
        every = known.reshape(len(x), -1).all(-1)
        return jnp.where(known, x, 0), jnp.where(every, jnp.float32(0.0), -jnp.inf)

    @abstractmethod
    def encode(self, x: Array, key: PRNGKeyArray) -> tuple[Array, Float[Array, " n"]]:
        """What the model takes, and the log-determinant of each example, nats; may be traced.

        It is -inf for what is no example (`only_known`): its probability is 0.

        Args:
            x: Examples, shape (n, *example_shape).
            key: Of noise that fills the gaps between whole numbers.
        """

    @abstractmethod
    def decode(self, z: Array) -> Array:
        """Examples of what the model gives, shape (n, *example_shape); may be traced."""

    @abstractmethod
    def kind_of(self, kind: Kind) -> Kind:
        """What a log probability of the model becomes for raw data."""

    @property
    def probability_of(self) -> str:
        """What log probabilities are of, where that is not the raw data but what the codec makes of them."""
        return ""

    @abstractmethod
    def to_document(self) -> dict[str, Any]:
        """All that it takes to make it again, plain data."""
