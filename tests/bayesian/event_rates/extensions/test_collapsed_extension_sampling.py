"""Collapsed sampling of extended models: the same posterior as NUTS over everything, exact rates, exact scores."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from modelwright.bayesian.event_rates.collapsed_fit import sample_collapsed
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.collapsed_choice import choose_extended_engine
from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import coordinates_of
from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.event_rates.extensions.collapsed_rates import draw_rates
from modelwright.bayesian.event_rates.extensions.collapsed_scores import score_training_windows_collapsed
from modelwright.bayesian.event_rates.extensions.collapsed_trace import sample_collapsed_extended
from modelwright.bayesian.event_rates.extensions.design import design_of
from modelwright.bayesian.event_rates.extensions.draws import draw_extended_prior, predict_extended
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended
from modelwright.bayesian.event_rates.statistics import statistics_of
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.errors import ConfigurationError
from modelwright.data.events import EventCounts

FAMILY_OF_TESTS = 1e-4
"""Probability that a correct sampler fails a comparison of many numbers."""


def counts(extensions: Extensions, *, n_entities: int = 12, n_windows: int = 8, **more: Any) -> EventCounts:
    given: dict[str, Any] = {"mu": 5.0, "alpha": 0.4} | more
    if given.get("config", ModelConfig()).likelihood == "negative_binomial":
        given["phi"] = 2.0  # a phi near zero leaves most entities silent and modes between which NUTS does not move
    if extensions.has("zero_inflation"):
        given["psi"] = 0.75
    return simulate_extended(n_entities, n_windows, extensions, seed=5, **given)[0]


CASES = [
    ({"chosen": "covariates", "covariates": "tier,load"}, {}),
    ({"chosen": "zero_inflation"}, {"parameterization": "mean_scaled"}),
    ({"chosen": "drift"}, {"likelihood": "poisson"}),
    ({"chosen": "covariates,zero_inflation,drift", "covariates": "size", "drift": "day_of_week"}, {}),
]


def test_without_effect_it_draws_the_base_models_posterior() -> None:
    """A coefficient that its prior keeps at zero; the base model's collapsed engine shares no code with this one."""
    extensions = Extensions.create(chosen="covariates", covariates="size", coefficient_prior_sd=1e-6)
    config = ModelConfig(likelihood="poisson", n_samples=1000, n_chains=2)
    data = counts(extensions, config=config)
    settings = NutsSettings(draws=1000, chains=2, seed=3)
    ours = sample_collapsed_extended(design_of(data, extensions), config, extensions, settings=settings).posterior
    base = sample_collapsed(statistics_of(data), config, settings=settings).posterior
    check_equal_moments(ours, base, ("mu", "alpha", "theta"))


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "config"), CASES)
def test_it_draws_the_posterior_of_nuts_over_all_unknowns(chosen: dict[str, Any], config: dict[str, Any]) -> None:
    extensions = Extensions.create(**chosen)
    model = ModelConfig.create(n_samples=500, n_tune=500, n_chains=4, **config)
    data = counts(extensions, config=model)
    few: dict[str, Any] = {"predictive_draws": 4, "prior_draws": 4}
    ours = fit_extended(data, model, extensions, engine="collapsed", **few)
    theirs = fit_extended(data, model, extensions, engine="numpyro", **few)
    for trace in (ours, theirs):  # chains that have not mixed are no reference
        assert float(az.rhat(trace.posterior[["mu", "alpha", "theta"]]).to_array().max()) < 1.03
    assert list(ours.posterior.data_vars) == list(theirs.posterior.data_vars)
    assert ours.posterior.attrs["method"] == "independence_metropolis"
    assert ours.posterior.attrs["k_hat"] <= 0.7
    assert ours.posterior.attrs["rates"] == "draws"
    for name in theirs.posterior.data_vars:
        one, other = ours.posterior[name], theirs.posterior[name]
        assert one.dims == other.dims
        assert all(np.array_equal(one[dim], other[dim]) for dim in one.dims)
    check_equal_moments(ours.posterior, theirs.posterior, tuple(map(str, theirs.posterior.data_vars)))


