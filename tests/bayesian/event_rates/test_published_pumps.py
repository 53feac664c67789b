"""The published posterior of the pump failures: Poisson counts, exposures and the priors it was published with."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import gammaln

from modelwright.bayesian.diagnostics.chain_statistics import mcse_mean, mcse_sd
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.data.datasets import pump_failures

CLASSIC = ModelConfig(
    likelihood="poisson", shape_prior="exponential(1)", alpha_prior="gamma(0.1, 1)", n_samples=2000, n_chains=2
)
"""theta ~ Gamma(a, b), a ~ Exponential(1), b ~ Gamma(0.1, 1), as George, Makov and Smith (1993) and BUGS write it."""


@pytest.fixture(scope="module", params=["numpyro", "collapsed"])
def draws(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """Draws of the published parameters, each of shape (1, chain, draw)."""
    trace = fit_event_rates(pump_failures(), CLASSIC, engine=request.param, predictive_draws=10, prior_draws=10)
    posterior = trace.posterior
    assert list(posterior.data_vars) == ["mu", "alpha", "theta"]  # whichever of mu and the shape had the prior
    mu, alpha, theta = (posterior[name].values for name in ("mu", "alpha", "theta"))
    ours = {"alpha": mu * alpha, "beta": alpha, **{f"theta[{k + 1}]": theta[..., k] for k in range(10)}}
    return {name: values[None] for name, values in ours.items()}


def test_moments_are_those_by_quadrature(draws: dict[str, np.ndarray]) -> None:
    data = pump_failures()
    # with the rates integrated out, a fine grid over the logarithms of shape and rate remains
    shape, rate = np.meshgrid(np.exp(np.linspace(-8, 3, 601)), np.exp(np.linspace(-9, 3.5, 601)), indexing="ij")
    log_density = np.log(shape) - shape + 0.1 * np.log(rate) - rate
    for y, e in zip(data.count, data.exposure, strict=True):
        log_density += gammaln(shape + y) - gammaln(shape) + shape * np.log(rate) - (shape + y) * np.log(rate + e)
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    given = zip(data.count, data.exposure, strict=True)
    of_rates = {f"theta[{k}]": (shape + y) / (rate + exposure) for k, (y, exposure) in enumerate(given, 1)}
    for name, values in {"alpha": shape, "beta": rate, **of_rates}.items():
        mean = (weight * values).sum()
        # Monte Carlo: 4 standard errors, computed from the draws
        assert abs(draws[name].mean() - mean) < 4 * mcse_mean(draws[name])[0], name
        if name in ("alpha", "beta"):
            sd = np.sqrt((weight * (values - mean) ** 2).sum())
            assert abs(draws[name].std() - sd) < 4 * mcse_sd(draws[name])[0], name


@pytest.mark.realdata
def test_means_and_standard_deviations_are_the_published_ones(draws: dict[str, np.ndarray], shared_data: Path) -> None:
    document = json.loads((shared_data / "bugs" / "reference_posteriors.json").read_text())
    published = document["examples"]["pump"]["stats"]
    assert set(draws) == set(published)
    for name, values in draws.items():
        figure = published[name]
        kurtosis = ((values - values.mean()) ** 4).mean() / values.var() ** 2
        # The published error is the mean's; with as many effective draws, that of the standard deviation follows.
        of_published_sd = figure["mcse"] * np.sqrt((kurtosis - 1.0) / 4.0)
        of_mean = np.hypot(mcse_mean(values)[0], figure["mcse"])
        of_sd = np.hypot(mcse_sd(values)[0], of_published_sd)
        # Monte Carlo: 4 standard errors of both sides, from the draws and from the publication
        assert abs(values.mean() - figure["mean"]) < 4 * of_mean, name
        assert abs(values.std() - figure["sd"]) < 4 * of_sd, name
