"""Training: engines agree, the trace has what it promises, predictions follow from the draws."""

import warnings
from pathlib import Path

import arviz as az
import numpy as np
import pytest
from scipy.special import gammaln

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.count_draws import log_likelihoods, predict_counts
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.observations import check_observations, compress
from modelwright.bayesian.event_rates.pymc_model import build_hierarchical_negbinom_model
from modelwright.bayesian.event_rates.simulate import simulate_event_rates
from modelwright.bayesian.event_rates.start import starting_point
from modelwright.core.errors import ConfigurationError, MissingDependencyError, NotFoundError
from modelwright.core.progress import ProgressEvent
from modelwright.data.datasets import pump_failures
from modelwright.data.events import EventCounts

PUMPS = ModelConfig(likelihood="poisson", n_samples=500, n_tune=500, n_chains=2)


def small_log() -> EventCounts:
    rng = np.random.default_rng(3)
    days = np.datetime64("2024-03-01", "ns") + np.arange(8) * np.timedelta64(1, "D")
    return EventCounts.from_arrays(
        entity=np.repeat(["ann", "bob", "cat"], 8),
        count=rng.negative_binomial(2, 0.25, 24),
        exposure=np.tile([1.0, 0.5], 12),
        window_start=np.tile(days, 3),
        window="1D",
    )


@pytest.fixture(scope="module")
def logged() -> tuple[EventCounts, az.InferenceData, list[ProgressEvent]]:
    data, events = small_log(), []
    config = ModelConfig(n_samples=200, n_tune=300, n_chains=2)
    return data, fit_event_rates(data, config, progress=events.append, predictive_draws=150, prior_draws=80), events


@pytest.fixture(scope="module")
def pumps() -> az.InferenceData:
    return fit_event_rates(pump_failures(), PUMPS, engine="numpyro")


def worst_z(one: az.InferenceData, other: az.InferenceData) -> float:
    """The largest difference of means over all parameters, in combined Monte Carlo standard errors."""
    worst = 0.0
    for name in one.posterior.data_vars:
        difference = one.posterior[name].mean(("chain", "draw")) - other.posterior[name].mean(("chain", "draw"))
        error = np.hypot(az.mcse(one, var_names=[name])[name], az.mcse(other, var_names=[name])[name])
        worst = max(worst, float(np.abs(difference / error).max()))
    return worst


def test_posterior_of_the_pumps_is_the_one_by_quadrature(pumps: az.InferenceData) -> None:
    data = pump_failures()
    # with the rates integrated out, a failure count is negative binomial; a fine grid over (log mu, log alpha) remains
    mu, alpha = np.meshgrid(np.exp(np.linspace(-7, 7, 701)), np.exp(np.linspace(-7, 3.2, 511)), indexing="ij")
    shape = mu * alpha
    log_density = np.log(mu) - 0.1 * mu + np.log(alpha) - 0.5 * (alpha / 2.0) ** 2
    for y, exposure in zip(data.count, data.exposure, strict=True):
        log_density += (
            gammaln(shape + y) - gammaln(shape) + shape * np.log(alpha) - (shape + y) * np.log(alpha + exposure)
        )
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    truth = {
        "mu": (weight * mu).sum(),
        "alpha": (weight * alpha).sum(),
        "theta": np.array(
            [(weight * (shape + y) / (alpha + e)).sum() for y, e in zip(data.count, data.exposure, strict=True)]
        ),
    }
    mcse = az.mcse(pumps)
    for name, mean in truth.items():
        z = (pumps.posterior[name].mean(("chain", "draw")) - mean) / mcse[name]
        assert float(np.abs(z).max()) < 4  # Monte Carlo: 4 standard errors, computed from the draws


SLOWER = [pytest.param(name, marks=pytest.mark.slow) for name in ("pymc", "nutpie")]


@pytest.mark.parametrize("engine", ["collapsed", *SLOWER])
def test_engines_agree_on_the_pumps(engine: str, pumps: az.InferenceData) -> None:
    other = fit_event_rates(pump_failures(), PUMPS, engine=engine)
    assert other.posterior.attrs["engine"] == engine
    assert worst_z(pumps, other) < 4  # Monte Carlo: 4 standard errors, computed from the draws


def test_noncentered_has_the_posterior_of_centered_and_mean_scaled_has_not(pumps: az.InferenceData) -> None:
    written_otherwise = PUMPS.model_copy(update={"parameterization": "noncentered"})
    rescaled = fit_event_rates(pump_failures(), written_otherwise, engine="numpyro")
    assert worst_z(pumps, rescaled) < 4
    assert set(rescaled.posterior.data_vars) == {"mu", "alpha", "theta"}
    other = fit_event_rates(pump_failures(), PUMPS.model_copy(update={"parameterization": "mean_scaled"}))
    assert worst_z(pumps, other) > 6
    assert other.posterior.attrs["prior_of_theta"] == "theta = mu * Gamma(alpha, alpha)"
    assert pumps.posterior.attrs["prior_of_theta"] == "theta ~ Gamma(shape = mu * alpha, rate = alpha)"