def check_equal_moments(ours: Any, theirs: Any, names: tuple[str, ...]) -> None:
    """Means and spreads of two posteriors within Monte Carlo errors: 4 of them, more for many numbers."""
    n_numbers = sum(theirs[name][0, 0].size for name in names)
    limit = max(4.0, float(stats.norm.isf(0.5 * FAMILY_OF_TESTS / (2 * n_numbers))))
    for name in names:
        # scales in logarithms, whose moments have errors that can be relied on
        logs = name in ("mu", "alpha", "phi", "theta", "drift_scale")
        both = [np.log(part[name].to_numpy()) if logs else part[name].to_numpy() for part in (ours, theirs)]
        middle = sum(part.mean((0, 1)) for part in both) / 2.0
        for moment in (1, 2):  # about a common point
            values = [(part - middle) ** moment for part in both]
            error = np.hypot(*(np.asarray(az.mcse(xr.Dataset({"x": arrange(part)}))["x"]) for part in values))
            apart = np.abs(values[0].mean((0, 1)) - values[1].mean((0, 1)))
            assert np.max(apart / error) < limit, (name, moment)


def arrange(values: np.ndarray) -> Any:
    """Draws with names of their dimensions."""
    return ("chain", "draw", *(f"dim_{k}" for k in range(values.ndim - 2))), values


def test_rates_have_the_distribution_that_quadrature_gives() -> None:
    """Silent entities by parts, busy ones not, all under one value of the hyperparameters: Kolmogorov and Smirnov."""
    extensions = Extensions.create(chosen="zero_inflation")
    data = EventCounts.from_arrays(entity=list("aaaabbbbcccc"), count=[0, 0, 0, 0, 1, 0, 2, 0, 90, 0, 140, 61])
    density = CollapsedExtended(coordinates_of(design_of(data, extensions), ModelConfig(), extensions))
    point = np.array([1.0, -2.0, 0.7, 1.0])
    density = density.anchored_at(point)
    drawn = draw_rates(density, np.tile(point, (4000, 1)), np.random.default_rng(0))
    values = density.coordinates.parameters(point)
    shape, alpha, phi, psi = values["mu"] * values["alpha"], values["alpha"], values["phi"], values["psi"]
    x = np.linspace(-80.0, 12.0, 40_001)
    for i in range(3):
        y = data.count[data.entity_idx == i]
        each = stats.nbinom.logpmf(y[:, None], phi, phi / (phi + np.exp(x)))
        each = np.where(y[:, None] > 0, np.log(psi) + each, np.logaddexp(np.log1p(-psi), np.log(psi) + each))
        log_f = each.sum(0) + shape * x - alpha * np.exp(x)
        distribution = np.cumsum(np.exp(log_f - log_f.max()))
        uniform = np.interp(np.log(drawn[:, i]), x, distribution / distribution[-1])
        assert stats.kstest(uniform, "uniform").pvalue > FAMILY_OF_TESTS


@pytest.mark.slow
def test_the_fall_back_to_nuts_says_so_and_draws_the_same() -> None:
    extensions, config = Extensions.create(chosen="zero_inflation"), ModelConfig(likelihood="poisson")
    data = counts(extensions, config=config, n_entities=6)
    design, settings = design_of(data, extensions), NutsSettings(draws=400, tune=300, chains=2, seed=3)
    events: list[Any] = []
    by_nuts = sample_collapsed_extended(
        design, config, extensions, settings=settings, method="nuts", progress=events.append
    )
    assert by_nuts.posterior.attrs["method"] == "nuts"
    assert by_nuts.posterior.attrs["reason"] == "as asked"
    assert np.isnan(by_nuts.posterior.attrs["k_hat"])
    assert "diverging" in by_nuts.sample_stats
    assert {"mode", "sample", "rates"} <= {event.stage for event in events}
    by_proposals = sample_collapsed_extended(design, config, extensions, settings=settings)
    assert by_proposals.posterior.attrs["reason"].startswith("independent proposals cover the posterior (Pareto k-hat ")
    for name in ("mu", "alpha", "psi"):
        error = np.hypot(*(float(az.mcse(part.posterior[name])[name]) for part in (by_nuts, by_proposals)))
        apart = float(by_nuts.posterior[name].mean() - by_proposals.posterior[name].mean())
        assert abs(apart) < 4 * error


