"""Laws that every guide family obeys on every support and every axis."""

import itertools
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.distributions import biject_to, constraints
from numpyro.infer import Trace_ELBO

from modelwright.bayesian.components.amortized_guide import AmortizedGuide
from modelwright.bayesian.components.amortizers import Amortizer
from modelwright.bayesian.components.conditional_guide import ConditionalGuide, remembered
from modelwright.bayesian.components.flow_guide import NormalizingFlowGuide
from modelwright.bayesian.components.guide_families import LowRankGuide, MeanFieldGuide
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite, Start
from modelwright.bayesian.components.joint_low_rank import JointLowRankGuide
from modelwright.bayesian.components.observed import observe
from modelwright.bayesian.components.setup_guide import sample_unit, setup_guide
from modelwright.bayesian.components.sufficient_statistics import COUNTS, MEAN_AND_VARIANCE, TOTAL_COUNT

N_CELLS, N_GENES, N_COMPONENTS = 6, 4, 3
BATCH = np.array([4, 1], np.int32)

SUPPORTS = {
    "real": (constraints.real, lambda shape: dist.Normal(jnp.zeros(shape), 1.0).to_event(len(shape))),
    "positive": (constraints.positive, lambda shape: dist.LogNormal(jnp.zeros(shape), 1.0).to_event(len(shape))),
    "unit interval": (constraints.unit_interval, lambda shape: dist.Beta(jnp.ones(shape), 2.0).to_event(len(shape))),
    "simplex": (constraints.simplex, lambda shape: dist.Dirichlet(jnp.full(shape, 2.0)).to_event(len(shape) - 1)),
}
AXES = {
    "single number": ((), ()),
    "genes": (("n_genes",), (N_GENES,)),
    "cells": (("n_cells",), ()),
    "cells x genes": (("n_cells", "n_genes"), (N_GENES,)),
    "components x genes": (("n_components", "n_genes"), (N_COMPONENTS, N_GENES)),
}
FAMILIES = {
    "mean field": MeanFieldGuide(),
    "low rank": LowRankGuide(rank=2),
    "joint low rank": JointLowRankGuide(rank=2),
    "conditional": ConditionalGuide(on=("p",)),
    "conditional low rank": ConditionalGuide(on=("p",), family=LowRankGuide(rank=1)),
    "amortized": AmortizedGuide(Amortizer(MEAN_AND_VARIANCE, (5,))),
    "normalizing flow": NormalizingFlowGuide(n_layers=2, hidden_dims=(5,)),
}
GRID = list(itertools.product(FAMILIES, SUPPORTS, AXES))
# every family on every axis, the supports in turn; the rest of the grid is the slow part
DIAGONAL = [
    (family, list(SUPPORTS)[(k + axis) % 4], list(AXES)[axis]) for k, family in enumerate(FAMILIES) for axis in range(5)
]
REST = sorted(set(GRID) - set(DIAGONAL))
ONE_EACH = [DIAGONAL[5 * k + (3 * k + 1) % 5] for k in range(len(FAMILIES))]
# compiled once and run once: compiling costs more than running
UNOPTIMISED = {"xla_backend_optimization_level": 0}

COUNTS_SEEN = np.random.default_rng(0).poisson(3.0, (N_CELLS, N_GENES))
DATA = observe(COUNTS_SEEN, statistics=[TOTAL_COUNT, MEAN_AND_VARIANCE, COUNTS])
P_SITE = GuideSite("p", constraints.unit_interval, biject_to(constraints.unit_interval), (), ())


def site_of(support: str, axes: str) -> GuideSite:
    dims, shape = AXES[axes]
    names = tuple(dim for dim in dims if dim != "n_cells")
    if support == "simplex" and not shape:
        names, shape = ("n_components",), (N_COMPONENTS,)
    constraint = SUPPORTS[support][0]
    units = N_CELLS if "n_cells" in dims else None
    size = biject_to(constraint).inverse_shape(shape)
    start = Start(location=0.3 * np.arange(int(np.prod(size))).reshape(size), spread=0.2)
    return GuideSite("x", constraint, biject_to(constraint), shape, names, units, start)


def context_of(cells: Any = None) -> GuideContext:
    """The context after the variable p was drawn a little off its centre."""
    base = dist.Normal(-0.5, 0.4)
    return remembered(GuideContext(cells=cells, data=DATA), P_SITE, base, jnp.asarray(-0.2))


def perturbed_parameters(family: Any, site: GuideSite) -> dict[str, Any]:
    """The family's parameters, moved away from where they begin."""
    with handlers.trace() as trace, handlers.seed(rng_seed=0):
        setup_guide(None, family, site, context_of())
    numbers, found = np.random.default_rng(1), {}
    for name, entry in trace.items():
        positive = "constraint" in entry["kwargs"]
        leaves, tree = jax.tree.flatten(entry["value"])
        noise = [0.3 * numbers.standard_normal(jnp.shape(leaf)) for leaf in leaves]
        moved = [leaf * np.exp(n) if positive else leaf + n for leaf, n in zip(leaves, noise, strict=True)]
        found[name] = jax.tree.unflatten(tree, moved)
    return found


def base_at(family: Any, site: GuideSite, parameters: dict[str, Any], cells: Any = None) -> dist.Distribution:
    with handlers.substitute(data=parameters), handlers.seed(rng_seed=0):
        return setup_guide(None, family, site, context_of(cells))


