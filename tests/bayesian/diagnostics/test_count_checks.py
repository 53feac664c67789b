"""Checks of matrices of counts: quiet when the model is right, and loud about what is wrong."""

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from modelwright.bayesian.diagnostics.count_checks import (
    check_counts,
    quantile_residuals,
    replicated_counts,
    residual_finding,
)
from modelwright.bayesian.inference.map_laplace import laplace
from modelwright.core.errors import DataError

RNG = np.random.default_rng(11)
MEANS = RNG.gamma(2.0, 2.0, 40)


def poisson(cells: int = 150) -> np.ndarray:
    return RNG.poisson(MEANS, (cells, 40))


def grades(counts: np.ndarray) -> dict[str, str]:
    check = check_counts(counts, (poisson() for _ in range(60)))
    return {finding.name: str(finding.grade) for finding in check.findings}


def test_data_of_the_model_hardly_ever_raise_a_finding() -> None:
    found = [grade for _ in range(10) for grade in grades(poisson()).values()]
    # each finding is at three standard deviations or two of five quantiles beyond all replications: some per cent
    assert sum(grade != "good" for grade in found) <= 3


WRONG = {
    "too many zeros": (np.where(RNG.random((150, 40)) < 0.3, 0, poisson()), "counts_zeros"),
    "spread too far": (RNG.poisson(MEANS * RNG.gamma(1.0, 1.0, (150, 40))), "counts_variance"),
    "means off": (RNG.poisson(2.0 * MEANS, (150, 40)), "counts_mean"),
    "cells of unlike depth": (RNG.poisson(MEANS * RNG.gamma(4.0, 0.25, (150, 1))), "counts_totals"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found(case: tuple[np.ndarray, str]) -> None:
    counts, name = case
    assert grades(counts)[name] in ("warning", "problem")


def test_few_replications_are_unknown_and_other_genes_refused() -> None:
    few = check_counts(poisson(), [poisson() for _ in range(3)])
    assert {str(finding.grade) for finding in few.findings} == {"unknown"}
    with pytest.raises(DataError, match="not of the observed genes"):
        check_counts(poisson(), [poisson()[:, :5]])


def test_replications_of_a_fit_look_like_the_data() -> None:
    def model(y: np.ndarray) -> None:
        with numpyro.plate("gene", y.shape[1], dim=-1):
            mu = numpyro.sample("mu", dist.LogNormal(1.0, 1.0))
            with numpyro.plate("cell", y.shape[0], dim=-2):
                numpyro.sample("y", dist.Poisson(mu), obs=y)

    counts = poisson()
    fit = laplace(model, counts)
    check = check_counts(counts, replicated_counts(fit, 40), genes=[f"g{k}" for k in range(40)])
    assert "problem" not in {str(finding.grade) for finding in check.findings}
    assert check.table.index[0] == "g0"
    from_prior = check_counts(counts, replicated_counts(fit, 40, prior=True), prior=True)
    assert from_prior.findings[0].name == "prior_counts_zeros"
    # a prior as wide as this has every gene within its band
    assert str(from_prior.findings[1].grade) == "good"


def test_quantile_residuals_are_normal_only_for_the_right_distribution() -> None:
    y = RNG.negative_binomial(2.0, 0.3, 4000)
    right = quantile_residuals(y, stats.nbinom(2.0, 0.3).logcdf, stats.nbinom(2.0, 0.3).logpmf)
    wrong = quantile_residuals(y, stats.poisson(y.mean()).logcdf, stats.poisson(y.mean()).logpmf)
    assert stats.kstest(right, "norm").pvalue > 0.001
    assert str(residual_finding(right).grade) == "good"
    assert str(residual_finding(wrong).grade) == "problem"
    assert "more dispersion" in residual_finding(wrong).advice