def pinned_trace(data: EventCounts, extensions: Extensions, pinned: dict[str, float]) -> Any:
    """A trace whose population is known, with what scoring looks at."""
    trace = az.InferenceData(
        posterior=xr.Dataset({name: (("chain", "draw"), np.full((2, 50), value)) for name, value in pinned.items()}),
        observed_data=xr.Dataset({"y": ("obs", data.count)}),
        constant_data=xr.Dataset(
            {"entity_idx": ("obs", data.entity_idx), "exposure": ("obs", data.exposure)},
            coords={"entity": list(data.entities)},
        ),
    )
    trace.attrs.update(config=ModelConfig().model_dump_json(), extensions=extensions.model_dump_json())
    return trace


def test_a_window_is_scored_as_if_it_had_not_been_seen() -> None:
    """Against training without the window, with the population pinned down, so that only its own entity matters."""
    extensions = Extensions.create(chosen="zero_inflation")
    data = counts(extensions, n_entities=10, n_windows=5)
    pinned = {"mu": 4.0, "alpha": 0.3, "phi": 2.0, "psi": 0.7}
    trace = pinned_trace(data, extensions, pinned)
    scores = score_training_windows_collapsed(trace, data, draws=50)
    x = np.linspace(-60.0, 12.0, 14_401)
    phi, psi = pinned["phi"], pinned["psi"]
    prior = pinned["mu"] * pinned["alpha"] * x - pinned["alpha"] * np.exp(x)

    def log_p(y: float) -> np.ndarray:
        active = np.log(psi) + stats.nbinom.logpmf(y, phi, phi / (phi + np.exp(x)))
        return active if y > 0 else np.logaddexp(np.log1p(-psi), active)

    for row in range(data.n_obs):
        others = np.flatnonzero((data.entity_idx == data.entity_idx[row]) & (np.arange(data.n_obs) != row))
        weight = prior + sum(log_p(data.count[k]) for k in others)
        weight = np.exp(weight - weight.max())
        weight /= weight.sum()
        expected = -np.log(weight @ np.exp(log_p(data.count[row])))
        assert scores["score"][row] == pytest.approx(expected, abs=1e-7)
        mean = psi * (weight @ np.exp(x))
        assert scores["expected"][row] == pytest.approx(mean, rel=1e-4)  # half of the points (see every_second_point)
        tail = psi * (weight @ stats.nbinom.sf(data.count[row] - 1, phi, phi / (phi + np.exp(x))))
        assert scores["tail_probability"][row] == pytest.approx(tail if data.count[row] > 0 else 1.0, rel=1e-4)


def with_an_extreme_count(extensions: Extensions, config: ModelConfig) -> EventCounts:
    """A count of 100,000 among counts of 5."""
    data = counts(extensions, n_entities=8, n_windows=6, config=config)
    count = data.count.copy()
    count[7] = 100_000
    return EventCounts.from_arrays(
        entity=np.asarray(data.entities)[data.entity_idx],
        count=count,
        window_start=data.window_start,
        window=data.window,
    )


@pytest.mark.slow
def test_anomalies_are_scored_where_draws_of_the_rates_say_nothing() -> None:
    """The count moves its entity's rate out of reach of any draw without it."""
    extensions = Extensions.create(chosen="zero_inflation")
    config = ModelConfig(n_samples=200, n_chains=2, likelihood="poisson")
    spoiled = with_an_extreme_count(extensions, config)
    trace = fit_extended(spoiled, config, extensions, engine="collapsed", predictive_draws=4, prior_draws=4)
    scores = score_training_windows_collapsed(trace, spoiled)
    assert int(scores["score"].argmax()) == 7
    assert scores["score"][7] > 1_000.0
    assert scores["upper"][7] < 100_000
    assert np.isfinite(scores[["expected", "score", "tail_probability"]].to_numpy()).all()


