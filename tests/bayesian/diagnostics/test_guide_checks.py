"""Findings on guides and on what the data leave open: closed forms, and the names in their sentences."""

from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints

from modelwright.bayesian.diagnostics import flat_directions as module
from modelwright.bayesian.diagnostics.flat_directions import flattest_directions
from modelwright.bayesian.diagnostics.guide_checks import gradient_reach, guide_k_hat, plateau, skipped
from modelwright.bayesian.diagnostics.identifiability import identify
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.inference.unconstrained import Unconstrained
from modelwright.bayesian.inference.variational import SviSettings, VariationalFit, svi

Y = np.random.default_rng(5).normal(1.0, 1.0, 100)
NOISE = np.random.default_rng(1).normal(size=2000)


def ridge(y: np.ndarray) -> None:
    """The data see a + b: along a - b nothing but the priors holds it."""
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    numpyro.sample("c", dist.Normal(0.0, 1.0))
    with numpyro.plate("cell", y.shape[0]):
        numpyro.sample("y", dist.Normal(a + b, 1.0), obs=y)


def mean_field(y: np.ndarray) -> None:
    for name in ("a", "b", "c"):
        loc = numpyro.param(f"{name}_loc", 0.0)
        scale = numpyro.param(f"{name}_scale", 0.1, constraint=constraints.positive)
        numpyro.sample(name, dist.Normal(loc, scale))


@pytest.fixture(scope="module")
def fit() -> VariationalFit:
    return svi(ridge, mean_field, Y, steps=800, settings=SviSettings(learning_rate=0.05, particles=8, stopping=None))


def test_ridge_is_named_and_the_guide_that_does_not_see_it(fit: VariationalFit) -> None:
    findings = {finding.name: finding for finding in fit.diagnose().findings}
    flat = findings["flat_direction"]
    # precision [[101, 100], [100, 101]], scaled to a unit diagonal: smallest eigenvalue 1 / 101
    found = identify(fit)
    assert found.directions[0].spread == pytest.approx(np.sqrt(101.0), rel=1e-6)
    assert found.ridges[0].spread == pytest.approx(np.sqrt(101.0), rel=0.2)  # by the widths of 400 draws of the prior
    assert flat.value == found.ridges[0].spread
    assert flat.grade == "warning"
    assert "move together" in flat.sentence
    assert all(name in flat.sentence for name in ("a", "b", "100% of what holds it comes from the priors"))
    assert "Anchor" in flat.advice
    assert findings["guide_spread"].value == pytest.approx(np.sqrt(101.0), rel=0.2)  # of 400 draws of a fitted guide
    assert findings["guide_spread"].grade in ("warning", "problem")  # its limit is 10
    assert findings["guide_k_hat"].grade == "problem"
    assert findings["contraction_min"].grade == "warning"
    assert "c (" in findings["contraction_min"].sentence
    assert findings["gradient_reach"].grade == findings["elbo_plateau"].grade == "good"


def test_lanczos_finds_the_direction_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    def many(y: np.ndarray) -> None:
        size = numpyro.sample("size", dist.Normal(0.0, 1.0))
        with numpyro.plate("gene", 50):
            mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
            numpyro.sample("y", dist.Normal(mu + size, 0.05), obs=y[:50])

    with jax.enable_x64(True):
        density = Unconstrained.of(many, Call.of((Y,), {}))
        draws = np.random.default_rng(0).standard_normal((10, density.size))
        whole = flattest_directions(density, np.zeros(density.size), draws)[0]
        monkeypatch.setattr(module, "LARGEST_DENSE", 10)
        by_lanczos = flattest_directions(density, np.zeros(density.size), draws)[0]
    assert by_lanczos.spread == pytest.approx(whole.spread, rel=0.01)  # the iteration's tolerance
    assert by_lanczos.shares == pytest.approx(whole.shares, abs=0.01)  # both sites have half of it: no order
    assert "size up as mu down" in whole.words or "mu up as size down" in whole.words


SENTENCES: dict[str, tuple[Any, str, str]] = {
    "level": (plateau(NOISE), "good", "has settled"),
    "rising": (plateau(NOISE + 0.1 * np.arange(2000)), "problem", "still rises: 5"),
    "short": (plateau(NOISE[:20]), "unknown", "too few"),
    "finite": (skipped(NOISE), "good", "finite at every step"),
    "some not": (skipped(np.where(NOISE > 0, NOISE, np.nan)), "problem", "were left out"),
    "reached": (gradient_reach({"net": {"w": np.ones(3, bool)}}), "good", "all 3 numbers"),
    "unreached": (gradient_reach({"net": {"w": np.zeros(3, bool)}, "b": np.ones(1, bool)}), "problem", "net (3 of 3)"),
    "no number": (guide_k_hat(np.array([np.nan, 0.0]), np.zeros(2)), "problem", "not a number"),
}


@pytest.mark.parametrize("case", SENTENCES.values(), ids=SENTENCES)
def test_findings_say_what_is_wrong_and_what_to_do(case: tuple[Any, str, str]) -> None:
    finding, grade, words = case
    assert finding.grade == grade
    assert words in finding.sentence
    assert bool(finding.advice) == (grade != "good")
