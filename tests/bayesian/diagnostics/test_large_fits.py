"""Fits that are too large for a check say so: unknown, never good."""

from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from modelwright.bayesian.diagnostics import guide_checks, identifiability
from modelwright.bayesian.diagnostics.guide_checks import k_hat_of
from modelwright.bayesian.diagnostics.identifiability import identify
from modelwright.bayesian.inference.map_laplace import LaplaceFit, laplace
from modelwright.core.verdict import Finding

GENERATOR = np.random.default_rng(0)
Y = GENERATOR.normal(size=(20, 3))


def behind_a_network(y: np.ndarray) -> None:
    """Every row sees both numbers of its cell."""
    with numpyro.plate("cell", len(y)):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.sample("y", dist.Normal(z @ np.array([[1.0, 0.5, -1.0], [0.3, 1.0, 1.0]]), 1.0).to_event(1), obs=y)


@pytest.fixture(scope="module")
def fit() -> LaplaceFit:
    return laplace(behind_a_network, Y)


def found_by(fit: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in identify(fit, draws=50).findings}


def test_directions_are_looked_for_up_to_a_size_and_unknown_above(
    fit: LaplaceFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found_by(fit)["flat_direction"].grade == "good"
    monkeypatch.setattr(identifiability, "LARGEST_DENSE", 10)
    monkeypatch.setattr(identifiability, "LARGEST_INTERTWINED", 59)
    found = found_by(fit)
    assert found["flat_direction"].grade == found["guide_spread"].grade == "unknown"
    assert found["flat_direction"].value is None
    assert "each of 60 observations sees several of 40 unknowns at once" in found["flat_direction"].sentence
    assert found["contraction_min"].value is not None


def test_k_hat_is_computed_from_fewer_draws_and_unknown_from_too_few(
    fit: LaplaceFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert k_hat_of(fit).grade == "good"  # the posterior is normal
    monkeypatch.setattr(guide_checks, "LARGEST_WORK", 60 * 200)
    assert k_hat_of(fit).grade == "good"
    monkeypatch.setattr(guide_checks, "LARGEST_WORK", 60 * 200 - 1)
    found = k_hat_of(fit)
    assert (found.grade, found.value) == ("unknown", None)
    assert "200 densities of 60 observations each" in found.sentence
