"""An extended model's density with the rates integrated out as a NumPyro model, for NUTS."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.event_rates.names import Y

STANDARD = "standard"
"""What is sampled: z of shape (d,), the coordinates being center + factor z."""


def collapsed_extended(density: CollapsedExtended, center: np.ndarray, factor: np.ndarray) -> None:
    """The density in coordinates in which it is about standard normal.

    The site `standard` has a standard normal density which the factor `y` divides out again, so that together they are
    the posterior, up to the constant log determinant of `factor`.

    Args:
        density: The density.
        center: Its mode, or near it, shape (d,).
        factor: Factor of its covariance, shape (d, d).
    """
    z: Any = numpyro.sample(STANDARD, dist.Normal(0.0, 1.0).expand([len(center)]).to_event(1))
    prior = -0.5 * jnp.sum(z * z) - 0.5 * len(center) * jnp.log(2.0 * jnp.pi)
    numpyro.factor(Y, density.log_density(center + factor @ z) - prior)
