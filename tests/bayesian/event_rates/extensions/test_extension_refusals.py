"""What cannot work together is refused before anything is computed: the field, the reason, what to do."""

from typing import Any

import numpy as np
import pytest

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.design import design_of
from modelwright.bayesian.event_rates.extensions.fit import fit_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions, check_combination
from modelwright.core.errors import ConfigurationError, DataError, ModelwrightError
from modelwright.data.events import EventCounts


def days(n: int) -> np.ndarray:
    return np.datetime64("2024-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D")


def small(**changes: Any) -> EventCounts:
    """Three entities over eight days."""
    entity = np.repeat(["ann", "bob", "cat"], 8)
    given: dict[str, Any] = {
        "entity": entity,
        "count": np.arange(24) % 5,
        "window_start": np.tile(days(8), 3),
        "window": "1D",
        "covariates": {
            "tier": np.repeat(["gold", "basic", "basic"], 8),
            "grade": np.repeat(["A", "B", "B"], 8),
            "owner": np.repeat(["x", "y", "z"], 8),
            "size": np.repeat([1.0, 2.0, 5.0], 8),
            "same": np.ones(24),
            "weekday_number": np.tile(np.arange(8) % 7, 3).astype(float),
            "is_weekend": np.tile(np.isin(np.arange(8) % 7, (5, 6)), 3).astype(float),
        },
    } | changes
    return EventCounts.from_arrays(**given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"chosen": "seasonal"},
            "extension: not an extension; got 'seasonal'; known: covariates, temporal, volumes, zero_inflation, drift",
        ),
        (
            {"chosen": "drift", "drift": "day_of_weeks"},
            "drift: not one of the choices; expected 'random_walk' or 'day_of_week' or 'hour_of_day', got "
            "'day_of_weeks'; did you mean 'day_of_week'?",
        ),
        (
            {"chosen": "drift", "drift_prior_sd": 0},
            "drift_prior_sd: not usable; expected a number from 1e-06 to 1e+06, got 0",
        ),
        ({"chosen": 3}, "extension: not usable; expected names separated by commas, got 3"),
        (
            {"chosen": "covariates", "covariates": [1]},
            "covariates: not usable; expected names separated by commas, got 1",
        ),
    ],
)
def test_settings_that_do_not_exist_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Extensions.create(**settings)
    assert str(refusal.value) == message


def test_a_misspelt_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="not a setting of the extensions; got 1; did you mean 'tau_prior_sd'"):
        Extensions.create(chosen="temporal", tau_sd=1)


@pytest.mark.parametrize("value", [1e300, -1e200])
def test_a_covariate_whose_square_overflows_is_refused_for_being_too_large(value: float) -> None:
    size = np.repeat([1.0, value, 5.0], 8)
    with pytest.raises(DataError) as refusal:
        design_of(small(covariates={"size": size}), Extensions.create(chosen="covariates", covariates="size"))
    assert str(refusal.value) == (
        f"size: too large at row 9; expected numbers up to 1e+100 in size, whose squares can be added up, got {value}; "
        "write it in another unit, or leave the column out"
    )
    largest = design_of(
        small(covariates={"size": size / value * 1e100}), Extensions.create(chosen="covariates", covariates="size")
    )
    assert np.isfinite(largest.entity_level.matrix).all()


