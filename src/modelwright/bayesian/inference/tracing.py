"""A model and a guide with what they are called with, and the lock under which NumPyro may trace them.

NumPyro keeps its effect handlers in one list that all threads share: two models traced at the same time corrupt each
other. Whoever traces a model takes `TRACING` first. Compiled programs run without it.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from modelwright.core.errors import DataError

TRACING = threading.RLock()
"""Held while NumPyro traces anything; the same thread may take it again."""


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of one call, arrays apart from everything else.

    Arrays are handed to the compiled program, so that it neither holds a copy of the data nor is compiled anew for
    others of the same shape. Everything else (names, sizes, objects of any kind) is part of the program.

    Args:
        arrays: The array leaves, in their order.
        rest: All leaves, None where an array goes.
        structure: How leaves make the arguments again.
    """

    arrays: tuple[np.ndarray, ...]
    rest: tuple[Any, ...]
    structure: Any

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, constant: bool = False) -> "Call":
        """Take arguments apart.

        Args:
            args: Positional arguments: arrays, numbers, containers of them, objects of any kind.
            kwargs: Keyword arguments.
            constant: Whether arrays, too, are part of the program: for models that look at the values of their data
                while they are traced.

        Example:
            >>> call = Call.of((np.zeros(3),), {"size": 3})
            >>> [array.shape for array in call.arrays], call.rest
            ([(3,)], (None, 3))
        """
        leaves, structure = jax.tree.flatten((args, dict(kwargs)), is_leaf=lambda leaf: leaf is None)
        traced = [not constant and isinstance(leaf, np.ndarray | jax.Array) and _is_numeric(leaf) for leaf in leaves]
        arrays = tuple(np.asarray(leaf) for leaf, is_array in zip(leaves, traced, strict=True) if is_array)
        rest = tuple(_HERE if is_array else leaf for leaf, is_array in zip(leaves, traced, strict=True))
        return cls(arrays, rest, structure)

    @property
    def is_constant(self) -> bool:
        """Whether arrays are part of the program."""
        return not self.arrays and any(isinstance(leaf, np.ndarray | jax.Array) for leaf in self.rest)

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments, with these arrays in their places."""
        waiting = iter(arrays)
        leaves = [next(waiting) if leaf is _HERE else leaf for leaf in self.rest]
        args, kwargs = jax.tree.unflatten(self.structure, leaves)
        return args, kwargs

    def in_double(self) -> "Call":
        """The same arguments, every array of floating-point numbers in double precision.

        Example:
            >>> Call.of((np.zeros(3, np.float32),), {}).in_double().arrays[0].dtype
            dtype('float64')
        """
        arrays = tuple(_in_double(array) for array in self.arrays)
        return replace(self, arrays=arrays, rest=tuple(_in_double(leaf) for leaf in self.rest))

    def device_arrays(self) -> tuple[np.ndarray, ...]:
        """The arrays in the types that JAX computes with at present.

        Raises:
            DataError: whole numbers do not fit into 32 bits while double precision is off.
        """
        return tuple(_fitting(array) for array in self.arrays)


class _Here:
    """The place of an array among the leaves."""

    def __repr__(self) -> str:
        return "None"


_HERE = _Here()


def _is_numeric(leaf: Any) -> bool:
    return np.dtype(leaf.dtype).kind in "biufc"


def _in_double(leaf: Any) -> Any:
    is_array = isinstance(leaf, np.ndarray | jax.Array) and _is_numeric(leaf)
    return np.asarray(leaf, np.float64) if is_array and np.dtype(leaf.dtype).kind == "f" else leaf


def _fitting(array: np.ndarray) -> np.ndarray:
    kind = jax.dtypes.canonicalize_dtype(array.dtype)
    if kind == array.dtype:
        return array
    if array.dtype.kind in "iu" and array.size and not -(2**31) < int(array.min()) <= int(array.max()) < 2**31:
        raise DataError(
            "whole numbers too large for single precision",
            field="data",
            expected="numbers of at most 2**31 - 1",
            got=int(array.max()),
            todo="choose precision 'float64'",
        )
    return array.astype(kind)
