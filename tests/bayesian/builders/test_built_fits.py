"""Fits of built models: names that look like a guide's parameters, where a fit begins, files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpyro.infer.autoguide import AutoNormal

from modelwright.bayesian.builders import (
    BetaSpec,
    GuideBuilder,
    HalfNormalSpec,
    LogNormalSpec,
    Model,
    ModelBuilder,
    NormalSpec,
)
from modelwright.bayesian.builders.readiness import observed_for
from modelwright.bayesian.builders.starts import values_from_moments
from modelwright.bayesian.components import (
    TOTAL_COUNT,
    AmortizedGuide,
    Amortizer,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
)
from modelwright.bayesian.components.guide_sites import DEFAULT_SPREAD, Start
from modelwright.bayesian.inference import curvature_search as search_module
from modelwright.bayesian.inference import sampled_fit as sampled_fit_module
from modelwright.bayesian.inference.map_laplace import LaplaceFit, laplace
from modelwright.bayesian.inference.pathfinder import pathfinder
from modelwright.bayesian.inference.sampled_fit import SampledFit, nuts
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.variational import SviSettings, VariationalFit, svi
from modelwright.core.errors import ConfigurationError

MEANS = np.array([1.0, 4.0, 9.0])
COUNTS = np.random.default_rng(5).poisson(MEANS, (30, 3))
WIDE = np.random.default_rng(6).negative_binomial(2.0, 0.4, (30, 20))
"""More genes than count as global numbers, and another number than of cells."""
STILL = SviSettings(learning_rate=1e-9)


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


def poisson(**genes_guide: Any) -> Model:
    """One mean per gene, whose mode has no closed form but lies near the sample's mean."""
    return (
        ModelBuilder()
        .add_param(LogNormalSpec("mu", ("n_genes",), (0.0, 10.0), **genes_guide))
        .with_likelihood(PoissonLikelihood(mean="mu"))
        .build()
    )


def captured() -> Model:
    return (
        ModelBuilder()
        .add_param(BetaSpec("p", (), (2.0, 2.0)))
        .add_param(LogNormalSpec("r", ("n_genes",), (0.0, 1.0)))
        .add_param(BetaSpec("nu", ("n_cells",), (5.0, 2.0)))
        .with_likelihood(NegativeBinomialLikelihood(capture="nu"))
        .build()
    )


def test_parameters_may_be_called_like_what_a_guide_has() -> None:
    model = hierarchical()
    fit = svi(model, GuideBuilder().for_model(model).build(), COUNTS, steps=5)
    assert set(fit.sample(3)) == {"mu_loc", "mu_scale", "mu"}
    assert np.isfinite(fit.elbo).all()


