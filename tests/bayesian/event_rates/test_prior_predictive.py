"""The prior predictive summary: closed forms, what it says of data that fit and that do not, its bounded cost."""

import itertools

import numpy as np
import pytest
from scipy import stats

from modelwright.bayesian.event_rates import prior_predictive
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.observations import Observations
from modelwright.bayesian.event_rates.prior_advice import prior_advice, rough_hyperparameters
from modelwright.bayesian.event_rates.prior_predictive import (
    compared_rows,
    prior_predictive_lines,
    prior_predictive_section,
    prior_predictive_summary,
)
from modelwright.bayesian.event_rates.simulate import simulate_event_rates
from modelwright.core.errors import ConfigurationError
from modelwright.data.events import EventCounts

# nearly points: standard deviations of a thousandth of their means
KNOWN = {"mu_prior": "gamma(1000000, 250000)", "alpha_prior": "gamma(1000000, 2000000)"}


def simulated(**truth: float) -> EventCounts:
    return simulate_event_rates(60, 15, seed=5, **truth)[0]


def test_quantities_have_the_closed_forms_when_the_hyperparameters_are_known() -> None:
    """theta ~ Gamma(4 * 0.5, 0.5) and Poisson counts: a window's count is negative binomial."""
    config = ModelConfig.create(likelihood="poisson", **KNOWN)
    rng = np.random.default_rng(1)
    data = EventCounts.from_arrays(entity=np.arange(40).astype(str), count=rng.poisson(6.0, 40), exposure=[2.0] * 40)
    draws = 2000
    summary = prior_predictive_summary(data, config, draws=draws)
    count, mean, everything, zeros, largest = summary.quantities
    law = stats.nbinom(2.0, 0.5 / (0.5 + 2.0))
    n = draws * 40  # one window per entity: all counts are independent

    def near(found: float, truth: float) -> bool:
        # Monte Carlo: 4 standard errors of a frequency, and a thousandth for the priors' own widths
        return abs(found - truth) < 4 * np.sqrt(truth * (1 - truth) / n) + 1e-3

    median = float(np.sort(data.count)[19])
    assert count.data == mean.data == median
    assert near(count.at_most, law.cdf(median))
    assert near(count.at_least, law.sf(median - 1))
    for found, p in zip(count.prior, (0.005, 0.05, 0.5, 0.95, 0.995), strict=True):
        assert abs(found - law.ppf(p)) <= 1  # a count next to the exact one where its probability ends near p
    assert mean.prior == count.prior  # an entity is a window here
    # of one data set: the mean of 40 counts, the share of zeros, the largest
    assert abs(everything.prior[2] - law.mean()) < 0.1 * law.std()
    share = stats.binom(40, law.pmf(0))
    assert abs(zeros.at_most - share.cdf(40 * zeros.data)) < 4 * 0.5 / np.sqrt(draws)
    assert abs(largest.at_most - law.cdf(largest.data) ** 40) < 4 * 0.5 / np.sqrt(draws)
    assert zeros.spread is None
    assert count.spread == (np.sort(data.count)[1], np.sort(data.count)[37])


def test_data_from_the_prior_are_seldom_remarkable() -> None:
    """Each quantity of data from the model lies outside of the central 99 % in one case of a hundred."""
    config = ModelConfig()
    surprises = [
        prior_predictive_summary(simulate_event_rates(20, 5, config=config, seed=seed)[0], config, draws=400).quantities
        for seed in range(120)
    ]
    outside = sum(quantity.surprise != 0 for quantity in itertools.chain.from_iterable(surprises))
    # 600 correlated tests of level 0.01 or (counts) less; 30 would be five times as many
    assert outside <= 30
    at_most = np.array([quantities[2].at_most for quantities in surprises])
    assert stats.kstest(at_most, "uniform").pvalue > 1e-3  # the mean of all counts is all but continuous


