"""Where guides begin: at the mode of the posterior, with its curvature, found from moments of the counts.

    moments of the counts -> the mode by L-BFGS -> location and spread of every parameter, slopes on global ones
                          -> the best normal distribution on the way there, with init="pathfinder"

A guide that begins there has little left to learn; from the middle of the unconstrained space thousands of steps go by.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import biject_to, constraints

from modelwright.bayesian.builders.axes import beside
from modelwright.bayesian.builders.composition import Decoded
from modelwright.bayesian.builders.guide import Guide
from modelwright.bayesian.builders.model import Model
from modelwright.bayesian.builders.specification import CELLS, COMPONENTS, GENES, AbstractParamSpec
from modelwright.bayesian.components.guide_sites import DEFAULT_SPREAD, Start
from modelwright.bayesian.components.observed import ObservedCounts
from modelwright.bayesian.inference.curvature import NoCurvatureError
from modelwright.bayesian.inference.curvature_search import curvature_at
from modelwright.bayesian.inference.data_models import Init
from modelwright.bayesian.inference.fit_result import Subject
from modelwright.bayesian.inference.map_laplace import LaplaceFit, dict_of_locations, mode_of
from modelwright.bayesian.inference.pathfinder import pathfinder
from modelwright.bayesian.inference.tracing import Call
from modelwright.core.errors import ConfigurationError

AXES = {"mu": (GENES,), "r": (GENES,), "p_capture": (CELLS,)}
"""Axes of a moment, by name; the others are single numbers."""

SUPPORTS = {
    **dict.fromkeys(("mu", "r", "phi"), constraints.positive),
    **dict.fromkeys(("p", "gate", "p_capture"), constraints.unit_interval),
}
"""What a parameter of this name has to range over for its moment to be a value of it."""

SPREAD_OF_COMPONENTS = 0.3
"""Standard deviation on the unconstrained scale by which components are set apart (arbitrary)."""

LEAST_SPREAD, LARGEST_SPREAD = 1e-4, 3.0
"""Spreads that a guide may begin with: a mode in a corner has curvatures that say little."""


def starts_from_data(
    model: Model,
    guide: Guide,
    data: ObservedCounts,
    first: Mapping[str, Any],
    kwargs: Mapping[str, Any] | None = None,
    init: Init = "mode",
) -> tuple[dict[str, Start], str, float | None]:
    """Where each parameter of a guide begins, how that was found, and the narrowest spread (None where none is known).

    Args:
        model: The model.
        guide: Its guide, whose families say whether a spread is meant given other parameters.
        data: The counts.
        first: Values to climb from, see `values_from_moments`.
        kwargs: Keyword arguments of the model.
        init: At the mode, or where `pathfinder` says.

    Raises:
        ConfigurationError: pathfinder is asked for and the model has a decoder.
    """
    by_name = {spec.name: spec for spec in model.specs}
    located = {name: Start(location=by_name[name].bijector.inv(jnp.asarray(value))) for name, value in first.items()}
    if any(isinstance(part, Decoded) for part in model.parts):
        if init != "mode":
            raise ConfigurationError(
                "the networks of a decoder have no posterior whose bulk could be looked for",
                field="init",
                expected="mode",
                got=init,
                todo="leave init out: such a guide begins at moments of the counts",
            )
        return located, "the guide begins at moments of the counts (a decoder has no mode to climb to)", None
    if init == "pathfinder":
        begun = pathfinder(model, data, kwargs=kwargs, start=first)
        how = f"the guide begins at the best normal distribution along {begun.iterations} iterations of a climb"
        starts = _from_locations(model, guide, begun.locations, {})
        return starts, how, min(float(np.min(start.spread)) for start in starts.values())
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        subject = Subject(model, Call.of((data,), kwargs or {}))
        density, found = mode_of(model, subject.call, first)
        if not np.isfinite(found.z).all() or not np.isfinite(found.log_joint):
            return located, "the guide begins at moments of the counts (the density is not finite there)", None
        how = f"the guide begins at the mode, found in {found.iterations} iterations from moments of the counts"
        try:
            curvature = curvature_at(density, found.z)
        except NoCurvatureError as error:
            at = dict_of_locations(density, found.z, np.ones(density.size))
            there = {spec.name: Start(_coordinates(spec, *at[spec.name])[0]) for spec in model.specs}
            return there, f"{how}, with spreads of {DEFAULT_SPREAD} (no curvature: {error.what})", None
    fit = LaplaceFit(subject, density, found.z, found.log_joint, found.gradient, curvature, found.iterations)
    starts = _from_locations(model, guide, fit.locations(), fit.slopes)
    return starts, how, min(float(np.min(start.spread)) for start in starts.values())


def values_from_moments(model: Model, data: ObservedCounts) -> dict[str, Any]:
    """Parameter -> value, for parameters with the usual names (see `moments_of`) that can take such a value.

    A name alone says little: a `mu` on the real numbers is a logarithm, a `phi` between 0 and 1 no odds. A moment is
    used where the parameter has the support that moments of this name have, and all axes of known length.
    """
    moments = moments_of(data)
    lengths = {**model.lengths, CELLS: data.n_cells, GENES: data.n_genes, **data.lengths}
    found = {
        spec.name: _spread_over(moments[spec.name], spec, lengths)
        for spec in model.specs
        if spec.name in moments and spec.support == SUPPORTS[spec.name] and set(spec.dims) <= set(lengths)
    }
    return {spec.name: found[spec.name] for spec in model.specs if _inside(spec, found.get(spec.name))}


def moments_of(data: ObservedCounts) -> dict[str, Any]:
    """What moments of the counts say of parameters with the usual names.

    With variance = mean/(1-p) for every gene, p is 1 - mean/variance, the median over the genes that are expressed.

    Args:
        data: The counts.

    Returns:
        mu and r (n_genes,), p, phi, gate and p_capture (n_cells,).

    Example:
        >>> from modelwright.bayesian.components.observed import observe
        >>> counts = np.random.default_rng(0).negative_binomial(2.0, 0.4, (500, 20))   # r = 2, p = 0.6
        >>> found = moments_of(observe(counts))
        >>> bool(abs(found["p"] - 0.6) < 0.1), bool(abs(found["r"].mean() - 2.0) < 0.5)
        (True, True)
    """
    if data.compressed is not None:
        table = data.compressed
        count, times = np.asarray(table.pair_count, float), np.asarray(table.pair_multiplicity, float)
        gene = np.asarray(table.pair_group) % data.n_genes
        total = np.bincount(gene, count * times, minlength=data.n_genes)
        squares = np.bincount(gene, count**2 * times, minlength=data.n_genes)
        depth = np.asarray(table.cell_total, float)
    else:
        dense = np.asarray(data.rows(), float)
        total, squares, depth = dense.sum(0), (dense**2).sum(0), dense.sum(1)
    mean = (total + 0.5) / data.n_cells
    variance = np.maximum(squares / data.n_cells - mean**2, 0.0)
    expressed = total >= min(20.0, np.median(total))
    p = float(np.clip(1.0 - np.median(mean[expressed] / np.maximum(variance[expressed], 1e-9)), 0.02, 0.98))
    share = np.clip(0.5 * depth / max(np.median(depth), 1.0), 0.05, 0.95)
    phi = (1.0 - p) / p
    return {"mu": mean, "r": mean * phi, "p": p, "phi": phi, "gate": 0.05, "p_capture": share}


def _spread_over(value: Any, spec: AbstractParamSpec, lengths: Mapping[str, int]) -> Any:
    """A moment as a value of the parameter: its mean where the parameter is one for all genes or cells.

    Components are set apart a little on the unconstrained scale, or they would stay alike for ever.
    """
    axes = AXES.get(spec.name, ())
    if not set(axes) <= set(spec.dims):
        value, axes = np.mean(value), ()
    shape = tuple(lengths[dim] for dim in spec.dims)
    found = np.broadcast_to(np.asarray(beside(np.asarray(value, float), axes, spec.dims), float), shape)
    if COMPONENTS not in spec.dims:
        return found
    apart = SPREAD_OF_COMPONENTS * np.random.default_rng(0).standard_normal(shape)
    return np.asarray(spec.bijector(spec.bijector.inv(found) + apart), float)


def _inside(spec: AbstractParamSpec, value: Any) -> bool:
    return value is not None and bool(np.all(spec.support(value)))


def _from_locations(
    model: Model,
    guide: Guide,
    located: Mapping[str, tuple[Any, Any]],
    slopes: Mapping[str, Mapping[str, Any]],
) -> dict[str, Start]:
    found: dict[str, Start] = {}
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        changed = {spec.name: _coordinates(spec, *located[spec.name]) for spec in model.specs}
        for spec in model.specs:
            location, spread, change = changed[spec.name]
            here: dict[str, Any] = {}
            for other in guide.families[spec.name].conditions_on:
                slope = slopes.get(spec.name, {}).get(other)
                if slope is not None:
                    _, spread_of_other, change_of_other = changed[other]
                    here[other] = slope * change / change_of_other
                    spread = np.sqrt(np.maximum(spread**2 - (here[other] * spread_of_other) ** 2, 0.01 * spread**2))
            found[spec.name] = Start(location, np.clip(spread, LEAST_SPREAD, LARGEST_SPREAD), here)
    return found


def _coordinates(spec: AbstractParamSpec, location: Any, spread: Any) -> tuple[Any, Any, Any]:
    """Location and spread in the specification's coordinates, and how fast these change with NumPyro's."""
    usual = biject_to(spec.support)
    if type(spec.bijector) is type(usual):
        return location, spread, 1.0
    move = lambda u: spec.bijector.inv(usual(u))  # noqa: E731
    moved, change = jax.jvp(move, (jnp.asarray(location),), (jnp.ones_like(jnp.asarray(location)),))
    return np.asarray(moved), np.asarray(spread * jnp.abs(change)), np.asarray(change)
