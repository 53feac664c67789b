"""What a guide family sees of a latent variable: its support and its axes, never which specification it came from.

A guide draws u from a base distribution on R^n and hands it to a bijector onto the support:

    u ~ base,    value = bijector(u),    log q(value) = log base(u) - log |d bijector / du|

so that S specifications and G families need S + G pieces of code. A variable of single cells lies inside the plate
"cells": its base distribution has one batch row per cell of the mini-batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import IndependentTransform, Transform

DEFAULT_SPREAD = 0.1
"""Standard deviation on the unconstrained scale from which guides start where nothing better is known."""


@dataclass(frozen=True, eq=False)
class Start:
    """Where a guide begins, on the unconstrained scale.

    Args:
        location: Centre, broadcast to (n_units,) + the site's unconstrained shape.
        spread: Standard deviation, broadcast alike.
        slopes: Name of another variable -> slope of this one on it, both unconstrained, broadcast to this one's shape
            (or, for a matrix of slopes, to that); for guides that condition one variable on another.
    """

    location: Any = 0.0
    spread: Any = DEFAULT_SPREAD
    slopes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class GuideSite:
    """A latent variable as guide families see it.

    Args:
        name: Its sample site.
        support: Of the value of one unit (a cell, or the only one there is).
        bijector: From R^n onto the support.
        event_shape: Shape of the value of one unit.
        axes: Name of every axis of `event_shape`.
        n_units: Cells in all for a variable inside the plate "cells"; None outside of it.
        start: Where a guide begins.

    Example:
        >>> site = GuideSite("w", constraints.simplex, dist.biject_to(constraints.simplex), (3,), ("n_components",))
        >>> site.unconstrained_shape, site.size, site.parameter_shape
        ((2,), 2, (2,))
    """

    name: str
    support: constraints.Constraint
    bijector: Transform
    event_shape: tuple[int, ...]
    axes: tuple[str, ...]
    n_units: int | None = None
    start: Start = field(default_factory=Start)

    @property
    def unconstrained_shape(self) -> tuple[int, ...]:
        """Shape of u for one unit."""
        return tuple(self.bijector.inverse_shape(self.event_shape))

    @property
    def size(self) -> int:
        """Numbers in u for one unit."""
        total = 1
        for length in self.unconstrained_shape:
            total *= length
        return total

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of a parameter that has one entry per number in u: the cells first where there are cells."""
        return (() if self.n_units is None else (self.n_units,)) + self.unconstrained_shape

    @property
    def onto_support(self) -> Transform:
        """The bijector as a transform of the whole of u: its domain has all axes of `unconstrained_shape`."""
        missing = len(self.unconstrained_shape) - self.bijector.domain.event_dim
        return IndependentTransform(self.bijector, missing) if missing else self.bijector

    def constrained(self, base: dist.Distribution) -> dist.Distribution:
        """The distribution of the value when u comes from `base`, whose event shape is `unconstrained_shape`."""
        return dist.TransformedDistribution(base, self.onto_support)

    def starting_location(self) -> Any:
        """Of shape `parameter_shape`."""
        return jnp.broadcast_to(jnp.asarray(self.start.location, float), self.parameter_shape)

    def starting_spread(self) -> Any:
        """Of shape `parameter_shape`."""
        return jnp.broadcast_to(jnp.asarray(self.start.spread, float), self.parameter_shape)


@dataclass(frozen=True, eq=False)
class GuideContext:
    """What else a family may look at.

    Args:
        cells: Positions of the cells of this mini-batch, shape (n_batch,); None outside the plate, and where all cells
            are there in order.
        data: The observed data (`components.observed.ObservedCounts`); None while a guide is only inspected.
        values: Unconstrained values of the variables drawn before, by name.
        locations: Centres of their guides, by name, for families that condition on deviations from them.
        sites: Those variables themselves, by name.
    """

    cells: Any = None
    data: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)
    locations: Mapping[str, Any] = field(default_factory=dict)
    sites: Mapping[str, GuideSite] = field(default_factory=dict)

    def of_cells(self, parameter: Any, site: GuideSite) -> Any:
        """The rows of a parameter of shape (n_units, ...) that belong to this mini-batch; all of it outside plates."""
        if site.n_units is None or self.cells is None:
            return parameter
        return jnp.take(parameter, self.cells, axis=0)
