"""The population's posterior: as NUTS draws it from the full model, on data that say much, little and nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelwright.bayesian.event_rates.collapsed_density import CollapsedDensity
from modelwright.bayesian.event_rates.collapsed_posterior import HyperparameterDraws, sample_hyperparameters
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.numpyro_model import hierarchical_negbinom
from modelwright.bayesian.event_rates.simulate import simulate_event_rates
from modelwright.bayesian.event_rates.start import starting_point
from modelwright.bayesian.event_rates.statistics import statistics_of
from modelwright.bayesian.inference.samplers import NutsSettings, sample_numpyro_model
from modelwright.bayesian.inference.traces import STATISTICS
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressEvent
from modelwright.data.datasets import pump_failures
from modelwright.data.events import EventCounts


def counts_of(count: list[int] | np.ndarray, entities: int) -> EventCounts:
    entity = np.repeat(np.arange(entities), len(count) // entities)
    return EventCounts.from_arrays(entity=[f"e{i:04d}" for i in entity], count=count)


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Means and standard deviations of the logarithms within 4 combined Monte Carlo standard errors."""
    assert set(one) == set(other)
    for name in one:
        a, b = np.log(one[name]), np.log(other[name])
        for first, second in ((a, b), ((a - a.mean()) ** 2, (b - b.mean()) ** 2)):
            mcse = np.hypot(*(part.std() / np.sqrt(float(az.ess(part, method="mean"))) for part in (first, second)))
            assert abs(first.mean() - second.mean()) < 4 * mcse, name


CASES = {
    "negative binomial": (lambda: simulate_event_rates(12, 6, mu=5.0, alpha=1.0, phi=2.0, seed=8)[0], {}),
    "poisson with exposures": (pump_failures, {"likelihood": "poisson", "parameterization": "mean_scaled"}),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if "exposures" in name else ()) for name, case in CASES.items()],
    ids=CASES.keys(),
)
def test_agrees_with_nuts_on_the_full_model(case: tuple) -> None:
    make, choices = case
    statistics = statistics_of(make())
    config = ModelConfig(n_samples=1000, n_chains=2, random_seed=1, **choices)
    found = sample_hyperparameters(statistics, config)
    assert found.method == "independence_metropolis"
    start = starting_point(statistics.compressed(), config)
    trace = sample_numpyro_model(
        hierarchical_negbinom,
        NutsSettings(draws=1000, tune=400, chains=2, seed=2),
        model_args=(statistics.compressed(), config),
        start=start.values,
        scale=start.scales,
        var_names=list(found.values),
    )
    assert_same(found.values, {name: trace.posterior[name].to_numpy() for name in found.values})


@pytest.mark.slow
def test_nuts_on_the_collapsed_density_agrees() -> None:
    statistics = statistics_of(simulate_event_rates(12, 6, mu=5.0, alpha=1.0, phi=2.0, seed=8)[0])
    config = ModelConfig(
        n_samples=1000,
        n_tune=400,
        n_chains=2,
        random_seed=1,
        shape_prior="exponential(0.1)",
        phi_prior="half_cauchy(2)",
    )
    chains = sample_hyperparameters(statistics, config, method="nuts")
    found = sample_hyperparameters(statistics, config)
    assert (chains.method, chains.reason) == ("nuts", "as asked")
    assert np.isnan(chains.k_hat)
    assert set(chains.statistics) == set(STATISTICS)
    assert_same(found.values, chains.values)
    # both say the same log density of the same point, Jacobian and constants included
    assert np.median(chains.log_density) == pytest.approx(np.median(found.log_density), abs=0.3)


def test_where_proposals_do_not_fit_nuts_takes_over_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.bayesian.inference.collapsed.LARGEST_K_HAT", -5.0)  # nothing is good enough
    statistics = statistics_of(pump_failures())
    config = ModelConfig(likelihood="poisson", n_samples=20, n_tune=50, n_chains=1)
    events: list[ProgressEvent] = []
    found = sample_hyperparameters(statistics, config, progress=events.append)
    assert found.method == "nuts"
    assert "independent proposals do not cover this posterior (Pareto k-hat" in found.reason
    assert np.isfinite(found.k_hat)
    assert any("fallback" in event.info for event in events)
    with pytest.raises(ConfigurationError, match="do not cover this posterior"):
        sample_hyperparameters(statistics, config, method="independence_metropolis")


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no such method"):
        sample_hyperparameters(statistics_of(pump_failures()), ModelConfig(), method="gibbs")


