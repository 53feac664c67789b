"""Scores and forecasts of extended models, against integrals by brute force and against refits without a window."""

from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from modelwright.bayesian.diagnostics.comparison import compare_traces
from modelwright.bayesian.event_rates.anomaly import score_training_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import fit
from modelwright.bayesian.event_rates.extensions.design import Design, design_of
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.forecast import forecast_extended
from modelwright.bayesian.event_rates.extensions.new_windows import score_new_windows_extended
from modelwright.bayesian.event_rates.extensions.predictive import Components, log_densities, summarise
from modelwright.bayesian.event_rates.extensions.scores import _score, between, score_training_windows_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended
from modelwright.bayesian.event_rates.extensions.unseen import factor_of, unseen_windows
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events import EventCounts

SETTINGS = ModelConfig(n_samples=200, n_tune=250, n_chains=2)
FITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "covariates": ({"chosen": "covariates", "covariates": "tier,load,day_of_week"}, {"mu": 6.0, "alpha": 0.5}),
    "temporal": ({"chosen": "temporal"}, {"mu": 6.0, "alpha": 0.5, "rho": 0.8, "tau": 0.6}),
    "volumes": ({"chosen": "volumes"}, {"mu": 6.0, "volume_mean": 5.0, "volume_sd": 0.7, "sigma": 0.5}),
    "zero_inflation": ({"chosen": "zero_inflation"}, {"mu": 6.0, "alpha": 0.5, "psi": 0.7}),
    "random_walk": ({"chosen": "drift"}, {"mu": 6.0, "alpha": 0.5, "drift_scale": 0.3}),
}
SAMPLED = ", sampled"
EACH = [
    *("covariates", "temporal", "volumes"),
    *(pytest.param(name + SAMPLED, marks=pytest.mark.slow) for name in FITS),
]
"""A sampler takes long to compile: what reads a trace is tested on draws near the truth, then on a posterior's."""
_FITTED: dict[str, tuple[EventCounts, Any]] = {}


def fitted(name: str) -> tuple[EventCounts, Any]:
    """A trace of each kind, made when it is first asked for."""
    if name not in _FITTED:
        chosen, given = FITS[name.removesuffix(SAMPLED)]
        extensions = Extensions.create(**chosen)
        data, truth = simulate_extended(8, 14, extensions, seed=4, phi=5.0, **given)
        with pytest.MonkeyPatch.context() as patch:
            if not name.endswith(SAMPLED):
                patch.setattr(fit, "_sample", lambda design, _, __, coords, *more: near(truth, design, coords))
            trace = fit_extended(data, SETTINGS, extensions, predictive_draws=20, prior_draws=10)
        _FITTED[name] = data, trace
    return _FITTED[name]


def near(truth: dict[str, Any], design: Design, coords: dict[str, Any]) -> Any:
    """Draws about the truth, positive numbers within some percent, in a trace as a sampler would return it."""
    rng = np.random.default_rng(7)
    draws = {}
    for name, value in truth.items():
        noise = 0.02 * rng.normal(size=(SETTINGS.n_chains, SETTINGS.n_samples, *np.shape(value)))
        draws[name] = value * np.exp(-np.abs(noise) if name in ("rho", "psi") else noise)
    return az.InferenceData(posterior=draws_dataset(draws, coords=coords, dims=fit._dimensions(design)))


