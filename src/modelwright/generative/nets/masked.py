"""Dense networks whose output i sees exactly the inputs that come before i in an order (MADE).

Every unit has a degree. Inputs have degrees 1 to n in the order, context has degree 0; a hidden unit of degree d may
look at units of degree at most d, an output only at units of a *smaller* degree than its own. Strictness belongs to the
last step alone: were hidden layers strict as well, each would cut one more neighbour off, and a network of two numbers
would see nothing at all.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from modelwright.core.errors import ConfigurationError
from modelwright.generative.nets.activations import activation_named

MOST_UNITS = 1_000_000
"""Units of one layer: each has a degree of its own, which takes some microseconds where models are made."""


def hidden_degrees(width: int, n_in: int, context: int) -> tuple[int, ...]:
    """The degrees of a hidden layer, evenly spread over those that some output looks at.

    Args:
        width: Units.
        n_in: Inputs, of degrees 1 to n_in. Nothing looks at a unit of degree n_in.
        context: Numbers of the context; with none, units of degree 0 would be constants and are left out.

    Example:
        >>> hidden_degrees(6, 4, 0), hidden_degrees(8, 4, 1)
        ((1, 1, 2, 2, 3, 3), (0, 0, 1, 1, 2, 2, 3, 3))
    """
    lowest = 0 if context or n_in == 1 else 1
    return tuple(int(degree) for degree in lowest + (np.arange(width) * (n_in - lowest)) // width)


def check_units(n: int) -> None:
    """Refuse a network of more units than can be kept one by one.

    Args:
        n: Units of a layer.

    Raises:
        ConfigurationError: there are more than `MOST_UNITS`.
    """
    if n > MOST_UNITS:
        raise ConfigurationError(
            "a layer of masks too wide to be kept unit by unit",
            field="input_dim",
            expected=f"at most {MOST_UNITS:,} numbers in and out, those put out for each input counted singly",
            got=n,
        )


@final
class MaskedLinear(nnx.Module):
    """A linear layer without the connections that degrees forbid.

    Args:
        degrees_in: Of each input.
        degrees_out: Of each output.
        strict: Outputs look at smaller degrees only, else at equal ones too.
        scale: Factor of the initial weights; each output's variance is otherwise the mean square of what it sees.
        rngs: Of the initial weights (normal) and biases (uniform, as wide as those of PyTorch's layers: were they zero,
            all kinks of a network that sees one number would lie at zero). Strict layers begin without biases.
    """

    def __init__(
        self,
        degrees_in: tuple[int, ...],
        degrees_out: tuple[int, ...],
        *,
        strict: bool = False,
        scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        self.degrees_in = degrees_in
        self.degrees_out = degrees_out
        self.strict = strict
        a, b = np.asarray(degrees_in), np.asarray(degrees_out)
        n_seen = np.maximum(np.searchsorted(np.sort(a), b, side="left" if strict else "right"), 1)
        weights = jax.random.normal(rngs.params(), (len(a), len(b)))
        self.kernel = nnx.Param(_scaled(weights, a, b, (scale / np.sqrt(n_seen)).astype(np.float32), strict=strict))
        bias = jax.random.uniform(rngs.params(), (len(degrees_out),), minval=-1.0, maxval=1.0)
        self.bias = nnx.Param(bias * (0.0 if strict else 1.0) / np.sqrt(n_seen).astype(np.float32))

    def mask(self) -> Bool[Array, "n_in n_out"]:
        """Which connections there are."""
        return _mask(np.asarray(self.degrees_in), np.asarray(self.degrees_out), strict=self.strict)

    def __call__(self, x: Float[Array, "*n n_in"]) -> Float[Array, "*n n_out"]:
        """The output of each input, in the precision of the weights."""
        kernel, bias = self.kernel[...], self.bias[...]
        return x.astype(kernel.dtype) @ jnp.where(self.mask(), kernel, 0) + bias


def _mask(degrees_in: Array, degrees_out: Array, *, strict: bool) -> Bool[Array, "n_in n_out"]:
    a, b = jnp.asarray(degrees_in)[:, None], jnp.asarray(degrees_out)[None, :]
    return a < b if strict else a <= b


@partial(jax.jit, static_argnames="strict")
def _scaled(
    weights: Float[Array, "n_in n_out"], degrees_in: Array, degrees_out: Array, spread: Array, *, strict: bool
) -> Float[Array, "n_in n_out"]:
    """Traced, mask and all, so that an outline of a network holds none of its numbers."""
    return jnp.where(_mask(degrees_in, degrees_out, strict=strict), weights * spread, 0.0)


@final
class MaskedNet(nnx.Module):
    """Masked dense layers with a non-linearity after each but the last.

    Output i depends on every input that comes before i, whatever the widths: where a hidden layer has fewer units than
    there are degrees, inputs are connected to the outputs directly as well.

    Args:
        n_in: Numbers of one input.
        hidden_dims: Widths of the hidden layers.
        outputs: Numbers put out for each input.
        order: The place of each input, 0 to n_in - 1; as they stand by default.
        context: Numbers of the context; every output sees it.
        activation: Name of the non-linearity.
        last_scale: Factor of the last layer's initial weights.
        rngs: Of the initial weights.

    Raises:
        ConfigurationError: the order is no permutation, or there is no hidden layer.

    Source: M. Germain, K. Gregor, I. Murray, H. Larochelle (2015), https://arxiv.org/abs/1502.03509.

    Example:
        >>> net = MaskedNet(3, (8,), 2, order=(2, 0, 1), rngs=nnx.Rngs(0))
        >>> net(jnp.ones((5, 3))).shape
        (5, 3, 2)
        >>> jacobian = jax.jacobian(lambda x: net(x[None])[0].sum(-1))(jnp.ones(3))
        >>> (jacobian != 0).astype(int).tolist()
        [[0, 1, 1], [0, 0, 0], [0, 1, 0]]
    """

    def __init__(
        self,
        n_in: int,
        hidden_dims: Sequence[int],
        outputs: int,
        *,
        order: Sequence[int] | None = None,
        context: int = 0,
        activation: str = "silu",
        last_scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        for units in (n_in + context, n_in * outputs, *hidden_dims):
            check_units(units)
        places = tuple(range(n_in)) if order is None else tuple(int(place) for place in order)
        if sorted(places) != list(range(n_in)):
            raise ConfigurationError(
                "not an order", field="order", expected=f"each of 0 to {n_in - 1} once", got=list(places)
            )
        if not hidden_dims:
            raise ConfigurationError(
                "a masked network needs a hidden layer", field="hidden_dims", got=list(hidden_dims)
            )
        self.shape = (n_in, outputs)
        self.activation = activation
        own = tuple(place + 1 for place in places)
        seen = own + (0,) * context
        hidden = [hidden_degrees(width, n_in, context) for width in hidden_dims]
        out = tuple(degree for degree in own for _ in range(outputs))
        self.is_constant = n_in == 1 and not context
        if self.is_constant:  # nothing comes before the only number: units that see nothing would never be trained
            self.hidden, self.direct = nnx.List(), None
            self.last = MaskedLinear((), out, strict=True, rngs=rngs)
            return
        narrow = any(len(set(degrees)) < len(set(hidden_degrees(n_in, n_in, context))) for degrees in hidden)
        self.hidden = nnx.List(MaskedLinear(a, b, rngs=rngs) for a, b in pairwise([seen, *hidden]))
        self.last = MaskedLinear(hidden[-1], out, strict=True, scale=last_scale, rngs=rngs)
        self.direct = MaskedLinear(seen, out, strict=True, scale=last_scale, rngs=rngs) if narrow else None

    def __call__(
        self, x: Float[Array, "*n n_in"], cond: Float[Array, "*n context"] | None = None
    ) -> Float[Array, "*n n_in outputs"]:
        """The outputs of each input.

        Args:
            x: Inputs.
            cond: Their context.
        """
        seen = x if cond is None else jnp.concatenate([x, cond.astype(x.dtype)], axis=-1)
        nonlinear = activation_named(self.activation)
        h = seen[..., :0] if self.is_constant else seen
        for layer in self.hidden:
            h = nonlinear(layer(h))
        out = self.last(h) if self.direct is None else self.last(h) + self.direct(seen)
        return out.reshape(*x.shape[:-1], *self.shape)
