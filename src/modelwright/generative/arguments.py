"""What models are asked with: numbers, keys, examples and latents, checked on the way to every model's own methods.

The checks look at types and shapes: they run while a function is traced and leave nothing in it. At values they look in
one case alone: of whole numbers of NumPy, whether the device can hold them.
"""

import inspect
import operator
from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modelwright.core.errors import ConfigurationError, Word, came

Check = Callable[[Any, Any], Any]
"""(model, first argument) -> the argument, or a refusal."""

WORDS_OF_RAW_KEY = {"threefry2x32": 2, "rbg": 4, "unsafe_rbg": 4}
"""Generator -> numbers of a key as `jax.random.PRNGKey` makes it."""


def checked(method: Callable[..., Any], check: Check) -> Callable[..., Any]:
    """A method of a model that looks at its first argument and its key before anything else.

    Args:
        method: (self, first, ..., key, ...) of a class of models.
        check: Of the first argument.
    """
    _, first, *_ = parameters = inspect.signature(method).parameters
    needs_key = "key" in parameters and parameters["key"].default is inspect.Parameter.empty

    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            args = (check(self, args[0]), *args[1:])
        elif first in kwargs:
            kwargs[first] = check(self, kwargs[first])
        if "key" in kwargs and (needs_key or kwargs["key"] is not None):  # one that is left out is Python's to miss
            check_key(kwargs["key"])
        return method(self, *args, **kwargs)

    return call


def count(model: Any, n: Any, field: str = "n") -> int:
    """How many (examples, by default) are asked for: a whole number of at least 1, known before compilation.

    None are refused: what a network makes of arrays without examples is not said by anybody, and a condition would have
    to be without examples, too.
    """
    if isinstance(n, jax.core.Tracer):
        raise ConfigurationError(
            "not known before compilation",
            field=field,
            expected="a Python integer",
            got=n,
            todo="leave it out of what jax.jit traces, by static_argnums or a closure",
        )
    try:
        found = -1 if isinstance(n, bool) else operator.index(n)
    except TypeError:
        found = -1
    if found < 1:
        raise ConfigurationError("not accepted", field=field, expected="a whole number of at least 1", got=_shown(n))
    return found


def examples(model: Any, x: Any) -> Any:
    """Examples of the model's shape."""
    return numbers(x, "x", tuple(model.example_shape), "an example")


def latents(model: Any, z: Any) -> Any:
    """Latents of the model's shape, where it says one; whole numbers where they are codes."""
    z = numbers(z, "z", None if model.latent_shape is None else tuple(model.latent_shape), "a latent")
    if model.latent_levels is not None and not jnp.issubdtype(z.dtype, jnp.integer):
        raise ConfigurationError(
            f"the latents of {type(model).__name__} are codes",
            field="z",
            expected=f"whole numbers from 0 to {model.latent_levels - 1}",
            got=str(z.dtype),
            todo="give what encode gives",
        )
    return z


def anything(model: Any, argument: Any) -> Any:
    """The argument as it is."""
    return argument


def numbers(values: Any, field: str, shape: tuple[int, ...] | None, what: str) -> Any:
    """An array of at least one row, in rows of a shape.

    Args:
        values: An array, or what NumPy makes one of.
        field: What it is called in messages.
        shape: Of a row; None where any will do.
        what: One row in words.

    Raises:
        ConfigurationError: they are no numbers, of another shape, too large for the device, or none.

    Example:
        >>> numbers([[1, 2]], "x", (3,), "an example")
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: x: of another shape; expected (n, 3), got (1, 2)
    """
    expected = (
        "(n, ...)" if shape is None else "(" + ", ".join(map(str, ("n", *shape))) + ("," if not shape else "") + ")"
    )
    found = values
    if not isinstance(values, jax.Array | np.ndarray):
        try:
            found = np.asarray(values)
        except ValueError:  # rows of unequal length
            found = np.empty(0, object)
    if not any(jnp.issubdtype(found.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise ConfigurationError(
            "no array of numbers",
            field=field,
            expected=f"an array of shape {expected}",
            got=f"{found.dtype} of shape {found.shape}" if found is values else _shown(values),
        )
    if found.ndim == 0 or (shape is not None and found.shape[1:] != shape):
        alone = shape is not None and found.shape == shape
        raise ConfigurationError(
            "of another shape",
            field=field,
            expected=expected,
            got=found.shape,
            todo=f"{what} by itself is {field}[None]" if alone else None,
        )
    if len(found) == 0:
        raise ConfigurationError("there are none", field=field, expected="at least one", got=found.shape)
    if isinstance(found, np.ndarray):
        check_held(found, field)
    return found


def check_held(values: np.ndarray, field: str) -> None:
    """Refuse whole numbers of more bits than the device keeps: there 2^32 would be 0.

    Args:
        values: Numbers of NumPy.
        field: What they are called in messages.

    Raises:
        ConfigurationError: one of them would become another.
    """
    held = jax.dtypes.canonicalize_dtype(values.dtype)
    if values.dtype.kind not in "iu" or held == values.dtype or not values.size:
        return
    least, most = np.iinfo(held).min, np.iinfo(held).max
    wrong = next((int(one) for one in (values.min(), values.max()) if not least <= one <= most), None)
    if wrong is not None:
        raise ConfigurationError(
            f"beyond the whole numbers of {np.iinfo(held).bits} bits in which models compute",
            field=field,
            expected=f"whole numbers from {least} to {most}",
            got=wrong,
            todo="give numbers that large as floating-point numbers",
        )


def check_key(key: Any) -> None:
    """Refuse what is not one key.

    Raises:
        ConfigurationError: it is something else, or several.
    """
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    size = WORDS_OF_RAW_KEY.get(str(jax.config.jax_default_prng_impl))
    raw = not typed and dtype == np.uint32 and shape is not None and len(shape) > 0 and size in (None, shape[-1])
    if (typed and shape == ()) or (raw and len(shape) == 1):
        return
    if typed or raw:
        raise ConfigurationError(
            "several keys",
            field="key",
            expected="one",
            got=f"keys of shape {shape if typed else shape[:-1]}",
            todo="use jax.vmap over the keys",
        )
    raise ConfigurationError("not a key", field="key", expected="a JAX key such as jax.random.key(0)", got=_shown(key))


def _shown(value: Any) -> Any:
    """What came, for a message; of arrays their type."""
    if isinstance(value, jax.Array | np.ndarray):
        return Word(f"{value.dtype} of shape {value.shape}")
    return came(value)
