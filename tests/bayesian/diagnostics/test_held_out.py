"""Bounds of cells that were not fitted to: against integrals by quadrature, in closed form, and what is refused."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from numpyro.infer.autoguide import AutoNormal
from scipy.special import gammaln, logsumexp
from scipy.stats import nbinom, norm, poisson

from modelwright.bayesian.builders import GaussianLatentSpec, GuideBuilder, LogNormalSpec, ModelBuilder
from modelwright.bayesian.builders.unseen_cells import unseen_cells
from modelwright.bayesian.components import (
    COUNTS,
    TOTAL_COUNT,
    AmortizedGuide,
    Amortizer,
    Decoder,
    GroupedAmortizedGuide,
    MeanFieldGuide,
    PoissonLikelihood,
    observe,
)
from modelwright.bayesian.components.guide_sites import Start
from modelwright.bayesian.inference import svi
from modelwright.bayesian.inference.svi_settings import SviSettings
from modelwright.bayesian.single_cell.count_models import count_model, default_guide
from modelwright.core.errors import ConfigurationError, DataError

N_GENES = 5
RNG = np.random.default_rng(0)
AXIS = RNG.normal(size=(70, 1))
TABLE = RNG.poisson(np.exp(0.5 + AXIS * np.linspace(-0.8, 0.8, N_GENES)))
KNOWN, NEW = TABLE[:50], TABLE[50:]
FEW = SviSettings(learning_rate=0.01, stopping=None)


def autoencoder() -> Any:
    group = GroupedAmortizedGuide(
        Amortizer(COUNTS, (4,), ("loc", "log_scale")), GaussianLatentSpec(1), Decoder((4,), {"mu": "positive"})
    )
    model = ModelBuilder().add_latent(group).with_likelihood(PoissonLikelihood()).build()
    return model, GuideBuilder().for_model(model).build()


def layers(weights: Any, inputs: np.ndarray, *outputs: str) -> list[np.ndarray]:
    """The network by hand: one hidden layer with x / (1 + exp(-x)), then a linear head for each output."""
    hidden = inputs @ np.asarray(weights["Dense_0"]["kernel"], float) + np.asarray(weights["Dense_0"]["bias"], float)
    hidden = hidden / (1.0 + np.exp(-hidden))
    return [
        hidden @ np.asarray(weights[name]["kernel"], float) + np.asarray(weights[name]["bias"], float)
        for name in outputs
    ]


@pytest.fixture(scope="module")
def trained() -> Any:
    model, guide = autoencoder()
    return svi(model, guide, KNOWN, steps=400, batch_size=25, settings=FEW)


def test_both_bounds_of_an_autoencoder_are_those_by_quadrature(trained: Any) -> None:
    seen = np.log1p(KNOWN)
    spread = np.sqrt(seen.var(axis=0).mean())  # one scale for all genes
    loc, log_variance = layers(
        trained.params["z_encoder$params"], (np.log1p(NEW) - seen.mean(axis=0)) / spread, "loc", "log_scale"
    )
    scale = np.exp(0.5 * log_variance)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()

    def log_likelihood(z: np.ndarray) -> np.ndarray:
        (raw,) = layers(trained.params["z_decoder$params"], z.reshape(-1, 1), "mu")
        mu = np.log1p(np.exp(raw)).reshape(*z.shape, N_GENES)
        return poisson.logpmf(NEW[:, None, :], mu).sum(-1)

    here = log_likelihood(loc + scale * nodes)
    kl = 0.5 * (scale**2 + loc**2 - 1.0) - np.log(scale)
    grid = np.linspace(-9.0, 9.0, 3001)
    joint = log_likelihood(np.broadcast_to(grid, (len(NEW), grid.size))) + norm.logpdf(grid)
    evidence = logsumexp(joint, axis=1) + np.log(grid[1] - grid[0])
    bound = trained.held_out_bound(NEW, particles=4000)
    assert (bound.unit, bound.particles, bound.elbo.shape) == ("cells", 4000, (20,))
    np.testing.assert_allclose(bound.elbo, here @ weights - kl[:, 0], atol=0.12)  # standard errors of 0.02 or less
    np.testing.assert_allclose(bound.weighted, evidence, atol=0.05)
    assert np.all(bound.elbo <= bound.weighted)
    assert bound.mean < bound.weighted_mean < evidence.mean() + 0.02
    assert f"bound {bound.mean:,.2f}" in bound.sentence


def test_without_unknowns_of_cells_it_is_the_expected_log_likelihood_under_the_guide() -> None:
    mu = LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), guide_family=MeanFieldGuide())
    model = ModelBuilder().add_param(mu).with_likelihood(PoissonLikelihood()).build()
    fit = svi(model, GuideBuilder().from_specs([mu]).build(), KNOWN, steps=20, settings=FEW)
    loc, scale = (np.asarray(fit.params[f"mu${name}"], float) for name in ("loc", "scale"))
    expected = (NEW * loc - np.exp(loc + 0.5 * scale**2) - gammaln(NEW + 1.0)).sum(axis=1)
    np.testing.assert_allclose(fit.held_out_bound(NEW, particles=4000).elbo, expected, atol=0.05)


def by_hand(y: Any, x: Any, *, per_row: bool = False) -> None:
    """A regression whose rows have offsets, y ~ Normal(slope x + offset, 1)."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(y)):
        offset = numpyro.sample("offset", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(slope * x + offset, 1.0), obs=y)


