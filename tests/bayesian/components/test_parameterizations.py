"""Coordinates of the negative binomial: one likelihood at mapped values, and the Beta prime prior of the odds."""

import jax
import numpy as np
import pytest
from scipy import stats

from modelwright.bayesian.components.beta_prime import BetaPrime
from modelwright.bayesian.components.count_kernels import negative_binomial_log_prob
from modelwright.bayesian.components.parameterizations import COORDINATES

P, R = 0.3, 2.5
ODDS = P / (1 - P)
VALUES = {"p": P, "r": R, "mu": R * ODDS, "phi": 1 / ODDS}


@pytest.mark.parametrize("name", COORDINATES)
def test_coordinates_have_the_same_likelihood(name):
    way = COORDINATES[name]
    with jax.enable_x64(True):
        first, second = VALUES[way.first], VALUES[way.second]
        found = negative_binomial_log_prob(4, way.concentration(first, second), way.log_odds(first))
    assert float(found) == pytest.approx(stats.nbinom.logpmf(4, R, 1 - P), rel=1e-12)
    assert way.probability(first) == pytest.approx(P, rel=1e-14)


def test_odds_keep_the_digits_of_a_probability_near_one():
    with jax.enable_x64(True):
        assert float(COORDINATES["mean_odds"].log_odds(1e-30)) == pytest.approx(30 * np.log(10), rel=1e-14)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (2.5, 0.7), (40.0, 9.0)])
def test_beta_prime_is_the_distribution_of_the_odds_against(alpha, beta):
    phi = np.array([1e-6, 0.2, 1.0, 30.0, 1e7])
    with jax.enable_x64(True):
        prior = BetaPrime(beta, alpha)  # of the odds against p ~ Beta(alpha, beta): the other order
        desired = stats.betaprime(beta, alpha).logpdf(phi)
        np.testing.assert_allclose(prior.log_prob(phi), desired, rtol=1e-11, atol=1e-13)
        if alpha > 2:
            assert float(prior.mean) == pytest.approx(stats.betaprime(beta, alpha).mean(), rel=1e-12)
            assert float(prior.variance) == pytest.approx(stats.betaprime(beta, alpha).var(), rel=1e-11)
        else:
            assert np.isinf(prior.variance) or alpha > 2
        draws = np.asarray(prior.sample(jax.random.key(0), (2000,)))
    # Kolmogorov-Smirnov on p = 1/(1+phi); the seed is fixed, and one in ten thousand would be below
    assert stats.kstest(1 / (1 + draws), stats.beta(alpha, beta).cdf).pvalue > 1e-4
