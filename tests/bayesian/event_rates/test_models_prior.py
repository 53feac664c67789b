"""Which parameterisations share a prior, and which does not; draws of counts against their moments."""

import jax
import numpy as np
import pytest
from numpyro.infer import Predictive
from scipy import stats

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.count_draws import draw_counts, draw_prior
from modelwright.bayesian.event_rates.numpyro_model import hierarchical_negbinom
from modelwright.bayesian.event_rates.observations import check_observations, compress
from modelwright.bayesian.event_rates.simulate import simulate_event_rates
from modelwright.core.errors import ConfigurationError

DRAWS = 4000


def prior_of(parameterization: str, source: str) -> dict[str, np.ndarray]:
    config = ModelConfig(parameterization=parameterization)
    if source == "numpy":
        draws = draw_prior(config, 1, DRAWS, np.random.default_rng(1))
    else:
        data = compress(check_observations([1], [0], 1))
        with jax.enable_x64(True):
            draws = Predictive(hierarchical_negbinom, num_samples=DRAWS)(jax.random.key(1), data, config)
    return {name: np.asarray(value, float) for name, value in draws.items()}


def uniformity(draws: dict[str, np.ndarray], shape: np.ndarray, rate: np.ndarray) -> float:
    """p value of: theta ~ Gamma(shape, rate) given the hyperparameters, by its probability integral transform."""
    return float(stats.kstest(stats.gamma(shape, scale=1 / rate).cdf(draws["theta"][:, 0]), "uniform").pvalue)


@pytest.mark.parametrize("source", ["numpy", "numpyro"])
@pytest.mark.parametrize("parameterization", ["centered", "noncentered", "mean_scaled"])
def test_prior_of_the_rates(parameterization: str, source: str) -> None:
    draws = prior_of(parameterization, source)
    mu, alpha = draws["mu"], draws["alpha"]
    described = uniformity(draws, mu * alpha, alpha)
    other = uniformity(draws, alpha, alpha / mu)
    # Monte Carlo: a seeded test of level 1e-3 for what must hold, and of overwhelming power for what must not
    if parameterization == "mean_scaled":
        assert other > 1e-3
        assert described < 1e-12
    else:
        assert described > 1e-3
        assert other < 1e-12
    assert stats.kstest(mu, stats.expon(scale=10.0).cdf).pvalue > 1e-3
    assert stats.kstest(alpha, stats.halfnorm(scale=2.0).cdf).pvalue > 1e-3
    assert stats.kstest(draws["phi"], stats.halfnorm(scale=2.0).cdf).pvalue > 1e-3


def test_draws_of_counts_have_the_negative_binomials_frequencies() -> None:
    mean, phi, n = 4.0, 1.5, 40_000
    drawn = draw_counts(np.full(n, mean), np.asarray(phi), np.random.default_rng(2))
    bins = np.append(np.bincount(np.minimum(drawn, 20), minlength=21)[:20], (drawn >= 20).sum())
    expected = n * np.append(
        stats.nbinom(phi, phi / (phi + mean)).pmf(np.arange(20)), stats.nbinom(phi, phi / (phi + mean)).sf(19)
    )
    assert stats.chisquare(bins, expected).pvalue > 1e-3
    assert drawn.dtype == np.int32


def test_draws_of_counts_reach_beyond_what_fits_into_32_bits_and_numpy() -> None:
    drawn = draw_counts(np.array([1e-300, 5e9, 1e17, 1e30]), None, np.random.default_rng(0))
    assert drawn.dtype == np.int64
    assert drawn[0] == 0
    np.testing.assert_allclose(drawn[1:3], [5e9, 1e17], rtol=1e-3)
    assert drawn[3] > 8e18  # as many as an integer holds


def test_simulation_follows_its_truth_and_its_seed() -> None:
    counts, truth = simulate_event_rates(300, 40, mu=6.0, alpha=2.0, phi=3.0, exposure=0.5, seed=4)
    again, _ = simulate_event_rates(300, 40, mu=6.0, alpha=2.0, phi=3.0, exposure=0.5, seed=4)
    assert counts.fingerprint() == again.fingerprint()
    assert (counts.n_entities, counts.n_obs) == (300, 12_000)
    theta = truth["theta"]
    assert stats.kstest(theta, stats.gamma(12.0, scale=0.5).cdf).pvalue > 1e-3
    mean = theta[counts.entity_idx] * 0.5
    residual = (counts.count - mean) / np.sqrt(mean + mean**2 / 3.0)
    # Monte Carlo: 4 standard errors of a mean and of a mean square
    assert abs(residual.mean()) < 4 / np.sqrt(12_000)
    assert abs((residual**2).mean() - 1) < 4 * (residual**2).std() / np.sqrt(12_000)


def test_simulation_draws_from_the_prior_what_is_not_given() -> None:
    truths = [simulate_event_rates(1, 1, seed=seed)[1] for seed in range(300)]
    assert stats.kstest([truth["mu"] for truth in truths], stats.expon(scale=10.0).cdf).pvalue > 1e-3
    assert stats.kstest([truth["phi"] for truth in truths], stats.halfnorm(scale=2.0).cdf).pvalue > 1e-3
    assert "phi" not in simulate_event_rates(2, 2, config=ModelConfig(likelihood="poisson"))[1]


@pytest.mark.parametrize(("field", "value"), [("n_entities", 0), ("n_windows", 2.5), ("mu", -1.0), ("phi", np.nan)])
def test_simulation_refuses_the_impossible(field: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"{field}: not usable; expected a"):
        simulate_event_rates(**{"n_entities": 2, "n_windows": 2, field: value})
