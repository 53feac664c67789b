"""Counts made ready for a model: what was observed stays as it was, and what cannot be counts is refused."""

from typing import Any

import jax
import numpy as np
import pytest
import scipy.sparse as sp
from numpyro.infer.util import log_density

from modelwright.bayesian.builders import DirichletSpec, GammaSpec, GuideBuilder, LogNormalSpec, Model, ModelBuilder
from modelwright.bayesian.builders.readiness import observed_for
from modelwright.bayesian.components import (
    NON_ZERO_COUNT,
    TOTAL_COUNT,
    AmortizedGuide,
    Amortizer,
    GaussianLikelihood,
    MixtureLikelihood,
    PoissonLikelihood,
    observe,
)
from modelwright.bayesian.components.compressed_counts import compress_matrix
from modelwright.core.errors import ConfigurationError, DataError

COUNTS = np.random.default_rng(0).poisson(2.0, (6, 4))


def poisson(*dims: str, entries: Any = "auto") -> Model:
    builder = ModelBuilder().add_param(GammaSpec("mu", dims or ("n_genes",), (2.0, 1.0)))
    return builder.add_statistic("depth", TOTAL_COUNT).with_likelihood(PoissonLikelihood(), entries=entries).build()


def mixture(entries: Any = "auto") -> Model:
    return (
        ModelBuilder()
        .add_param(DirichletSpec("weights", ("n_components",), (1.0,)))
        .add_param(GammaSpec("mu", ("n_genes",), (2.0, 1.0), is_mixture=True))
        .with_likelihood(MixtureLikelihood(PoissonLikelihood(), 2), entries=entries)
        .build()
    )


@pytest.mark.parametrize("kept", ["dense", "compressed"])
def test_what_was_observed_is_never_observed_again(kept: str) -> None:
    """Batches keep their numbers (in the order of numbers, not of texts), networks the scales of other data."""
    before = observe(COUNTS * 3, batch=np.array([2, 10, 2, 10, 7, 7]), statistics=[TOTAL_COUNT])
    packed = compress_matrix(COUNTS) if kept == "compressed" else None
    batch = np.array([10, 2, 10, 2, 2, 2])
    known = observe(COUNTS, batch=batch, statistics=[TOTAL_COUNT], like=before, compressed=packed, dense=packed is None)
    assert known.batch_names == ("2", "7", "10")

    amortized = AmortizedGuide(Amortizer(NON_ZERO_COUNT, (4,)))
    guide = GuideBuilder(amortized).from_specs([GammaSpec("nu", ("n_cells",), (2.0, 1.0))]).build()
    ready, _ = observed_for(poisson(), guide, known)
    assert ready.batch_names == known.batch_names
    assert ready.n_batches == 3
    assert ready.lengths == {"n_batches": 3}
    assert ready.batch.tolist() == [2, 0, 2, 0, 0, 0]
    assert ready.on_axis("total_count", "cells") is known.on_axis("total_count", "cells")
    assert ready.of_cells("non_zero_count").tolist() == (COUNTS > 0).sum(1).tolist()
    assert ready.compressed.to_dense().tolist() == COUNTS.tolist()
    assert observed_for(poisson(), guide, ready)[0] is ready  # nothing is missing any more


def test_a_mixture_looks_at_every_entry_of_compressed_counts_too() -> None:
    model = mixture()
    values = {"weights": np.array([0.3, 0.7]), "mu": np.random.default_rng(1).gamma(2.0, size=(2, 4))}
    both = observe(COUNTS, compressed=compress_matrix(COUNTS))
    with jax.enable_x64(True):
        found, expected = (float(log_density(model, (data,), {}, values)[0]) for data in (both, COUNTS))
        assert found == expected
        with pytest.raises(ConfigurationError, match="only the compressed table is kept"):
            log_density(model, (observe(COUNTS, compressed=both.compressed, dense=False),), {}, values)


def test_a_compressed_likelihood_is_refused_where_there_is_none() -> None:
    for build in (lambda: mixture("compressed"), lambda: poisson("n_cells", "n_genes", entries="compressed")):
        with pytest.raises(ConfigurationError, match="entries: there is no compressed likelihood"):
            build()
    assert poisson(entries="compressed").compressed_form == "rank one"


IMPOSSIBLE = {"negative": -1.0, "fractional": 0.5, "no number": np.nan, "infinite": np.inf}
KINDS = {
    "an array": lambda table: table,
    "a sparse table": sp.csr_array,
    "by rows of lists": sp.lil_array,
    "observed": observe,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", IMPOSSIBLE)
def test_what_cannot_be_counts_is_refused_entry_by_entry_too(value: str, kind: str) -> None:
    table = COUNTS.astype(float)
    table[2, 1] = IMPOSSIBLE[value]
    models = [poisson(entries="dense"), poisson("n_cells", "n_genes"), mixture()]
    for model in models:
        with pytest.raises(DataError, match=r"counts: a count is (out of range|not a whole number)"):
            observed_for(model, None, KINDS[kind](table))
    with pytest.raises(DataError, match="a count is"):
        observed_for(poisson(), None, KINDS[kind](table), batch_size=2)


def test_values_that_are_no_counts_have_likelihoods_of_their_own() -> None:
    builder = (
        ModelBuilder().add_param(LogNormalSpec("mu", (), (0.0, 1.0))).add_param(LogNormalSpec("sigma", (), (0, 1)))
    )
    table = COUNTS - 1.5
    assert observed_for(builder.with_likelihood(GaussianLikelihood()).build(), None, table)[0].dense.tolist() == (
        table.tolist()
    )


@pytest.mark.parametrize("size", [7, 0, 2.0, True])
def test_mini_batches_fit_the_cells(size: Any) -> None:
    model = poisson("n_cells")
    guide = GuideBuilder().for_model(model).build()
    data, _ = observed_for(model, guide, COUNTS)
    for run in (model, guide):
        with pytest.raises(ConfigurationError, match="batch_size: not a size of mini-batches of these cells; expected"):
            log_density(run, (data,), {"batch_size": size}, {"mu": np.ones(6), "mu_loc": 0.0})
