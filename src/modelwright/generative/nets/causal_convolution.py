"""Gated dilated convolutions over sequences that see the past only, over whole sequences or one step at a time.

One step at a time each layer keeps its last inputs in a ring: as many as its convolution reaches back.
"""

from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from modelwright.generative.nets.stacked import stacked, through


@final
class Rings(NamedTuple):
    """The last inputs of every layer, and how many positions there have been: nobody who takes steps has to count.

    Args:
        inputs: Shape (n_layers, n, ring_size, width); the input at position t lies at t mod ring_size.
        position: Of the next step.
    """

    inputs: Float[Array, "layers n ring width"]
    position: Int[Array, ""]


@final
class GatedStep(nnx.Module):
    """What a layer does at one position with the inputs that its convolution sees there.

    Args:
        width: Numbers at a position.
        kernel_size: Inputs seen.
        skip: Numbers that it adds to the output of the stack.
        context: Numbers of the context; 0 for none.
        rngs: Of the initial weights.
    """

    def __init__(self, width: int, kernel_size: int, skip: int, *, context: int, rngs: nnx.Rngs) -> None:
        self.gates = nnx.Linear(kernel_size * width, 2 * width, rngs=rngs)
        self.context = nnx.Linear(context, 2 * width, use_bias=False, rngs=rngs) if context else None
        self.residual = nnx.Linear(width, width, rngs=rngs)
        self.skip = nnx.Linear(width, skip, rngs=rngs)

    def __call__(self, taps: Float[Array, "n *positions seen"], vectors: Array | None) -> tuple[Array, Array]:
        """What `residual` takes, and what is added to the output of the stack."""
        h = self.gates(taps)
        if self.context is not None:
            own = self.context(vectors.astype(h.dtype))
            h = h + own.reshape(len(own), *(1,) * (h.ndim - 2), -1)
        a, b = jnp.split(h, 2, axis=-1)
        gated = jnp.tanh(a) * jax.nn.sigmoid(b)
        return gated, self.skip(gated)


@final
class CausalStack(nnx.Module):
    """Layers h + gated(h at t, t - d, t - 2 d, ...) with dilations d; the output is the sum of what each adds.

    Position t sees itself and `reach` positions before it.

    Args:
        width: Numbers at a position.
        skip: Numbers put out at a position.
        kernel_size: Inputs that each convolution sees.
        dilations: Of each layer, in order.
        context: Numbers of the context; 0 for none.
        rngs: Of the initial weights.

    Source: A. van den Oord et al. (2016), https://arxiv.org/abs/1609.03499.

    Example:
        >>> net = CausalStack(4, 6, kernel_size=2, dilations=(1, 2), rngs=nnx.Rngs(0))
        >>> net(jnp.ones((3, 7, 4))).shape, net.reach
        ((3, 7, 6), 3)
    """

    def __init__(
        self,
        width: int,
        skip: int,
        *,
        kernel_size: int,
        dilations: tuple[int, ...],
        context: int = 0,
        rngs: nnx.Rngs,
    ) -> None:
        self.layers = stacked(lambda: GatedStep(width, kernel_size, skip, context=context, rngs=rngs), len(dilations))
        # the stack keeps what adds to the inputs, as the last layer has none: nothing takes what it would add
        self.residual = _all_but_last(self.layers.residual, len(dilations))
        self.layers.residual = None
        self.width, self.skip, self.kernel_size, self.dilations = width, skip, kernel_size, dilations

    @property
    def reach(self) -> int:
        """Positions before its own that an output sees."""
        return (self.kernel_size - 1) * sum(self.dilations)

    @property
    def ring_size(self) -> int:
        """Inputs that a layer has to remember, at most."""
        return (self.kernel_size - 1) * max(self.dilations)

    def __call__(
        self, h: Float[Array, "n positions width"], vectors: Float[Array, "n context"] | None = None
    ) -> Float[Array, "n positions skip"]:
        """The output at every position.

        Args:
            h: Inputs.
            vectors: The context of each sequence.
        """
        positions, back = h.shape[1], self.ring_size

        def layer(block: GatedStep, carry: tuple[Array, Array], at: Any) -> tuple[tuple[Array, Array], None]:
            (h, total), (dilation, residual) = carry, at
            # the dilation is a number of this layer, not of the compiled code: one code serves all layers
            padded = jnp.pad(h, ((0, 0), (back, 0), (0, 0)))
            taps = [
                jax.lax.dynamic_slice_in_dim(padded, back - k * dilation, positions, axis=1)
                for k in range(self.kernel_size)
            ]
            gated, out = block(jnp.concatenate(taps, axis=-1), vectors)
            return (h + _through(residual, gated), total + out), None

        nothing = jnp.zeros((*h.shape[:2], self.skip), h.dtype)
        return through(self.layers, layer, (h, nothing), (jnp.array(self.dilations), self._residuals()))[0][1]

    def empty_rings(self, n: int, dtype: jnp.dtype) -> Rings:
        """The inputs before the first position: zeros."""
        return Rings(jnp.zeros((len(self.dilations), n, self.ring_size, self.width), dtype), jnp.zeros((), jnp.int32))

    def step(
        self,
        h: Float[Array, "n width"],
        rings: Rings,
        vectors: Float[Array, "n context"] | None = None,
    ) -> tuple[Float[Array, "n skip"], Rings]:
        """The output at the next position, and the rings with its inputs in them.

        Args:
            h: Input.
            rings: The inputs of every layer at the positions before.
            vectors: The context of each sequence.
        """
        size, position = self.ring_size, rings.position

        def layer(block: GatedStep, carry: tuple[Array, Array], at: Any) -> tuple[tuple[Array, Array], Array]:
            (h, total), (ring, dilation, residual) = carry, at
            # the place to be written next still holds the oldest input, `size` positions ago
            old = [
                jax.lax.dynamic_index_in_dim(ring, (position - k * dilation) % size, axis=1, keepdims=False)
                for k in range(1, self.kernel_size)
            ]
            gated, out = block(jnp.concatenate([h, *old], axis=-1), vectors)
            return (h + _through(residual, gated), total + out), h

        nothing = jnp.zeros((len(h), self.skip), h.dtype)
        at = (rings.inputs, jnp.array(self.dilations), self._residuals())
        (_, out), inputs = through(self.layers, layer, (h, nothing), at)
        kept = jax.lax.dynamic_update_slice_in_dim(rings.inputs, inputs[:, :, None], position % size, axis=2)
        return out, Rings(kept, position + 1)

    def _residuals(self) -> tuple[Array, Array]:
        """Weights and biases by which each layer adds to its input: zeros for the last, whose sum nothing takes."""
        if self.residual is None:
            return jnp.zeros((1, self.width, self.width)), jnp.zeros((1, self.width))
        kernel, bias = self.residual.kernel[...], self.residual.bias[...]
        return jnp.pad(kernel, ((0, 1), (0, 0), (0, 0))), jnp.pad(bias, ((0, 1), (0, 0)))


def _all_but_last(layers: Any, n_layers: int) -> Any:
    """Stacked layers without the last, or None where there is no other."""
    if n_layers == 1:
        return None
    graph, state = nnx.split(layers)
    fewer = nnx.merge(graph, jax.tree.map(lambda leaf: leaf[:-1], state))
    fewer.n_stacked = n_layers - 1
    return fewer


def _through(residual: tuple[Array, Array], gated: Array) -> Array:
    kernel, bias = residual
    return gated @ kernel.astype(gated.dtype) + bias.astype(gated.dtype)
