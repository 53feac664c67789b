"""Models with cells integrated out: the joint density's integral, exact draws of what was integrated, and refusals."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import integrate, stats

from modelwright.bayesian.builders import BetaSpec, GammaSpec, GuideBuilder, LogNormalSpec, ModelBuilder
from modelwright.bayesian.builders.model import Model
from modelwright.bayesian.builders.readiness import observed_for
from modelwright.bayesian.components import NegativeBinomialLikelihood, observe
from modelwright.bayesian.inference import laplace, nuts, svi
from modelwright.bayesian.inference.data_models import with_all_unknowns
from modelwright.bayesian.inference.map_laplace import LaplaceFit
from modelwright.bayesian.inference.model_sites import find_sites
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.single_cell.count_models import count_model
from modelwright.core.errors import ConfigurationError

DOCS = Path(__file__).resolve().parents[3] / "docs"
COUNTS = np.array([[3, 0, 1], [0, 9, 12]])
VALUES = {"p": 0.6, "r": np.array([0.5, 2.0, 1.2]), "a": 2.5}


def captured(*, integrate_out: str | None = "nu", b: float = 4.0) -> Model:
    builder = (
        ModelBuilder()
        .add_param(BetaSpec("p", (), (2.0, 2.0)))
        .add_param(LogNormalSpec("r", ("n_genes",), (0.0, 1.0)))
        .add_param(GammaSpec("a", (), (4.0, 2.0)))
        .add_param(BetaSpec("nu", ("n_cells",), ("a", b)))
    )
    return builder.with_likelihood(NegativeBinomialLikelihood(capture="nu"), integrate_out=integrate_out).build()


@pytest.mark.parametrize("way", ["compressed", "by cell"])
def test_density_is_the_integral_of_the_one_with_cells(way: str) -> None:
    """Over both cells' capture probabilities at once, with a prior whose argument is a parameter."""
    joint, model = captured(integrate_out=None), captured()
    node, weight = np.polynomial.legendre.leggauss(60)
    node, weight = (node + 1.0) / 2.0, weight / 2.0
    with jax.enable_x64(True):
        at = jnp.asarray(np.stack(np.meshgrid(node, node, indexing="ij"), -1).reshape(-1, 2))
        density = lambda nu: log_density(joint, (COUNTS,), {}, {**VALUES, "nu": nu})[0]  # noqa: E731
        heights = np.asarray(jax.jit(jax.vmap(density))(at))
        truth = np.log(np.exp(heights) @ np.outer(weight, weight).reshape(-1))
        data, note = observed_for(model, None, COUNTS)
        assert data.compressed is not None
        assert "totals" in note
        found, trace = log_density(model if way == "compressed" else model.row_by_row(), (data,), {}, VALUES)
    assert {name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]} >= set(VALUES)
    assert "nu" not in trace
    assert float(found) == pytest.approx(truth, rel=1e-9)  # powers of nu above 2.5: the rule is exact to 1e-10


def test_mini_batches_have_the_same_expectation() -> None:
    model, counts = captured(), np.array([[3, 0, 1], [0, 9, 12], [2, 2, 2], [1, 0, 0]])
    with jax.enable_x64(True):
        whole = float(log_density(model, (observe(counts),), {}, VALUES)[0])

        def part(cells: Any) -> float:
            values = {**VALUES, "cells": jnp.asarray(cells)}
            return float(log_density(model, (observe(counts),), {"batch_size": 2}, values)[0])

        mean = np.mean([part(pair) for pair in ([0, 1], [2, 3])])
    assert mean == pytest.approx(whole, rel=1e-10)


def test_cells_are_drawn_from_what_their_counts_leave() -> None:
    """With genes and p held fast, a cell's capture probability has a distribution in closed form but for a constant."""
    p, r, a, b = 0.7, np.array([0.5, 2.0, 1.2]), 2.0, 3.0
    model = captured()
    data, _ = observed_for(model, None, COUNTS)
    n = 4000
    given = {"p": np.full(n, p), "r": np.tile(r, (n, 1)), "a": np.full(n, a)}
    drawn = captured(b=b).integrated_out.draw(given, (data,), 3)["nu"]  # type: ignore[union-attr]
    assert drawn.shape == (n, 2)
    odds = p / (1.0 - p)
    for cell, counts in enumerate(COUNTS):

        def density(nu: float, counts: np.ndarray = counts) -> float:
            of_genes = stats.nbinom.pmf(counts, r, 1.0 / (1.0 + odds * nu)).prod()
            return float(of_genes * stats.beta.pdf(nu, a, b))

        whole = integrate.quad(density, 0.0, 1.0)[0]
        grid = np.linspace(0.0, 1.0, 400)
        below = integrate.cumulative_simpson([density(nu) for nu in grid], x=grid, initial=0.0) / whole
        found = stats.kstest(drawn[:, cell], lambda nu, at=grid, below=below: np.interp(nu, at, below))
        assert found.pvalue > 1e-3  # the seed is fixed; 4,000 draws tell a shift of 0.03 sd
    np.testing.assert_array_less(drawn[:, 0].mean(), drawn[:, 1].mean())
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(n)  # cells are independent given the genes