TIMELESS = {"window_start": None, "window": None}
COMBINATIONS = [
    (
        {"chosen": ()},
        {},
        {},
        "extension: nothing is chosen; expected covariates, temporal, volumes, zero_inflation, drift; "
        "choose at least one",
    ),
    (
        {"chosen": "covariates"},
        {},
        {},
        "covariates: no column is named; expected columns of the data, or of the calendar: day_of_week, hour_of_day, "
        "weekend, month; name at least one: --covariates COLUMN or --calendar day_of_week",
    ),
    (
        {"chosen": "drift", "covariates": "tier"},
        {},
        {},
        "covariates: given, but covariates is not among the extensions; got ('tier',); add covariates to the "
        "extensions, or leave covariates out",
    ),
    (
        {"chosen": "temporal", "drift": "day_of_week"},
        {},
        {},
        "drift: given, but drift is not among the extensions; got 'day_of_week'; add drift to the extensions, or "
        "leave drift out",
    ),
    (
        {"chosen": "drift,covariates", "drift": "day_of_week", "covariates": "day_of_week"},
        {},
        {},
        "covariates: drift by day_of_week and the covariate day_of_week are the same thing twice; got 'day_of_week'; "
        "leave day_of_week out of the covariates, or take drift=random_walk",
    ),
    (
        {"chosen": "drift,covariates", "drift": "day_of_week", "covariates": "is_weekend"},
        {},
        {},
        "covariates: is_weekend says nothing that drift by day_of_week does not say already; got 'is_weekend'; "
        "leave out is_weekend",
    ),
    (
        {"chosen": "temporal"},
        {},
        TIMELESS,
        "extension: temporal needs the windows' times, and these data have none; got 'temporal'; name the column of "
        "times, or leave out temporal",
    ),
    (
        {"chosen": "drift"},
        {},
        TIMELESS,
        "extension: drift needs the windows' times, and these data have none; got 'drift'; name the column of times, "
        "or leave out drift",
    ),
    (
        {"chosen": "covariates", "covariates": "day_of_week"},
        {},
        TIMELESS,
        "covariates: day_of_week needs windows in time, and the counts have none; expected counts with times; load "
        "the data with a column of times, or leave day_of_week out",
    ),
    (
        {"chosen": "drift", "drift": "hour_of_day"},
        {},
        {},
        "drift: hour_of_day says nothing about windows that last longer than an hour; expected windows of at most an "
        "hour, got '1D'; use a shorter window, or leave hour_of_day out",
    ),
    (
        {"chosen": "covariates", "covariates": "teir"},
        {},
        {},
        "covariates: the data have no such column; got 'teir'; did you mean 'tier'? known: tier, grade, owner, size, "
        "same, weekday_number, is_weekend, day_of_week, hour_of_day, weekend, month",
    ),
    (
        {"chosen": "covariates", "covariates": "same"},
        {},
        {},
        "covariates: the column has one value only, so that its effect cannot be told from the mean; expected a column "
        "with at least two values, got 'same = 1.0'; leave out same",
    ),
    (
        {"chosen": "covariates", "covariates": "month"},
        {},
        {},
        "covariates: the column has one value only, so that its effect cannot be told from the mean; expected a column "
        "with at least two values, got 'month = January'; leave out month",
    ),
    (
        {"chosen": "covariates", "covariates": "tier,owner"},
        {},
        {},
        "covariates: 3 free coefficients for 3 entities could fit anything; expected fewer than 3 free coefficients, "
        "got 'tier, owner'; leave out the column with most values",
    ),
    (
        {"chosen": "covariates", "covariates": "tier,grade"},
        {},
        {},
        "covariates: grade says nothing that tier does not say already; got 'grade'; leave out grade",
    ),
    (
        {"chosen": "volumes"},
        {},
        {},
        "extension: volumes needs a column of volumes, and these data have none; got 'volumes'; name the column, such "
        "as volume=bytes, or leave volumes out",
    ),
    (
        {"chosen": "volumes"},
        {"parameterization": "mean_scaled"},
        {},
        "parameterization: with volumes the rates are log-normal, and mean_scaled is a way to write Gamma rates; "
        "expected 'centered' or 'noncentered', got 'mean_scaled'; choose another parameterization, or leave volumes "
        "out",
    ),
    (
        {"chosen": "volumes"},
        {"alpha_prior_sd": 1.0},
        {},
        "alpha_prior_sd: with volumes the rates are log-normal and there is no alpha; got 1.0; leave alpha_prior_sd "
        "out and give spread_prior_mean, or leave volumes out",
    ),
    (
        {"chosen": "volumes"},
        {"shape_prior": "exponential(1)"},
        {},
        "shape_prior: with volumes the rates are log-normal and there is no alpha; got 'exponential(1)'; leave "
        "shape_prior out and give spread_prior_mean, or leave volumes out",
    ),
    (
        {"chosen": "volumes"},
        {},
        {"volume": np.where(np.arange(24) % 5 > 0, 10.0, 0.0) * (np.arange(24) != 3)},
        "volume: 1 windows with events have no volume (first at row 4); expected a volume above 0 in every window with "
        "events, got 0.0; leave these windows out, or leave volumes out",
    ),
    (
        {"chosen": "volumes"},
        {},
        {"count": np.zeros(24), "volume": np.full(24, np.nan)},
        "volume: no window has an event, so that no volume is known",
    ),
    (
        {"chosen": "temporal"},
        {},
        {"window_start": np.repeat(days(3), 8), "entity": [f"e{k:02}" for k in range(24)], "covariates": {}},
        "extension: temporal needs entities with at least two windows, and every entity has one; got 'temporal'; take "
        "shorter windows, or leave temporal out",
    ),
    (
        {"chosen": "temporal"},
        {},
        {"window_start": np.tile(np.r_[days(7), days(7)[-1:]], 3)},
        "window_start: two windows of 'ann' begin together (2024-01-07); expected one observation per entity and "
        "window; add their counts up, or leave temporal out",
    ),
    (
        {"chosen": "drift"},
        {},
        {"window_start": np.repeat(days(1), 24), "entity": [f"e{k:02}" for k in range(24)], "covariates": {}},
        "drift: all windows begin together, so that there is nothing to drift; got 'random_walk'; leave drift out, or "
        "take data over a longer time",
    ),
    (
        {"chosen": "drift", "drift": "day_of_week"},
        {},
        {"window_start": np.repeat(days(1), 24), "entity": [f"e{k:02}" for k in range(24)], "covariates": {}},
        "drift: every window has day_of_week Monday, so that there is nothing to drift; got 'day_of_week'; leave drift "
        "out, or take data over a longer time",
    ),
]