def test_trace_has_every_group_with_names_and_labels(logged) -> None:
    data, trace, _ = logged
    assert set(trace.groups()) == {
        "posterior",
        "sample_stats",
        "prior",
        "prior_predictive",
        "posterior_predictive",
        "log_likelihood",
        "observed_data",
        "constant_data",
    }
    assert list(trace.posterior.data_vars) == ["mu", "alpha", "phi", "theta"]
    assert trace.posterior["theta"].dims == ("chain", "draw", "entity")
    assert trace.posterior["entity"].to_numpy().tolist() == ["ann", "bob", "cat"]
    assert list(trace.prior.data_vars) == ["mu", "alpha", "phi", "theta"]
    assert trace.prior["theta"].shape == (1, 80, 3)
    assert trace.prior_predictive["y"].shape == (1, 80, 24)
    np.testing.assert_array_equal(trace.observed_data["y"], data.count)
    np.testing.assert_array_equal(trace.constant_data["entity_idx"], data.entity_idx)
    np.testing.assert_array_equal(trace.constant_data["exposure"], data.exposure)
    starts = trace.constant_data["window_start"].to_numpy()
    assert starts.dtype == np.int64
    np.testing.assert_array_equal(starts.view("datetime64[ns]"), data.window_start)
    assert ModelConfig.model_validate_json(trace.attrs["config"]).n_samples == 200


def test_counts_without_time_have_no_window_start(pumps: az.InferenceData) -> None:
    assert "window_start" not in pumps.constant_data
    assert "phi" not in pumps.posterior


def test_predictions_are_thinned_evenly_and_say_so(logged) -> None:
    _, trace, _ = logged
    predicted = trace.posterior_predictive
    assert predicted["y"].shape == (2, 67, 24)  # of 200 draws every third, so that two chains stay below 150
    assert predicted.attrs["thinned_every"] == 3
    assert predicted["draw"].to_numpy().tolist() == list(range(0, 200, 3))
    assert trace.log_likelihood["y"].shape == (2, 200, 24)
    assert trace.log_likelihood.attrs["thinned_every"] == 1


def test_trace_survives_a_file(logged, tmp_path: Path) -> None:
    _, trace, _ = logged
    trace.to_netcdf(str(tmp_path / "trace.nc"), engine="h5netcdf")
    read = az.from_netcdf(str(tmp_path / "trace.nc"), engine="h5netcdf")
    for group in trace.groups():
        for name in trace[group].data_vars:
            np.testing.assert_array_equal(read[group][name], trace[group][name])
    assert read.attrs["config"] == trace.attrs["config"]


def test_progress_passes_through_all_stages(logged) -> None:
    _, _, events = logged
    assert list(dict.fromkeys(event.stage for event in events)) == ["mode", "sample", "rates", "predict"]
    last = {event.stage: event for event in events}
    assert all(event.done == event.total for event in last.values())


def test_same_seed_same_trace_and_another_seed_another(logged) -> None:
    data, trace, _ = logged
    config = ModelConfig(n_samples=200, n_tune=300, n_chains=2)
    again = fit_event_rates(data, config, predictive_draws=150, prior_draws=80)
    for group in ("posterior", "posterior_predictive", "prior", "prior_predictive", "log_likelihood"):
        for name in trace[group].data_vars:
            np.testing.assert_array_equal(again[group][name], trace[group][name])  # exact


def test_log_likelihood_is_the_one_pymc_computes(logged) -> None:
    import pymc as pm

    data, trace, _ = logged
    model = build_hierarchical_negbinom_model(
        data.count, data.entity_idx, 3, ModelConfig(), exposure=data.exposure, entities=data.entities
    )
    some = az.InferenceData(posterior=trace.posterior.isel(draw=slice(0, 5)))
    with model:
        theirs = pm.compute_log_likelihood(some, extend_inferencedata=False, progressbar=False)
    np.testing.assert_allclose(trace.log_likelihood["y"][:, :5], theirs["y"], rtol=1e-10)  # same formula


def test_predicted_counts_have_the_moments_of_their_draws() -> None:
    observations = check_observations(np.zeros(3), [0, 1, 1], 2, [1.0, 0.5, 4.0])
    n, phi = 40_000, 2.0
    draws = {"theta": np.tile([3.0, 5.0], (n, 1)), "phi": np.full(n, phi)}
    counts = predict_counts(draws, observations, np.random.default_rng(0)).astype(float)
    mean = np.array([3.0, 2.5, 20.0])
    variance = mean + mean**2 / phi
    # Monte Carlo: 4 standard errors of a mean and of a variance
    np.testing.assert_array_less(np.abs(counts.mean(0) - mean), 4 * np.sqrt(variance / n))
    squares = (counts - mean) ** 2
    np.testing.assert_array_less(np.abs(squares.mean(0) - variance), 4 * squares.std(0) / np.sqrt(n))