@pytest.mark.parametrize("count", [0, 3, 40, 5000])
@pytest.mark.parametrize("phi", [0.5, 20.0, 1e4, np.inf])
@pytest.mark.parametrize("spread", [0.05, 0.6, 2.0])
def test_density_with_an_uncertain_mean_is_the_integral(count: int, phi: float, spread: float) -> None:
    center, psi = 1.2, 0.7

    # a sum over so fine a grid is the integral to rounding: the integrand is smooth and vanishes at both ends
    eta = np.linspace(center - 12 * spread, max(center, np.log(count + 1)) + 12 * spread, 200_001)
    mean = np.exp(eta)
    counts = stats.poisson(mean) if np.isinf(phi) else stats.nbinom(phi, phi / (phi + mean))
    logs = counts.logpmf(count) + stats.norm(center, spread).logpdf(eta)
    expected = special.logsumexp(logs) + np.log(eta[1] - eta[0])
    if count:
        expected += np.log(psi)
    else:
        expected = np.log(1 - psi + psi * np.exp(expected))
    each = (np.array([part]) for part in (count, center, spread, phi, psi))
    # seventeen points of Gauss and Hermite around the peak of a log-concave integrand, wide ones worst
    np.testing.assert_allclose(log_densities(*each), expected, rtol=2e-5, atol=2e-5)


def test_a_known_mean_is_the_limit_of_an_uncertain_one() -> None:
    each = [np.array([part]) for part in (7.0, 1.5, 0.0, 3.0, 1.0)]
    exact = log_densities(*each)
    each[2] = np.array([1e-4])
    np.testing.assert_allclose(log_densities(*each), exact, rtol=1e-6)


def test_zero_inflated_prediction_has_its_zeros() -> None:
    one = np.ones(1)
    parts = Components(np.log(50.0) * one, 0 * one, np.inf * one, 0.3 * one, one)
    found = summarise(0.0, parts, 0.5)
    assert found.expected[0] == pytest.approx(15.0)
    assert found.lower_tail[0] == pytest.approx(0.7 + 0.3 * np.exp(-50.0))
    assert found.median[0] == 0
    assert found.upper[0] == stats.poisson(50).ppf((0.75 - 0.7) / 0.3)


def test_a_deviation_between_two_others_is_the_conditional_normal() -> None:
    tau, r, q = 0.7, 0.6, 0.3
    covariance = tau**2 * np.array([[1, r, r * q], [r, 1, q], [r * q, q, 1]])
    gain = covariance[1, [0, 2]] @ np.linalg.inv(covariance[np.ix_([0, 2], [0, 2])])
    center, spread = between(*(np.array(part) for part in (r, 0.4, q, -1.1, tau)))
    np.testing.assert_allclose(center, gain @ [0.4, -1.1], rtol=1e-12)
    np.testing.assert_allclose(spread**2, covariance[1, 1] - gain @ covariance[[0, 2], 1], rtol=1e-12)
    at_the_window = between(*(np.array(part) for part in (1.0, 0.4, q, -1.1, tau)))
    assert at_the_window == (0.4, 0.0)