@pytest.mark.parametrize(
    ("truth", "settings", "direction", "advice"),
    [
        ({"mu": 3000.0, "alpha": 1.0, "phi": 2.0}, {}, 1, "Widen mu_prior, for example mu_prior=exponential(0.0003)."),
        (
            {"mu": 0.01, "alpha": 50.0, "phi": 2.0},
            {"mu_prior": "log_normal(2, 0.2)"},
            -1,
            "Lower mu_prior, for example mu_prior=exponential(100).",
        ),
        (
            {"mu": 3000.0, "alpha": 1.0, "phi": 2.0},
            {"shape_prior": "exponential(1)"},
            1,
            "Change alpha_prior (mu is shape / alpha), for example alpha_prior=exponential(4000).",
        ),
        (
            {"mu": 5.0, "alpha": 1.5, "phi": 10.0},
            {"mu_prior": "log_normal(1.6, 0.2)", "phi_prior": "half_normal(0.1)"},
            0,
            "Change how much entities and windows may differ, for example phi_prior=half_cauchy(",
        ),
        (
            {"mu": 5.0, "alpha": 5.0, "phi": 0.5},
            {"mu_prior": "log_normal(1.6, 0.3)", "alpha_prior": "gamma(30, 6)", "likelihood": "poisson"},
            0,
            "A negative binomial likelihood lets an entity's windows differ by more than chance.",
        ),
    ],
)
def test_data_that_the_prior_did_not_mean_are_told_with_what_to_do(
    truth: dict, settings: dict, direction: int, advice: str
) -> None:
    summary = prior_predictive_summary(simulated(**truth), ModelConfig.create(**settings))
    assert summary.quantities[2].surprise == direction
    assert summary.advice.startswith(advice)
    assert len(summary.warnings) == sum(quantity.surprise != 0 for quantity in summary.quantities) > 0
    lines = prior_predictive_lines(summary)
    assert len(lines) == 4
    assert lines[3] == summary.advice
    if direction:
        assert "the mean count of all windows between" in lines[2]
    text = prior_predictive_section(summary).text
    assert summary.advice in text
    assert text[-1].startswith("An example has the order of magnitude of the data and no more")


def test_following_the_advice_helps() -> None:
    data = simulated(mu=3000.0, alpha=1.0, phi=2.0)
    better = prior_predictive_summary(data, ModelConfig.create(mu_prior="exponential(0.0003)"))
    assert (better.warnings, better.advice) == ((), "")


def test_sentences_name_the_interval_and_the_data() -> None:
    data = EventCounts.from_arrays(entity=["a", "a", "b", "b"], count=[4000, 4000, 4000, 4000])
    config = ModelConfig.create(likelihood="poisson", **KNOWN)
    summary = prior_predictive_summary(data, config)
    low, high = summary.quantities[3].prior[0], summary.quantities[3].prior[4]
    assert (low, high) == (0.0, 0.75)
    top = f"{summary.quantities[0].prior[4]:.0f}"
    assert summary.warnings[0] == (
        f"The prior expects the count of a window between 0 and {top} (99 %); the data have a median of 4,000."
    )


def test_lines_and_section_of_data_that_fit() -> None:
    summary = prior_predictive_summary(simulated(mu=5.0, alpha=1.0, phi=2.0), ModelConfig())
    lines = prior_predictive_lines(summary)
    assert lines[0] == "prior: mu ~ exponential(0.1), alpha ~ half_normal(2), phi ~ half_normal(2)"
    assert lines[1].startswith("windows under the prior: count ")
    assert lines[2:] == ("the data lie within the prior's central 99 %",)
    section = prior_predictive_section(summary)
    assert section.text == (
        "The priors are mu ~ exponential(0.1); alpha ~ half_normal(2); phi ~ half_normal(2).",
        "The data lie within the central 99 % of what these priors expect.",
    )
    (table,) = section.tables
    assert [row[0] for row in table.rows] == [
        "count of a window",
        "mean count of an entity's windows",
        "mean count of all windows",
        "share of windows without events",
        "largest count",
    ]
    assert table.caption.endswith("compared are all 900 windows of 60 entities.")


def test_the_same_seed_gives_the_same_summary() -> None:
    data = simulated(mu=5.0, alpha=1.0, phi=2.0)
    one, two = (prior_predictive_summary(data, ModelConfig(random_seed=3)) for _ in range(2))
    assert one == two
    assert one == prior_predictive_summary(data, ModelConfig(), seed=3)
    assert one != prior_predictive_summary(data, ModelConfig(), seed=4)