def guide_by_hand(y: Any, x: Any, *, per_row: bool = False) -> None:
    """The exact posterior of the offsets given the slope, or a number for each row."""
    loc = numpyro.param("slope_loc", jnp.zeros(()))
    slope = numpyro.sample("slope", dist.Normal(loc, 0.1))
    centre = numpyro.param("offset_loc", jnp.zeros(len(y))) if per_row else 0.5 * (y - slope * x)
    with numpyro.plate("row", len(y)):
        numpyro.sample("offset", dist.Normal(centre, np.sqrt(0.5)))


def test_a_hand_written_model_whose_guide_is_exact_has_weights_without_spread() -> None:
    x, new = RNG.normal(size=8), RNG.normal(size=(2, 8))
    fit = svi(by_hand, guide_by_hand, (x, x), steps=5, settings=FEW, start={"slope_loc": 0.8})
    bound = fit.held_out_bound(tuple(new), particles=3000)
    loc, y = float(fit.params["slope_loc"]), new[0]
    mean, variance = loc * new[1], 2.0 + (0.1 * new[1]) ** 2
    np.testing.assert_allclose(bound.weighted, norm.logpdf(y, mean, np.sqrt(variance)), atol=0.01)
    # given the slope the guide of the offsets is exact, so that only the slope's spread is lost
    expected = norm.logpdf(y, mean, np.sqrt(2.0)) - 0.25 * (0.1 * new[1]) ** 2
    np.testing.assert_allclose(bound.elbo, expected, atol=0.01)
    # as many new rows as old ones: a number for each would fit, and would be another row's
    kept = svi(by_hand, guide_by_hand, (x, x), steps=5, settings=FEW, kwargs={"per_row": True})
    with pytest.raises(ConfigurationError, match=r"every value of row .* numbers of its own \(offset_loc\)"):
        kept.held_out_bound(tuple(new))


def with_depths(family: Any) -> Any:
    """Poisson counts of cells that each have a depth, after two steps that begin where the guide says."""
    mu = LogNormalSpec("mu", ("n_genes",), (0.0, 1.0))
    depth = LogNormalSpec("depth", ("n_cells",), (0.0, 1.0), guide_family=family)
    builder = ModelBuilder().add_param(mu).add_param(depth)
    guide = GuideBuilder().from_specs([mu, depth]).build().starting_at({"mu": Start(), "depth": Start()})
    return svi(builder.with_likelihood(PoissonLikelihood(scale="depth")).build(), guide, KNOWN, steps=2, settings=FEW)


def test_cells_with_numbers_of_their_own_are_refused_and_amortized_ones_are_not() -> None:
    fit = with_depths(MeanFieldGuide())
    for table in (NEW, KNOWN):
        with pytest.raises(
            ConfigurationError, match=r"numbers of its own \(depth\$loc, depth\$scale\).*AmortizedGuide"
        ):
            fit.held_out_bound(table)
    fit = with_depths(AmortizedGuide(Amortizer(TOTAL_COUNT, (4,))))
    assert np.isfinite(fit.held_out_bound(NEW, particles=3).elbo).all()


