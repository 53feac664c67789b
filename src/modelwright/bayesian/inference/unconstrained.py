"""A NumPyro model as a density of one vector: all unknowns mapped to the real line and put after each other.

density.log_joint(z)      log p(y, x(z)) + log |dx/dz|,  z of shape (d,)
density.log_prior(z)      the same without the data
density.places["mu"]      where mu stands in z
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import block
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from modelwright.bayesian.inference.model_sites import find_sites
from modelwright.bayesian.inference.tracing import TRACING, Call
from modelwright.core.errors import ConfigurationError


@dataclass(frozen=True, eq=False)
class Unconstrained:
    """The density of a model in unconstrained coordinates.

    Args:
        model: The NumPyro model.
        call: What it is called with.
        shapes: Site -> shape of its unconstrained values, in the order in which they stand in the vector.
    """

    model: Callable[..., Any]
    call: Call
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, model: Callable[..., Any], call: Call) -> "Unconstrained":
        """Look at a model; call with double precision on.

        Raises:
            ConfigurationError: the model has a discrete unknown, or none at all.
        """
        sites = find_sites(model, call).latent
        for name, site in sites.items():
            if site.discrete:
                raise ConfigurationError(
                    "needs continuous variables",
                    field=name,
                    expected="a continuous distribution",
                    todo="sum the discrete variable out of the likelihood",
                )
        if not sites:
            raise ConfigurationError("the model has nothing to sample", expected="at least one latent site")
        values = {name: jax.ShapeDtypeStruct(site.shape, jnp.result_type(float)) for name, site in sites.items()}

        def mapped(arrays: tuple[Any, ...], values: dict[str, Any]) -> Any:
            args, kwargs = call.arguments(arrays)
            return unconstrain_fn(model, args, kwargs, values)

        with TRACING:
            found = jax.eval_shape(mapped, call.device_arrays(), values)
        return cls(model, call, {name: tuple(found[name].shape) for name in sites})

    @property
    def size(self) -> int:
        """Numbers in the vector."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def places(self) -> dict[str, slice]:
        """Site -> where it stands in the vector."""
        places, begin = {}, 0
        for name, shape in self.shapes.items():
            places[name] = slice(begin, begin + int(np.prod(shape)))
            begin = places[name].stop
        return places

    def unravel(self, z: Any) -> dict[str, Any]:
        """Site -> unconstrained values, from a vector of shape (..., d)."""
        return {name: z[..., place].reshape((*z.shape[:-1], *self.shapes[name])) for name, place in self.places.items()}

    def log_joint(self, z: Any, arrays: tuple[Any, ...]) -> Any:
        """Log density of data and unknowns at z; minus infinity where it is not a number."""
        args, kwargs = self.call.arguments(arrays)
        value = -potential_energy(self.model, args, kwargs, self.unravel(z))
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    def log_prior(self, z: Any, arrays: tuple[Any, ...]) -> Any:
        """Log density of the unknowns at z, whatever the data."""
        args, kwargs = self.call.arguments(arrays)
        without_data = block(self.model, hide_fn=lambda site: site["type"] == "sample" and site["is_observed"])
        return -potential_energy(without_data, args, kwargs, self.unravel(z))

    def constrain(self, z: Any, arrays: tuple[Any, ...]) -> dict[str, Any]:
        """Values of latent and deterministic sites at z."""
        args, kwargs = self.call.arguments(arrays)
        return dict(constrain_fn(self.model, args, kwargs, self.unravel(z), return_deterministic=True))

    def unconstrain(self, values: Mapping[str, Any]) -> np.ndarray:
        """The vector of given values; zero for sites that are not given.

        Raises:
            ConfigurationError: a name that is not a latent site.
        """
        unknown = [name for name in values if name not in self.shapes]
        if unknown:
            raise ConfigurationError("no such site", field="start", expected=", ".join(self.shapes), got=unknown[0])
        arrays = self.call.device_arrays()

        def mapped(arrays: tuple[Any, ...], given: dict[str, Any]) -> Any:
            args, kwargs = self.call.arguments(arrays)
            start = constrain_fn(self.model, args, kwargs, self.unravel(jnp.zeros(self.size)))
            full = {name: jnp.broadcast_to(given.get(name, start[name]), start[name].shape) for name in self.shapes}
            found = unconstrain_fn(self.model, args, kwargs, full)
            return jnp.concatenate([found[name].reshape(-1) for name in self.shapes])

        with TRACING:
            given = {name: jnp.asarray(value, float) for name, value in values.items()}
            return np.asarray(jax.jit(mapped)(arrays, given))

    def labels(self) -> list[str]:
        """The names of all numbers, such as mu[3]."""
        found: list[str] = []
        for name, shape in self.shapes.items():
            found += [f"{name}{list(k) if k else ''}" for k in np.ndindex(shape)]
        return found
