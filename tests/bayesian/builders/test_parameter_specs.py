"""Specifications: densities against SciPy, and contradictions refused when they are made."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

from modelwright.bayesian.builders import (
    AbstractParamSpec,
    BetaPrimeSpec,
    BetaSpec,
    DirichletSpec,
    ExpNormalSpec,
    ExponentialSpec,
    GammaSpec,
    HalfNormalSpec,
    LogNormalSpec,
    NormalSpec,
    SigmoidNormalSpec,
    SoftplusNormalSpec,
)
from modelwright.core.errors import ConfigurationError

UNIT, POSITIVE, REAL = np.array([0.02, 0.4, 0.97]), np.array([0.01, 0.8, 30.0]), np.array([-4.0, 0.1, 3.0])


def softplus_normal(x: np.ndarray) -> np.ndarray:
    return stats.norm.logpdf(np.log(np.expm1(x)), 0.5, 2.0) - np.log(-np.expm1(-x))


def sigmoid_normal(x: np.ndarray) -> np.ndarray:
    return stats.norm.logpdf(np.log(x / (1 - x)), 0.5, 2.0) - np.log(x * (1 - x))


DENSITIES: dict[str, tuple[AbstractParamSpec, np.ndarray, Any]] = {
    "beta": (BetaSpec("x", (), (2.0, 3.0)), UNIT, stats.beta(2, 3).logpdf),
    "log-normal": (LogNormalSpec("x", (), (0.5, 2.0)), POSITIVE, stats.lognorm(2.0, scale=np.exp(0.5)).logpdf),
    "exp-normal": (ExpNormalSpec("x", (), (0.5, 2.0)), POSITIVE, stats.lognorm(2.0, scale=np.exp(0.5)).logpdf),
    "beta prime": (BetaPrimeSpec("x", (), (2.0, 3.0)), POSITIVE, stats.betaprime(2, 3).logpdf),
    "sigmoid-normal": (SigmoidNormalSpec("x", (), (0.5, 2.0)), UNIT, sigmoid_normal),
    "softplus-normal": (SoftplusNormalSpec("x", (), (0.5, 2.0)), POSITIVE, softplus_normal),
    "gamma": (GammaSpec("x", (), (2.0, 3.0)), POSITIVE, stats.gamma(2, scale=1 / 3).logpdf),
    "half-normal": (HalfNormalSpec("x", (), (2.0,)), POSITIVE, stats.halfnorm(scale=2).logpdf),
    "exponential": (ExponentialSpec("x", (), (0.1,)), POSITIVE, stats.expon(scale=10).logpdf),
    "normal": (NormalSpec("x", (), (0.5, 2.0)), REAL, stats.norm(0.5, 2).logpdf),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_the_density_is_the_documented_one(name: str) -> None:
    spec, x, expected = DENSITIES[name]
    with jax.enable_x64(True):
        prior = spec.prior({}, {})
        assert np.asarray(prior.log_prob(x)) == pytest.approx(expected(x), rel=1e-10, abs=1e-10)  # the same formula
        assert bool(np.all(spec.support(x)))
        assert np.asarray(spec.bijector(spec.bijector.inv(x))) == pytest.approx(x, rel=1e-9)
    assert list(spec.arg_constraints) == list(spec.argument_names)


def test_a_dirichlet_runs_over_its_last_axis() -> None:
    spec = DirichletSpec("w", ("n_groups", "n_components"), (2.0,))
    with jax.enable_x64(True):
        prior = spec.prior({}, {"n_groups": 4, "n_components": 3})
        x = np.tile([0.2, 0.3, 0.5], (4, 1))
        assert prior.event_shape == (4, 3)
        assert float(prior.log_prob(x)) == pytest.approx(4 * stats.dirichlet([2, 2, 2]).logpdf([0.2, 0.3, 0.5]))


def test_arguments_may_be_arrays_and_other_parameters() -> None:
    spec = LogNormalSpec("mu", ("n_genes",), (np.array([0.0, 1.0, 2.0]), "spread"))
    assert spec.depends_on == ("spread",)
    prior = spec.prior({"spread": 0.5}, {"n_genes": 3})
    expected = stats.lognorm(0.5, scale=np.exp([0.0, 1.0, 2.0])).logpdf(2.0).sum()
    assert float(prior.log_prob(np.full(3, 2.0))) == pytest.approx(expected, rel=1e-5)  # float32
    assert spec == LogNormalSpec("mu", ["n_genes"], ([0.0, 1.0, 2.0], "spread"))


NU: dict[str, Any] = {"name": "nu", "shape_dims": ("n_cells",), "default_params": (1.0, 1.0)}
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "cells flag without cells": (
        NU | {"shape_dims": ("n_genes",), "is_cell_specific": True},
        "nu: is_cell_specific=True contradicts shape_dims=('n_genes',), which has not n_cells; leave is_cell_specific "
        "out, or change shape_dims",
    ),
    "genes flag against genes": (
        NU | {"shape_dims": ("n_genes",), "is_gene_specific": False},
        "nu: is_gene_specific=False contradicts shape_dims=('n_genes',), which has n_genes; leave is_gene_specific "
        "out, or change shape_dims",
    ),
    "a shape below zero": (
        NU | {"default_params": (1.0, -1.0)},
        "nu.beta: not usable; expected a number above 0, got -1.0",
    ),
    "an infinite argument": (
        NU | {"default_params": (1.0, np.inf)},
        "nu.beta: not usable; expected a finite number, an array, or a parameter's name, got inf",
    ),
    "too few arguments": (
        NU | {"default_params": (1.0,)},
        "nu.default_params: not the arguments of this prior; expected (alpha, beta), got (1.0,)",
    ),
    "a text for axes": (
        NU | {"shape_dims": "n_genes"},
        "nu.shape_dims: a text; expected a tuple such as ('n_genes',), got 'n_genes'",
    ),
    "cells after genes": (
        NU | {"shape_dims": ("n_genes", "n_cells")},
        "nu.shape_dims: the cells come first; expected ('n_cells', ...), got ('n_genes', 'n_cells')",
    ),
    "itself": (NU | {"default_params": ("nu", 1.0)}, "nu: the prior of a parameter cannot depend on itself"),
    "a name with a blank": (
        NU | {"name": "my nu"},
        "name: not a usable name of a parameter; expected a name such as 'mu' or 'p_capture', got 'my nu'",
    ),
    "a guide family that is none": (
        NU | {"guide_family": "low rank"},
        "nu.guide_family: not a guide family; expected an instance such as MeanFieldGuide() or LowRankGuide(rank=10), "
        "got 'low rank'",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_contradictions_are_refused_when_a_specification_is_made(case: str) -> None:
    arguments, message = REFUSALS[case]
    with pytest.raises(ConfigurationError) as caught:
        BetaSpec(**arguments)
    assert str(caught.value) == message


def test_a_vector_needs_an_axis() -> None:
    with pytest.raises(ConfigurationError, match="a DirichletSpec is a vector and needs an axis besides the cells"):
        DirichletSpec("w", ("n_cells",), (1.0,))


def test_components_come_before_genes_and_after_cells() -> None:
    assert GammaSpec("r", ("n_genes",), (1.0, 1.0), is_mixture=True).dims == ("n_components", "n_genes")
    of_cells = GammaSpec("r", ("n_cells", "n_genes"), (1.0, 1.0), is_mixture=True)
    assert of_cells.dims == ("n_cells", "n_components", "n_genes")
