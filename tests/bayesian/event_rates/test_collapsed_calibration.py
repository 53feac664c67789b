"""Simulation-based calibration of the collapsed engine: parameters drawn from the priors, ranks among their draws."""

import numpy as np
import pytest

from modelwright.bayesian.diagnostics.calibration import calibration_verdict, rank_of_truth, thin, uniformity
from modelwright.bayesian.event_rates.collapsed_density import CollapsedDensity, to_population
from modelwright.bayesian.event_rates.collapsed_posterior import sample_hyperparameters
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.statistics import statistics_of
from modelwright.core.verdict import Grade
from modelwright.data.events import EventCounts

REPLICATIONS, ENTITIES, WINDOWS, KEPT = 200, 10, 8, 99
EXPOSURE = np.repeat(np.geomspace(0.5, 2.0, ENTITIES)[:, None], WINDOWS, axis=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("alike", [True, False], ids=["calibrated", "data of another prior are found out"])
def test_ranks_are_uniform(alike: bool) -> None:
    generator = np.random.default_rng(20)
    config = ModelConfig(n_samples=200, n_chains=4)
    names = ("mu", "alpha", "phi", "log likelihood")
    truths, draws = np.empty((REPLICATIONS, 4)), np.empty((REPLICATIONS, KEPT, 4))
    for replication in range(REPLICATIONS):
        truth = {name: prior.draw(1, generator) for name, prior in config.hyperpriors().items()}
        mu, alpha, phi = (float(truth[name][0]) for name in ("mu", "alpha", "phi"))
        theta = generator.gamma(mu * alpha, 1.0 / (alpha if alike else 1.5 * alpha), ENTITIES)
        mean = theta[:, None] * EXPOSURE * generator.gamma(phi, 1.0 / phi, EXPOSURE.shape)
        data = EventCounts.from_arrays(
            entity=np.repeat([f"e{k}" for k in range(ENTITIES)], WINDOWS),
            count=generator.poisson(mean).ravel(),
            exposure=EXPOSURE.ravel(),
        )
        statistics = statistics_of(data)
        found = sample_hyperparameters(
            statistics, config.model_copy(update={"random_seed": int(generator.integers(2**31))})
        )
        assert found.method == "independence_metropolis", found.reason
        # draws of all chains in turn, so that thinning leaves neighbours apart
        kept = {name: thin(values.T.reshape(-1), KEPT) for name, values in found.values.items()}
        likelihood = CollapsedDensity(statistics, config).log_likelihood
        here, there = (likelihood(to_population(part, config.parameterization)) for part in (truth, kept))
        truths[replication] = mu, alpha, phi, here[0]
        draws[replication] = np.stack([*(kept[name] for name in ("mu", "alpha", "phi")), there], axis=1)
    tested = [
        uniformity(name, rank_of_truth(truths[:, k], draws[:, :, k], generator), KEPT) for k, name in enumerate(names)
    ]
    findings = calibration_verdict(tested).findings
    found_out = any(finding.grade is Grade.PROBLEM for finding in findings)
    assert found_out != alike, [finding.sentence for finding in findings]
