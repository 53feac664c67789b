"""Where fits begin: a moment of the counts is a start only of a parameter that can take it, laid out along its axes."""

from typing import Any

import jax
import numpy as np
import pytest

from modelwright.bayesian.builders import (
    AbstractParamSpec,
    BetaSpec,
    ExpNormalSpec,
    GammaSpec,
    GuideBuilder,
    LogNormalSpec,
    Model,
    ModelBuilder,
    NormalSpec,
    SigmoidNormalSpec,
    SoftplusNormalSpec,
    readiness,
)
from modelwright.bayesian.builders.starts import moments_of, values_from_moments
from modelwright.bayesian.components import NegativeBinomialLikelihood, PoissonLikelihood, observe
from modelwright.bayesian.components.guide_sites import Start
from modelwright.core.errors import ConfigurationError

RNG = np.random.default_rng(0)
COUNTS = RNG.negative_binomial(2.0, 0.4, (30, 5)) * np.array([1, 1, 2, 40, 900])
BATCH = np.repeat(["a", "b"], 15)
DATA = observe(COUNTS, batch=BATCH)
MOMENTS = moments_of(DATA)


def start_of(spec: AbstractParamSpec) -> Any:
    """The start of a parameter; only specifications and lengths of a model are looked at."""
    dims: dict[str, tuple[str, ...]] = {spec.name: spec.dims}
    return values_from_moments(Model((spec,), dims, PoissonLikelihood(), lengths={"n_components": 3}), DATA).get(
        spec.name
    )


TAKEN: dict[str, tuple[AbstractParamSpec, Any]] = {
    "per gene": (LogNormalSpec("r", ("n_genes",), (0.0, 1.0)), MOMENTS["r"]),
    "one for all genes": (LogNormalSpec("r", (), (0.0, 1.0)), MOMENTS["r"].mean()),
    "per cell, of a moment per gene": (GammaSpec("mu", ("n_cells",), (1.0, 1.0)), np.full(30, MOMENTS["mu"].mean())),
    "cells and genes": (GammaSpec("mu", ("n_cells", "n_genes"), (1.0, 1.0)), np.tile(MOMENTS["mu"], (30, 1))),
    "genes before batches": (
        SoftplusNormalSpec("mu", ("n_genes", "n_batches"), (0.0, 1.0)),
        np.tile(MOMENTS["mu"][:, None], (1, 2)),
    ),
    "capture of cells and genes": (
        BetaSpec("p_capture", ("n_cells", "n_genes"), (1.0, 1.0)),
        np.tile(MOMENTS["p_capture"][:, None], (1, 5)),
    ),
    "odds": (ExpNormalSpec("phi", ("n_genes",), (0.0, 1.0)), np.full(5, MOMENTS["phi"])),
    "a gate by its log-odds": (SigmoidNormalSpec("gate", ("n_genes",), (0.0, 1.0)), np.full(5, 0.05)),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_moment_is_laid_out_along_the_axes_of_its_parameter(case: str) -> None:
    spec, expected = TAKEN[case]
    np.testing.assert_allclose(start_of(spec), expected, rtol=1e-6)  # what passes through JAX has single precision


LEFT: dict[str, AbstractParamSpec] = {
    "a logarithm": NormalSpec("mu", ("n_genes",), (0.0, 1.0)),
    "log-odds": NormalSpec("p", (), (0.0, 1.0)),
    "odds that are a probability": BetaSpec("phi", (), (1.0, 1.0)),
    "a probability that is a rate": GammaSpec("p", (), (1.0, 1.0)),
    "an axis of unknown length": LogNormalSpec("mu", ("n_groups",), (0.0, 1.0)),
    "another name": LogNormalSpec("rate", ("n_genes",), (0.0, 1.0)),
}


@pytest.mark.parametrize("case", LEFT)
def test_a_moment_is_left_where_the_parameter_means_something_else(case: str) -> None:
    assert start_of(LEFT[case]) is None


@pytest.mark.parametrize(
    "spec",
    [
        BetaSpec("p", (), (1.0, 1.0), is_mixture=True),
        BetaSpec("p_capture", ("n_cells",), (1.0, 1.0), is_mixture=True),
        LogNormalSpec("mu", ("n_genes", "n_components"), (0.0, 1.0)),
        SoftplusNormalSpec("r", ("n_genes",), (0.0, 1.0), is_mixture=True),
    ],
    ids=lambda spec: spec.name,
)
def test_components_begin_apart_and_inside_of_the_support(spec: AbstractParamSpec) -> None:
    """On the unconstrained scale by a third or so of a unit, around the moment."""
    with jax.enable_x64(True):
        value = start_of(spec)
        assert np.all(spec.support(value))
        axis = spec.dims.index("n_components")
        shape = [1 if dim == "n_components" else n for dim, n in zip(spec.dims, value.shape, strict=True)]
        moment = np.reshape(np.broadcast_to(MOMENTS[spec.name], [n for n in shape if n > 1] or 1), shape)
        apart = np.asarray(spec.bijector.inv(value)) - np.asarray(spec.bijector.inv(moment))
    assert np.all(np.abs(np.diff(apart, axis=axis)) > 1e-4)
    assert np.abs(apart).max() < 0.3 * 5  # five standard deviations


def test_a_start_of_ones_own_stays_and_the_others_begin_near_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"p": Start(location=0.1), "mu": Start(location=0.2)}
    climbs = []

    def climbed(*arguments: Any) -> Any:  # the climb itself takes seconds, and has tests of its own
        climbs.append(arguments)
        return found, "the guide begins at the mode", 0.05

    monkeypatch.setattr(readiness, "starts_from_data", climbed)
    p, mu = BetaSpec("p", (), (1.0, 1.0)), LogNormalSpec("mu", ("n_genes",), (0.0, 3.0))
    builder = ModelBuilder().add_param(p).add_param(mu)
    builder.add_derived("r", lambda p, mu: mu * (1 - p) / p, ["p", "mu"])
    model = builder.with_likelihood(NegativeBinomialLikelihood()).build()
    guide, mine = GuideBuilder().from_specs([p, mu]).build(), Start(location=-1.5, spread=0.7)

    usual = model.made_ready(COUNTS, guide)
    assert usual.guide.starts == found
    assert usual.learning_rate == pytest.approx(0.3 * 0.05)

    mixed = model.made_ready(COUNTS, guide.starting_at({"p": mine}))
    assert mixed.guide.starts == {"p": mine, "mu": found["mu"]}
    assert mixed.notes[1] == "the guide begins at the mode; as the guide says itself: p"
    assert mixed.learning_rate is None  # there may be a long way to go

    given = guide.starting_at({"p": mine, "mu": mine})
    assert model.made_ready(COUNTS, given).guide is given
    with pytest.raises(ConfigurationError, match="init: the guide says itself where it begins; expected mode, got 'pa"):
        model.made_ready(COUNTS, given, init="pathfinder")
    assert len(climbs) == 2
