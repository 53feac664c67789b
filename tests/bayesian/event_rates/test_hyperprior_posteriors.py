"""Priors that end somewhere or have heavy tails: every engine samples the same posterior with them."""

import numpy as np
import pytest

from modelwright.bayesian.diagnostics.chain_statistics import mcse_mean
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.simulate import simulate_event_rates


@pytest.mark.slow
def test_engines_agree_on_a_prior_that_cuts_the_posterior_off() -> None:
    data, _ = simulate_event_rates(30, 10, mu=5.0, alpha=1.0, phi=2.0, seed=1)
    config = ModelConfig.create(
        mu_prior="uniform(0, 4.5)",
        alpha_prior="half_student_t(3, 1)",
        phi_prior="uniform(0.5, 1000)",
        n_samples=1000,
        n_tune=600,
        n_chains=2,
    )
    one, *others = (
        fit_event_rates(data, config, engine=engine, predictive_draws=10, prior_draws=10).posterior
        for engine in ("numpyro", "pymc", "collapsed")
    )
    for name in ("mu", "alpha", "phi"):
        for other in others:
            first, second = one[name].values[None], other[name].values[None]
            error = np.hypot(mcse_mean(first)[0], mcse_mean(second)[0])
            assert abs(first.mean() - second.mean()) < 4 * error, name  # Monte Carlo: 4 standard errors, from the draws
    largest = max(float(posterior["mu"].max()) for posterior in (one, *others))
    assert 4.4 < largest <= 4.5
