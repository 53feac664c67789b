"""What is trained on: examples in memory, or windows of one long sequence; and the order in which they come.

The order follows from seed and step alone, so that training goes on after a stop as though nothing had been: examples
of an epoch are shuffled anew, each comes once, and those that do not fill a batch are left out of that epoch.
"""

import math
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from modelwright.core.errors import DataError
from modelwright.core.seeds import named_generator
from modelwright.generative.protocol import AbstractGenerativeModel, Batch

MOST_WHOLE = 2**31 - 1
"""Whole numbers beyond this are taken to fractions: on the device they have 32 bits, and would become others."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest number of single precision, which is that of the device."""

MOST_STEPS = 512
"""Steps between two looks at the host, at most."""

MOST_NUMBERS = 2**22
"""Numbers of examples that are made ready for the device together, about: 16 MiB."""


class AbstractExamples(ABC):
    """Examples by number; a pytree, so that compiled functions take it."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many there are."""

    @abstractmethod
    def take(self, numbers: Int[Array, " n"]) -> Batch:
        """The examples of these numbers; may be traced."""

    @property
    @abstractmethod
    def numbers(self) -> Array:
        """All numbers that examples are made of."""

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What tells these data from others: shapes and a checksum."""


@final
@partial(jax.tree_util.register_dataclass, data_fields=["x", "cond"], meta_fields=[])
@dataclass(frozen=True)
class Rows(AbstractExamples):
    """Examples along the first axis.

    Args:
        x: Shape (n, *example).
        cond: What each is conditioned on, shape (n, ...), or None.
    """

    x: Array
    cond: Array | None = None

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.x)

    @property
    def numbers(self) -> Array:
        """The examples."""
        return self.x

    def take(self, numbers: Int[Array, " n"]) -> Batch:
        """The examples of these numbers."""
        return Batch(self.x[numbers], None if self.cond is None else self.cond[numbers])

    def fingerprint(self) -> dict[str, Any]:
        """Shapes, types and checksums."""
        return {"kind": "rows", "x": _checksum(self.x), "cond": None if self.cond is None else _checksum(self.cond)}


@final
@partial(jax.tree_util.register_dataclass, data_fields=["sequence"], meta_fields=["length", "stride"])
@dataclass(frozen=True)
class Windows(AbstractExamples):
    """Windows of one long sequence.

    Args:
        sequence: Shape (n, ...), such as the characters of a text.
        length: Of a window.
        stride: Places between the beginnings of two windows; those of stride `length` follow each other.

    Example:
        >>> Windows(jnp.arange(7), 3, stride=3).take(jnp.array([0, 1])).x.tolist()
        [[0, 1, 2], [3, 4, 5]]
    """

    sequence: Array
    length: int
    stride: int = 1

    @property
    def size(self) -> int:
        """How many windows there are."""
        return max((len(self.sequence) - self.length) // self.stride + 1, 0)

    @property
    def numbers(self) -> Array:
        """The sequence."""
        return self.sequence

    def take(self, numbers: Int[Array, " n"]) -> Batch:
        """The windows of these numbers."""
        return Batch(self.sequence[self.stride * numbers[:, None] + jnp.arange(self.length)])

    def fingerprint(self) -> dict[str, Any]:
        """Shapes, types and a checksum."""
        strides = {} if self.stride == 1 else {"stride": self.stride}
        return {"kind": "windows", "length": self.length, **strides, "sequence": _checksum(self.sequence)}


def as_examples(
    data: Any, model: AbstractGenerativeModel, *, field: str = "data", overlapping: bool = True
) -> AbstractExamples:
    """Examples from an array, a pair of arrays (examples, conditions), a `Batch`, a text, or examples as they are.

    Args:
        data: The examples, raw where the model has a codec that prepares them; `Rows` and `Windows` are prepared.
        model: That is to take them.
        field: What they are called in messages.
        overlapping: Of a text, whether a window begins at every place, or where the one before it ends.

    Raises:
        DataError: they are of another shape than the model's, empty, masked, not finite, or no numbers that it knows.
    """
    if isinstance(data, AbstractExamples):
        refuse_masked(jax.tree.leaves(data), field)
        found = jax.tree.map(jnp.asarray, data)
    elif isinstance(data, str):
        length = model.example_shape[0]
        found = Windows(jnp.asarray(device_numbers(model.prepared(data), field)), length, 1 if overlapping else length)
    else:
        x, cond = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
        refuse_masked(x, field)  # before a codec prepares them and drops the mask
        x, cond = (
            device_numbers(model.prepared(x), field),
            None if cond is None else device_numbers(cond, f"the conditions of {field}"),
        )
        if cond is not None and len(cond) != len(x):
            raise DataError("conditions of other examples", field=field, expected=f"{len(x)} of them", got=len(cond))
        found = Rows(jnp.asarray(x), None if cond is None else jnp.asarray(cond))
    if found.size == 0:
        raise DataError("there are no examples", field=field, expected="at least one")
    shape = jax.eval_shape(found.take, jax.ShapeDtypeStruct((1,), jnp.int32)).x.shape[1:]
    if shape != tuple(model.example_shape):
        raise DataError(
            "examples of another shape than the model's",
            field=field,
            expected=f"an array of shape (n, {', '.join(map(str, model.example_shape))})",
            got=("n", *shape),
            todo=_on_shapes(shape, tuple(model.example_shape)),
        )
    if jnp.issubdtype(found.numbers.dtype, jnp.floating):
        wrong = int((~jnp.isfinite(found.numbers)).sum())
        if wrong:
            raise DataError(f"{wrong} numbers are missing or infinite", field=field, expected="finite numbers")
    if model.levels is not None:
        _check_levels(found.numbers, model.levels, field)
    if isinstance(found, Rows):
        model.condition.vectors(found.cond, found.size)  # refuses conditions that are no labels or contexts of it
    return found


def _on_shapes(given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if len(given) == 3 and (*given[1:], given[0]) == wanted:  # reshaped, the pixels would be scrambled
        return "channels come last: numpy.moveaxis(data, 1, -1), or a modality with layout='channels_first'"
    if math.prod(given) == math.prod(wanted):
        return "reshape the data if their numbers are in this order, or set input_dim to their shape"
    return "set input_dim to their shape"


def _check_levels(values: Array, levels: int, field: str) -> None:
    low, high = float(values.min()), float(values.max())
    whole = jnp.issubdtype(values.dtype, jnp.integer) or bool((values == jnp.round(values)).all())
    if low < 0 or high > levels - 1 or not whole:
        raise DataError(
            "numbers that the model does not know",
            field=field,
            expected=f"whole numbers from 0 to {levels - 1}",
            got=f"{low:g} to {high:g}" + ("" if whole else ", fractions among them"),
            todo="make the model with a modality, which brings the data to it",
        )


def refuse_masked(values: Any, field: str) -> None:
    """Refuse numbers under a mask of NumPy: as an array they would be whatever lies below it.

    Args:
        values: Anything; arrays in a list are looked at, too.
        field: What they are called in messages.

    Raises:
        DataError: saying how many there are.
    """
    parts = values if isinstance(values, list | tuple) else [values]
    masked = sum(int(np.ma.count_masked(part)) for part in parts if isinstance(part, np.ma.MaskedArray))
    if masked:
        raise DataError(
            f"{masked} numbers are masked",
            field=field,
            expected="numbers that are all known",
            todo="leave their examples out, or fill them: data.filled(...)",
        )


def device_numbers(values: Any, field: str) -> np.ndarray:
    """Numbers that are on the device what they are here: there, whole ones have 32 bits, and fractions, too.

    Whole numbers that do not fit into 32 bits become fractions, and fractions those of single precision.

    Args:
        values: Anything that NumPy makes an array of.
        field: What they are called in messages.

    Raises:
        DataError: they are no array of numbers, some are masked, or finite and larger than single precision knows.

    Example:
        >>> device_numbers([[2**32 + 5, 1]], "data").dtype, device_numbers([[5, 1]], "data").dtype
        (dtype('float32'), dtype('int64'))
    """
    refuse_masked(values, field)
    try:
        found = np.asarray(values)
    except ValueError:  # rows of unequal length
        found = np.empty(0, object)
    if found.dtype.kind not in "biuf" or found.ndim == 0:
        come = f"{found.dtype} of shape {found.shape}" if isinstance(values, np.ndarray | jax.Array) else None
        raise DataError(
            "not an array of numbers",
            field=field,
            expected="examples along the first axis, a pair of examples and conditions, or Windows of a sequence",
            got=come or type(values).__name__,
        )
    beyond = found.dtype.kind in "iu" and found.size and (found.max() > MOST_WHOLE or found.min() < -MOST_WHOLE)
    if not (found.dtype.kind == "f" or beyond):
        return found
    with np.errstate(over="ignore"):  # what becomes infinite is looked at below
        single = found.astype(np.float32)
    lost = np.isinf(single) & np.isfinite(found)
    if lost.any():
        raise DataError(
            f"{int(lost.sum())} numbers are beyond single precision, in which models compute",
            field=field,
            expected=f"numbers from {-LARGEST:.3g} to {LARGEST:.3g}",
            got=float(found[lost][0]),
            todo="scale the data",
        )
    return single


def _checksum(values: Any) -> dict[str, Any]:
    host = np.ascontiguousarray(values)
    return {"shape": list(host.shape), "dtype": str(host.dtype), "crc32": zlib.crc32(host.tobytes())}


def numbers_of_steps(size: int, batch_size: int, first: int, count: int, seed: int) -> np.ndarray:
    """Which examples the updates `first` to `first + count` look at, shape (count, batch_size).

    Args:
        size: Examples in all.
        batch_size: Of one update, at most `size`.
        first: Updates made before.
        count: Updates.
        seed: Of the order.

    Example:
        >>> numbers_of_steps(4, 2, 0, 3, seed=0).shape
        (3, 2)
        >>> (numbers_of_steps(4, 2, 1, 2, seed=0) == numbers_of_steps(4, 2, 0, 3, seed=0)[1:]).all()
        np.True_
    """
    per_epoch = size // batch_size
    found = np.empty((count, batch_size), np.int32)
    epoch, order = -1, np.empty(0, np.int64)
    for row in range(count):
        now, place = divmod(first + row, per_epoch)
        if now != epoch:
            epoch, order = now, named_generator(seed, f"epoch {now}").permutation(size)
        found[row] = order[place * batch_size : (place + 1) * batch_size]
    return found


def most_steps(numbers_of_step: int) -> int:
    """Steps whose numbers of examples are made ready together: few where a batch is large, or of the whole data.

    Args:
        numbers_of_step: Examples that one step looks at.

    Example:
        >>> most_steps(256), most_steps(1_000_000), most_steps(10_000_000)
        (512, 4, 1)
    """
    return min(MOST_STEPS, max(1, MOST_NUMBERS // numbers_of_step))
