"""The count models: one likelihood in all coordinates, one model where that is asked for, and recovery of the truth."""

from itertools import product
from typing import Any

import jax
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy import stats

from modelwright.bayesian.components import MeanFieldGuide
from modelwright.bayesian.single_cell.count_models import PRIOR_OF_LEVEL, count_model, default_guide
from modelwright.bayesian.single_cell.settings import CountModelSettings
from modelwright.bayesian.single_cell.training import train_count_model
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressEvent
from modelwright.data.counts import simulate_counts

KINDS = ("nbdm", "zinb", "nbvcp", "zinbvcp")
P, R = 0.7, np.array([0.3, 1.0, 4.0, 0.8])
MU = R * P / (1 - P)
LEVELS: dict[str, dict[str, Any]] = {
    "canonical": {"p": P, "r": R},
    "mean_prob": {"p": P, "mu": MU},
    "mean_odds": {"phi": (1 - P) / P, "mu": MU},
}
SIMULATED = simulate_counts("zinbvcp", n_cells=7, n_genes=4, seed=2).counts.matrix.toarray()


def values_of(kind: str, parameterization: str) -> dict[str, Any]:
    found = dict(LEVELS[parameterization])
    if kind.startswith("zi"):
        found["gate"] = np.array([0.1, 0.4, 0.2, 0.05])
    if kind.endswith("vcp"):
        found["p_capture"] = np.linspace(0.2, 0.9, 7)
    return found