def log_determinant(site: GuideSite, u: Any) -> Any:
    """log |d value / d u| of one unit by autodiff; on a simplex the last entry follows from the others."""

    def flat(numbers: Any) -> Any:
        value = site.onto_support(numbers.reshape(site.unconstrained_shape))
        return (value[..., :-1] if site.support is constraints.simplex else value).reshape(-1)

    return jnp.linalg.slogdet(jax.jacfwd(flat)(u.reshape(-1)))[1]


def check_shapes(family: str, support: str, axes: str) -> None:
    site = site_of(support, axes)

    def shapes(cells: Any) -> Any:
        base = base_at(FAMILIES[family], site, {}, cells)
        value = site.constrained(base).sample(random.key(0))
        return base.sample(random.key(0)), value, site.constrained(base).log_prob(value)

    for cells in (None, BATCH) if site.n_units is not None else (None,):
        units = () if site.n_units is None else (N_CELLS if cells is None else 2,)
        u, value, log_prob = jax.eval_shape(shapes, cells)  # nothing is computed, only shapes are followed
        assert u.shape == (*units, *site.unconstrained_shape)
        assert value.shape == (*units, *site.event_shape)
        assert log_prob.shape == units


@pytest.mark.parametrize(("family", "support", "axes"), DIAGONAL)
def test_every_family_has_the_shapes_of_every_variable(family: str, support: str, axes: str) -> None:
    check_shapes(family, support, axes)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "support", "axes"), REST)
def test_the_grid_of_families_supports_and_axes_has_no_holes(family: str, support: str, axes: str) -> None:
    check_shapes(family, support, axes)


def check_densities(family: str, support: str, axes: str) -> None:
    site = site_of(support, axes)
    u = 0.2 + 0.3 * np.random.default_rng(2).standard_normal((N_CELLS, *site.unconstrained_shape))
    u = u if site.n_units is not None else u[0]

    def values(u: Any) -> Any:
        parameters = perturbed_parameters(FAMILIES[family], site)
        base = base_at(FAMILIES[family], site, parameters)
        value = site.onto_support(u)
        each = u if site.n_units is not None else u[None]
        expected = base.log_prob(u) - jax.vmap(lambda one: log_determinant(site, one))(each).reshape(base.batch_shape)
        few = base_at(FAMILIES[family], site, parameters, BATCH)
        of_few = few.log_prob(jnp.take(u, BATCH, axis=0)) if site.n_units is not None else few.log_prob(u)
        return value, site.constrained(base).log_prob(value), expected, base.log_prob(u), of_few

    with jax.enable_x64(True):
        value, log_prob, expected, of_base, of_few = jax.jit(values, compiler_options=UNOPTIMISED)(u)
        assert bool(jnp.all(site.support(value)))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-6, atol=1e-6)  # against autodiff, float64
    # same formula; the batched covariance is factorised in another order
    np.testing.assert_allclose(of_few, np.asarray(of_base)[BATCH] if site.n_units is not None else of_base, rtol=1e-9)


@pytest.mark.parametrize(("family", "support", "axes"), ONE_EACH)
def test_density_is_the_change_of_variables_and_mini_batches_are_rows(family: str, support: str, axes: str) -> None:
    check_densities(family, support, axes)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "support", "axes"), sorted(set(GRID) - set(ONE_EACH)))
def test_density_is_the_change_of_variables_on_the_rest_of_the_grid(family: str, support: str, axes: str) -> None:
    check_densities(family, support, axes)


def unreached(cases: list[tuple[str, str, str]]) -> list[str]:
    """Parameters of a guide with these variables of which some entry receives no gradient of the bound at the start."""
    sites = [replace(site_of(support, axes), name=f"x{k}") for k, (_, support, axes) in enumerate(cases)]
    plate = partial(numpyro.plate, "cells", N_CELLS)

    def model() -> None:
        p = numpyro.sample("p", dist.Beta(2.0, 2.0))
        for site, (_, support, _) in zip(sites, cases, strict=True):
            with plate() if site.n_units is not None else nullcontext():
                x = numpyro.sample(site.name, SUPPORTS[support][1](site.event_shape))
            numpyro.factor(f"data_{site.name}", -((jnp.sum(x**2) * (1.0 + p) - 1.0) ** 2))

    def guide() -> None:
        cells = plate() if any(site.n_units is not None for site in sites) else None
        _, context = sample_unit([None], MeanFieldGuide(), [P_SITE], GuideContext(data=DATA), cells)
        for site, (family, _, _) in zip(sites, cases, strict=True):
            sample_unit([None], FAMILIES[family], [site], context, cells)

    def gradients() -> Any:
        with handlers.trace() as trace, handlers.seed(rng_seed=0):
            guide()
        parameters = {name: entry["value"] for name, entry in trace.items() if entry["type"] == "param"}
        return jax.grad(lambda values: Trace_ELBO().loss(random.key(0), values, model, guide))(parameters)

    gradient = jax.tree_util.tree_flatten_with_path(jax.jit(gradients, compiler_options=UNOPTIMISED)())[0]
    return [jax.tree_util.keystr(path) for path, found in gradient if not bool(np.all(found != 0.0))]


def test_the_gradient_of_the_bound_reaches_every_parameter() -> None:
    cases = {"low rank": "genes", "amortized": "cells", "normalizing flow": "single number"}
    assert unreached([(family, "positive", axes) for family, axes in cases.items()]) == []


@pytest.mark.slow
@pytest.mark.parametrize("case", DIAGONAL)
def test_the_gradient_reaches_every_parameter_on_every_axis(case: tuple[str, str, str]) -> None:
    assert unreached([case]) == []
