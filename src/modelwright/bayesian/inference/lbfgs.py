"""The maximum of a model's density by L-BFGS, all iterations in one compiled loop."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from modelwright.bayesian.inference.tracing import TRACING
from modelwright.bayesian.inference.unconstrained import Unconstrained

MEMORY = 10
"""Pairs of steps and gradients that the approximation of the curvature rests on."""

SMALL_GAIN = 1e-12
"""Relative gain of an iteration below which it does not count as one."""

GIVING_UP = 5
"""Iterations in a row without a gain after which the search ends."""


@dataclass(frozen=True, eq=False)
class Climb:
    """What a search for the maximum found.

    Args:
        z: Where it ended, shape (d,).
        log_joint: The log density there.
        gradient: Its gradient there, shape (d,).
        iterations: Iterations made.
        path: Points passed, shape (iterations + 1, d); empty unless asked for.
        path_gradients: Gradients of the log density at them.
    """

    z: np.ndarray
    log_joint: float
    gradient: np.ndarray
    iterations: int
    path: np.ndarray
    path_gradients: np.ndarray


def climb(
    density: Unconstrained,
    start: np.ndarray,
    *,
    iterations: int = 1000,
    tolerance: float = 1e-5,
    keep_path: bool = False,
) -> Climb:
    """Climb to a maximum.

    Args:
        density: The density; call with double precision on.
        start: Where to begin, shape (d,).
        iterations: The most iterations.
        tolerance: Largest component of the gradient at which the search ends, in nats per unit.
        keep_path: Whether to keep every point passed.

    Source: D. Liu, J. Nocedal (1989), https://doi.org/10.1007/BF01589116.
    """
    room = iterations + 1 if keep_path else 1

    def run(z: Any, arrays: tuple[Any, ...]) -> Any:
        loss = lambda at: -density.log_joint(at, arrays)  # noqa: E731
        optimizer = optax.lbfgs(memory_size=MEMORY)
        value_and_grad = optax.value_and_grad_from_state(loss)

        def more(carry: Any) -> Any:
            k, _, _, value, gradient, stalled, _, _ = carry
            steep = jnp.abs(gradient).max() > tolerance
            return (k < iterations) & steep & (stalled < GIVING_UP) & jnp.isfinite(value)

        def one(carry: Any) -> Any:
            k, z, state, value, gradient, stalled, path, slopes = carry
            updates, state = optimizer.update(gradient, state, z, value=value, grad=gradient, value_fn=loss)
            z = optax.apply_updates(z, updates)
            new, gradient = value_and_grad(z, state=state)
            stalled = jnp.where(value - new <= SMALL_GAIN * jnp.abs(value), stalled + 1, 0)
            place = jnp.minimum(k + 1, room - 1)
            return k + 1, z, state, new, gradient, stalled, path.at[place].set(z), slopes.at[place].set(-gradient)

        state = optimizer.init(z)
        value, gradient = value_and_grad(z, state=state)
        path = jnp.zeros((room, z.size)).at[0].set(z)
        slopes = jnp.zeros((room, z.size)).at[0].set(-gradient)
        zero = jnp.zeros((), jnp.int32)
        k, z, _, value, gradient, _, path, slopes = jax.lax.while_loop(
            more, one, (zero, z, state, value, gradient, zero, path, slopes)
        )
        return k, z, -value, -gradient, path, slopes

    with TRACING:
        compiled = jax.jit(run).lower(jnp.asarray(start, float), density.call.device_arrays()).compile()
    k, z, value, gradient, path, slopes = compiled(jnp.asarray(start, float), density.call.device_arrays())
    made = int(k)
    kept = made + 1 if keep_path else 0
    return Climb(
        np.asarray(z), float(value), np.asarray(gradient), made, np.asarray(path)[:kept], np.asarray(slopes)[:kept]
    )