def test_a_windows_own_deviation_is_integrated_out_given_all_others() -> None:
    extensions = Extensions.create(chosen="temporal")
    data, truth = simulate_extended(2, 6, extensions, seed=3, mu=6.0, alpha=0.5, phi=5.0, rho=0.7, tau=0.8)
    design = design_of(data, extensions)
    # as many draws as there must be, all the same: no weights in the way
    draws = {name: np.repeat(np.asarray(value)[None], 30, axis=0) for name, value in truth.items()}
    _, score, k_hat, _ = _score(draws, design, np.arange(12), 0.9)
    distance = np.abs(np.arange(6)[:, None] - np.arange(6))
    covariance = 0.8**2 * 0.7**distance
    for row in range(12):
        rest = np.flatnonzero(np.arange(6) != row % 6)
        others = truth["log_deviation"][6 * (row // 6) + rest]
        gain = covariance[row % 6, rest] @ np.linalg.inv(covariance[np.ix_(rest, rest)])
        center, variance = gain @ others, 0.8**2 - gain @ covariance[rest, row % 6]
        a = np.linspace(center - 10 * np.sqrt(variance), center + 10 * np.sqrt(variance), 20_001)
        mean = truth["theta"][row // 6] * np.exp(a)
        logs = stats.nbinom(5.0, 5.0 / (5.0 + mean)).logpmf(data.count[row]) + stats.norm(
            center, np.sqrt(variance)
        ).logpdf(a)
        expected = -special.logsumexp(logs) - np.log(a[1] - a[0])
        np.testing.assert_allclose(score[row], expected, rtol=1e-5)  # seventeen points of Gauss and Hermite
    assert (k_hat == 0).all()


@pytest.mark.parametrize("name", EACH)
def test_training_scores_have_the_columns_and_uniform_tails(name: str) -> None:
    data, trace = fitted(name)
    scores = score_training_windows_extended(trace, data)
    for column in ("expected", "lower", "upper", "score", "tail_probability", "lower_tail_probability", "k_hat"):
        assert np.isfinite(scores[column]).all(), column
    assert scores["known_entity"].all()
    assert scores.attrs["interval"] == 0.9
    total = scores["tail_probability"] + scores["lower_tail_probability"]
    assert (total >= 1 - 1e-6).all()  # both hold the observed count
    # a randomised probability integral transform of windows from the model is uniform: Kolmogorov and Smirnov
    jitter = np.random.default_rng(0).random(len(scores))
    below = 1 - scores["tail_probability"]
    uniform = below + jitter * (scores["lower_tail_probability"] - below)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    if name.startswith("volumes"):
        some = data.count > 0
        assert np.isfinite(scores["volume_tail_probability"][some]).all()
        assert scores["volume_tail_probability"][~some].isna().all()
        assert stats.kstest(scores["volume_tail_probability"][some], "uniform").pvalue > 1e-3


@pytest.mark.slow
def test_without_effects_the_scores_are_those_of_the_base_model() -> None:
    data, _ = simulate_extended(
        10, 25, Extensions.create(chosen="zero_inflation"), seed=1, mu=20.0, alpha=0.5, phi=4.0, psi=1.0
    )
    settings = ModelConfig(n_samples=500, n_tune=300, n_chains=2)
    base = score_training_windows(fit_event_rates(data, settings), data)
    # columns of noise: nothing to find, and little lost by looking
    extensions = Extensions.create(chosen="drift", drift="day_of_week", drift_prior_sd=1e-5)
    mine = score_training_windows_extended(fit_extended(data, settings, extensions), data)
    good = (mine["k_hat"] < 0.7).to_numpy()
    assert good.mean() > 0.95
    # by reweighting draws instead of integrals: Monte Carlo of a thousand draws, largest in the tail
    np.testing.assert_allclose(mine["score"][good], base["score"][good], atol=0.15)
    np.testing.assert_allclose(mine["expected"][good], base["expected"][good], rtol=0.05)
    assert abs(mine["score"].sum() - base["score"].sum()) < 1.0


@pytest.mark.slow
def test_a_window_left_out_is_predicted_as_by_a_model_that_never_saw_it() -> None:
    data, _ = fitted("temporal")
    settings = SETTINGS.model_copy(update={"n_samples": 1000, "n_tune": 500})
    temporal = Extensions.create(chosen="temporal")
    trace = fit_extended(data, settings, temporal, predictive_draws=20, prior_draws=10)
    scores = score_training_windows_extended(trace, data)
    row = int(np.argsort(-scores["score"].to_numpy())[0])
    frame = data.to_frame()
    rest = EventCounts.from_frame(frame.drop(index=row))
    again = fit_extended(rest, settings, temporal, predictive_draws=20, prior_draws=10)
    alone = EventCounts.from_frame(frame.iloc[[row]])
    unseen = score_new_windows_extended(again, alone)
    # the most surprising window of all, whose weights have the heaviest tail: 400 draws can miss it and be off by 0.9
    assert scores["score"][row] == pytest.approx(unseen["score"][0], abs=0.4)
    assert scores["expected"][row] == pytest.approx(unseen["expected"][0], rel=0.15)


@pytest.mark.parametrize("name", EACH)
def test_new_windows_of_known_entities_and_strangers_are_scored(name: str) -> None:
    _, trace = fitted(name)
    covariates = (
        {"tier": ["gold", "gold", "basic"], "load": [10.0, 12.0, 8.0]} if name.startswith("covariates") else None
    )
    new = EventCounts.from_arrays(
        entity=["entity_0000", "entity_0000", "stranger"],
        count=[4, 400, 3],
        window_start=np.array(["2024-01-15", "2024-01-20", "2024-01-16"], dtype="datetime64[ns]"),
        window="1D",
        covariates=covariates,
        volume=[900.0, 1e5, 500.0] if name.startswith("volumes") else None,
    )
    scores = score_new_windows_extended(trace, new)
    assert scores["known_entity"].tolist() == [True, True, False]
    assert np.isfinite(scores["score"]).all()
    assert scores["score"][1] > 10 > scores["score"][0]
    assert (scores["lower"] <= scores["expected"]).all()
    assert "k_hat" not in scores
    assert score_new_windows_extended(trace, new.to_frame())["score"].tolist() == scores["score"].tolist()


@pytest.mark.slow
def test_factor_of_an_unseen_window_widens_with_the_distance() -> None:
    _, trace = fitted("random_walk")
    days = np.datetime64("2024-01-01", "ns") + np.array([13, 14, 17]) * np.timedelta64(1, "D")
    new = EventCounts.from_arrays(entity=["x"] * 3, count=[0] * 3, window_start=days, window="1D")
    draws = {name: values.to_numpy().reshape(400, *values.shape[2:]) for name, values in trace.posterior.items()}
    unseen = unseen_windows(trace, new)
    last, next_day, later = (factor_of(draws, unseen, row) for row in range(3))
    np.testing.assert_array_equal(last[0], draws["drift"][:, 13])
    assert not last[1].any()
    np.testing.assert_array_equal(later[0], draws["drift"][:, 13])
    np.testing.assert_allclose(next_day[1], draws["drift_scale"], rtol=1e-12)
    np.testing.assert_allclose(later[1], 2 * draws["drift_scale"], rtol=1e-12)


def test_a_deviation_comes_to_rest() -> None:
    data, trace = fitted("temporal")
    days = np.datetime64("2024-01-01", "ns") + np.array([14, 500]) * np.timedelta64(1, "D")
    new = EventCounts.from_arrays(entity=["entity_0001"] * 2, count=[0] * 2, window_start=days, window="1D")
    draws = {name: values.to_numpy().reshape(400, *values.shape[2:]) for name, values in trace.posterior.items()}
    unseen = unseen_windows(trace, new)
    last = int(np.flatnonzero(data.entity_idx == 1)[-1])
    center, spread = factor_of(draws, unseen, 0)
    np.testing.assert_allclose(center, draws["rho"] * draws["log_deviation"][:, last], rtol=1e-12)
    np.testing.assert_allclose(spread, draws["tau"] * np.sqrt(1 - draws["rho"] ** 2), rtol=1e-12)
    center, spread = factor_of(draws, unseen, 1)
    np.testing.assert_allclose(spread, draws["tau"], rtol=1e-3)  # 0.97^486 is what is left of the largest rho
    np.testing.assert_allclose(center, 0.0, atol=1e-3)


@pytest.mark.parametrize("entity", ["entity_0003", "stranger"])
@pytest.mark.parametrize("name", EACH)
def test_forecasts_are_those_of_the_scores(name: str, entity: str) -> None:
    """One window ahead two ways: by drawn paths and by the mixture that scores new windows."""
    _, trace = fitted(name)
    covariates = {"load": 9.0, "tier": "gold"} if name.startswith("covariates") else None
    found = forecast_extended(trace, entity, horizon=3, interval=0.8, covariates=covariates)
    assert found["known_entity"] == (entity != "stranger")
    new = EventCounts.from_arrays(
        entity=[entity],
        count=[1],
        window_start=np.array(["2024-01-15"], dtype="datetime64[ns]"),
        window="1D",
        covariates={key: [value] for key, value in (covariates or {}).items()},
        volume=[10.0] if name.startswith("volumes") else None,
    )
    scores = score_new_windows_extended(trace, new, interval=0.8)
    # Monte Carlo of 8,000 paths, of which those of a stranger have one rate per draw of the posterior and path
    assert found["predictions"][0]["expected"] == pytest.approx(scores["expected"][0], rel=0.12)
    assert abs(found["credible_intervals"][0]["upper"] - scores["upper"][0]) <= 1 + 0.1 * scores["upper"][0]
    totals = [entry["total_median"] for entry in found["predictions"]]
    assert totals == sorted(totals)
    again = forecast_extended(trace, entity, horizon=3, interval=0.8, covariates=covariates)
    assert again == found


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda data, trace: forecast_extended(trace, "entity_0001"),
            "covariates: the forecast needs load of the windows ahead; expected a value of load; give "
            "covariates={'load': ...}",
        ),
        (
            lambda data, trace: forecast_extended(trace, "stranger", covariates={"load": 1.0}),
            "covariates: the forecast needs tier of 'stranger', which was not in training; expected a value of tier; "
            "give covariates={'tier': ...}",
        ),
        (
            lambda data, trace: forecast_extended(trace, "entity_0001", 3, covariates={"load": [1.0, 2.0]}),
            "covariates: not one value, nor one per window ahead; expected 3 values of load, got [1.0, 2.0]",
        ),
        (
            lambda data, trace: forecast_extended(trace, "stranger", covariates={"load": 1.0, "tier": "platinum"}),
            "tier: a value that was not in training, so that nothing is known of its effect; got 'platinum'; known: "
            "basic, gold, silver",
        ),
        (
            lambda data, trace: score_training_windows_extended(
                trace, EventCounts.from_frame(data.to_frame().assign(count=1))
            ),
            "data: these are not the windows the model was trained on: they differ in count; expected the training "
            "windows of 8 entities, got '112 windows of 8 entities'; score other windows with "
            "score_new_windows_extended",
        ),
    ],
)
def test_what_is_missing_is_named(call: Any, message: str) -> None:
    data, trace = fitted("covariates")
    with pytest.raises((ConfigurationError, DataError)) as refusal:
        call(data, trace)
    assert str(refusal.value) == message


