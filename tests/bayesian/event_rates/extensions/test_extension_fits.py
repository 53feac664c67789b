"""Simulate and recover: every extension, on every engine that can sample it; the trace has what it promises."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

from modelwright.bayesian.diagnostics.chain_statistics import rank_statistics
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.design import design_of
from modelwright.bayesian.event_rates.extensions.draws import draw_extended_prior, log_likelihoods_extended
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended
from modelwright.bayesian.inference.predictive import thinned
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressEvent

GAMMA_RATES = {"mu": 8.0, "alpha": 0.5, "phi": 5.0}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "covariates": ({"chosen": "covariates", "covariates": "tier,size,day_of_week,load"}, GAMMA_RATES),
    "temporal": ({"chosen": "temporal"}, {**GAMMA_RATES, "rho": 0.7, "tau": 0.6}),
    "volumes": (
        {"chosen": "volumes"},
        {"mu": 8.0, "phi": 5.0, "rate_sd": 0.7, "volume_mean": 6.0, "volume_sd": 0.8, "sigma": 0.5, "correlation": 0.6},
    ),
    "zero_inflation": ({"chosen": "zero_inflation"}, {**GAMMA_RATES, "psi": 0.6}),
    "random_walk": ({"chosen": "drift"}, {**GAMMA_RATES, "drift_scale": 0.3}),
    "day_of_week": ({"chosen": "drift", "drift": "day_of_week"}, {**GAMMA_RATES, "drift_scale": 0.4}),
    "three at once": (
        {"chosen": "covariates,zero_inflation,drift", "covariates": "tier,load", "drift": "day_of_week"},
        {**GAMMA_RATES, "psi": 0.7},
    ),
}
SHORT = ModelConfig(n_samples=250, n_tune=300, n_chains=2)


def worst_z(trace: Any, truth: dict[str, Any]) -> dict[str, float]:
    """Of each variable the largest distance from truth to posterior mean, in posterior standard deviations.

    Rates and scales are compared as logarithms, in which their posteriors are nearly symmetric.
    """
    found = {}
    for name, draws in trace.posterior.data_vars.items():
        values, true = draws.to_numpy(), np.asarray(truth[name])
        if (values > 0).all():
            values, true = np.log(values), np.log(true)
        flat = values.reshape(-1, *values.shape[2:])
        found[name] = float(np.abs((flat.mean(0) - true) / flat.std(0)).max())
    return found


def check_recovery(name: str, engine: str, *, entities: int = 20, windows: int = 21, seed: int = 5) -> None:
    chosen, given = CASES[name]
    extensions = Extensions.create(**chosen)
    data, truth = simulate_extended(entities, windows, extensions, seed=seed, **given)
    trace = fit_extended(data, SHORT, extensions, engine=engine, predictive_draws=50, prior_draws=20)
    assert trace.posterior.attrs["engine"] == engine
    for variable, z in worst_z(trace, truth).items():
        # the two-sided normal quantile of a 99.9 % interval over all entries of the variable (Bonferroni), and a tenth
        # more for means and standard deviations that are estimated from some hundred effective draws
        size = np.size(truth[variable])
        limit = {1: 3.29, 3: 3.59, 7: 3.81, 20: 4.06, 21: 4.07, 420: 4.75}.get(size, 4.75)
        assert z < 1.1 * limit, (variable, z)


def test_truth_is_recovered() -> None:
    check_recovery("zero_inflation", "collapsed")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("temporal", "volumes", "zero_inflation")])
def test_truth_is_recovered_by_the_collapsed_engine(name: str) -> None:
    check_recovery(name, "collapsed")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_truth_is_recovered_of_every_extension(name: str) -> None:
    check_recovery(name, "numpyro")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["pymc", "nutpie"])
@pytest.mark.parametrize("name", CASES)
def test_truth_is_recovered_by_the_other_engines(name: str, engine: str) -> None:
    check_recovery(name, engine, entities=12, windows=14, seed=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_engines_have_one_posterior(name: str) -> None:
    chosen, given = CASES[name]
    extensions = Extensions.create(**chosen)
    data, _ = simulate_extended(10, 14, extensions, seed=5, **given)
    config = ModelConfig(n_samples=1000, n_tune=800, n_chains=2)
    one, other = (fit_extended(data, config, extensions, engine=engine).posterior for engine in ("numpyro", "pymc"))
    z = []
    for variable in one.data_vars:
        means, errors = [], []
        for posterior in (one, other):
            draws = np.moveaxis(posterior[variable].to_numpy().reshape(2, 1000, -1), -1, 0)
            found = rank_statistics(draws)
            means.append(draws.mean((1, 2)))
            errors.append(draws.std((1, 2)) / np.sqrt(found.ess_bulk))
        z.append(np.abs(means[0] - means[1]) / np.hypot(*errors))
    # Monte Carlo: 4 standard errors, computed from the draws
    assert max(float(part.max()) for part in z) < 4.5


@pytest.fixture(scope="module")
def everything() -> tuple[Any, Extensions, Any, list[ProgressEvent]]:
    """A fit with every extension at once."""
    extensions = Extensions.create(
        chosen="covariates,temporal,volumes,zero_inflation,drift", covariates="tier,load", drift="random_walk"
    )
    data, _ = simulate_extended(6, 9, extensions, seed=2, mu=5.0, phi=4.0, psi=0.8, volume_mean=4.0, sigma=0.5)
    events: list[ProgressEvent] = []
    config = ModelConfig(n_samples=60, n_tune=80, n_chains=2)
    trace = fit_extended(data, config, extensions, progress=events.append, predictive_draws=40, prior_draws=30)
    return data, extensions, trace, events


def test_trace_has_every_group_with_names_and_labels(everything) -> None:
    data, _, trace, events = everything
    assert set(trace.groups()) == {
        *("posterior", "sample_stats", "prior", "prior_predictive", "posterior_predictive"),
        *("log_likelihood", "observed_data", "constant_data"),
    }
    assert list(trace.posterior.data_vars) == [
        *("mu", "rate_sd", "phi", "psi", "beta", "gamma", "drift_scale", "drift", "rho", "tau"),
        *("volume_mean", "volume_sd", "sigma", "correlation", "theta", "nu", "log_deviation"),
    ]
    assert list(trace.prior.data_vars) == list(trace.posterior.data_vars)
    assert trace.posterior["beta"].coords["coefficient"].values.tolist() == [
        "tier[basic]",
        "tier[gold]",
        "tier[silver]",
    ]
    assert trace.posterior["gamma"].coords["window_coefficient"].values.tolist() == ["load"]
    assert trace.posterior["drift"].coords["window"].values.tolist()[0] == "2024-01-01"
    assert trace.posterior["theta"].coords["entity"].values.tolist() == list(data.entities)
    assert trace.posterior["log_deviation"].dims == ("chain", "draw", "obs")
    assert trace.posterior_predictive["y"].shape == (2, 20, data.n_obs)
    assert trace.prior_predictive["y"].shape == (1, 30, data.n_obs)
    assert trace.log_likelihood.attrs["density_of"] == "count and volume"
    assert [event.stage for event in events][-1] == "predict"


def test_trace_says_with_what_it_was_trained(everything) -> None:
    _, extensions, trace, _ = everything
    assert Extensions.model_validate_json(trace.attrs["extensions"]) == extensions
    assert ModelConfig.model_validate_json(trace.attrs["config"]).n_samples == 60
    assert [column["level"] for column in json.loads(trace.attrs["columns"])] == ["entity", "window"]
    assert trace.posterior.attrs["prior_of_theta"] == "log theta ~ Normal(log mu + x beta, rate_sd)"


def test_effects_that_sum_to_zero_do(everything) -> None:
    _, _, trace, _ = everything
    np.testing.assert_allclose(trace.posterior["beta"].sum("coefficient"), 0.0, atol=1e-12)
    np.testing.assert_allclose(trace.posterior["drift"].sum("window"), 0.0, atol=1e-12)


def test_log_likelihood_is_that_of_the_draws(everything) -> None:
    data, extensions, trace, _ = everything
    values = log_likelihoods_extended(thinned(trace.posterior, 1), design_of(data, extensions))
    np.testing.assert_array_equal(trace.log_likelihood["y"].to_numpy().reshape(-1, data.n_obs), values)


def test_a_trace_can_be_stored(everything, tmp_path) -> None:
    _, _, trace, _ = everything
    trace.to_netcdf(tmp_path / "trace.nc")
    with xr.open_datatree(tmp_path / "trace.nc") as stored:
        assert stored.attrs["extensions"] == trace.attrs["extensions"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_draws() -> None:
    extensions = Extensions.create(chosen="zero_inflation")
    data, _ = simulate_extended(4, 6, extensions, seed=3, mu=4.0, phi=3.0)
    config = ModelConfig(n_samples=20, n_tune=30, n_chains=1)
    one, other = (fit_extended(data, config, extensions, prior_draws=5) for _ in range(2))
    np.testing.assert_array_equal(one.posterior["theta"], other.posterior["theta"])
    np.testing.assert_array_equal(one.posterior_predictive["y"], other.posterior_predictive["y"])


@pytest.mark.parametrize("field", ["predictive_draws", "prior_draws"])
def test_numbers_of_draws_that_are_none_are_refused(field: str) -> None:
    extensions = Extensions.create(chosen="zero_inflation")
    data, _ = simulate_extended(2, 3, extensions, mu=4.0)
    with pytest.raises(ConfigurationError, match=f"{field}: not usable; expected a whole number of at least 1, got 0"):
        fit_extended(data, SHORT, extensions, **{field: 0})


@pytest.mark.parametrize("name", CASES)
def test_prior_moments_are_the_closed_forms(name: str) -> None:
    chosen, _ = CASES[name]
    extensions = Extensions.create(**chosen, coefficient_prior_sd=0.5)
    data, _ = simulate_extended(4, 8, extensions, seed=1)
    design = design_of(data, extensions)
    draws = draw_extended_prior(ModelConfig(), extensions, design, 40_000, np.random.default_rng(0))
    expected: dict[str, tuple[float, float]] = {  # mean and variance
        "psi": (2 / 3, 1 / 18),
        "rho": (1 / 2, 1 / 20),
        "correlation": (0.0, 1 / 5),
        "rate_sd": (1.0, 1 / 2),
        "volume_sd": (1.0, 1 / 2),
        "volume_mean": (0.0, 100.0),
        "beta": (0.0, 0.25),
        "gamma": (0.0, 0.25),
        "tau": (0.5 * np.sqrt(2 / np.pi), 0.25 * (1 - 2 / np.pi)),
        "drift_scale": (0.5 * np.sqrt(2 / np.pi), 0.25 * (1 - 2 / np.pi)),
        "log_deviation": (0.0, 0.25),
    }
    for variable, values in draws.items():
        if variable not in expected:
            continue
        mean, variance = expected[variable]
        # 4.5 standard errors of a mean and of a mean square, for the largest over some dozens of entries
        assert (np.abs(values.mean(0) - mean) < 4.5 * values.std(0) / np.sqrt(40_000)).all(), variable
        squares = (values - mean) ** 2
        assert (np.abs(squares.mean(0) - variance) < 4.5 * squares.std(0) / np.sqrt(40_000)).all(), variable


def test_drift_by_random_walk_takes_steps_of_its_scale() -> None:
    data, _ = simulate_extended(3, 12, Extensions.create(chosen="drift"), seed=1)
    extensions = Extensions.create(chosen="drift")
    design = design_of(data, extensions)
    draws = draw_extended_prior(ModelConfig(), extensions, design, 40_000, np.random.default_rng(0))
    steps = np.diff(draws["drift"], axis=1) / draws["drift_scale"][:, None]
    covariance = steps.T @ steps / 40_000
    assert np.abs(covariance - np.eye(11)).max() < 5 * np.sqrt(2 / 40_000)  # five standard errors of 121 covariances
