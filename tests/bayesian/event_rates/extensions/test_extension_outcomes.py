"""Trainings of extended models: what is kept of the rates, how windows are scored, what the prior expects."""

from typing import Any

import numpy as np
import pytest

from modelwright.bayesian.diagnostics.comparison import compare_traces
from modelwright.bayesian.event_rates.anomaly import score_training_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import rate_summaries
from modelwright.bayesian.event_rates.extensions.design import design_of
from modelwright.bayesian.event_rates.extensions.design_part import part_of_design
from modelwright.bayesian.event_rates.extensions.draws import draw_extended_prior, predict_extended
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.forecast import forecast_extended
from modelwright.bayesian.event_rates.extensions.new_windows import score_new_windows_extended
from modelwright.bayesian.event_rates.extensions.prior import extended_prior_predictive
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended
from modelwright.bayesian.event_rates.extensions.training import scores_of_training, train_extended
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.prior_predictive import prior_predictive_summary
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.errors import ConfigurationError
from modelwright.data.events import EventCounts

SIZE = Extensions.create(chosen="covariates", covariates="size")
SHORT = ModelConfig.create(likelihood="poisson", n_samples=200, n_tune=200, n_chains=2)
FEW: dict[str, Any] = {"predictive_draws": 20, "prior_draws": 4}


def some_data(extensions: Extensions = SIZE, *, n_entities: int = 8, n_windows: int = 5) -> EventCounts:
    given = {"mu": 5.0} | ({} if extensions.has("volumes") else {"alpha": 0.4})
    return simulate_extended(n_entities, n_windows, extensions, seed=5, config=SHORT, **given)[0]


