"""Log densities of the hyperpriors for JAX: differentiable, and the same formulas as with NumPy."""

from typing import Any

import jax.numpy as jnp

from modelwright.bayesian.event_rates.hyperpriors import Hyperprior


def jax_log_density(prior: Hyperprior, x: Any) -> Any:
    """Log density of `prior` at `x`, any shape, in nats; -inf, with derivative zero, outside of its support.

    Args:
        prior: The prior; its arguments are constants of the traced function.
        x: Values of the parameter, in the precision of the caller.

    Example:
        >>> round(float(jax_log_density(Hyperprior("exponential", (2.0,)), 0.5)), 4)
        -0.3069
    """
    return prior.log_density_in(jnp, jnp.asarray(x))