def test_windows_without_what_the_model_needs_are_refused() -> None:
    timeless = EventCounts.from_arrays(entity=["entity_0000"], count=[3])
    with pytest.raises(
        DataError, match="window_start: the model needs the windows' times, and these windows have none"
    ):
        score_new_windows_extended(fitted("temporal")[1], timeless)
    with pytest.raises(DataError, match="volume: the model was trained on volumes, and these windows have none"):
        score_new_windows_extended(fitted("volumes")[1], timeless)
    trace = fitted("temporal")[1].copy()
    del trace.attrs["extensions"]
    with pytest.raises(DataError, match="trace: the trace does not say its extensions"):
        score_new_windows_extended(trace, timeless)


@pytest.mark.slow
def test_runs_with_and_without_extensions_are_ranked() -> None:
    data, inflated = fitted("zero_inflation, sampled")
    base = fit_event_rates(data, SETTINGS, predictive_draws=20, prior_draws=10)
    found = compare_traces({"base": base, "inflated": inflated})
    assert [row.name for row in found.rows] == ["inflated", "base"]
    assert found.rows[1].elpd_diff > 2 * found.rows[1].dse  # three windows of ten are inactive


def test_densities_of_counts_and_of_volumes_are_not_ranked() -> None:
    with pytest.raises(DataError) as refusal:
        compare_traces({"plain": fitted("temporal")[1], "volumes": fitted("volumes")[1]})
    assert str(refusal.value) == (
        "runs: the densities of runs 'plain' and 'volumes' are of different things: count, and count and volume; "
        "compare runs that predict the same thing only"
    )
