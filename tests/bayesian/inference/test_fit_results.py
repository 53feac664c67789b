"""One kind of result for SVI, NUTS and Laplace: tables, draws, leave-one-out, named axes, files."""

from pathlib import Path
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from scipy import stats

from modelwright.bayesian.diagnostics.identifiability import identify
from modelwright.bayesian.inference import guide_draws
from modelwright.bayesian.inference.fit_result import AbstractFit
from modelwright.bayesian.inference.map_laplace import LaplaceFit, laplace
from modelwright.bayesian.inference.sampled_fit import SampledFit, nuts
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.variational import SviSettings, VariationalFit, svi
from modelwright.core.errors import ConfigurationError, DataError, NotFoundError

Y = np.random.default_rng(2).normal([1.0, -0.5], 1.0, (20, 2))
GENES = ["CD3E", "GNLY"]
COORDS = {"gene": GENES}


def model(y: np.ndarray) -> None:
    """Prior N(0, 2), noise N(0, 1), twenty cells: each mean is N(sum / 20.25, 1 / 20.25) given the data."""
    with numpyro.plate("gene", y.shape[1], dim=-1):
        mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
        numpyro.deterministic("twice", 2.0 * mean)
        with numpyro.plate("cell", y.shape[0], dim=-2):
            numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)


def guide(y: np.ndarray) -> None:
    loc = numpyro.param("loc", np.zeros(y.shape[1]))
    scale = numpyro.param("scale", np.ones(y.shape[1]), constraint=constraints.positive)
    with numpyro.plate("gene", y.shape[1], dim=-1):
        numpyro.sample("mean", dist.Normal(loc, scale))


@pytest.fixture(scope="module")
def fits() -> dict[str, AbstractFit]:
    settings = SviSettings(learning_rate=0.1, particles=32, stopping=None)
    return {
        "svi": svi(model, guide, Y, steps=500, settings=settings, coords=COORDS),
        "nuts": nuts(model, Y, settings=NutsSettings(draws=1000, tune=300, chains=2), coords=COORDS),
        "laplace": laplace(model, Y, coords=COORDS),
    }


KINDS = ("svi", "nuts", "laplace")


def exact_elpd() -> float:
    """Leave one cell out: nineteen cells predict the twentieth."""
    total = 0.0
    for k in range(len(Y)):
        rest = np.delete(Y, k, 0)
        total += stats.norm(rest.sum(0) / 19.25, np.sqrt(1 / 19.25 + 1.0)).logpdf(Y[k]).sum()
    return float(total)


@pytest.mark.parametrize("kind", KINDS)
def test_posterior_is_the_closed_form_by_every_method(fits: dict[str, AbstractFit], kind: str) -> None:
    table = fits[kind].posterior(n=2000)
    assert table.index.tolist() == ["mean[CD3E]", "mean[GNLY]", "twice[CD3E]", "twice[GNLY]"]
    assert table.columns.tolist() == ["site", "mean", "sd", "q5", "q50", "q95"]
    sd = 20.25**-0.5
    means = table.loc[["mean[CD3E]", "mean[GNLY]"], "mean"]
    # Monte Carlo: 4 standard errors of 2000 draws (NUTS draws are nearly independent here), and for SVI as much again
    np.testing.assert_allclose(means, Y.sum(0) / 20.25, atol=8 * sd / np.sqrt(2000))
    np.testing.assert_allclose(table.loc[means.index, "sd"], sd, rtol=8 / np.sqrt(4000))


@pytest.mark.parametrize("kind", KINDS)
def test_leave_one_out_is_the_closed_form_and_axes_have_names(fits: dict[str, AbstractFit], kind: str) -> None:
    found = fits[kind].loo()
    assert found.unit == ("cell",)
    # Monte Carlo: two effective parameters and 1000 draws leave about sqrt(2 / 1000) nats; 4 times that
    assert found.elpd == pytest.approx(exact_elpd(), abs=4 * np.sqrt(2 / 1000))
    assert found.waic == pytest.approx(found.elpd, abs=0.1)  # they differ by terms of order 2 / 20 cells
    assert len(fits[kind].loo(unit=("cell", "gene")).loo.pointwise) == Y.size
    with pytest.raises(DataError, match="has unknowns of its own \\(mean\\)"):
        fits[kind].loo(unit="gene")
    posterior = fits[kind].to_inferencedata().posterior
    assert posterior["mean"].dims == ("chain", "draw", "gene")
    assert posterior["gene"].values.tolist() == GENES


def test_files_give_back_the_same_draws(fits: dict[str, AbstractFit], tmp_path: Path) -> None:
    again: dict[str, Any] = {
        "svi": VariationalFit.load(fits["svi"].save(tmp_path / "svi"), model, guide, Y),
        "nuts": SampledFit.load(fits["nuts"].save(tmp_path / "nuts"), model, Y),
        "laplace": LaplaceFit.load(fits["laplace"].save(tmp_path / "laplace"), model, Y),
    }
    for kind, fit in again.items():
        mine, theirs = fits[kind].sample(20, seed=3), fit.sample(20, seed=3)
        for name in ("mean", "twice"):
            np.testing.assert_array_equal(theirs[name], mine[name])  # exact
    assert again["svi"].ended == fits["svi"].ended
    np.testing.assert_array_equal(again["svi"].elbo, fits["svi"].elbo)
    with pytest.raises(NotFoundError, match="another kind of fit"):
        SampledFit.load(tmp_path / "svi", model, Y)


@pytest.mark.parametrize("kind", KINDS)
def test_verdict_on_a_good_fit_is_good(fits: dict[str, AbstractFit], kind: str) -> None:
    verdict = fits[kind].diagnose()
    assert verdict.grade == "good", verdict.sentence


@pytest.mark.parametrize("kind", KINDS)
def test_draws_of_chosen_sites_are_those_of_all(fits: dict[str, AbstractFit], kind: str) -> None:
    some, every = fits[kind].sample(5, 1, sites=("mean",)), fits[kind].sample(5, 1)
    assert set(some) == {"mean"}
    np.testing.assert_array_equal(some["mean"], every["mean"])  # exact: the same draws
    assert set(fits[kind].to_inferencedata(5, sites=("twice",)).posterior.data_vars) == {"twice"}
    with pytest.raises(ConfigurationError, match="did you mean 'mean'"):
        fits[kind].sample(5, sites=("maen",))


@pytest.mark.parametrize("kind", ["svi", "laplace"])
def test_draws_too_large_are_refused_and_checks_need_none_of_them(
    fits: dict[str, AbstractFit], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand draws of two sites of two numbers are 32 kB; the latent site alone is drawn whatever the limit."""
    monkeypatch.setattr(guide_draws, "LARGEST_DRAWS", 20_000)
    with pytest.raises(ConfigurationError, match=r"draws of all sites would take .* of shape 2"):
        fits[kind].sample(1000)
    assert fits[kind].loo(draws=1000).unit == ("cell",)
    assert identify(fits[kind], draws=1000).table["site"].unique().tolist() == ["mean"]