def log_prior_of_levels(parameterization: str) -> float:
    level, scale = PRIOR_OF_LEVEL
    of_p = 0.0 if parameterization != "mean_odds" else float(stats.betaprime(1, 1).logpdf((1 - P) / P))
    values = R if parameterization == "canonical" else MU
    return of_p + float(stats.lognorm(scale, scale=np.exp(level)).logpdf(values).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_the_likelihood_is_the_same_in_all_coordinates(kind: str) -> None:
    found = []
    with jax.enable_x64(True):
        for parameterization in LEVELS:
            values = values_of(kind, parameterization)
            joint = float(log_density(count_model(kind, parameterization), (SIMULATED,), {}, values)[0])
            found.append(joint - log_prior_of_levels(parameterization))
    assert found[1] == pytest.approx(found[0], rel=1e-11)
    assert found[2] == pytest.approx(found[0], rel=1e-11)


def test_other_coordinates_of_the_canonical_model_keep_the_model() -> None:
    """Its density is the canonical one times the Jacobian of the change."""
    with jax.enable_x64(True):
        joint = {
            name: float(log_density(count_model("nbdm", name, priors="canonical"), (SIMULATED,), {}, values)[0])
            for name, values in LEVELS.items()
        }
    of_mu = np.log((1 - P) / P) * len(R)  # |dr/dmu|
    of_odds = 2.0 * np.log(P)  # |dp/dphi| = 1/(1 + phi)^2
    assert joint["mean_prob"] == pytest.approx(joint["canonical"] + of_mu, rel=1e-11)
    assert joint["mean_odds"] == pytest.approx(joint["canonical"] + of_mu + of_odds, rel=1e-11)


@pytest.mark.parametrize(("kind", "parameterization"), list(product(KINDS, ["canonical", "mean_odds"])))
def test_every_model_has_a_guide_for_every_parameter(kind: str, parameterization: str) -> None:
    model = count_model(kind, parameterization)
    guide = default_guide(model)
    assert set(guide.families) == {spec.name for spec in model.specs}
    assert {spec.name for unit in guide.units() for spec in unit} == set(guide.families)


@pytest.mark.slow
def test_a_training_recovers_the_genes_and_says_so() -> None:
    simulated = simulate_counts("nbdm", n_cells=300, n_genes=12, p=0.6, seed=3)
    settings = CountModelSettings(model="nbdm", parameterization="mean_prob")
    events: list[ProgressEvent] = []
    outcome = train_count_model(simulated.counts, settings, progress=events.append)
    last = {event.stage: event for event in events}
    assert all(event.done == event.total for event in last.values()), last  # no bar is left open
    assert str(outcome.verdict.grade) == "good"
    genes = outcome.tables["genes"]
    assert list(genes["gene"]) == list(simulated.counts.genes)
    z = (genes["mu_mean"] - simulated.truth["mu"]) / genes["mu_sd"]
    assert np.abs(z).max() < 4.5  # twelve genes
    assert outcome.metrics["inference"] == "laplace"
    assert outcome.diagrams[0].content.startswith(b"<")
    assert {"p", "mu", "r"} <= set(outcome.trace.posterior.data_vars)


@pytest.mark.slow
def test_capture_without_an_anchor_is_said_to_be_open() -> None:
    simulated = simulate_counts("nbvcp", n_cells=200, n_genes=20, seed=1)
    outcome = train_count_model(simulated.counts, CountModelSettings(model="nbvcp", steps=500))
    grades = {finding.name: str(finding.grade) for finding in outcome.verdict.findings}
    assert grades["flat_direction"] != "good"
    assert len(outcome.tables["cells"]) == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nbdm", "zinb"])
def test_intervals_cover_the_truth(kind: str) -> None:
    """Over 8 data sets of 40 genes the 90 % intervals of mu cover what binomial chance allows around 90 %."""
    hits = trials = 0
    for seed in range(8):
        simulated = simulate_counts(kind, n_cells=400, n_genes=40, p=0.6, seed=seed)
        genes = train_count_model(simulated.counts, CountModelSettings(model=kind)).tables["genes"]
        inside = (genes["mu_lower"] < simulated.truth["mu"]) & (simulated.truth["mu"] < genes["mu_upper"])
        hits, trials = hits + int(inside.sum()), trials + len(inside)
    assert 0.85 <= hits / trials <= 0.95


def test_what_is_no_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        count_model("nbmd")
    assert str(caught.value) == (
        "kind: not one of the choices; got 'nbmd'; did you mean 'nbdm'? known: nbdm, zinb, nbvcp, zinbvcp"
    )
    with pytest.raises(ConfigurationError, match="batch_size: a setting of SVI, and laplace was asked for"):
        CountModelSettings(inference="laplace", batch_size=10)
    with pytest.raises(ConfigurationError, match="rank: only the low-rank guide has a rank"):
        CountModelSettings(rank=3)
    assert CountModelSettings(steps=100).chosen_inference[0] == "svi"
    assert CountModelSettings().chosen_inference[0] == "laplace"


def test_cells_are_integrated_out_where_each_is_known_by_its_total() -> None:
    for asked, out in (({}, True), ({"cells": "sampled"}, False), ({"entries": "dense"}, False)):
        model = count_model("nbvcp", **asked)  # type: ignore[arg-type]
        assert (model.integrated_out is not None) is out
        assert ("p_capture" in {spec.name for spec in model.specs}) is not out
    assert count_model("zinbvcp").integrated_out is None
    assert count_model("nbvcp", components=2).integrated_out is None
    assert CountModelSettings(model="nbvcp").chosen_inference[0] == "laplace"
    assert CountModelSettings(model="nbvcp", likelihood="dense").chosen_inference[0] == "svi"
    assert CountModelSettings(model="zinbvcp").chosen_inference[0] == "svi"


@pytest.mark.slow
def test_a_training_with_cells_integrated_out_recovers_genes_and_cells() -> None:
    nu = np.random.default_rng(4).uniform(size=300)
    simulated = simulate_counts("nbvcp", n_cells=300, n_genes=30, p=0.8, nu=nu, seed=4)
    outcome = train_count_model(simulated.counts, CountModelSettings(model="nbvcp", parameterization="canonical"))
    genes, cells = outcome.tables["genes"], outcome.tables["cells"]
    hits = (genes["r_lower"] < simulated.truth["r"]) & (simulated.truth["r"] < genes["r_upper"])
    assert hits.sum() >= 23  # of 30 at 90 %: less has a chance of one in a hundred
    draws = outcome.trace.posterior
    odds = (draws["p"] / (1 - draws["p"]) * draws["p_capture"]).to_numpy().reshape(-1, 300)
    low, high = np.quantile(odds, [0.05, 0.95], axis=0)
    inside = np.mean((low < 4.0 * nu) & (4.0 * nu < high))
    assert 0.84 <= inside <= 0.96  # 300 cells: three and a half standard errors
    # a cell is known by its total alone, of which the mean is a rising function: in ranks it says as much of nu
    ranks = [stats.spearmanr(values, nu)[0] for values in (cells["p_capture_mean"], simulated.counts.cell_totals)]
    assert ranks[0] == pytest.approx(ranks[1], abs=0.01)  # means of finitely many draws
    assert outcome.metrics["inference"] == "laplace"


def test_a_guide_of_cells_that_are_integrated_out_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cells_guide: no guide has a part in what is integrated out"):
        count_model("nbvcp", cells="integrated", cells_guide=MeanFieldGuide())
