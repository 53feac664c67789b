"""Modes, curvature and pathfinder against closed forms; an arrowhead against the whole Hessian."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from modelwright.bayesian.inference import curvature_search as search_module
from modelwright.bayesian.inference.coupled_curvature import Coupled
from modelwright.bayesian.inference.curvature import Arrowhead, Dense
from modelwright.bayesian.inference.curvature_search import curvature_at
from modelwright.bayesian.inference.map_laplace import LaplaceFit, laplace
from modelwright.bayesian.inference.pathfinder import pathfinder
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.inference.unconstrained import Unconstrained
from modelwright.core.errors import ConfigurationError

N_GENES = 20
VALUES = np.random.default_rng(3).normal(1.0, 2.0, (30, N_GENES))


def sums(y: np.ndarray) -> None:
    """Two means of which the data see the sum: a normal model, so that Laplace is exact."""
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    with numpyro.plate("cell", y.shape[0]):
        numpyro.sample("y", dist.Normal(a + b, 1.0), obs=y)


def genes(y: np.ndarray) -> None:
    """A global size, and a mean and a spread for each gene."""
    size = numpyro.sample("size", dist.Normal(0.0, 0.5))
    with numpyro.plate("gene", y.shape[1], dim=-1):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        spread = numpyro.sample("spread", dist.LogNormal(0.0, 1.0))
        with numpyro.plate("cell", y.shape[0], dim=-2):
            numpyro.sample("y", dist.Normal(mu + size, spread), obs=y)


def chained(y: np.ndarray) -> None:
    """Genes that depend on their neighbours: no arrowhead."""
    numpyro.sample("mu", dist.GaussianRandomWalk(1.0, num_steps=y.shape[1]))


def test_normal_model_has_its_exact_evidence_and_posterior() -> None:
    y = np.array([1.0, 0.5, 2.0, 1.5])
    fit = laplace(sums, y)
    exact = stats.multivariate_normal(np.zeros(4), np.eye(4) + 2.0).logpdf(y)
    assert fit.log_evidence == pytest.approx(float(exact), abs=1e-8)  # the same formula in float64
    # precision [[5, 4], [4, 5]]
    np.testing.assert_allclose(fit.curvature.variances(), [5.0 / 9.0] * 2, rtol=1e-10)
    drawn = fit.curvature.draw(np.random.default_rng(0).standard_normal((20_000, 2)))
    correlation = np.corrcoef(drawn.T)[0, 1]
    assert correlation == pytest.approx(-0.8, abs=4 * (1 - 0.64) / np.sqrt(20_000))  # Monte Carlo: 4 standard errors


@pytest.fixture(scope="module")
def gene_fits() -> tuple[LaplaceFit, Arrowhead]:
    fit = laplace(genes, VALUES)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "LARGEST_DENSE", 10)
        arrow = curvature_at(fit.density, fit.mode)
    assert isinstance(arrow, Arrowhead)
    return fit, arrow


def test_arrowhead_is_the_whole_hessian(gene_fits: tuple[LaplaceFit, Arrowhead]) -> None:
    fit, arrow = gene_fits
    dense = fit.curvature
    assert isinstance(dense, Dense)
    # same formula, float64
    assert arrow.log_determinant == pytest.approx(dense.log_determinant, rel=1e-10)
    np.testing.assert_allclose(arrow.variances(), dense.variances(), rtol=1e-8)
    x = np.random.default_rng(1).standard_normal((3, fit.density.size))
    np.testing.assert_allclose(arrow.energy(x), dense.energy(x), rtol=1e-9)
    noise = np.random.default_rng(2).standard_normal((4, fit.density.size))
    # x = H^-1/2 noise has x' H x = |noise|^2, whichever root is taken
    np.testing.assert_allclose(dense.energy(arrow.draw(noise)), (noise**2).sum(1), rtol=1e-9)


def test_slopes_say_how_genes_move_with_the_global_number(gene_fits: tuple[LaplaceFit, Arrowhead]) -> None:
    fit, arrow = gene_fits
    slopes = LaplaceFit(fit.fitted, fit.density, fit.mode, fit.log_joint, fit.gradient, arrow, fit.iterations).slopes
    assert set(slopes) == {"mu", "spread"}
    assert isinstance(fit.curvature, Dense)
    covariance = np.linalg.inv(fit.curvature.matrix)
    places = fit.density.places
    size = places["size"].start
    # a regression of each gene's number on the global one, from the covariance: another route to the same slope
    np.testing.assert_allclose(slopes["mu"]["size"], covariance[places["mu"], size] / covariance[size, size], rtol=1e-8)
    assert (slopes["mu"]["size"] < 0).all()  # a larger size needs smaller means
    dense = fit.slopes["mu"]["size"]  # of the whole Hessian, by a third route
    np.testing.assert_allclose(dense, slopes["mu"]["size"], rtol=1e-6)  # both from products that agree to 1e-8


def test_single_numbers_have_slopes_on_each_other() -> None:
    """Precision [[5, 4], [4, 5]]: the mean of a falls by 4/5 for every unit of b."""
    slopes = laplace(sums, np.array([1.0, 0.5, 2.0, 1.5])).slopes
    assert float(slopes["a"]["b"]) == pytest.approx(-0.8, rel=1e-10)
    assert set(slopes["a"]) == {"b"}


def test_rows_that_depend_on_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "LARGEST_DENSE", 10)
    with jax.enable_x64(True):
        density = Unconstrained.of(chained, Call.of((VALUES,), {}))
        with pytest.raises(ConfigurationError, match="the rows depend on each other"):
            curvature_at(density, np.zeros(density.size))


def summed(y: np.ndarray) -> None:
    """Genes whose sum is seen besides each of them: an arrowhead and one vector."""
    size = numpyro.sample("size", dist.Normal(0.0, 0.5))
    with numpyro.plate("gene", y.shape[1], dim=-1):
        mu = numpyro.sample("mu", dist.LogNormal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mu + size, 2.0), obs=y[0])
    numpyro.sample("whole", dist.Normal(mu.sum(), 0.7), obs=y.sum() / len(y))


def marginal(y: np.ndarray) -> None:
    """The same where a common shift of the rows has been integrated out: the vector takes away from the precision."""
    size = numpyro.sample("size", dist.Normal(0.0, 0.5))
    with numpyro.plate("gene", y.shape[1], dim=-1):
        mu = numpyro.sample("mu", dist.LogNormal(0.0, 1.0))
    n = y.shape[1]
    numpyro.sample("y", dist.MultivariateNormal(mu + size, 0.5 * np.eye(n) + 0.3 * np.ones((n, n))), obs=y[0])


@pytest.mark.parametrize(("model", "sign"), [(summed, 1.0), (marginal, -1.0)])
def test_rows_that_share_a_sum_have_the_whole_hessian_too(
    model: Any, sign: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fit = laplace(model, VALUES)
    dense = fit.curvature
    assert isinstance(dense, Dense)
    with jax.enable_x64(True):
        monkeypatch.setattr(search_module, "LARGEST_DENSE", 10)
        coupled = curvature_at(fit.density, fit.mode)
    assert isinstance(coupled, Coupled)
    assert coupled.sign == sign
    # products that agree to 1e-8, in float64
    assert coupled.log_determinant == pytest.approx(dense.log_determinant, rel=1e-8)
    np.testing.assert_allclose(coupled.variances(), dense.variances(), rtol=1e-7)
    x = np.random.default_rng(1).standard_normal((3, fit.density.size))
    np.testing.assert_allclose(coupled.energy(x), dense.energy(x), rtol=1e-7)
    noise = np.random.default_rng(2).standard_normal((4, fit.density.size))
    np.testing.assert_allclose(dense.energy(coupled.draw(noise)), (noise**2).sum(1), rtol=1e-7)
    of_coupled = LaplaceFit(fit.fitted, fit.density, fit.mode, fit.log_joint, fit.gradient, coupled, fit.iterations)
    np.testing.assert_allclose(of_coupled.slopes["mu"]["size"], fit.slopes["mu"]["size"], rtol=1e-6)
    read = LaplaceFit.load(of_coupled.save(tmp_path), model, VALUES)
    np.testing.assert_array_equal(read.curvature.variances(), coupled.variances())


def test_pathfinder_finds_a_normal_posterior() -> None:
    found = pathfinder(sums, np.array([1.0, 0.5, 2.0, 1.5]))
    location, scale = found.locations["a"]
    assert found.values["a"] == pytest.approx(location)
    # the ridge a - b is not seen by a climb along a + b: its scale stays the prior's at most
    assert location == pytest.approx(5.0 / 9.0, abs=0.2)
    assert 0.3 < scale < 1.2
    assert found.elbo[found.chosen] == np.nanmax(found.elbo)
