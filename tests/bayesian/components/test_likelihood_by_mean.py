"""A negative binomial named by its mean is the one named by p, entry by entry and compressed."""

import numpy as np
import pytest
from scipy.stats import nbinom

from modelwright.bayesian.components.compressed_counts import compress_matrix
from modelwright.bayesian.components.count_likelihoods import NegativeBinomialLikelihood
from modelwright.core.errors import ConfigurationError

RNG = np.random.default_rng(0)
R, P, GATE = RNG.uniform(0.5, 3.0, 4), RNG.uniform(0.2, 0.8, 4), RNG.uniform(0.1, 0.4, 4)
CAPTURE = RNG.uniform(0.2, 0.9, (6, 1))
COUNTS = RNG.negative_binomial(R, 1.0 - P, (6, 4))
VALUES = {"r": R, "p": P, "mu": R * P / (1.0 - P), "gate": GATE, "nu": CAPTURE}


@pytest.mark.parametrize("gate", [None, "gate"])
@pytest.mark.parametrize("capture", [None, "nu"])
def test_the_distribution_is_that_by_p_and_that_of_scipy(gate: str | None, capture: str | None) -> None:
    by_mean = NegativeBinomialLikelihood(mean="mu", gate=gate, capture=capture).distribution(VALUES)
    by_p = NegativeBinomialLikelihood(gate=gate, capture=capture).distribution(VALUES)
    np.testing.assert_allclose(by_mean.log_prob(COUNTS), by_p.log_prob(COUNTS), rtol=1e-4, atol=1e-5)  # float32
    mean = VALUES["mu"] * (1.0 if capture is None else CAPTURE)
    pi = 0.0 if gate is None else GATE
    truth = (1.0 - pi) * nbinom.pmf(COUNTS, R, R / (R + mean)) + pi * (COUNTS == 0)
    np.testing.assert_allclose(by_mean.log_prob(COUNTS), np.log(truth), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gate", [None, "gate"])
def test_it_is_compressed_where_every_gene_has_one_mean_and_nowhere_else(gate: str | None) -> None:
    likelihood = NegativeBinomialLikelihood(mean="mu", gate=gate)
    dims = dict.fromkeys(("r", "mu", "gate"), ("n_genes",))
    assert likelihood.compressed_form(dims) == "pairs"
    assert likelihood.compressed_form({**dims, "mu": ("n_cells", "n_genes")}) is None
    assert NegativeBinomialLikelihood(mean="mu", capture="nu").compressed_form({**dims, "nu": ("n_cells",)}) is None
    found = likelihood.compressed_log_prob("pairs", VALUES, compress_matrix(COUNTS))
    np.testing.assert_allclose(found, likelihood.distribution(VALUES).log_prob(COUNTS).sum(), rtol=1e-5)


def test_a_mean_beside_odds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the mean follows from r and the odds"):
        NegativeBinomialLikelihood(mean="mu", odds_against="phi")