@pytest.mark.parametrize("block", [1, 5, 10_000])
def test_blocks_do_not_change_a_log_likelihood(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelwright.bayesian.event_rates import count_draws

    observations = check_observations([0, 3, 3, 900], [0, 1, 1, 1], 2, [1.0, 2.0, 1.0, 1.0])
    rng = np.random.default_rng(1)
    draws = {"theta": rng.gamma(2.0, 2.0, (7, 2)), "phi": rng.gamma(2.0, 1.0, 7)}
    whole = log_likelihoods(draws, observations)
    monkeypatch.setattr(count_draws, "_BLOCK", block)
    np.testing.assert_array_equal(log_likelihoods(draws, observations), whole)


@pytest.mark.parametrize("level", [0.05, 5.0, 1e6])
@pytest.mark.parametrize("likelihood", ["negative_binomial", "poisson"])
def test_start_is_near_the_rates_from_rare_events_to_a_million(level: float, likelihood: str) -> None:
    rng = np.random.default_rng(8)
    theta = level * rng.gamma(2.0, 0.5, 40)
    noise = rng.gamma(2.0, 0.5, (40, 50)) if likelihood == "negative_binomial" else np.ones((40, 50))
    y = rng.poisson(theta[:, None] * noise)
    counts = compress(check_observations(y.ravel(), np.repeat(np.arange(40), 50), 40))
    start = starting_point(counts, ModelConfig(likelihood=likelihood))
    distance = np.log(start.values["theta"] / theta) / start.scales["theta"]
    assert np.sqrt((distance**2).mean()) < 2  # in standard deviations the start itself reckons with
    assert all(np.isfinite(value).all() and (np.asarray(value) > 0).all() for value in start.values.values())


@pytest.mark.parametrize("engine", ["collapsed", pytest.param("numpyro", marks=pytest.mark.slow)])
@pytest.mark.parametrize("likelihood", ["negative_binomial", "poisson"])
def test_a_million_events_per_window_are_sampled_without_trouble(likelihood: str, engine: str) -> None:
    config = ModelConfig(likelihood=likelihood, n_samples=500)
    data, truth = simulate_event_rates(8, 20, mu=1e6, alpha=1e-6, phi=2.0, config=config, seed=6)
    trace = fit_event_rates(data, config, engine=engine)
    if engine == "numpyro":
        assert int(trace.sample_stats["diverging"].sum()) == 0
    assert float(az.rhat(trace)["theta"].max()) < 1.02
    rates = trace.posterior["theta"].mean(("chain", "draw")).to_numpy()
    spread = trace.posterior["theta"].std(("chain", "draw")).to_numpy()
    assert (np.abs(rates - truth["theta"]) < 5 * spread).all()


def test_truth_is_covered_on_simulated_counts() -> None:
    data, truth = simulate_event_rates(60, 20, mu=5.0, alpha=1.0, phi=2.0, seed=2)
    trace = fit_event_rates(data, ModelConfig(n_samples=300, n_tune=300, n_chains=2), predictive_draws=50)
    for name in ("mu", "alpha", "phi"):
        draws = trace.posterior[name].to_numpy()
        assert abs(draws.mean() - truth[name]) < 4 * draws.std()
    lower, upper = np.quantile(trace.posterior["theta"], [0.05, 0.95], axis=(0, 1))
    covered = ((lower < truth["theta"]) & (truth["theta"] < upper)).sum()
    assert 46 <= covered <= 60  # 90 % intervals: Binomial(60, 0.9) is below 46 with probability 5e-4


def test_engine_and_platform_are_checked_before_any_work() -> None:
    data = pump_failures()
    with pytest.raises(NotFoundError, match="no engine is called 'stan'"):
        fit_event_rates(data, PUMPS, engine="stan")  # type: ignore[arg-type]
    with pytest.raises(
        ConfigurationError, match="platform: the engine pymc runs on the CPU only; expected 'cpu', got 'gpu'"
    ):
        fit_event_rates(data, PUMPS, engine="pymc", platform="gpu")
    with pytest.raises(ConfigurationError, match="predictive_draws: not usable; expected a whole number of at least 1"):
        fit_event_rates(data, PUMPS, predictive_draws=0)


def test_missing_engine_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "nutpie", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'modelwright\[nutpie\]'"):
        fit_event_rates(pump_failures(), PUMPS, engine="nutpie")


def test_no_filter_of_warnings_is_left_behind(pumps: az.InferenceData) -> None:
    before = list(warnings.filters)
    fit_event_rates(pump_failures(), PUMPS.model_copy(update={"n_samples": 20, "n_tune": 20}), engine="pymc")
    assert list(warnings.filters) == before
