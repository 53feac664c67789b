"""Non-linearities by name: a literal table, a miss names the nearest."""

from collections.abc import Callable
from typing import TypeAlias

import jax
from jaxtyping import Array

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

Activation: TypeAlias = Callable[[Array], Array]

ACTIVATIONS: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "elu": jax.nn.elu,
    "leaky_relu": jax.nn.leaky_relu,
    "softplus": jax.nn.softplus,
    "tanh": jax.nn.tanh,
    "sigmoid": jax.nn.sigmoid,
}


def activation_named(name: str) -> Activation:
    """The non-linearity of a name.

    Raises:
        ConfigurationError: there is none; the nearest name is given.

    Example:
        >>> float(activation_named("relu")(-1.0))
        0.0
    """
    if name not in ACTIVATIONS:
        raise ConfigurationError(
            f"no non-linearity is called {name!r}", field="activation", todo=suggestion(name, ACTIVATIONS)
        )
    return ACTIVATIONS[name]