def test_other_data_than_counts_of_the_same_genes_are_refused(trained: Any) -> None:
    with pytest.raises(DataError, match="not a table of the genes"):
        trained.held_out_bound(NEW[:, :-1])
    with pytest.raises(DataError, match="whole"):
        trained.held_out_bound(NEW + 0.5)
    with pytest.raises(ConfigurationError, match="particles"):
        trained.held_out_bound(NEW, particles=0)


def test_parts_of_new_cells_are_together_what_the_whole_is() -> None:
    model, guide = autoencoder()
    old = observe(KNOWN, batch=["b", "a"] * 25, statistics=[COUNTS])
    new = observe(NEW, batch=["b"] * 20)
    (whole,) = unseen_cells(model, guide, new, old)
    parts = list(unseen_cells(model, guide, new, old, rows=7))
    assert [part.n_cells for part in parts] == [7, 7, 6]
    assert set(np.asarray(whole.batch)) == {1}  # as numbered before, though there is one batch only now
    inputs = [np.asarray(each.network_inputs(COUNTS, "cells")) for each in (*parts, whole)]
    np.testing.assert_array_equal(np.concatenate(inputs[:-1]), inputs[-1])
    np.testing.assert_array_equal(
        inputs[-1],
        (jnp.log1p(whole.dense) - old.on_axis("counts", "cells").centre) / old.on_axis("counts", "cells").spread,
    )
    with pytest.raises(DataError, match="'c' was not among the batches before"):
        next(unseen_cells(model, guide, observe(NEW, batch=["c"] * 20), old))


@pytest.mark.slow
def test_cells_that_are_integrated_out_have_bounds_too() -> None:
    model = count_model("nbvcp")
    fit = svi(model, default_guide(model), TABLE, steps=30)
    found = fit.held_out_bound(NEW[:3], particles=2000)
    draws = fit.sample(2000, 1, sites=("p", "r"))
    node, weight = np.polynomial.legendre.leggauss(100)
    nu, weight = 0.5 * (node + 1.0), 0.5 * weight  # the prior of capture is uniform
    odds = nu * (draws["p"] / (1.0 - draws["p"]))[:, None]
    for cell, weighted, elbo in zip(NEW[:3], found.weighted, found.elbo, strict=True):
        each = nbinom.logpmf(cell, draws["r"][:, None, :], 1.0 / (1.0 + odds[:, :, None])).sum(-1)
        by_draw = logsumexp(each + np.log(weight), axis=1)
        # both average over 2,000 draws of a guide whose draws differ in these by some tenths of a nat
        assert weighted == pytest.approx(logsumexp(by_draw) - np.log(2000), abs=0.05)
        assert elbo == pytest.approx(by_draw.mean(), abs=0.05)


def test_keyword_arguments_of_the_old_data_are_not_taken_for_those_of_the_new() -> None:
    def line(y: Any, x: Any = None) -> None:
        slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)

    x = np.arange(20.0) / 10.0
    fit = svi(line, AutoNormal(line), 2.0 * x, steps=400, kwargs={"x": x}, settings=FEW)
    with pytest.raises(ConfigurationError, match="kwargs: x of the fit has a value for each of the 20 rows"):
        fit.held_out_bound(2.0 * x[::-1])
    found = fit.held_out_bound(-2.0 * x, kwargs={"x": -x})
    assert found.weighted_mean == pytest.approx(norm.logpdf(0.0), abs=0.1)  # what the slope's uncertainty leaves


def test_genes_are_found_by_their_names() -> None:
    genes = list("abcde")
    model, guide = autoencoder()
    fit = svi(model, guide, pd.DataFrame(KNOWN, columns=genes), steps=50, batch_size=25, settings=FEW)
    new = pd.DataFrame(NEW, columns=genes)
    assert fit.held_out_bound(new[genes[::-1]]).mean == pytest.approx(fit.held_out_bound(new).mean, rel=1e-12)
    with pytest.raises(DataError, match="genes: 1 of the 5 genes that the model was fitted to are missing"):
        fit.held_out_bound(new.rename(columns={"c": "other"}))