@pytest.mark.parametrize(
    ("n_entities", "n_windows"), [(30_000, 1), (3000, 20), (3, 9000), (1, 5000), (40, 25), (100, 11)]
)
def test_the_windows_compared_are_bounded_and_of_many_entities(n_entities: int, n_windows: int) -> None:
    data = EventCounts.from_arrays(
        entity=np.repeat(np.arange(n_entities), n_windows).astype(str), count=np.zeros(n_entities * n_windows, int)
    )
    rows = compared_rows(data, np.random.default_rng(0))
    assert (np.diff(rows) > 0).all()
    chosen = np.unique(data.entity_idx[rows])
    assert len(rows) <= prior_predictive.COMPARED_WINDOWS
    assert len(rows) >= min(data.n_obs, 0.9 * prior_predictive.COMPARED_WINDOWS)
    assert len(chosen) >= min(n_entities, prior_predictive.COMPARED_ENTITIES)


def test_a_part_is_said_to_be_one() -> None:
    data = EventCounts.from_arrays(entity=np.repeat(np.arange(400), 5).astype(str), count=np.arange(2000) % 7)
    summary = prior_predictive_summary(data, ModelConfig(), draws=50)
    assert not summary.complete
    assert summary.compared == "a random part: 1,000 windows of 200 entities"


@pytest.mark.parametrize("settings", [{}, {"likelihood": "poisson"}, {"parameterization": "mean_scaled"}])
@pytest.mark.parametrize(
    "prior", ["gamma(0.001, 0.001)", "half_cauchy(1000000)", "log_normal(0, 100)", "uniform(0, 1)"]
)
def test_vague_priors_and_odd_data_give_figures_and_no_warnings_of_numpy(settings: dict, prior: str) -> None:
    config = ModelConfig.create(mu_prior=prior, alpha_prior=prior, **settings)
    for count in ([0], [0, 0, 0], [10**15, 0, 3]):
        data = EventCounts.from_arrays(entity=["a", "b", "b"][: len(count)], count=count)
        summary = prior_predictive_summary(data, config, draws=100)
        assert np.isfinite([quantity.prior for quantity in summary.quantities]).all()
        assert 2 <= len(prior_predictive_lines(summary)) <= 4
        assert prior_predictive_section(summary).tables


def test_rough_estimates_have_the_order_of_magnitude() -> None:
    data, _ = simulate_event_rates(400, 40, mu=6.0, alpha=0.8, phi=3.0, exposure=2.0, seed=2)
    observed = Observations(data.count, data.entity_idx, data.n_entities, data.exposure)
    found = rough_hyperparameters(observed, 6.0)
    assert 0.6 < found["alpha"] < 1.1
    assert 2.4 < found["phi"] < 3.6
    alike, _ = simulate_event_rates(200, 10, mu=6.0, alpha=1e5, config=ModelConfig(likelihood="poisson"), seed=2)
    observed = Observations(alike.count, alike.entity_idx, alike.n_entities, alike.exposure)
    assert rough_hyperparameters(observed, 6.0) == {"mu": 6.0}


def test_advice_for_mean_scaled_is_in_its_own_alpha() -> None:
    config = ModelConfig(parameterization="mean_scaled", alpha_prior="gamma(1000, 1)")
    advice = prior_advice(config, {"mu": 5.0, "alpha": 0.4, "phi": 2.0}, 0)
    assert advice.endswith("for example alpha_prior=half_cauchy(2).")
    fine = prior_advice(ModelConfig(), {"mu": 5.0, "alpha": 1.0, "phi": 2.0}, 0)
    assert fine == "Look at mu_prior and alpha_prior and phi_prior, and at the data."


@pytest.mark.parametrize("draws", [1, True, 2.5, 10**6])
def test_draws_are_refused_in_words(draws: object) -> None:
    data = EventCounts.from_arrays(entity=["a"], count=[1])
    with pytest.raises(ConfigurationError, match="draws: not usable; expected a whole number from 2 to 10,000"):
        prior_predictive_summary(data, ModelConfig(), draws=draws)