@pytest.mark.slow
def test_a_count_that_a_drift_follows_has_a_k_hat_that_says_so() -> None:
    """The Poisson posterior lifts the whole window's factor; without the count it would be elsewhere."""
    extensions = Extensions.create(chosen="drift")
    config = ModelConfig(n_samples=200, n_chains=2, likelihood="poisson")
    spoiled = with_an_extreme_count(extensions, config)
    trace = fit_extended(spoiled, config, extensions, engine="collapsed", predictive_draws=4, prior_draws=4)
    scores = score_training_windows_collapsed(trace, spoiled)
    assert float(trace.posterior["drift"].mean(("chain", "draw"))[1]) > 4.0
    assert scores["k_hat"][7] > 0.7
    assert scores["score"][7] > 100.0


def test_what_cannot_be_collapsed_is_refused_with_the_reason() -> None:
    extensions = Extensions.create(chosen="temporal")
    data, _ = simulate_extended(4, 6, extensions, seed=1)
    with pytest.raises(ConfigurationError) as caught:
        sample_collapsed_extended(
            design_of(data, extensions), ModelConfig(), extensions, settings=NutsSettings(draws=10)
        )
    assert str(caught.value) == (
        "engine: the rates cannot be integrated out with temporal: each window has a rate of its own that depends on "
        "the one before; expected numpyro, pymc or nutpie, got 'collapsed'; leave the engine to auto"
    )


def test_auto_says_which_engine_and_why() -> None:
    def choice(chosen: dict[str, Any], n_windows: int) -> Any:
        extensions = Extensions.create(**chosen)
        data, _ = simulate_extended(5, n_windows, extensions, seed=1)
        return choose_extended_engine(design_of(data, extensions), ModelConfig(), extensions)

    assert choice({"chosen": "zero_inflation"}, 20).name == "collapsed"
    assert choice({"chosen": "drift"}, 20).name == "collapsed"
    many = choice({"chosen": "drift"}, 60)
    assert (many.name, many.reason) == (
        "numpyro",
        "independent proposals rarely cover 63 hyperparameters, which remain with the rates integrated out",
    )
    slow = choice({"chosen": "zero_inflation,drift"}, 20)
    assert (slow.name, slow.reason) == (
        "numpyro",
        "with zero inflation and 20 different windows per entity a second of sampling the rates is worth more than one "
        "of integrating them out",
    )
    temporal = choice({"chosen": "temporal"}, 20)
    assert temporal.name == "numpyro"


@pytest.mark.slow
def test_it_is_calibrated() -> None:
    """Ranks of the truth among the draws are uniform over data from the prior, for every hyperparameter and a rate."""
    extensions = Extensions.create(chosen="zero_inflation,drift", drift="day_of_week")
    config = ModelConfig(mu_prior="gamma(4, 1)", alpha_prior="gamma(4, 8)", phi_prior="gamma(4, 1)")
    blank = counts(extensions, n_entities=6, n_windows=10)
    ranks: dict[str, list[int]] = {}
    for replication in range(120):
        rng = np.random.default_rng(replication)
        design = design_of(blank, extensions)
        truth = draw_extended_prior(config, extensions, design, 1, rng)
        data = EventCounts.from_arrays(
            entity=np.asarray(blank.entities)[blank.entity_idx],
            count=predict_extended(truth, design, rng)[0].astype(int),
            window_start=blank.window_start,
            window=blank.window,
        )
        settings = NutsSettings(draws=99, tune=300, chains=1, seed=replication)
        trace = sample_collapsed_extended(design_of(data, extensions), config, extensions, settings=settings)
        for name in ("mu", "alpha", "phi", "psi", "drift_scale", "theta"):
            true = np.ravel(truth[name])[0]
            drawn = trace.posterior[name].to_numpy().reshape(99, -1)[:, 0]
            ranks.setdefault(name, []).append(int((drawn < true).sum()))
    for name, found in ranks.items():
        observed = np.bincount(np.asarray(found) // 10, minlength=10)
        assert stats.chisquare(observed).pvalue > 1e-3 / len(ranks), (name, observed)