@pytest.mark.parametrize(("settings", "config", "changes", "message"), COMBINATIONS)
def test_what_cannot_work_is_refused_with_the_reason(
    settings: dict[str, Any], config: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    extensions = Extensions.create(**settings)
    with pytest.raises(ModelwrightError) as refusal:
        check_combination(extensions, ModelConfig.create(**config), small(**changes))
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        ("temporal", "each window has a rate of its own that depends on the one before"),
        ("volumes", "two correlated effects per entity leave no one-dimensional integral"),
    ],
)
def test_rates_that_cannot_be_integrated_out_refuse_the_collapsed_engine(extension: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        check_combination(Extensions.create(chosen=extension), ModelConfig(), small(), engine="collapsed")
    assert str(refusal.value) == (
        f"engine: the rates cannot be integrated out with {extension}: {reason}; expected numpyro, pymc or nutpie, got "
        "'collapsed'; leave the engine to auto"
    )


def test_too_many_deviations_to_keep_are_refused_before_sampling() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        fit_extended(small(), ModelConfig(n_samples=10_000_000), Extensions.create(chosen="temporal"))
    assert str(refusal.value) == (
        "n_samples: temporal keeps a number per window and draw, 960,000,000 in all; expected at most 2,083,333 draws "
        "for these data, got 10000000; take fewer draws, or longer windows"
    )


@pytest.mark.parametrize("chosen", ["covariates,zero_inflation,drift", "covariates,temporal,drift", "temporal,drift"])
def test_what_can_work_together_passes(chosen: str) -> None:
    covariates = "tier,weekday_number" if "covariates" in chosen else ()
    settings = {"covariates": covariates} if covariates else {}
    check_combination(Extensions.create(chosen=chosen, **settings), ModelConfig(), small())
