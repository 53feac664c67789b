"""Fits of built models: names that look like a guide's parameters, where a fit begins, files, sizes."""

import numpy as np

from modelwright.bayesian.builders import GuideBuilder, HalfNormalSpec, LogNormalSpec, Model, ModelBuilder, NormalSpec
from modelwright.bayesian.components import PoissonLikelihood
from modelwright.bayesian.inference.variational import svi

COUNTS = np.random.default_rng(5).poisson([1.0, 4.0, 9.0], (30, 3))


def hierarchical() -> Model:
    """Genes around a level and a spread of their own, under the names that people give these."""
    return (
        ModelBuilder()
        .add_param(NormalSpec("mu_loc", (), (0.0, 2.0)))
        .add_param(HalfNormalSpec("mu_scale", (), (1.0,)))
        .add_param(LogNormalSpec("mu", ("n_genes",), ("mu_loc", "mu_scale")))
        .with_likelihood(PoissonLikelihood(mean="mu"))
        .build()
    )


def test_parameters_may_be_called_like_what_a_guide_has() -> None:
    model = hierarchical()
    fit = svi(model, GuideBuilder().for_model(model).build(), COUNTS, steps=5)
    assert set(fit.sample(3)) == {"mu_loc", "mu_scale", "mu"}
    assert np.isfinite(fit.elbo).all()