@pytest.mark.slow
def test_guide_begins_at_the_mode_also_without_a_curvature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells with a parameter each make no arrowhead beside genes; where the climb ended is kept, and said."""
    model = captured()
    mode = laplace(model, WIDE).locations()
    monkeypatch.setattr(search_module, "LARGEST_DENSE", 5)
    fit = svi(model, GuideBuilder().for_model(model).build(), WIDE, steps=1, settings=STILL)
    for name in ("p", "r", "nu"):
        # one step of 1e-9, and two climbs by programs of other shapes
        np.testing.assert_allclose(fit.params[f"{name}$loc"], mode[name][0], atol=1e-4)
        np.testing.assert_allclose(fit.params[f"{name}$scale"], DEFAULT_SPREAD, rtol=1e-6)
    assert "at the mode, found in" in fit.settings["notes"][1]
    assert "no curvature" in fit.settings["notes"][1]


@pytest.mark.slow
def test_chains_start_at_the_mode_and_keep_the_scale_given(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: dict[str, Any] = {}

    def stop(*_: Any, **given: Any) -> None:
        handed.update(given)
        raise KeyboardInterrupt

    model = captured()
    mode = laplace(model, WIDE)
    monkeypatch.setattr(search_module, "LARGEST_DENSE", 5)
    monkeypatch.setattr(sampled_fit_module, "sample_numpyro_model", stop)
    with pytest.raises(KeyboardInterrupt):
        nuts(model, WIDE, scale={"p": 0.25})
    assert handed["scale"] == {"p": 0.25}
    np.testing.assert_allclose(np.log(handed["start"]["r"]), mode.locations()["r"][0], atol=1e-4)  # two climbs


@pytest.mark.slow
def test_a_guide_and_chains_begin_where_the_best_normal_distribution_of_the_climb_lies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A level and a spread of three genes, whose density is largest where the spread is none."""
    model = hierarchical()
    guide = GuideBuilder().for_model(model).build()
    fit = svi(model, guide, COUNTS, steps=1, settings=STILL, init="pathfinder")
    data, _ = observed_for(model, guide, COUNTS)
    found = pathfinder(model, data, start=values_from_moments(model, data))
    for name, (location, scale) in found.locations.items():
        np.testing.assert_allclose(fit.params[f"{name}$loc"], location, atol=1e-6)  # a step of 1e-9
        np.testing.assert_allclose(fit.params[f"{name}$scale"], np.clip(scale, 1e-4, 3.0), rtol=1e-6)
    assert "best normal distribution along" in fit.settings["notes"][1]
    handed: dict[str, Any] = {}

    def stop(*_: Any, **given: Any) -> None:
        handed.update(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(sampled_fit_module, "sample_numpyro_model", stop)
    with pytest.raises(KeyboardInterrupt):
        nuts(model, COUNTS, init="pathfinder")
    again = pathfinder(model, data, start=values_from_moments(model, data), seed=NutsSettings().seed)
    np.testing.assert_allclose(handed["start"]["mu"], again.values["mu"], rtol=1e-6)
    np.testing.assert_allclose(handed["scale"]["mu"], np.clip(again.locations["mu"][1], 1e-4, 1.0), rtol=1e-6)
    assert np.abs(np.log(handed["start"]["mu"] / MEANS)).max() < 0.5
    with pytest.raises(ConfigurationError, match="init: not one of the choices; expected mode or pathfinder"):
        nuts(model, COUNTS, init="anywhere")  # type: ignore[arg-type]


def test_a_start_of_ones_own_is_kept_beside_those_found() -> None:
    guide = GuideBuilder().for_model(hierarchical()).build().starting_at({"mu_loc": Start(0.7)})
    fit = svi(hierarchical(), guide, COUNTS, steps=1, settings=STILL)
    assert float(fit.params["mu_loc$loc"]) == pytest.approx(0.7, abs=1e-6)  # a step of 1e-9
    assert np.abs(fit.params["mu$loc"] - np.log(COUNTS.mean(0))).max() < 0.5  # shrunk to the level, and not at zero


def test_an_autoguide_begins_at_moments() -> None:
    model = poisson()
    fit = svi(model, AutoNormal(model), COUNTS, steps=1, settings=STILL)
    # the moment is (total + 1/2) / cells
    np.testing.assert_allclose(fit.params["mu_auto_loc"], np.log((COUNTS.sum(0) + 0.5) / 30), atol=1e-6)
    assert "the autoguide begins at moments of the data" in fit.settings["notes"]


@pytest.mark.slow
def test_settings_without_a_step_size_take_what_suits_the_start() -> None:
    model = poisson()
    guide = GuideBuilder().for_model(model).build()
    alone = svi(model, guide, COUNTS, steps=1).settings["learning_rate"]
    assert svi(model, guide, COUNTS, steps=1, settings=SviSettings(particles=2)).settings["learning_rate"] == alone
    # three tenths of the narrowest spread, that of the gene with most counts, 1 / sqrt(total), kept below 0.02
    assert alone == pytest.approx(min(0.3 / np.sqrt(COUNTS.sum(0).max()), 0.02), rel=0.05)
    assert svi(model, guide, COUNTS, steps=1, settings=STILL).settings["learning_rate"] == 1e-9


def test_fits_of_sparse_counts_are_read_back(tmp_path: Path) -> None:
    """Data are made ready as for the fit, statistics that networks look at included."""
    model = poisson(guide_family=AmortizedGuide(Amortizer(TOTAL_COUNT, (3,))))
    guide, matrix = GuideBuilder().for_model(model).build(), sp.csr_matrix(COUNTS)
    fit = svi(model, guide, matrix, steps=2)
    again = VariationalFit.load(fit.save(tmp_path / "svi"), model, guide, matrix)
    np.testing.assert_array_equal(again.sample(3)["mu"], fit.sample(3)["mu"])  # exact
    normal = laplace(poisson(), matrix)
    read = LaplaceFit.load(normal.save(tmp_path / "laplace"), poisson(), matrix)
    np.testing.assert_array_equal(read.log_ratios(3)[0], normal.log_ratios(3)[0])  # exact


@pytest.mark.slow
def test_chains_of_sparse_counts_are_read_back(tmp_path: Path) -> None:
    matrix = sp.csr_matrix(COUNTS)
    fit = nuts(poisson(), matrix, settings=NutsSettings(draws=20, tune=50, chains=1))
    again = SampledFit.load(fit.save(tmp_path / "nuts"), poisson(), matrix)
    assert again.notes == fit.notes
    assert "near the mode" in again.notes[-1]
    assert again.subject.sites().latent.keys() == {"mu"}
