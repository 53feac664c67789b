"""The order in which a parameter names its axes is a matter of writing: the density is that of loops written out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density
from scipy import stats
from scipy.special import logsumexp

from modelwright.bayesian.builders import DirichletSpec, LogNormalSpec, Model, ModelBuilder, NormalSpec
from modelwright.bayesian.components import GaussianLikelihood, MixtureLikelihood, PoissonLikelihood, observe
from modelwright.core.errors import ConfigurationError

LENGTHS = {"n_cells": 5, "n_components": 2, "n_batches": 3, "n_genes": 4}
COUNTS = np.random.default_rng(0).poisson(2.0, (5, 4))
BATCH = np.array([2, 0, 1, 1, 2])
WEIGHTS = np.array([0.3, 0.7])
DATA = observe(COUNTS, batch=BATCH)


def mixture(*dims: str) -> Model:
    return (
        ModelBuilder()
        .add_param(DirichletSpec("weights", ("n_components",), (1.0,)))
        .add_param(LogNormalSpec("mu", dims, (0.0, 1.0), is_mixture=True))
        .with_likelihood(MixtureLikelihood(PoissonLikelihood(), 2))
        .build()
    )


def by_hand(mu: np.ndarray, axes: str) -> float:
    """Sum over the components of every cell, the index of every axis written out."""
    total = stats.norm.logpdf(np.log(mu)).sum() - np.log(mu).sum() + stats.dirichlet([1, 1]).logpdf(WEIGHTS)
    for cell in range(5):
        parts = []
        for component in range(2):
            at = {"n_cells": cell, "n_components": component, "n_batches": BATCH[cell]}
            means = [mu[tuple({**at, "n_genes": gene}[axis] for axis in axes.split())] for gene in range(4)]
            parts.append(np.log(WEIGHTS[component]) + stats.poisson.logpmf(COUNTS[cell], means).sum())
        total += logsumexp(parts)
    return float(total)


ORDERS = {
    "genes": "n_components n_genes",
    "n_genes n_components": "n_genes n_components",
    "n_cells n_genes n_components": "n_cells n_genes n_components",
    "n_cells n_genes": "n_cells n_components n_genes",
    "n_batches n_genes": "n_components n_batches n_genes",
    "n_genes n_batches": "n_components n_genes n_batches",
    "n_genes n_components n_batches": "n_genes n_components n_batches",
}


@pytest.mark.parametrize("written", ORDERS)
def test_the_order_of_axes_is_the_parameters_own(written: str) -> None:
    axes = ORDERS[written]
    model = mixture(*(("n_genes",) if written == "genes" else tuple(written.split())))
    assert model.specs[1].dims == tuple(axes.split())
    mu = np.random.default_rng(1).lognormal(size=[LENGTHS[axis] for axis in axes.split()])
    with jax.enable_x64(True):
        found = float(log_density(model, (DATA,), {}, {"weights": WEIGHTS, "mu": mu})[0])
    assert found == pytest.approx(by_hand(mu, axes), rel=1e-11)


def values_of(model: Model, name: str, values: dict[str, Any]) -> np.ndarray:
    run = handlers.trace(handlers.substitute(handlers.seed(model, jax.random.key(0)), data=values))
    return np.asarray(run.get_trace(DATA)[name]["value"])


def with_sigma() -> ModelBuilder:
    return ModelBuilder().add_param(LogNormalSpec("sigma", (), (0.0, 1.0))).with_likelihood(GaussianLikelihood())


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        (None, lambda effect: effect.T),
        (("n_genes", "n_batches"), lambda effect: effect.T),
        (("n_genes", "n_cells"), lambda effect: effect.T[BATCH]),
    ],
)
def test_what_is_derived_from_batches_is_of_batches_until_cells_are_asked_for(dims: Any, expected: Any) -> None:
    effect = np.random.default_rng(2).normal(size=(4, 3))
    builder = with_sigma().add_param(NormalSpec("effect", ("n_genes", "n_batches"), (0.0, 1.0)))
    builder.add_derived("mu", lambda effect: 2.0 * effect, ["effect"], dims=dims)
    builder.add_derived("deeper", lambda mu: mu, ["mu"])
    model = builder.build()
    for name in ("mu", "deeper"):  # the second sees what the first laid out
        assert np.allclose(values_of(model, name, {"effect": effect}), 2.0 * expected(effect), rtol=1e-6)
    with jax.enable_x64(True):
        found = float(log_density(model, (DATA,), {}, {"effect": effect, "sigma": 1.5})[0])
    wanted = stats.norm.logpdf(effect).sum() + stats.lognorm(1).logpdf(1.5)
    wanted += stats.norm.logpdf(COUNTS, 2.0 * effect.T[BATCH], 1.5).sum()
    assert found == pytest.approx(wanted, rel=1e-11)


def test_beside_values_of_cells_those_of_batches_are_looked_up() -> None:
    effect, depth = np.random.default_rng(2).normal(size=(4, 3)), np.arange(1.0, 6.0)
    builder = with_sigma().add_param(NormalSpec("effect", ("n_genes", "n_batches"), (0.0, 1.0)))
    builder.add_param(NormalSpec("depth", ("n_cells",), (0.0, 1.0)))
    model = builder.add_derived("mu", lambda effect, depth: effect * depth, ["effect", "depth"]).build()
    found = values_of(model, "mu", {"effect": effect, "depth": depth})
    assert np.allclose(found, effect.T[BATCH] * depth[:, None], rtol=1e-6)


def test_axes_that_leave_the_rows_out_are_refused() -> None:
    builder = with_sigma().add_param(NormalSpec("effect", ("n_batches", "n_genes"), (0.0, 1.0)))
    builder.add_derived("mu", lambda effect: effect.mean(0), ["effect"], dims=("n_genes",))
    with pytest.raises(ConfigurationError, match=r"mu\.dims: is computed from 'effect', which every batch has its own"):
        builder.build()
    both = with_sigma().add_param(NormalSpec("mu", ("n_cells", "n_batches"), (0.0, 1.0)))
    with pytest.raises(ConfigurationError, match="mu: every cell has one batch"):
        both.build()


PRIORS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "batches": (("n_batches",), ("n_batches", "n_genes"), "b,bg->bg"),
    "batches, genes first": (("n_batches",), ("n_genes", "n_batches"), "b,gb->gb"),
    "genes first in the child": (("n_genes",), ("n_genes", "n_batches"), "g,gb->gb"),
    "two axes the other way": (("n_batches", "n_genes"), ("n_genes", "n_batches"), "bg,gb->gb"),
    "batches of cells": (("n_batches",), ("n_cells", "n_genes"), "c,cg->cg"),
}


@pytest.mark.parametrize("case", PRIORS)
def test_a_prior_meets_its_parent_axis_by_axis(case: str) -> None:
    parent, child, meeting = PRIORS[case]
    rng = np.random.default_rng(3)
    level = rng.normal(size=[LENGTHS[axis] for axis in parent])
    mu = rng.normal(size=[LENGTHS[axis] for axis in child])
    builder = with_sigma().add_param(NormalSpec("level", parent, (0.0, 1.0)))
    model = builder.add_param(NormalSpec("mu", child, ("level", 0.5))).build()
    with jax.enable_x64(True):
        found = float(log_density(model, (DATA,), {}, {"level": level, "mu": mu, "sigma": 1.5})[0])
    spread = np.einsum(meeting, level[BATCH] if case == "batches of cells" else level, np.ones_like(mu))
    seen = {"n_batches,n_genes": lambda: mu[BATCH], "n_genes,n_batches": lambda: mu.T[BATCH]}
    mean = seen.get(",".join(child), lambda: mu)()
    expected = stats.norm.logpdf(level).sum() + stats.norm.logpdf(mu, spread, 0.5).sum() + stats.lognorm(1).logpdf(1.5)
    assert found == pytest.approx(expected + stats.norm.logpdf(COUNTS, mean, 1.5).sum(), rel=1e-11)


def test_axes_of_other_names_meet_in_priors_and_stay_for_functions() -> None:
    builder = with_sigma().add_param(NormalSpec("level", ("n_factors",), (0.0, 1.0)))
    builder.add_param(NormalSpec("loading", ("n_factors", "n_genes"), ("level", 1.0)))
    model = builder.add_derived("mu", lambda loading: jnp.sum(loading, 0), ["loading"], dims=("n_genes",)).build()
    level, loading = np.arange(2.0), np.random.default_rng(4).normal(size=(2, 4))
    with jax.enable_x64(True):
        values = {"level": level, "loading": loading, "sigma": 1.5}
        found = float(log_density(model, (DATA,), {"dims": {"n_factors": 2}}, values)[0])
    expected = stats.norm.logpdf(level).sum() + stats.norm.logpdf(loading, level[:, None]).sum()
    expected += stats.norm.logpdf(COUNTS, loading.sum(0), 1.5).sum() + stats.lognorm(1).logpdf(1.5)
    assert found == pytest.approx(expected, rel=1e-11)
