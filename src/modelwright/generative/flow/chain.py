"""Bijections one after the other, repeated, and turned round."""

from collections.abc import Callable, Sequence
from typing import final

import jax
from flax import nnx
from jaxtyping import Array

from modelwright.generative.flow.bijection import AbstractBijection, Moved, nothing
from modelwright.generative.nets.stacked import stacked


@final
class Chain(AbstractBijection):
    """Bijections of different kinds, the first one nearest to data."""

    def __init__(self, parts: Sequence[AbstractBijection]) -> None:
        self.parts = nnx.List(parts)

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """First to last."""
        log_det = nothing(x)
        for part in self.parts:
            x, more = part.forward(x, cond)
            log_det = log_det + more
        return x, log_det

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """Last to first."""
        log_det = nothing(y)
        for part in reversed(list(self.parts)):
            y, more = part.inverse(y, cond)
            log_det = log_det + more
        return y, log_det

    def begin(self, x: Array, cond: Array | None = None) -> None:
        """Each part from what the parts before it have made of the examples."""
        for part in self.parts:
            part.begin(x, cond)
            x = part.forward(x, cond)[0]

    def begin_inverse(self, y: Array, cond: Array | None = None) -> None:
        """Last to first."""
        for part in reversed(list(self.parts)):
            part.begin_inverse(y, cond)
            y = part.inverse(y, cond)[0]


@final
class Repeated(AbstractBijection):
    """Bijections of one kind, each with parameters of its own, compiled once however many there are.

    Their parameters are stacked along a first axis, and `jax.lax.scan` walks over them.

    Args:
        make: Makes one; called `n` times, so that each begins with its own draw of the weights.
        n: How many.
    """

    def __init__(self, make: Callable[[], AbstractBijection], n: int) -> None:
        self.stacked = stacked(make, n)

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """First to last."""
        graph, states = nnx.split(self.stacked)

        def step(carry: Moved, state: nnx.State) -> tuple[Moved, None]:
            y, more = nnx.merge(graph, state).forward(carry[0], cond)
            return (y, carry[1] + more), None

        return jax.lax.scan(step, (x, nothing(x)), states)[0]

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """Last to first."""
        graph, states = nnx.split(self.stacked)

        def step(carry: Moved, state: nnx.State) -> tuple[Moved, None]:
            x, more = nnx.merge(graph, state).inverse(carry[0], cond)
            return (x, carry[1] + more), None

        return jax.lax.scan(step, (y, nothing(y)), states, reverse=True)[0]

    def begin(self, x: Array, cond: Array | None = None) -> None:
        """Each from what those before it have made of the examples."""
        graph, states = nnx.split(self.stacked)

        def step(x: Array, state: nnx.State) -> tuple[Array, nnx.State]:
            one = nnx.merge(graph, state)
            one.begin(x, cond)
            return one.forward(x, cond)[0], nnx.state(one)

        nnx.update(self.stacked, jax.lax.scan(step, x, states)[1])

    def begin_inverse(self, y: Array, cond: Array | None = None) -> None:
        """Last to first."""
        graph, states = nnx.split(self.stacked)

        def step(y: Array, state: nnx.State) -> tuple[Array, nnx.State]:
            one = nnx.merge(graph, state)
            one.begin_inverse(y, cond)
            return one.inverse(y, cond)[0], nnx.state(one)

        nnx.update(self.stacked, jax.lax.scan(step, y, states, reverse=True)[1])


@final
class Inverted(AbstractBijection):
    """A bijection with its two directions exchanged."""

    def __init__(self, inner: AbstractBijection) -> None:
        self.inner = inner

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """The inner one's inverse."""
        return self.inner.inverse(x, cond)

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """The inner one's forward."""
        return self.inner.forward(y, cond)

    def begin(self, x: Array, cond: Array | None = None) -> None:
        """The inner one from its other end."""
        self.inner.begin_inverse(x, cond)

    def begin_inverse(self, y: Array, cond: Array | None = None) -> None:
        """The inner one as it stands."""
        self.inner.begin(y, cond)
