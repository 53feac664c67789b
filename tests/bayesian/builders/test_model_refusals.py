"""What cannot be a model is refused when it is built, by name."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpyro
import pytest

from modelwright.bayesian.builders import (
    AbstractParamSpec,
    BetaSpec,
    DirichletSpec,
    GaussianLatentSpec,
    LogNormalSpec,
    Model,
    ModelBuilder,
    NormalSpec,
)
from modelwright.bayesian.components import (
    COUNTS,
    Amortizer,
    Decoder,
    GroupedAmortizedGuide,
    MixtureLikelihood,
    PoissonLikelihood,
)
from modelwright.core.errors import ConfigurationError

NU = BetaSpec("nu", ("n_cells",), (5.0, 2.0), is_cell_specific=True)


def weighted(weights: AbstractParamSpec) -> Model:
    builder = ModelBuilder().add_param(weights).add_param(LogNormalSpec("mu", ("n_genes",), (0.0, 1.0)))
    return builder.with_likelihood(MixtureLikelihood(PoissonLikelihood(), 2)).build()


def group(site: str) -> GroupedAmortizedGuide:
    encoder = Amortizer(COUNTS, (4,), ("loc", "log_scale"))
    return GroupedAmortizedGuide(encoder, GaussianLatentSpec(2, site), Decoder((4,), {"mu": "positive"}))


REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing observed": (
        lambda: ModelBuilder().add_param(NU).build(),
        "likelihood: the model observes nothing; add .with_likelihood(NegativeBinomialLikelihood())",
    ),
    "a name twice": (
        lambda: ModelBuilder().add_param(NU).add_param(NU),
        "nu: 'nu' is there already; give every part of the model a name of its own",
    ),
    "a parent that is not there": (
        lambda: (
            ModelBuilder()
            .add_param(LogNormalSpec("mu", (), ("lvel", 1.0)))
            .add_param(NormalSpec("level", (), (0.0, 1.0)))
            .with_likelihood(PoissonLikelihood())
            .build()
        ),
        "mu: depends on 'lvel', which is no parameter of the model; did you mean 'level'? known: mu, level",
    ),
    "a circle": (
        lambda: (
            ModelBuilder()
            .add_derived("a", lambda b: b, ["b"])
            .add_derived("b", lambda a: a, ["a"])
            .with_likelihood(PoissonLikelihood("a"))
            .build()
        ),
        "these depend on each other in a circle",
    ),
    "a likelihood without its parameter": (
        lambda: ModelBuilder().add_param(NU).with_likelihood(PoissonLikelihood()).build(),
        "likelihood: PoissonLikelihood needs 'mu', and nothing of that name is in the model; expected mu, got 'nu'",
    ),
    "a global prior on cells": (
        lambda: (
            ModelBuilder()
            .add_param(NU)
            .add_param(LogNormalSpec("mu", (), (0.0, "nu")))
            .with_likelihood(PoissonLikelihood())
            .build()
        ),
        "mu: its prior depends on a parameter with the axis 'n_cells', which it has not itself",
    ),
    "components without a mixture": (
        lambda: (
            ModelBuilder()
            .add_param(LogNormalSpec("mu", (), (0.0, 1.0), is_mixture=True))
            .with_likelihood(PoissonLikelihood())
            .build()
        ),
        "mu: differs between components, and the likelihood is no mixture",
    ),
    "derived components without a mixture": (
        lambda: (
            ModelBuilder()
            .add_param(LogNormalSpec("level", (), (0.0, 1.0)))
            .add_derived("mu", lambda level: level, ["level"], dims=("n_components",))
            .with_likelihood(PoissonLikelihood())
            .build()
        ),
        "mu: differs between components, and the likelihood is no mixture",
    ),
    "a derived quantity that leaves out the cells it is computed from": (
        lambda: (
            ModelBuilder()
            .add_param(NU)
            .add_derived("mu", lambda nu: nu.mean(), ["nu"], dims=())
            .with_likelihood(PoissonLikelihood())
            .build()
        ),
        "mu.dims: is computed from 'nu', which every cell has its own of, and its axes leave the cells out; expected "
        "axes with 'n_cells', got (); leave dims out",
    ),
    "weights that are no component's": (
        lambda: weighted(LogNormalSpec("weights", (), (0.0, 1.0))),
        "weights: the weights of a mixture are one for each component, and perhaps for each cell; "
        "expected the axis 'n_components', got ()",
    ),
    "weights of genes": (
        lambda: weighted(DirichletSpec("weights", ("n_genes", "n_components"), (1.0,))),
        "weights: the weights of a mixture are one for each component",
    ),
    "a parameter with the name of a latent variable": (
        lambda: ModelBuilder().add_latent(group("z")).add_param(NormalSpec("z", (), (0.0, 1.0))),
        "z: 'z' is there already; give every part of the model a name of its own",
    ),
    "a latent variable with the name of a parameter": (
        lambda: ModelBuilder().add_param(NormalSpec("z", (), (0.0, 1.0))).add_latent(group("z")),
        "z: 'z' is there already; give the latent variable another sample_site",
    ),
    "a latent variable with the name of what it decodes to": (
        lambda: ModelBuilder().add_latent(group("mu")),
        "mu: 'mu' is there already",
    ),
    "a latent variable with the name of the data": (
        lambda: ModelBuilder().add_latent(group("counts")),
        "name: not a usable name; expected a name other than counts, cells, got 'counts'",
    ),
    "the name of the data": (
        lambda: ModelBuilder().add_param(NormalSpec("counts", (), (0.0, 1.0))),
        "name: not a usable name; expected a name other than counts, cells, got 'counts'",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_a_model_is_refused_when_it_is_built(case: str) -> None:
    build, message = REFUSALS[case]
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert message in str(caught.value)


def test_a_derived_quantity_of_the_wrong_shape_is_named() -> None:
    model = (
        ModelBuilder()
        .add_param(LogNormalSpec("level", ("n_genes",), (0.0, 1.0)))
        .add_derived("mu", lambda level: level[:2], ["level"])
        .with_likelihood(PoissonLikelihood())
        .build()
    )
    with pytest.raises(ConfigurationError, match=r"mu: came out with shape \(2,\); expected axes n_genes"):
        numpyro.handlers.seed(model, jax.random.key(0))(np.ones((6, 4)))
