"""Parameters that differ between batches of cells: the compressed likelihood is the one that looks at every entry."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density

from modelwright.bayesian.builders import AbstractParamSpec, BetaSpec, LogNormalSpec, Model, ModelBuilder
from modelwright.bayesian.builders.readiness import observed_for
from modelwright.bayesian.components import AbstractLikelihood, NegativeBinomialLikelihood, PoissonLikelihood, observe
from modelwright.bayesian.components.compressed_counts import compress_matrix

RNG = np.random.default_rng(0)
COUNTS = RNG.negative_binomial(1.5, 0.4, (12, 5))
BATCH = np.array([2, 0, 1, 1, 2, 0, 0, 1, 2, 2, 0, 1])
ROWS, GENES = ("n_batches",), ("n_batches", "n_genes")


def built(likelihood: AbstractLikelihood, *specs: AbstractParamSpec) -> Model:
    builder = ModelBuilder()
    for spec in specs:
        builder.add_param(spec)
    return builder.with_likelihood(likelihood).build()


MODELS: dict[str, tuple[Model, str]] = {
    "r of batches and genes": (
        built(NegativeBinomialLikelihood(), BetaSpec("p", (), (2.0, 2.0)), LogNormalSpec("r", GENES, (0.0, 1.0))),
        "rank one",
    ),
    "p of batches": (
        built(
            NegativeBinomialLikelihood(), BetaSpec("p", ROWS, (2.0, 2.0)), LogNormalSpec("r", ("n_genes",), (0.0, 1.0))
        ),
        "rank one",
    ),
    "capture of cells": (
        built(
            NegativeBinomialLikelihood(capture="nu"),
            BetaSpec("p", ROWS, (2.0, 2.0)),
            LogNormalSpec("r", ("n_genes", "n_batches"), (0.0, 1.0)),
            BetaSpec("nu", ("n_cells",), (2.0, 2.0)),
        ),
        "rank one",
    ),
    "p of batches and genes": (
        built(NegativeBinomialLikelihood(), BetaSpec("p", GENES, (2.0, 2.0)), LogNormalSpec("r", (), (0.0, 1.0))),
        "pairs",
    ),
    "gates of batches": (
        built(
            NegativeBinomialLikelihood(gate="gate"),
            BetaSpec("p", ROWS, (2.0, 2.0)),
            LogNormalSpec("r", GENES, (0.0, 1.0)),
            BetaSpec("gate", ROWS, (1.0, 4.0)),
        ),
        "pairs",
    ),
    "gates of batches beside capture of cells": (
        built(
            NegativeBinomialLikelihood(gate="gate", capture="nu"),
            BetaSpec("p", (), (2.0, 2.0)),
            LogNormalSpec("r", ("n_genes",), (0.0, 1.0)),
            BetaSpec("gate", GENES, (1.0, 4.0)),
            BetaSpec("nu", ("n_cells",), (2.0, 2.0)),
        ),
        "sparse",
    ),
    "Poisson, with a scale of batches": (
        built(
            PoissonLikelihood(scale="depth"),
            LogNormalSpec("mu", GENES, (0.0, 1.0)),
            LogNormalSpec("depth", ROWS, (0.0, 1.0)),
        ),
        "rank one",
    ),
}


def some_values(model: Model) -> dict[str, Any]:
    lengths = {"n_cells": 12, "n_genes": 5, "n_batches": 3}
    draw = np.random.default_rng(1)
    return {
        spec.name: np.asarray(spec.bijector(jnp.asarray(draw.normal(size=[lengths[d] for d in spec.dims]))))
        for spec in model.specs
    }


SLOWER = ("r of batches and genes", "p of batches and genes")


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c in SLOWER else c for c in MODELS])
def test_value_and_gradient_are_those_of_every_entry(case: str) -> None:
    model, form = MODELS[case]
    assert model.compressed_form == form
    with jax.enable_x64(True):
        values = some_values(model)
        data, note = observed_for(model, None, observe(COUNTS, batch=BATCH))
        assert f"compressed, {form}" in note
        assert data.compressed.n_batches == 3

        def density(values: Any, model: Model) -> Any:
            return log_density(model, (data,), {}, values)[0]

        found, expected = (jax.value_and_grad(density)(values, each) for each in (model, model.entry_by_entry()))
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            # the same sums in another order, of a hundred terms
            assert np.allclose(one, other, rtol=1e-11, atol=1e-11)


def test_a_table_that_mixes_the_batches_is_not_taken_for_one_that_does_not() -> None:
    model, _ = MODELS["r of batches and genes"]
    mixed = observe(COUNTS, batch=BATCH, compressed=compress_matrix(COUNTS))
    with jax.enable_x64(True):
        values = some_values(model)
        found = float(log_density(model, (mixed,), {}, values)[0])
        expected = float(log_density(model.entry_by_entry(), (mixed,), {}, values)[0])
        assert found == expected
        assert observed_for(model, None, mixed)[0].compressed.n_batches == 3


def test_a_batch_without_cells_keeps_its_number() -> None:
    model, _ = MODELS["r of batches and genes"]
    known = observe(COUNTS, batch=BATCH)
    few = BATCH < 2
    later = observe(COUNTS[few], batch=BATCH[few], like=known)
    data, _ = observed_for(model, None, later)
    with jax.enable_x64(True):
        values = some_values(model)
        found, expected = (float(log_density(each, (data,), {}, values)[0]) for each in (model, model.entry_by_entry()))
    assert found == pytest.approx(expected, rel=1e-12)