def test_draws_depend_on_the_seed_and_not_on_the_cores() -> None:
    statistics = statistics_of(simulate_event_rates(80, 5, mu=5.0, alpha=1.0, phi=2.0, seed=8)[0])
    config = ModelConfig(n_samples=100, n_chains=2)
    one, two = (sample_hyperparameters(statistics, config, cores=cores) for cores in (1, 3))
    other = sample_hyperparameters(statistics, ModelConfig(n_samples=100, n_chains=2, random_seed=1))
    for name in one.values:
        assert (one.values[name] == two.values[name]).all()
        assert (one.values[name] != other.values[name]).any()


def test_what_comes_back_is_a_trace_of_several_chains() -> None:
    statistics = statistics_of(simulate_event_rates(60, 8, mu=5.0, alpha=1.0, phi=2.0, seed=8)[0])
    found = sample_hyperparameters(statistics, ModelConfig(n_samples=500, n_chains=3))
    assert list(found.values) == ["mu", "alpha", "phi"]
    assert {values.shape for values in found.values.values()} == {(3, 500)}
    assert set(found.statistics) == {"lp", "acceptance_rate", "accepted"}
    assert found.acceptance.shape == (3,)
    assert (found.acceptance > 0.7).all()
    assert (found.statistics["lp"] == found.log_density).all()
    assert found.k_hat < 0.7
    assert "cover the posterior" in found.reason
    for values in found.values.values():
        assert az.ess(values) > 0.6 * 1500
        assert az.rhat(values) < 1.02


HARDLY_ANYTHING = {
    "one entity": (counts_of([3, 8, 1, 0, 5], 1), {}),
    "one window": (counts_of([4], 1), {}),
    "no event at all": (counts_of([0] * 30, 10), {}),
    "no event, Poisson": (counts_of([0] * 30, 10), {"likelihood": "poisson"}),
    "a window each": (counts_of(np.random.default_rng(1).negative_binomial(2, 0.3, 60), 60), {}),
    "fewer events than entities": (counts_of(np.random.default_rng(2).poisson(0.02, 600), 200), {}),
    "all counts alike": (counts_of([3] * 40, 10), {}),
    "hundreds of millions of events": (
        counts_of(np.random.default_rng(3).negative_binomial(3, 1e-6, 200), 10),
        {"mu_prior_rate": 1e-6, "alpha_prior": "half_cauchy(1)"},
    ),
    "Poisson counts in the millions": (
        counts_of(np.random.default_rng(3).poisson(2e6, 100), 5),
        {"likelihood": "poisson", "mu_prior_rate": 1e-6},
    ),
}


@pytest.mark.parametrize("case", HARDLY_ANYTHING.values(), ids=HARDLY_ANYTHING.keys())
def test_data_that_say_little_or_a_great_deal(case: tuple) -> None:
    data, choices = case
    found = sample_hyperparameters(statistics_of(data), ModelConfig(n_samples=400, n_chains=2, **choices))
    assert isinstance(found, HyperparameterDraws)
    assert found.method == "independence_metropolis", found.reason
    assert found.k_hat <= 0.7
    for name, values in found.values.items():
        assert ((values > 0) & np.isfinite(values)).all(), name
        assert az.ess(values) > 0.25 * 800, name


@pytest.mark.slow
@pytest.mark.realdata
def test_both_explanations_of_one_window_each_are_found(shared_data: Path) -> None:
    """Cockroaches by apartment: counts scatter about nearly equal rates, or, 100 to 1 against, the rates differ."""
    table = pd.read_csv(shared_data / "events" / "roaches.csv.gz")
    data = EventCounts.from_arrays(entity=table.index.astype(str), count=table["y"], exposure=table["exposure2"])
    config = ModelConfig(n_samples=1000, n_chains=4)
    density = CollapsedDensity(statistics_of(data), config)
    axes = (np.linspace(2.2, 5.2, 20), np.linspace(-6.5, 2.2, 50), np.linspace(-2.3, 2.3, 45))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    log_density = density(grid.reshape(-1, 3)).reshape(grid.shape[:-1])
    weight = np.exp(log_density - log_density.max())
    by_grid = weight[:, np.exp(axes[1]) < 0.1].sum() / weight.sum()
    found = sample_hyperparameters(statistics_of(data), config)
    differ = (found.values["alpha"] < 0.1).astype(float)
    mcse = differ.std() / np.sqrt(float(az.ess(differ, method="mean")))
    assert 0.005 < by_grid < 0.02
    assert abs(differ.mean() - by_grid) < 4 * mcse + 0.002  # the edge at 0.1 falls between two points of the grid


def test_an_interrupt_is_passed_on() -> None:
    def stop(event: ProgressEvent) -> None:
        if event.stage == "sample":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_hyperparameters(statistics_of(pump_failures()), ModelConfig(likelihood="poisson"), progress=stop)
