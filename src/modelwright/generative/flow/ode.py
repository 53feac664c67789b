"""The flow of an ordinary differential equation as a bijection."""

from typing import Any, final

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modelwright.generative.flow.bijection import AbstractBijection, Moved, asked

SOLVERS: dict[str, Any] = {"tsit5": diffrax.Tsit5, "dopri5": diffrax.Dopri5}


@final
class OdeFlow(AbstractBijection):
    """x is carried along dx/dt = net(x, t, cond) from t = 0 at the data to t = 1 at the base.

        d log |det| / dt = trace of d net / dx,   exact: one derivative for each number of x

    Every example has its own steps, so that none changes the error made for another. One for which the solver does not
    reach the end within `max_steps`, or which is no number to begin with, becomes NaN, and the others stay as they are.
    There are derivatives in reverse only (`jax.grad`, `jax.vjp`): those forward would have to go through the solver's
    own loop.

    Args:
        net: (x and t in one vector, cond) -> as many numbers as x has.
        solver: "tsit5" or "dopri5", of order five with steps of adaptive length.
        rtol, atol: Tolerances of the steps.
        max_steps: The most steps.

    Source: R. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud (2018), https://arxiv.org/abs/1806.07366.
    """

    def __init__(self, net: Any, *, solver: str, rtol: float, atol: float, max_steps: int) -> None:
        self.net = net
        self.solver = solver
        self.rtol = rtol
        self.atol = atol
        self.max_steps = max_steps

    def forward(self, x: Array, cond: Array | None = None) -> Moved:
        """From t = 0 to 1."""
        return self._carried(x, cond, 0.0, 1.0)

    def inverse(self, y: Array, cond: Array | None = None) -> Moved:
        """From t = 1 to 0."""
        return self._carried(y, cond, 1.0, 0.0)

    def _carried(self, x: Array, cond: Array | None, start: float, end: float) -> Moved:
        if cond is None:
            return jax.vmap(lambda one: self._one(one, None, start, end))(x)
        return jax.vmap(lambda one, c: self._one(one, c, start, end))(x, cond)

    def _one(self, x: Float[Array, " d"], cond: Array | None, start: float, end: float) -> tuple[Array, Array]:
        def velocity(t: Array, x: Array) -> Array:
            at = jnp.concatenate([x, jnp.broadcast_to(t, (1,)).astype(x.dtype)])
            return asked(self.net, at, cond)

        def change(t: Array, state: tuple[Array, Array], args: None) -> tuple[Array, Array]:
            def along(direction: Array) -> tuple[Array, Array]:
                return jax.jvp(lambda x: velocity(t, x), (state[0],), (direction,))

            values, columns = jax.vmap(along)(jnp.eye(len(x), dtype=x.dtype))
            return values[0], jnp.trace(columns)

        # a solver that is given no numbers tries ever smaller steps, and would stop all examples for one
        known = jnp.isfinite(x).all() & (True if cond is None else jnp.isfinite(cond).all())
        x = jnp.where(known, x, 0.0)
        cond = None if cond is None else jnp.where(known, cond, 0.0)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(change),
            SOLVERS[self.solver](),
            t0=start,
            t1=end,
            dt0=None,
            y0=(x, jnp.zeros((), x.dtype)),
            stepsize_controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol),
            max_steps=self.max_steps,
            throw=False,
        )
        arrived = known & (solution.result == diffrax.RESULTS.successful)
        return jnp.where(arrived, solution.ys[0][-1], jnp.nan), jnp.where(arrived, solution.ys[1][-1], jnp.nan)
