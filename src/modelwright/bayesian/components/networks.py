"""The feed-forward network behind amortizers, encoders and decoders (Flax Linen)."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from modelwright.core.errors import ConfigurationError

HEAD_SCALE = 0.01
"""Weights of the last layer begin this small, so that outputs begin at their biases; not at zero, where no gradient
would reach the layers before."""

LINKS = {"real": lambda raw: raw, "positive": jax.nn.softplus, "unit_interval": jax.nn.sigmoid}
"""Kind of output -> smooth function from the real numbers, without floor or ceiling."""

INVERSE_LINKS = {
    "real": lambda value: value,
    # log(exp(x) - 1), without overflow
    "positive": lambda value: value + jnp.log(-jnp.expm1(-value)),
    "unit_interval": lambda value: jnp.log(value) - jnp.log1p(-value),
}
"""Their inverses."""


class FeedForward(nn.Module):
    """Dense layers with smooth activations, then one linear head per output.

    Args:
        hidden_dims: Width of each hidden layer.
        heads: Name and width of every output.
        biases: Name of an output -> where its bias begins, of its width; 0 when left out.
        layer_norm: Whether hidden layers are normalised, each row by itself.
    """

    hidden_dims: tuple[int, ...]
    heads: tuple[tuple[str, int], ...]
    biases: Any = None
    layer_norm: bool = False

    @nn.compact
    def __call__(self, inputs: Any) -> dict[str, Any]:
        """Outputs by name, each of shape (..., width), for inputs of shape (..., n_inputs)."""
        hidden = inputs
        for width in self.hidden_dims:
            hidden = nn.Dense(width)(hidden)
            if self.layer_norm:
                hidden = nn.LayerNorm()(hidden)
            hidden = nn.silu(hidden)
        biases = self.biases or {}
        small = nn.initializers.variance_scaling(HEAD_SCALE**2, "fan_in", "normal")
        return {
            name: nn.Dense(
                width,
                kernel_init=small,
                bias_init=nn.initializers.zeros if name not in biases else _beginning_at(biases[name]),
                name=name,
            )(hidden)
            for name, width in self.heads
        }


def checked_widths(field: str, widths: Any) -> tuple[int, ...]:
    """Widths of hidden layers as a tuple; none at all make a linear network.

    Raises:
        ConfigurationError: something else than whole numbers of at least 1.

    Example:
        >>> checked_widths("hidden_dims", [64, 32])
        (64, 32)
    """
    found = tuple(widths) if isinstance(widths, list | tuple) else None
    if found is None or not all(isinstance(w, int | np.integer) and not isinstance(w, bool) and w >= 1 for w in found):
        raise ConfigurationError("not usable", field=field, expected="widths such as (64, 64)", got=widths)
    return tuple(int(width) for width in found)


def checked_kinds(field: str, kinds: Mapping[str, str]) -> dict[str, str]:
    """Name of an output -> kind, as given.

    Raises:
        ConfigurationError: an unknown kind, naming the known ones.
    """
    for name, kind in kinds.items():
        if kind not in LINKS:
            raise ConfigurationError(
                "not a kind of output", field=f"{field}.{name}", expected=" or ".join(map(repr, LINKS)), got=kind
            )
    return dict(kinds)


def _beginning_at(start: Any) -> Any:
    return lambda key, shape, dtype=jnp.float32: jnp.broadcast_to(jnp.asarray(start, dtype), shape)