def test_a_summary_says_of_the_rates_what_their_draws_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same draws summarised part by part and as a whole; forecasts go on from those that are kept."""
    monkeypatch.setattr(rate_summaries, "ELEMENT_BUDGET", 8 * 100)
    data = some_data()
    whole = fit_extended(data, SHORT, SIZE, engine="collapsed", rates="draws", **FEW)
    summary = fit_extended(data, SHORT, SIZE, engine="collapsed", rates="summary", **FEW)
    theta = whole.posterior["theta"].to_numpy().reshape(-1, 8)
    found = rate_summaries.stored_summaries(summary)
    assert "theta" not in summary.posterior
    assert summary.posterior.attrs["rates"] == "summary"
    assert found is not None
    assert np.array_equal(found["mean"], theta.mean(0))
    assert np.array_equal(found["sd"], theta.std(0, ddof=1))
    assert np.allclose([found["lower"], found["upper"]], np.quantile(theta, [0.05, 0.95], axis=0))
    few = rate_summaries.posterior_with_rates(summary)
    assert few.sizes["draw"] == 50
    assert np.array_equal(few["theta"].to_numpy(), whole.posterior["theta"].sel(draw=few["draw"]).to_numpy())
    assert np.array_equal(few["beta"].to_numpy(), whole.posterior["beta"].sel(draw=few["draw"]).to_numpy())
    assert summary.log_likelihood.attrs["thinned_every"] == 4
    forecasts = [forecast_extended(trace, "entity_0003", horizon=2) for trace in (whole, summary)]
    assert forecasts[1]["rate"]["mean"] == pytest.approx(forecasts[0]["rate"]["mean"], rel=0.1)  # 100 draws of 400
    assert "100 draws of each" in forecasts[1]["notes"][-1]
    one, other = (score_new_windows_extended(trace, data)["score"].to_numpy() for trace in (whole, summary))
    assert other == pytest.approx(one, abs=0.1)
    one, other = (scores_of_training(trace, data, SIZE)["score"].to_numpy() for trace in (whole, summary))
    assert np.array_equal(one, other)  # they need no draw of a rate


@pytest.mark.parametrize("chains", [1, 3, 4, 7])
@pytest.mark.parametrize("draws", [7, 60, 1000, 1999])
def test_however_little_fits_the_promised_draws_are_left(chains: int, draws: int) -> None:
    for fewest in (rate_summaries.FEWEST_KEPT, rate_summaries.FEWEST_SUMMARISED):
        step = rate_summaries.even_step(chains, draws, 10**6, budget=20_000_000, fewest=fewest)
        left = chains * len(range(0, draws, step))
        assert min(fewest, chains * draws) <= left
        # what fits, or less than twice the fewest, their number being the next that all chains can have
        assert left <= max(20, 2 * (fewest + chains)) or step == 1


def test_samplers_keep_every_draw_and_say_so() -> None:
    data = some_data(n_entities=4)
    with pytest.raises(ConfigurationError) as caught:
        fit_extended(data, SHORT, SIZE, engine="numpyro", rates="summary")
    assert str(caught.value) == (
        "rates: the engine numpyro draws the rates together with the population; expected 'draws', got 'summary'; take "
        "engine=collapsed for summaries"
    )
    many = SHORT.model_copy(update={"n_samples": 200_000_000})
    with pytest.raises(ConfigurationError) as caught:
        fit_extended(data, many, SIZE, engine="numpyro")
    assert str(caught.value) == (
        "n_samples: the engine numpyro keeps every draw of 4 rates, 13 GB in all; expected at most 125,000,000 draws "
        "for these data, got 200000000; take engine=collapsed, or fewer draws"
    )
    with pytest.raises(ConfigurationError, match="no such form"):
        fit_extended(data, SHORT, SIZE, engine="numpyro", rates="some")  # type: ignore[arg-type]


@pytest.mark.slow
def test_windows_are_scored_alike_whoever_sampled_and_runs_compare() -> None:
    """NUTS and the collapsed engine; and where the extension has no effect, as the base model scores them."""
    # no effect to speak of; of a narrower prior NUTS, whose warm-up keeps variances above 1e-5, would not get hold
    extensions = Extensions.create(chosen="covariates", covariates="size", coefficient_prior_sd=1e-3)
    data = some_data(extensions)
    config = SHORT.model_copy(update={"n_samples": 1000})
    traces = {
        engine: fit_extended(data, config, extensions, engine=engine, **FEW) for engine in ("collapsed", "numpyro")
    }
    scores = {name: scores_of_training(trace, data, extensions)["score"] for name, trace in traces.items()}
    base = fit_event_rates(data, config, **FEW)
    assert float(az.rhat(traces["numpyro"].posterior[["theta"]])["theta"].max()) < 1.05
    for found in scores.values():
        # two averages over 200 draws of the population each: standard errors of some 0.02, the largest of all windows
        assert found.to_numpy() == pytest.approx(score_training_windows(base, data)["score"].to_numpy(), abs=0.1)
    compared = compare_traces({"base": base, **traces})
    assert max(abs(row.elpd_diff) for row in compared.rows) < 1.0


def test_a_training_says_what_the_extended_prior_expects() -> None:
    events: list[Any] = []
    outcome = train_extended(some_data(), SHORT, SIZE, engine="collapsed", rates="summary", progress=events.append)
    note = next(event.note for event in events if event.note)
    assert (
        note.splitlines()[0] == "prior: mu ~ exponential(0.1), alpha ~ half_normal(2), each coefficient ~ normal(0, 1)"
    )
    assert "the prior is that of the model with covariates" in note
    assert list(outcome.tables["rates"])[-4:] == ["mean", "sd", "lower", "upper"]
    assert outcome.tables["rates"]["mean"].notna().all()
    assert outcome.metrics["elpd_loo_integrated"] == pytest.approx(-outcome.tables["scores"]["score"].sum())


LEVELS = (0.005, 0.05, 0.5, 0.95, 0.995)

WHERE_IT_SHOWS = {
    "zero_inflation": ("share of windows without events", 0.5),
    "temporal": ("largest count", 0.95),
    "volumes": ("largest count", 0.95),
    "drift": ("largest count", 0.95),
}
"""Extension -> a quantity and one of its quantiles that the extended prior moves, and the base prior does not."""


def probability_off(value: float, level: float, drawn: np.ndarray) -> float:
    """How far a value is, in probability, from being that quantile of what was drawn, which may be discrete."""
    return float(max((drawn < value).mean() - level, level - (drawn <= value).mean(), 0.0))


@pytest.mark.parametrize("chosen", WHERE_IT_SHOWS)
def test_the_prior_predictive_is_drawn_from_the_whole_prior(chosen: str) -> None:
    """Against counts that are drawn directly, all windows at once, from which the base prior's are far away."""
    extensions = Extensions.create(chosen=chosen)
    data = some_data(extensions)
    name, level = WHERE_IT_SHOWS[chosen]
    design = design_of(data, extensions)
    draws = draw_extended_prior(SHORT, extensions, design, 4000, np.random.default_rng(1))
    counts = predict_extended(draws, design, np.random.default_rng(2))
    drawn = counts.max(1) if name == "largest count" else (counts == 0).mean(1)
    base, extended = (
        {quantity.name: quantity.prior[LEVELS.index(level)] for quantity in found.quantities}[name]
        for found in (prior_predictive_summary(data, SHORT), extended_prior_predictive(data, SHORT, extensions))
    )
    error = np.sqrt(level * (1.0 - level) * (1.0 / 1000 + 1.0 / 4000))  # of a share of either's data sets
    assert probability_off(base, level, drawn) > 6 * error
    assert probability_off(extended, level, drawn) < 4 * error


def test_a_part_of_a_design_keeps_distances_levels_and_columns() -> None:
    extensions = Extensions.create(chosen="covariates,temporal,drift", covariates="tier,load")
    whole = design_of(some_data(extensions, n_entities=4, n_windows=6), extensions)
    rows = np.array([6, 8, 11, 18, 19])  # three windows of the second entity, two of the fourth
    part, entities = part_of_design(whole, rows)
    assert entities.tolist() == [1, 3]
    assert part.steps is not None
    assert part.steps.gap.tolist() == [1.0, 2.0, 3.0, 1.0, 1.0]
    assert part.steps.first.tolist() == [True, False, False, True, False]
    assert part.drift is not None
    assert part.window_level is not None
    assert part.entity_level is not None
    assert np.array_equal(part.drift.level, whole.drift.level[rows])  # type: ignore[union-attr]
    assert np.array_equal(part.window_level.matrix, whole.window_level.matrix[rows])  # type: ignore[union-attr]
    assert np.array_equal(part.entity_level.matrix, whole.entity_level.matrix[entities])  # type: ignore[union-attr]
    assert np.array_equal(part.observations.y, whole.observations.y[rows])
