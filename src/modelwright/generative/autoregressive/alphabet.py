"""What the symbols 0, 1, ..., levels - 1 of a model stand for in data space."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from modelwright.core.errors import ConfigurationError


@dataclass(frozen=True)
class AbstractAlphabet(ABC):
    """So many symbols, and the value that each has.

    Args:
        levels: How many symbols.

    Attributes:
        takes: The numbers that it knows, for messages; {most} is the last symbol.
    """

    levels: int
    takes: ClassVar[str]

    def check(self, x: Array) -> None:
        """Refuse numbers that no example can have; for arrays with values, not while a function is traced.

        Raises:
            ConfigurationError: naming one such number.
        """
        if isinstance(x, jax.core.Tracer):
            return
        wrong = ~np.asarray(self.known(x))
        if wrong.any():
            raise ConfigurationError(
                "data outside of what the model knows",
                field="x",
                expected=self.takes.format(most=self.levels - 1),
                got=np.asarray(x)[wrong][0].item(),
                todo="bring the data into this form",
            )

    @abstractmethod
    def symbols(self, x: Array) -> Int[Array, "*n"]:
        """The symbol of every number; what has none gets any (see `known`)."""

    @abstractmethod
    def known(self, x: Array) -> Bool[Array, "*n"]:
        """Whether a number can be an example's at all: its probability is 0 where not."""

    @abstractmethod
    def values(self, symbols: Int[Array, "*n"]) -> Array:
        """The number that each symbol stands for."""


@final
@dataclass(frozen=True)
class Levels(AbstractAlphabet):
    """Whole numbers, each its own symbol: tokens, grey levels, zeros and ones.

    Example:
        >>> Levels(4).known(jnp.array([0.0, 0.5, 3.0, 4.0])).tolist()
        [True, False, True, False]
    """

    takes: ClassVar[str] = "whole numbers from 0 to {most}"

    def symbols(self, x: Array) -> Int[Array, "*n"]:
        """The numbers themselves as integers."""
        return jnp.clip(_wide(x), 0, self.levels - 1).astype(jnp.int32)

    def known(self, x: Array) -> Bool[Array, "*n"]:
        """Whole numbers from 0 to levels - 1."""
        x = _wide(x)
        return (x == jnp.floor(x)) & (x >= 0) & (x < self.levels)

    def values(self, symbols: Int[Array, "*n"]) -> Array:
        """The symbols themselves."""
        return symbols


@final
@dataclass(frozen=True)
class MuLaw(AbstractAlphabet):
    """Amplitudes from -1 to 1 in steps that grow with loudness: quiet sounds are kept finer.

        f(x) = sign(x) log(1 + mu |x|) / log(1 + mu),   symbol = round((f(x) + 1) / 2 * mu),   mu = levels - 1

    A probability is of the whole step that an amplitude falls into.

    Source: ITU-T recommendation G.711 (1988), https://www.itu.int/rec/T-REC-G.711; A. van den Oord et al. (2016),
    https://arxiv.org/abs/1609.03499.

    Example:
        >>> MuLaw(256).symbols(jnp.array([-1.0, 0.0, 0.01, 1.0])).tolist()
        [0, 128, 157, 255]
        >>> round(float(MuLaw(256).values(jnp.array(157))), 4)
        0.0102
    """

    takes: ClassVar[str] = "amplitudes from -1 to 1"

    def symbols(self, x: Array) -> Int[Array, "*n"]:
        """The step of every amplitude."""
        mu = self.levels - 1
        x = jnp.clip(jnp.nan_to_num(x.astype(jnp.promote_types(x.dtype, jnp.float32))), -1.0, 1.0)
        squeezed = jnp.sign(x) * jnp.log1p(mu * jnp.abs(x)) / np.log1p(mu)
        return jnp.floor((squeezed + 1.0) / 2.0 * mu + 0.5).astype(jnp.int32)

    def known(self, x: Array) -> Bool[Array, "*n"]:
        """Amplitudes from -1 to 1."""
        return jnp.abs(x) <= 1.0

    def values(self, symbols: Int[Array, "*n"]) -> Array:
        """The amplitude in the middle of every step, on the squeezed scale."""
        mu = self.levels - 1
        squeezed = 2.0 * symbols / mu - 1.0
        loud = jnp.expm1(jnp.abs(squeezed) * np.log1p(mu)) / mu
        return jnp.sign(squeezed) * jnp.minimum(loud, 1.0)  # rounding may carry the loudest beyond


def _wide(x: Array) -> Array:
    """Whole numbers in a type that holds `levels`, too: in bytes, 256 is 0. None is taken to fewer bits than it has."""
    return x if jnp.issubdtype(x.dtype, jnp.floating) or x.dtype.itemsize >= 4 else x.astype(jnp.int32)
