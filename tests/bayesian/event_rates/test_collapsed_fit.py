"""The trace of the collapsed engine, with draws of the rates and without: what it says of itself, and who is who."""

import numpy as np
import pytest

from modelwright.bayesian.event_rates import predictive_sample
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.data.events import EventCounts

CONFIG = ModelConfig(n_samples=100, n_chains=2, random_seed=5, mu_prior_rate=1e-3, phi_prior="log_normal(5, 0.1)")
LEVELS = 4.0 ** np.arange(8)


@pytest.fixture(scope="module")
def data() -> EventCounts:
    """Eight entities, each four times as active as the one before, in an order that is not that of their activity."""
    labels = np.repeat([f"e{k}" for k in (3, 0, 5, 1, 7, 2, 6, 4)], 10)
    return EventCounts.from_arrays(entity=labels, count=np.repeat(LEVELS, 10).astype(int))


def entity_means(trace, data) -> np.ndarray:
    """Mean over draws and windows of what was predicted for each entity that was predicted, in order."""
    index = trace.constant_data["entity_idx"].values
    predicted = trace.posterior_predictive["y"].mean(("chain", "draw")).values
    return np.array([predicted[index == k].mean() for k in np.unique(index)])


@pytest.mark.parametrize("rates", ["draws", "summary"])
@pytest.mark.parametrize("complete", [True, False])
def test_every_entity_is_predicted_by_its_own_rate(data, rates, complete, monkeypatch: pytest.MonkeyPatch) -> None:
    if not complete:
        monkeypatch.setattr(predictive_sample, "COMPLETE_UP_TO", 50)
        monkeypatch.setattr(predictive_sample, "SAMPLED_WINDOWS", 40)
    trace = fit_event_rates(data, CONFIG, rates=rates, prior_draws=10)
    assert ("theta" in trace.posterior) == (rates == "draws")
    known = np.unique(trace.constant_data["entity_idx"].values)
    assert len(known) == (8 if complete else 4)
    own = np.bincount(data.entity_idx, data.count)[known] / 10
    # Of entities that are four times apart, a factor of two tells one from another; the least active has ten events.
    assert (np.abs(np.log2(entity_means(trace, data) / own)) < 1.0).all()


def test_the_trace_says_how_it_was_drawn(data) -> None:
    trace = fit_event_rates(data, CONFIG, rates="summary", prior_draws=10)
    for group in (trace.posterior, trace.sample_stats):
        assert group.attrs["engine"] == "collapsed"
        assert group.attrs["seed"] == CONFIG.random_seed
        assert group.attrs["rates_reason"] == "as asked"
        # independent proposals have no step size and no trajectories: nothing of NUTS is said of them
        assert not {"tuning_steps", "target_accept", "max_tree_depth"} & set(group.attrs)
    accepted = trace.sample_stats["accepted"]
    assert accepted.dtype == bool
    moved = np.diff(trace.posterior["mu"].values, axis=1) != 0
    np.testing.assert_array_equal(moved, accepted.values[:, 1:])
