"""Parameterisations of the negative binomial: maps both ways, one likelihood, and priors that stay the same model."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from modelwright.bayesian.components.beta_prime import BetaPrime
from modelwright.bayesian.components.count_kernels import negative_binomial_log_prob
from modelwright.bayesian.components.parameterizations import (
    CANONICAL,
    MEAN_ODDS,
    MEAN_PROB,
    convert,
    odds_prior,
    parameterization,
    same_model_log_density,
    scaled_prior,
)
from modelwright.core.errors import ConfigurationError

ALL = [CANONICAL, MEAN_PROB, MEAN_ODDS]
P, R = 0.3, 2.5


PAIRS = list(itertools.permutations(ALL, 2))
pairs = pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda each: each.name)


@pairs
def test_maps_are_inverse_and_keep_the_likelihood(source, target):
    with jax.enable_x64(True):
        here = convert(P, R, source=CANONICAL, target=source)
        there = convert(*here, source=source, target=target)
        back = convert(*there, source=target, target=source)
        np.testing.assert_allclose(back, here, rtol=1e-14)
        _, r = target.to_canonical(*there)
        found = negative_binomial_log_prob(4, r, target.logits(*there))
        assert float(found) == pytest.approx(stats.nbinom.logpmf(4, R, 1 - P), rel=1e-12)


@pairs
def test_densities_carry_the_jacobian_of_the_map(source, target):
    def prior(first, second):
        return -first - 2.0 * second

    with jax.enable_x64(True):
        at = convert(P, R, source=CANONICAL, target=target)
        found = same_model_log_density(prior, source=source, target=target)(*at)
        back = jnp.stack(convert(*at, source=target, target=source))
        jacobian = jax.jacobian(lambda t: jnp.stack(convert(t[0], t[1], source=target, target=source)))(jnp.stack(at))
        truth = prior(*back) + jnp.linalg.slogdet(jacobian)[1]  # autodiff of the map itself
    assert float(found) == pytest.approx(float(truth), rel=1e-12)


def test_a_scaled_prior_is_the_conditional_prior_in_the_other_coordinates():
    of_r = dist.LogNormal(0.2, 0.7)
    with jax.enable_x64(True):
        moved = same_model_log_density(
            lambda p, r: dist.Beta(2.0, 3.0).log_prob(p) + of_r.log_prob(r), source=CANONICAL, target=MEAN_PROB
        )
        mu = jnp.array([0.1, 1.0, 9.0])
        conditional = scaled_prior(of_r, P / (1 - P)).log_prob(mu)  # mu = r p/(1-p)
        np.testing.assert_allclose(moved(P, mu), dist.Beta(2.0, 3.0).log_prob(P) + conditional, rtol=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (2.5, 0.7), (40.0, 9.0)])
def test_beta_prime_is_the_distribution_of_the_odds_against(alpha, beta):
    phi = np.array([1e-6, 0.2, 1.0, 30.0, 1e7])
    with jax.enable_x64(True):
        prior = odds_prior(dist.Beta(alpha, beta))
        assert isinstance(prior, BetaPrime)
        # the odds against: the parameters come in the other order
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


def test_an_unknown_parameterisation_is_named():
    with pytest.raises(ConfigurationError) as refusal:
        parameterization("mean")
    assert str(refusal.value) == (
        "parameterization: no such parameterisation; expected canonical or mean_prob or mean_odds, got 'mean'"
    )