@pytest.fixture(scope="module")
def fitted() -> LaplaceFit:
    counts = np.random.default_rng(5).negative_binomial(2.0, 0.4, (30, 4))
    return laplace(captured(), counts, coords={"cells": [f"cell {k}" for k in range(30)]})


def test_a_fit_has_the_cells_as_if_they_were_its_own(fitted: LaplaceFit, tmp_path: Path) -> None:
    draws = fitted.sample(50, 1)
    assert set(draws) == {"p", "r", "a", "nu"}
    assert draws["nu"].shape == (50, 30)
    alone = fitted.sample(50, 1, sites=("nu",))
    assert set(alone) == {"nu"}
    np.testing.assert_array_equal(alone["nu"], draws["nu"])
    assert set(fitted.sample(5, sites=("r",))) == {"r"}
    with pytest.raises(ConfigurationError, match=r"no such site; got 'nuu'; did you mean 'nu'"):
        fitted.sample(5, sites=("nuu",))
    assert "nu[cell 3]" in fitted.posterior(n=50).index
    assert fitted.to_inferencedata(5).posterior["nu"].dims == ("chain", "draw", "cells")
    counts = np.random.default_rng(5).negative_binomial(2.0, 0.4, (30, 4))
    read = LaplaceFit.load(fitted.save(tmp_path), captured(), counts)
    np.testing.assert_allclose(read.sample(50, 1)["nu"], draws["nu"], rtol=1e-12)


def test_single_cells_can_be_left_out_once_they_are_integrated_out(fitted: LaplaceFit) -> None:
    found = fitted.loo(draws=200)
    assert found.unit == ("cells",)
    assert len(found.loo.k_hat) == 30
    everything = find_sites(with_all_unknowns(fitted.fitted.model), fitted.fitted.call)
    assert set(everything.latent) == {"p", "r", "a", "nu"}


def test_the_example_of_the_page_on_builders_is_such_a_model() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "builders.md").read_text(), flags=re.DOTALL)
    (code,) = [block for block in blocks if "integrate_out" in block]
    names: dict[str, Any] = dict(globals())
    exec(compile(code, "builders.md", "exec"), names)
    assert names["model"].compressed_form == "totals"
    assert [spec.name for spec in names["model"].specs] == ["p", "r"]


@pytest.mark.slow
def test_svi_and_nuts_bring_the_cells_with_them() -> None:
    counts = np.random.default_rng(5).negative_binomial(2.0, 0.4, (12, 3))
    model = captured()
    fit = svi(model, GuideBuilder().for_model(model).build(), counts, steps=5)
    assert fit.sample(7)["nu"].shape == (7, 12)
    chains = nuts(model, counts, settings=NutsSettings(draws=6, tune=6, chains=2))
    assert chains.trace.posterior["nu"].dims == ("chain", "draw", "cells")
    assert chains.trace.posterior["nu"].shape == (2, 6, 12)
    assert chains.sample(4)["nu"].shape == (4, 12)


def test_what_is_no_integral_over_one_number_is_refused() -> None:
    p, r = BetaSpec("p", (), (1.0, 1.0)), LogNormalSpec("r", ("n_genes",), (0.0, 1.0))
    nu = BetaSpec("nu", ("n_cells",), (1.0, 1.0))
    capture = NegativeBinomialLikelihood(capture="nu")

    def refused(likelihood: Any, *specs: Any) -> str:
        builder = ModelBuilder()
        for spec in specs:
            builder.add_param(spec)
        with pytest.raises(ConfigurationError) as caught:
            builder.with_likelihood(likelihood, integrate_out="nu").build()
        return str(caught.value)

    gate = BetaSpec("gate", ("n_genes",), (1.0, 4.0))
    gated = NegativeBinomialLikelihood(capture="nu", gate="gate")
    assert "behind gates a cell is not known by its total" in refused(gated, p, r, nu, gate)
    assert "the likelihood does not capture by it" in refused(NegativeBinomialLikelihood(), p, r, nu)
    of_cells = BetaSpec("p", ("n_cells",), (1.0, 1.0))
    assert "p differs along n_cells" in refused(capture, of_cells, r, nu)
    assert "no capture probability of cells" in refused(capture, p, r, BetaSpec("nu", (), (1.0, 1.0)))
    with pytest.raises(ConfigurationError, match="cells are integrated out where each is known by its total"):
        count_model("zinbvcp", cells="integrated")
